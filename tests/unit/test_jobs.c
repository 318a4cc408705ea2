/* The job table with a clock of our own: who is told what, and when. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "daemon/jobs.h"

static const char A[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char B[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
static const char C[] = "cccccccccccccccccccccccccccccccccccccccc";

enum { WALL = 1000000, KEEP_MS = 60000, RECALL_MS = 5000, LATE = 1000000 };

struct bench {
    struct jobs *jobs;
    struct buf told; /* "id state bytes/size error;" of every answer since the last look */
    size_t answers;
    int64_t waited_ms;
    char last[128]; /* the beginning of the hash, the path, the asker */
};

static void on_answer(void *owner, const struct jobs_answer *answer)
{
    const struct upload_status *s = answer->status;
    struct bench *b = owner;

    b->answers++;
    b->waited_ms = answer->waited_ms;
    snprintf(b->last, sizeof b->last, "%.2s %.*s %.*s", answer->hash, STR_ARG(answer->path),
             STR_ARG(answer->asker));
    buf_printf(&b->told, "%.*s %s %lld/%lld%s%.*s;", STR_ARG(answer->request_id),
               message_state_name(s->state), (long long)s->bytes_uploaded, (long long)s->size,
               s->error.len > 0 ? " " : "", STR_ARG(s->error));
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    b->jobs = jobs_new(&(struct jobs_options){
        .max_running = 2,
        .recall_ms = RECALL_MS,
        .keep_result_ms = KEEP_MS,
        .answer = on_answer,
        .owner = b});
    jobs_set_time(b->jobs, 0, WALL);
    *state = b;
    return b->jobs == NULL;
}

static int tear_down(void **state)
{
    struct bench *b = *state;

    jobs_free(b->jobs);
    buf_free(&b->told);
    free(b);
    return 0;
}

static void ask(struct bench *b, const char *hash, const char *id, int64_t deadline_ms)
{
    assert_int_equal(jobs_request(b->jobs, hash, str_of(id), STR("10.0.0.1"), deadline_ms,
                                  ERR_IGNORED), 0);
}

static void at(struct bench *b, int64_t now_ms)
{
    jobs_set_time(b->jobs, now_ms, WALL + now_ms);
    jobs_step(b->jobs);
}

/* What was told since the last call. */
static void expect(struct bench *b, const char *name, const char *want)
{
    unit_equal(name, buf_cstr(&b->told), want);
    buf_clear(&b->told);
}

/* The next job to be looked up, which must be of this hash. */
static uint64_t looked_up(struct bench *b, const char *hash)
{
    struct jobs_work work;

    assert_true(jobs_next_lookup(b->jobs, &work));
    unit_equal("lookup", work.hash, hash);
    return work.id;
}

static uint64_t uploading(struct bench *b, const char *hash)
{
    struct jobs_work work;

    assert_true(jobs_next_upload(b->jobs, &work));
    unit_equal("upload", work.hash, hash);
    return work.id;
}

static bool is_upload_offered(struct bench *b)
{
    struct jobs_work work;

    return jobs_next_upload(b->jobs, &work);
}

/* Asks for a file of 100 bytes and lets its upload start. */
static uint64_t run(struct bench *b, const char *hash, const char *id, int64_t deadline_ms)
{
    ask(b, hash, id, deadline_ms);
    jobs_found(b->jobs, looked_up(b, hash), 100);
    return uploading(b, hash);
}

/* An answer names the file's path, who asked and how long it took; an upload, who asked first. */
static void test_facts_of_an_answer(void **state)
{
    struct bench *b = *state;
    struct jobs_facts facts;
    uint64_t id;

    ask(b, A, "x", LATE);
    id = looked_up(b, A);
    jobs_set_path(b->jobs, id, STR("/data/a"));
    jobs_found(b->jobs, id, 100);
    at(b, 700);
    assert_int_equal(jobs_request(b->jobs, A, STR("y"), STR("::1"), LATE, ERR_IGNORED), 0);
    id = uploading(b, A);
    at(b, 1000);
    facts = jobs_facts(b->jobs, id);
    unit_equal_str("path", facts.path, STR("/data/a"));
    unit_equal_str("asker", facts.asker, STR("10.0.0.1"));
    assert_int_equal(facts.running_ms, 300);
    jobs_completed(b->jobs, id, 100);
    unit_equal("last", b->last, "aa /data/a ::1");
    assert_int_equal(b->waited_ms, 300);
    assert_int_equal(jobs_facts(b->jobs, id).path.len, 0);
}

