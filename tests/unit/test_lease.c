/* The lease: one holder, whoever asks at the same time, and the end of those that died. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "daemon/lease.h"

enum { STALE_MS = 180000 };

struct bench {
    char top[64], folder[96], owner[128];
};

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    snprintf(b->top, sizeof b->top, "/tmp/kachery-lease-XXXXXX");
    if (mkdtemp(b->top) == NULL)
        return 1;
    snprintf(b->folder, sizeof b->folder, "%s/" LEASE_FOLDER, b->top);
    snprintf(b->owner, sizeof b->owner, "%s/owner", b->folder);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", b->top);
    int result = system(command);
    free(b);
    return result;
}

static int take(struct bench *b, struct lease *l, struct lease_holder *other, struct err *e)
{
    return lease_take(l, b->folder, "lab", STALE_MS, other, e);
}

/* A lease of another host, renewed `age_ms` ago. */
static void put_foreign(struct bench *b, const char *text, int64_t age_ms)
{
    int64_t then = clock_wall_ms() - age_ms;
    struct timespec times[2] = {{then / 1000, 0}, {then / 1000, 0}};
    struct err e;

    mkdir(b->folder, 0777);
    assert_int_equal(newfile_put(b->owner, str_of(text), 0, &e), 0);
    assert_int_equal(utimensat(AT_FDCWD, b->owner, times, 0), 0);
}

static const char foreign[] =
    "{\"host\":\"elsewhere\",\"pid\":77,\"pidStarted\":5,\"boot\":\"b\",\"pidNamespace\":\"n\","
    "\"token\":\"0123456789abcdef0123456789abcdef\",\"sinceMs\":1}";

