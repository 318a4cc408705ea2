/* A program that runs from memory alone. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha1.h"
#include "proc/own_image.h"
#include "unit.h"

enum { MAX_MAPS = 1 << 20, IS_FINE = 0, WAS_REFUSED = 77 };

static int counter = 1;
static int *volatile place_of_counter = &counter; /* relocated */

static bool maps_name(const char *path)
{
    struct buf maps = {0};
    struct err e;

    bool is_there = fs_read_file("/proc/self/maps", MAX_MAPS, &maps, &e) != 0 ||
                    strstr(buf_cstr(&maps), path) != NULL;
    buf_free(&maps);
    return is_there;
}

static int live_without_file(void)
{
    unsigned char digest[SHA1_SIZE];
    char path[4096] = "";

    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0 || !maps_name(path))
        return 1;
    counter = 2;
    if (own_image_copy() != 0)
        return WAS_REFUSED;
    if (maps_name(path))
        return 2;
    *place_of_counter += 1;
    sha1_of(STR("abc"), digest);
    return counter == 3 && digest[0] == 0xa9 && digest[19] == 0x9d ? IS_FINE : 3;
}

static int status_of_child(int (*run)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(run());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void code_and_data_leave_their_file(void **state)
{
    (void)state;
    int status = status_of_child(live_without_file);
    if (status == WAS_REFUSED)
        skip();
    assert_int_equal(status, IS_FINE);
}

static int live_twice(void)
{
    return own_image_copy() != 0 ? WAS_REFUSED : live_without_file() == 1 ? own_image_copy() : 1;
}

static void a_second_time_changes_nothing(void **state)
{
    (void)state;
    int status = status_of_child(live_twice);
    if (status == WAS_REFUSED)
        skip();
    assert_int_equal(status, IS_FINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_and_data_leave_their_file),
        cmocka_unit_test(a_second_time_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