static void test_not_found(void **state)
{
    struct bench *b = *state;

    ask(b, A, "r1", 5000);
    ask(b, A, "r2", 9000);
    uint64_t id = looked_up(b, A);
    assert_false(jobs_next_lookup(b->jobs, &(struct jobs_work){0}));
    jobs_not_found(b->jobs, id);
    expect(b, "both at once", "r1 not-found -1/-1;r2 not-found -1/-1;");
    assert_int_equal(jobs_next_ms(b->jobs), CLOCK_NEVER_MS);
    ask(b, A, "r3", 5000);
    assert_true(looked_up(b, A) != id);
}

static void test_two_waiters_each_at_its_deadline(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "short", 1000);

    ask(b, A, "long", 5000);
    assert_int_equal(jobs_next_ms(b->jobs), 1000);
    jobs_progress(b->jobs, id, 40);
    at(b, 999);
    expect(b, "before", "");
    at(b, 1000);
    expect(b, "first deadline", "short running 40/100;");
    assert_int_equal(jobs_next_ms(b->jobs), 5000);
    jobs_progress(b->jobs, id, 90);
    jobs_progress(b->jobs, id, 70); /* it began anew */
    at(b, 5000);
    expect(b, "second deadline", "long running 70/100;");
    assert_int_equal(jobs_next_ms(b->jobs), CLOCK_NEVER_MS);
}

static void test_end_is_told_at_once(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "r1", 5000);

    ask(b, A, "r2", 9000);
    jobs_completed(b->jobs, id, 100);
    expect(b, "completed", "r1 completed 100/100;r2 completed 100/100;");
    id = run(b, B, "r3", 5000);
    jobs_failed(b->jobs, id, "it has changed");
    expect(b, "failed", "r3 error 0/100 it has changed;");
}

static void test_first_come_first_served(void **state)
{
    struct bench *b = *state;
    uint64_t first = run(b, A, "a", 5000);

    run(b, B, "b", 5000);
    ask(b, C, "c", 1000);
    jobs_found(b->jobs, looked_up(b, C), 7);
    assert_false(is_upload_offered(b));
    at(b, 1000);
    expect(b, "queued", "c queued -1/7;");
    jobs_completed(b->jobs, first, 100);
    uploading(b, C);
}

static void test_one_job_however_many_ask(void **state)
{
    struct bench *b = *state;
    char id[16];

    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof id, "r%d", i);
        ask(b, A, id, 5000 + i % 7);
    }
    uint64_t job = looked_up(b, A);
    assert_false(jobs_next_lookup(b->jobs, &(struct jobs_work){0}));
    jobs_found(b->jobs, job, 100);
    uploading(b, A);
    assert_false(is_upload_offered(b));
    jobs_completed(b->jobs, job, 100);
    assert_int_equal(b->answers, 200);
    assert_int_equal(jobs_count(b->jobs).waiters, 0);
}

/* A deadline during the lookup waits for what the lookup says. */
static void test_deadline_while_looking(void **state)
{
    struct bench *b = *state;

    ask(b, A, "now", 0);
    ask(b, A, "later", 5000);
    uint64_t id = looked_up(b, A);
    at(b, 100);
    expect(b, "not known yet", "");
    assert_int_equal(jobs_next_ms(b->jobs), 5000);
    jobs_found(b->jobs, id, 100);
    expect(b, "true state", "now queued -1/100;");
    uploading(b, A);
    ask(b, B, "gone", 200);
    id = looked_up(b, B);
    at(b, 300);
    jobs_failed(b->jobs, id, "storage does not answer");
    expect(b, "failed lookup", "gone error -1/-1 storage does not answer;");
}

/* An end that nobody waited for is told to the next who asks, once; one that was told is not. */
static void test_unheard_end_is_kept(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "r1", 1000);

    at(b, 1000);
    jobs_failed(b->jobs, id, "refused");
    expect(b, "early", "r1 running 0/100;");
    at(b, 1000 + KEEP_MS - 1);
    ask(b, A, "r2", 90000);
    expect(b, "kept", "r2 error 0/100 refused;");
    ask(b, A, "r3", 90000);
    expect(b, "forgotten", "");
    id = looked_up(b, A);
    jobs_found(b->jobs, id, 100);
    uploading(b, A);
    jobs_forget_waiters(b->jobs);
    jobs_completed(b->jobs, id, 100);
    assert_int_equal(jobs_count(b->jobs).kept, 1);
    assert_int_equal(jobs_next_ms(b->jobs), 1000 + KEEP_MS - 1 + KEEP_MS);
    at(b, 1000 + KEEP_MS - 1 + KEEP_MS);
    assert_int_equal(jobs_count(b->jobs).kept, 0);
    ask(b, A, "r4", 200000);
    expect(b, "too old", "");
}

