/* The text of `status`: as the issue shows it, and what is left out of files that lack it. */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "daemon/status_text.h"

/* 2026-11-27 11:32 UTC */
static const int64_t NOW_MS = INT64_C(1795779120000);

#define HOUR_MS INT64_C(3600000)

static const char whole[] =
    "{\"version\":\"0.2.0\",\"resourceName\":\"lab-files\",\"host\":\"login2\",\"pid\":4711,"
    "\"startedMs\":1793693520000,\"writtenMs\":1795779110000,\"isStopping\":false,"
    "\"client\":\"registered\",\"proxy\":{\"url\":\"wss://kachery.lab.example\","
    "\"resourceUrl\":\"https://kachery.lab.example/r/lab-files\",\"state\":\"connected\","
    "\"sinceMs\":1795732860000,\"failure\":\"\"},\"gateway\":{\"url\":\"https://g\","
    "\"answeredMs\":1795778880000,\"clockAheadMs\":300,\"mayUpload\":true,\"failure\":\"\","
    "\"refusal\":\"\"},\"waiting\":2,\"queued\":1,\"uploads\":[{\"sha1\":"
    "\"2c65000000000000000000000000000000000000\",\"size\":3100000000,"
    "\"bytesUploaded\":1271000000,\"startedMs\":1,\"bytesPerSecond\":82000000}],\"openFiles\":3,"
    "\"totals\":{\"requests\":1204,\"completed\":310,\"failed\":5,\"notHere\":870,\"changed\":19,"
    "\"bytesUploaded\":1900000000000,\"rangeBytes\":4100000000},\"notHere\":[{\"sha1\":"
    "\"9f31000000000000000000000000000000000000\",\"count\":412,\"lastMs\":1795777320000},{"
    "\"sha1\":"
    "\"aaaa000000000000000000000000000000000000\",\"count\":1,\"lastMs\":1795777320000,"
    "\"lastAsker\":\"10.0.0.7\"}],"
    "\"disconnections\":{\"week\":{\"day\":20784,\"counts\":[3,0,0,0,0,0,0]},\"causes\":[{"
    "\"cause\":\"wss://kachery.lab.example: not a byte for 60 s\",\"lastMs\":1795732800000,"
    "\"week\":{\"day\":20783,\"counts\":[2,1,0,0,0,0,0]}}]},\"workersLost\":{\"week\":{"
    "\"day\":20784,\"counts\":[1,0,1,0,0,0,0]},\"causes\":[{"
    "\"cause\":\"kachery-upload: killed by SIGKILL: out of memory, or a limit of this host?\","
    "\"lastMs\":1795770000000,\"week\":{\"day\":20784,"
    "\"counts\":[1,0,1,0,0,0,0]}}]},\"processor\":{\"supervisorMs\":12100,\"allMs\":1,"
    "\"date\":20261127,\"todayMs\":212400}}";

static struct liveness alive(void)
{
    return (struct liveness){.verdict = LIVENESS_ALIVE, .has_record = true, .age_ms = 4000,
                             .stale_ms = 45000,
                             .record = {.resource = "lab-files", .host = "login2", .pid = 4711,
                                        .since_ms = INT64_C(1793693520000)}};
}

static void check_text(const char *name, const struct liveness *life, const char *status,
                       const struct cron_record *cron, const char *trouble, const char *want)
{
    struct json *root =
        status == NULL ? NULL : json_parse(str_of(status), JSON_STRICT, ERR_IGNORED);
    struct buf out = {0};

    unit_true(name, status == NULL || root != NULL);
    status_text_put(&out, &(struct status_text){.life = life, .status = root, .cron = cron,
                                                .status_trouble = trouble, .now_ms = NOW_MS});
    unit_equal(name, buf_cstr(&out), want);
    buf_free(&out);
    json_free(root);
}