static void test_take_and_release(void **state)
{
    struct bench *b = *state;
    struct lease first, second;
    struct lease_holder other;
    struct err e = {0};
    char want[512], host[256];

    assert_int_equal(take(b, &first, &other, &e), 0);
    assert_int_equal(take(b, &second, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    gethostname(host, sizeof host);
    snprintf(want, sizeof want, "the resource is already shared by %s (process %d)", host,
             (int)getpid());
    unit_equal("refused", e.msg, want);
    assert_int_equal(lease_renew(&first, &other, &e), 0);
    lease_release(&first);
    lease_deinit(&first);
    assert_int_equal(access(b->folder, F_OK), -1);
    assert_int_equal(take(b, &second, &other, &e), 0);
    lease_release(&second);
    lease_deinit(&second);
}

/* kill -9: nobody gave it back, and nobody has to wait. */
static void test_dead_holder_of_this_host(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};
    int status;

    pid_t pid = fork();
    if (pid == 0)
        _exit(take(b, &l, &other, &e) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(access(b->owner, F_OK), 0);
    assert_int_equal(take(b, &l, &other, &e), 0);
    assert_int_equal(l.self.pid, getpid());
    lease_release(&l);
    lease_deinit(&l);
}

static void test_holder_of_another_host(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};

    put_foreign(b, foreign, STALE_MS - 20000);
    assert_int_equal(take(b, &l, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    unit_equal("names it", e.msg, "the resource is already shared by elsewhere (process 77)");
    put_foreign(b, foreign, STALE_MS + 20000);
    assert_int_equal(take(b, &l, &other, &e), 0);
    lease_release(&l);
    lease_deinit(&l);
}

/* A time to come, from before a clock was set back, keeps nobody waiting until it comes. */
static void test_lease_from_the_future(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct stat st;
    struct err e = {0};

    put_foreign(b, foreign, -(int64_t)365 * 24 * 3600 * 1000);
    assert_int_equal(take(b, &l, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN); /* it may be alive, and renew it */
    assert_int_equal(stat(b->owner, &st), 0);
    assert_true(st.st_mtim.tv_sec <= clock_wall_ms() / 1000 + 1);
}

/* Then nobody can tell whether the other is alive (a full quota, say): no reason to be silent. */
static void test_folder_that_takes_no_files(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};
    int status;

    put_foreign(b, foreign, 1000);
    assert_int_equal(chmod(b->top, 0755), 0);
    assert_int_equal(chmod(b->folder, 0555), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit((getuid() != 0 || setuid(65534) == 0) && take(b, &l, &other, &e) != 0 &&
                      e.code == ERR_FAILED && strstr(e.msg, "Permission denied") != NULL
                  ? 0
                  : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(b->folder, 0755), 0);
    assert_int_equal(status, 0);
}

/* A record that was cut or is another program's is judged by its age alone. */
static void test_unreadable_owner(void **state)
{
    static const char *const texts[] = {"", "{\"host\":\"x\"", "{\"host\":\"x\",\"pid\":1}",
                                        "{\"host\":5}"};
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};

    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        put_foreign(b, texts[i], 1000);
        unit_true(texts[i], take(b, &l, &other, &e) != 0 && e.code == ERR_TAKEN);
        put_foreign(b, texts[i], STALE_MS + 20000);
        unit_true(texts[i], take(b, &l, &other, &e) == 0);
        lease_release(&l);
        lease_deinit(&l);
    }
}

/* This process was away for so long that another took over. */
static void test_lost(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};

    assert_int_equal(take(b, &l, &other, &e), 0);
    put_foreign(b, foreign, 0);
    assert_int_equal(lease_renew(&l, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    unit_equal("who", other.host, "elsewhere");
    lease_release(&l);
    assert_int_equal(access(b->owner, F_OK), 0);
    lease_deinit(&l);
}

static void test_deleted_by_hand(void **state)
{
    struct bench *b = *state;
    struct lease l, second;
    struct lease_holder other;
    struct err e = {0};

    assert_int_equal(take(b, &l, &other, &e), 0);
    assert_int_equal(unlink(b->owner), 0);
    assert_int_equal(rmdir(b->folder), 0);
    assert_int_equal(lease_renew(&l, &other, &e), 0);
    assert_int_equal(take(b, &second, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    unit_equal("same holding", other.token, l.self.token);
    assert_true(lease_release(&l));
    lease_deinit(&l);
}

static void test_renewed_by_the_clock(void **state)
{
    struct bench *b = *state;
    struct lease l;
    struct lease_holder other;
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct stat st;
    struct err e = {0};

    assert_int_equal(take(b, &l, &other, &e), 0);
    assert_int_equal(utimensat(AT_FDCWD, b->owner, old, 0), 0);
    assert_int_equal(lease_renew(&l, &other, &e), 0);
    assert_int_equal(stat(b->owner, &st), 0);
    assert_true(st.st_mtim.tv_sec > 1000);
    lease_release(&l);
    lease_deinit(&l);
}

/* A claim whose maker died is in nobody's way for ever. */
static void test_left_over_claim(void **state)
{
    struct bench *b = *state;
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct timespec to_come[2] = {{4000000000, 0}, {4000000000, 0}};
    char claim[160];
    struct stat st;
    struct lease l;
    struct lease_holder other;
    struct err e = {0};

    mkdir(b->folder, 0777);
    snprintf(claim, sizeof claim, "%s/after.none", b->folder);
    close(open(claim, O_WRONLY | O_CREAT, 0666));
    assert_int_equal(take(b, &l, &other, &e), -1);
    assert_int_equal(e.code, ERR_TAKEN);
    assert_int_equal(utimensat(AT_FDCWD, claim, to_come, 0), 0);
    assert_int_equal(take(b, &l, &other, &e), -1);
    assert_int_equal(stat(claim, &st), 0);
    assert_true(st.st_mtim.tv_sec <= clock_wall_ms() / 1000 + 1);
    assert_int_equal(utimensat(AT_FDCWD, claim, old, 0), 0);
    assert_int_equal(take(b, &l, &other, &e), 0);
    lease_release(&l);
    lease_deinit(&l);
}

/* Many at once, from nothing and after a dead one: exactly one gets it each time. */
static void test_race(void **state)
{
    struct bench *b = *state;

    for (int round = 0; round < 20; round++) {
        int start[2], taken[2], won = 0, status;
        pid_t pids[8];
        struct lease l;
        struct lease_holder other;
        struct err e = {0};
        char byte;
        if (round % 2 == 1)
            put_foreign(b, foreign, STALE_MS + 20000);
        assert_int_equal(pipe(start), 0);
        assert_int_equal(pipe(taken), 0);
        for (size_t i = 0; i < UNIT_COUNT(pids); i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                close(start[1]);
                if (read(start[0], &byte, 1) != 0)
                    _exit(9);
                int result = take(b, &l, &other, &e);
                if (result != 0 && e.code != ERR_TAKEN)
                    _exit(2);
                if (result != 0)
                    _exit(1);
                if (write(taken[1], "x", 1) == 1)
                    pause(); /* it holds it until it is killed */
                _exit(3);
            }
        }
        close(start[0]);
        close(start[1]);
        assert_int_equal(read(taken[0], &byte, 1), 1);
        close(taken[0]);
        close(taken[1]);
        /* All losers end by themselves; the winner is alive until then. */
        for (size_t ended = 0; ended < UNIT_COUNT(pids) - 1; ended++) {
            assert_true(waitpid(-1, &status, 0) > 0);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        }
        assert_int_equal(take(b, &l, &other, &e), -1);
        assert_int_equal(e.code, ERR_TAKEN);
        for (size_t i = 0; i < UNIT_COUNT(pids); i++)
            won += other.pid == pids[i];
        assert_int_equal(won, 1);
        kill((pid_t)other.pid, SIGKILL);
        assert_int_equal(waitpid((pid_t)other.pid, &status, 0), other.pid);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_take_and_release),
        CASE(test_dead_holder_of_this_host),
        CASE(test_holder_of_another_host),
        CASE(test_lease_from_the_future),
        CASE(test_folder_that_takes_no_files),
        CASE(test_unreadable_owner),
        CASE(test_lost),
        CASE(test_deleted_by_hand),
        CASE(test_renewed_by_the_clock),
        CASE(test_left_over_claim),
        CASE(test_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