/* The line broke: those who waited are gone, the upload goes on, others join it. */
static void test_uploads_survive_a_reconnect(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "old", 1000);

    jobs_forget_waiters(b->jobs);
    assert_true(jobs_begun(b->jobs, id));
    assert_int_equal(jobs_next_ms(b->jobs), CLOCK_NEVER_MS);
    jobs_progress(b->jobs, id, 60);
    ask(b, A, "new", 2000);
    at(b, 1500);
    expect(b, "nobody from before", "");
    jobs_completed(b->jobs, id, 100);
    expect(b, "the new one", "new completed 100/100;");
}

static void test_retry_once(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "a", 5000);

    run(b, B, "b", 5001);
    ask(b, C, "c", 5002);
    jobs_found(b->jobs, looked_up(b, C), 100);
    jobs_progress(b->jobs, id, 50);
    assert_true(jobs_retry(b->jobs, id));
    jobs_completed(b->jobs, id, 100); /* the lost worker's last words */
    expect(b, "stale id", "");
    uint64_t again = uploading(b, A); /* before C */
    assert_true(again != id);
    at(b, 5002);
    expect(b, "from the start", "a running 0/100;b running 0/100;c queued -1/100;");
    assert_false(jobs_retry(b->jobs, again));
    jobs_failed(b->jobs, again, "interrupted twice");
    ask(b, A, "d", 9000);
    expect(b, "given up", "d error 0/100 interrupted twice;");
}