static void test_whole(void **state)
{
    const struct liveness life = alive();
    const struct cron_record cron = {.host = "login1", .at_ms = NOW_MS - 120000,
                                     .outcome = "left it to login2"};

    (void)state;
    check_text(
        "as in the issue", &life, whole, &cron, "",
        "lab-files on login2 (process 4711), running since 2026-11-03 08:12, 24 d\n"
        "  alive      yes: lease renewed 4 s ago (stale after 45 s)\n"
        "  proxy      connected since 2026-11-26 22:41   "
        "https://kachery.lab.example/r/lab-files\n"
        "             before that: not a byte for 60 s (3 times this week)\n"
        "  gateway    answered 4 min ago, clock +0.3 s; client registered, may upload\n"
        "  now        2 waiting, 1 queued; sha1://2c65… 41 % of 3.1 GB, 82 MB/s; 3 files open "
        "for ranges\n"
        "  totals     1,204 requests: 310 uploaded (1.9 TB), 870 not here, 19 changed, 5 failed; "
        "4.1 GB in ranges\n"
        "  not here   sha1://9f31… 412 times, last 11:02\n"
        "             sha1://aaaa… 1 time, last 11:02 from 10.0.0.7\n"
        "  workers    2 lost in 7 d, last: killed by SIGKILL (out of memory, or a limit of this "
        "host), kachery-upload, 09:00\n"
        "  processor  supervisor 0.5 s a day, all 212 s today\n"
        "  cron       last run on login1 at 11:30: left it to login2\n");
}

static void test_dead(void **state)
{
    const struct cron_record none = {.at_ms = 0};
    struct liveness life = alive();

    (void)state;
    life.verdict = LIVENESS_NONE;
    snprintf(life.reason, sizeof life.reason, "its process on login2 is gone without a word");
    check_text("killed", &life,
               "{\"resourceName\":\"lab-files\",\"host\":\"login2\",\"pid\":4711,\"startedMs\":"
               "1793693520000,\"writtenMs\":1795768320000,\"proxy\":{\"state\":\"connected\"}}",
               &none, "",
               "lab-files: not running; last on login2 (process 4711), started 2026-11-03 08:12\n"
               "  alive      no: its process on login2 is gone without a word\n"
               "  ended      without a word: killed, or its host went down; its last status is of "
               "08:32, 3 h ago\n"
               "  totals     0 requests: 0 uploaded (0 B), 0 not here, 0 changed, 0 failed; 0 B in "
               "ranges\n"
               "  not here   nothing was asked for in vain\n"
               "  cron       no run of `share --cron` is on record\n");
    life.has_record = false;
    snprintf(life.reason, sizeof life.reason, "nobody holds the lease");
    check_text("stopped, of another host, refused before", &life,
               "{\"resourceName\":\"a\\u001b[31m\",\"host\":\"login3\",\"pid\":5,"
               "\"writtenMs\":1795768320000,\"ending\":\"stopped: SIGTERM\","
               "\"refusedBy\":{\"url\":\"https://p\",\"code\":4009,\"reason\":\"it is connected\","
               "\"atMs\":1795768320000}}",
               &none, "",
               "a\\x1b[31m: not running; last on login3 (process 5)\n"
               "  alive      no: nobody holds the lease\n"
               "  ended      stopped: SIGTERM; 08:32, 3 h ago\n"
               "  refused    08:32 by https://p (4009): it is connected\n"
               "  totals     0 requests: 0 uploaded (0 B), 0 not here, 0 changed, 0 failed; 0 B in "
               "ranges\n"
               "  not here   nothing was asked for in vain\n"
               "  cron       no run of `share --cron` is on record\n");
    check_text("nothing there", &life, NULL, &none, "",
               "the resource: not running\n"
               "  alive      no: nobody holds the lease\n"
               "  cron       no run of `share --cron` is on record\n");
}

