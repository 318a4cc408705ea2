/* The files beside the lease that are not the lease: the last run of cron, a request to end. */
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/newfile.h"
#include "daemon/cron_record.h"
#include "daemon/stop_request.h"

static char folder[64];

static const char token[] = "0123456789abcdef0123456789abcdef";

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test-cron-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static void put_text(const char *name, const char *text)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s", folder, name);
    assert_int_equal(newfile_put(buf_cstr(&path), str_of(text), 0, ERR_IGNORED), 0);
    buf_free(&path);
}

static mode_t mode_of(const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static int remove_folder(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/cron", folder);
    unlink(path);
    stop_request_remove(folder);
    return rmdir(folder);
}

static void test_cron(void **state)
{
    struct cron_record record = {.at_ms = 0};
    char longest[2000], host[256] = "";
    struct err e = {0};

    (void)state;
    assert_int_equal(cron_record_read(folder, &record, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(cron_record_write(folder, "left it to login2 (process 7)", &e), 0);
    assert_int_equal(cron_record_read(folder, &record, &e), 0);
    gethostname(host, sizeof host - 1);
    assert_string_equal(record.host, host);
    assert_string_equal(record.outcome, "left it to login2 (process 7)");
    assert_true(record.at_ms > 0);
    assert_int_equal(mode_of("cron"), 0600);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(cron_record_write(folder, longest, &e), 0);
    assert_int_equal(cron_record_read(folder, &record, &e), 0);
    assert_int_equal(strlen(record.outcome), sizeof record.outcome - 1);
}

static void test_damaged_cron(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "{}",
                                        "{\"host\":1,\"ms\":1,\"outcome\":\"\"}"};
    struct cron_record record = {.at_ms = 0};

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(texts); i++) {
        put_text("cron", texts[i]);
        unit_true(texts[i], cron_record_read(folder, &record, ERR_IGNORED) != 0);
        unit_true(texts[i], record.at_ms == 0);
    }
}

static void test_stop(void **state)
{
    char host[STOP_REQUEST_HOST] = "";
    struct err e = {0};

    (void)state;
    assert_int_equal(stop_request_write(folder, token, &e), -1);
    assert_int_equal(e.code, ERR_FAILED); /* not "nothing runs" */
    assert_false(stop_request_came(folder, token, host));
    stop_request_make(folder);
    assert_false(stop_request_came(folder, token, host));
    assert_int_equal(stop_request_write(folder, token, &e), 0);
    assert_true(stop_request_came(folder, token, host));
    assert_true(host[0] != '\0');
    stop_request_make(folder); /* it does not lose one that came before the keeper began */
    assert_true(stop_request_came(folder, token, host));
    assert_false(stop_request_came(folder, "ffffffffffffffffffffffffffffffff", host));
    put_text("stop", "{\"token\":7}");
    assert_false(stop_request_came(folder, token, host));
    stop_request_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cron, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_damaged_cron, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_stop, make_folder, remove_folder)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