static void test_limits(void **state)
{
    struct bench *b = *state;
    char hash[SHA1_HEX + 1];
    struct err e = {0};

    for (int i = 0; i < JOBS_MAX; i++) {
        snprintf(hash, sizeof hash, "%040x", (unsigned)i);
        ask(b, hash, "x", 5000);
    }
    assert_int_equal(jobs_request(b->jobs, A, STR("y"), STR(""), 5000, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_non_null(strstr(e.msg, "busy"));
    for (int i = JOBS_MAX; i < JOBS_MAX_WAITERS; i++)
        ask(b, hash, "x", 5000);
    assert_int_equal(jobs_request(b->jobs, hash, STR("y"), STR(""), 5000, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    jobs_not_found(b->jobs, looked_up(b, "0000000000000000000000000000000000000000"));
    ask(b, A, "y", 5000);
    jobs_fail_all(b->jobs, false, "stopping");
    assert_int_equal(b->answers, JOBS_MAX_WAITERS + 1);
    assert_int_equal(jobs_count(b->jobs).looking, 0);
}

/* A kept result makes room for a new job. */
static void test_kept_results_give_way(void **state)
{
    struct bench *b = *state;
    char hash[SHA1_HEX + 1];

    uint64_t id = run(b, A, "x", 10);
    at(b, 10);
    jobs_completed(b->jobs, id, 100);
    for (int i = 1; i < JOBS_MAX; i++) {
        snprintf(hash, sizeof hash, "%040x", (unsigned)i);
        ask(b, hash, "x", 5000);
    }
    assert_int_equal(jobs_count(b->jobs).kept, 1);
    ask(b, B, "y", 5000);
    assert_int_equal(jobs_count(b->jobs).kept, 0);
}

static void test_fail_all(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "a", 5000);

    run(b, B, "b", 5000);
    ask(b, C, "c", 5000);
    jobs_fail_all(b->jobs, false, "stopping");
    expect(b, "only the waiting", "c error -1/-1 stopping;");
    jobs_completed(b->jobs, id, 100);
    expect(b, "may finish", "a completed 100/100;");
    jobs_fail_all(b->jobs, true, "stopped");
    expect(b, "the rest", "b error 0/100 stopped;");
}

static void test_stale_and_foreign_ids(void **state)
{
    struct bench *b = *state;
    uint64_t id = run(b, A, "a", 5000);
    static const uint64_t foreign[] = {0, 1, 65535, UINT64_MAX, (uint64_t)1 << 40};

    for (size_t i = 0; i < UNIT_COUNT(foreign); i++) {
        jobs_found(b->jobs, foreign[i], 1);
        jobs_not_found(b->jobs, foreign[i]);
        jobs_progress(b->jobs, foreign[i], 1);
        jobs_completed(b->jobs, foreign[i], 1);
        jobs_failed(b->jobs, foreign[i], "no");
        assert_false(jobs_retry(b->jobs, foreign[i]));
    }
    jobs_found(b->jobs, id, 1); /* not in that state */
    jobs_progress(b->jobs, id, 50);
    jobs_progress(b->jobs, id, 101);
    jobs_progress(b->jobs, id, -1);
    at(b, 5000);
    expect(b, "untouched", "a running 50/100;");
}

static void test_timestamps(void **state)
{
    struct bench *b = *state;
    struct jobs_running running;
    size_t cursor = 0;

    at(b, 7);
    run(b, A, "a", 5000);
    assert_true(jobs_each_running(b->jobs, &cursor, &running));
    unit_equal("hash", running.hash, A);
    assert_int_equal(running.started_ms, WALL + 7);
    assert_int_equal(running.size, 100);
    assert_false(jobs_each_running(b->jobs, &cursor, &running));
}

static const char *const others[] = {
    "0000000000000000000000000000000000000000", "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222", "3333333333333333333333333333333333333333",
    "4444444444444444444444444444444444444444", "5555555555555555555555555555555555555555",
    "6666666666666666666666666666666666666666", "7777777777777777777777777777777777777777",
    "8888888888888888888888888888888888888888", "9999999999999999999999999999999999999999",
};

/* A file whose first bytes do not come holds no place; when they come it waits for one. */
static void test_late_first_bytes(void **state)
{
    struct bench *b = *state;
    uint64_t late = run(b, A, "a", LATE), early = run(b, B, "b", LATE), id;

    assert_true(jobs_begun(b->jobs, early));
    ask(b, C, "c", LATE);
    jobs_found(b->jobs, looked_up(b, C), 100);
    assert_int_equal(jobs_next_ms(b->jobs), RECALL_MS);
    at(b, RECALL_MS - 1);
    assert_false(is_upload_offered(b));
    at(b, RECALL_MS);
    assert_int_equal(jobs_next_ms(b->jobs), LATE);
    uint64_t third = uploading(b, C);
    assert_int_equal(jobs_count(b->jobs).running, 3);
    assert_true(jobs_begun(b->jobs, third));

    assert_false(jobs_begun(b->jobs, late));
    assert_false(jobs_next_ready(b->jobs, &id));
    ask(b, others[0], "d", LATE);
    jobs_found(b->jobs, looked_up(b, others[0]), 100);
    jobs_completed(b->jobs, early, 100);
    expect(b, "the early one", "b completed 100/100;");
    assert_true(jobs_next_ready(b->jobs, &id));
    assert_int_equal(id, late);
    assert_false(is_upload_offered(b)); /* all places are taken again */
    jobs_progress(b->jobs, late, 50);
    jobs_completed(b->jobs, late, 100);
    expect(b, "the late one", "a completed 100/100;");
    uploading(b, others[0]);
}

static void test_few_are_recalled(void **state)
{
    struct bench *b = *state;
    struct jobs_running running;
    uint64_t ids[10];
    size_t cursor = 0, count = 0;

    for (int i = 0; i < 10; i++) {
        ids[i] = run(b, others[i], "x", i == 9 ? 77777 : LATE);
        if (i % 2 == 1)
            at(b, (i + 1) * RECALL_MS);
    }
    assert_int_equal(JOBS_MAX_RECALLED, 8);
    assert_int_equal(jobs_next_ms(b->jobs), 77777);
    ask(b, A, "a", LATE);
    jobs_found(b->jobs, looked_up(b, A), 100);
    at(b, 70000);
    assert_false(is_upload_offered(b));
    while (jobs_each_running(b->jobs, &cursor, &running))
        count++;
    assert_int_equal(count, 10);
    at(b, 77777);
    expect(b, "deadline", "x running 0/100;");

    /* Whatever becomes of them, they are found. */
    jobs_progress(b->jobs, ids[0], 7);
    assert_true(jobs_retry(b->jobs, ids[0]));
    jobs_failed(b->jobs, ids[1], "bad");
    expect(b, "failed", "x error 0/100 bad;");
    assert_false(jobs_begun(b->jobs, ids[1]));
    at(b, 77778); /* two places among the recalled: the two that run go there */
    uploading(b, others[0]);
    uploading(b, A);
    jobs_fail_all(b->jobs, true, "stopping");
    assert_int_equal(b->answers, 11);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_facts_of_an_answer),
        CASE(test_not_found),
        CASE(test_two_waiters_each_at_its_deadline),
        CASE(test_end_is_told_at_once),
        CASE(test_first_come_first_served),
        CASE(test_one_job_however_many_ask),
        CASE(test_deadline_while_looking),
        CASE(test_unheard_end_is_kept),
        CASE(test_uploads_survive_a_reconnect),
        CASE(test_retry_once),
        CASE(test_limits),
        CASE(test_kept_results_give_way),
        CASE(test_fail_all),
        CASE(test_stale_and_foreign_ids),
        CASE(test_timestamps),
        CASE(test_late_first_bytes),
        CASE(test_few_are_recalled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