static void test_trouble(void **state)
{
    const struct cron_record none = {.at_ms = 0};
    struct liveness life = alive();

    (void)state;
    check_text("of another user", &life, NULL, &none, "cannot be read: Permission denied",
               "lab-files on login2 (process 4711), running since 2026-11-03 08:12, 24 d\n"
               "  alive      yes: lease renewed 4 s ago (stale after 45 s)\n"
               "  status     cannot be read: Permission denied\n"
               "  cron       no run of `share --cron` is on record\n");
    check_text("of release 0.1, out of reach of everything", &life,
               "{\"resourceName\":\"lab-files\",\"host\":\"login2\",\"pid\":4711,\"startedMs\":"
               "1795777320000,\"writtenMs\":1795779110000,\"isStopping\":true,\"client\":"
               "\"not registered\",\"proxy\":{\"url\":\"https://p\",\"state\":\"waiting\","
               "\"sinceMs\":1795779060000,\"failure\":\"https://p: Connection refused\","
               "\"nextTryMs\":1795779132000,\"retryAfterMs\":120000,\"outSinceMs\":1795778520000},"
               "\"gateway\":{"
               "\"failedSinceMs\":1795778520000,\"nextTryMs\":1795779180000,\"failure\":"
               "\"https://g: no such host\",\"mayUpload\":null},\"uploads\":[],"
               "\"totals\":{\"requests\":1}}",
               &none, "",
               "lab-files on login2 (process 4711), running since 2026-11-27 11:02, 30 min\n"
               "  alive      yes: lease renewed 4 s ago (stale after 45 s); it is being stopped\n"
               "  proxy      not connected since 11:22 (10 min): https://p: Connection refused; "
               "next try in 12 s, as it asks for 2 min\n"
               "             https://p\n"
               "  gateway    fails since 11:22 (10 min): https://g: no such host; next try in "
               "60 s; client not registered: run `kachery-resource register` on that host\n"
               "  now        0 waiting, 0 queued; no upload; 0 files open for ranges\n"
               "  totals     1 request: 0 uploaded (0 B), 0 not here, 0 changed, 0 failed; 0 B in "
               "ranges\n"
               "  not here   nothing was asked for in vain\n"
               "  cron       no run of `share --cron` is on record\n");
    life.verdict = LIVENESS_UNCLEAR;
    life.record.pid = 5;
    snprintf(life.reason, sizeof life.reason, "the lease did not move");
    check_text("status of another", &life, whole, &none, "",
               "lab-files on login2 (process 5), started 2026-11-03 08:12, 24 d\n"
               "  alive      unclear: the lease did not move\n"
               "  status     11:31, of another process; this one has not written its own yet\n"
               "  totals     1,204 requests: 310 uploaded (1.9 TB), 870 not here, 19 changed, 5 "
               "failed; 4.1 GB in ranges\n"
               "  not here   sha1://9f31… 412 times, last 11:02\n"
        "             sha1://aaaa… 1 time, last 11:02 from 10.0.0.7\n"
               "  workers    2 lost in 7 d, last: killed by SIGKILL (out of memory, or a limit of "
               "this host), kachery-upload, 09:00\n"
               "  cron       no run of `share --cron` is on record\n");
}

/* No member of another type than it should be ends the program, or takes more than its line. */
static void test_damaged(void **state)
{
    static const char *const files[] = {
        "[]", "{}", "{\"pid\":\"x\"}", "{\"proxy\":[],\"gateway\":1,\"uploads\":{},\"totals\":3}",
        "{\"uploads\":[1,{\"sha1\":\"x\"}],\"notHere\":[1],\"workersLost\":{\"causes\":[{}]}}",
        "{\"proxy\":{\"state\":1},\"processor\":{\"date\":\"x\"},\"refusedBy\":{\"code\":\"\"}}"};
    const struct cron_record none = {.at_ms = 0};
    const struct liveness life = alive();

    (void)state;
    for (size_t i = 0; i < UNIT_COUNT(files); i++) {
        struct json *root = json_parse(str_of(files[i]), JSON_STRICT, ERR_IGNORED);
        struct buf out = {0};
        status_text_put(&out, &(struct status_text){.life = &life, .status = root, .cron = &none,
                                                    .status_trouble = "", .now_ms = NOW_MS,
                                                    .is_verbose = true});
        unit_true(files[i], strstr(buf_cstr(&out), "alive      yes") != NULL);
        buf_free(&out);
        json_free(root);
    }
}

static int use_utc(void **state)
{
    (void)state;
    setenv("TZ", "UTC0", 1);
    tzset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_dead),
                                       cmocka_unit_test(test_trouble),
                                       cmocka_unit_test(test_damaged)};

    return cmocka_run_group_tests(tests, use_utc, NULL);
}
