/* Many files through the pool: order, errors, durability's steps, and a run that is given up. */
#include "store_fixture.h"

#include <signal.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/hex.h"
#include "store/batch.h"
#include "store/record.h"
#include "waker.h"

struct results {
    struct buf text;
    size_t count;
    uint64_t bytes;
    size_t checked, damaged; /* manifests */
};

static void note(void *owner, struct batch_item *item)
{
    struct results *r = owner;
    const char *slash = strrchr(item->path, '/');

    buf_printf(&r->text, "%s %.4s %lld\n", slash + 1,
               item->error != NULL ? item->error : item->hash, (long long)item->size);
    r->count++;
    r->bytes += item->error == NULL ? (uint64_t)item->size : 0;
}

static void add(struct batch *b, const char *path, int64_t size)
{
    struct batch_item item = {.path = strdup(path), .size = size};

    batch_add(b, &item);
}

static void run_to_end(struct batch *b)
{
    int64_t deadline_ms = clock_now_ms() + 60000;
    struct err e;

    for (;;) {
        assert_true(clock_now_ms() < deadline_ms);
        assert_int_equal(batch_step(b, false, &e), 0);
        if (batch_is_empty(b))
            break;
        waker_wait(&waker);
    }
}

static struct batch *start(struct fixture *f, enum batch_work work, unsigned jobs,
                           struct results *results)
{
    struct batch_options options = {.wake = waker_of(&waker),
                                    .store = &f->store,
                                    .work = work,
                                    .jobs = jobs,
                                    .on_result = note,
                                    .owner = results};
    struct err e = {0};
    struct batch *b = batch_new(&options, &e);

    assert_non_null(b);
    return b;
}

/* The instructions that a run may use: without vectors, with four lanes, with eight, and with all
 * that this processor has. */
static const unsigned sets[] = {0, CPU_SSE2, CPU_SSE2 | CPU_AVX2, ~0U};

static void put_line(struct buf *out, int i, struct str content)
{
    unsigned char digest[SHA1_SIZE];
    char hash[SHA1_HEX + 1];

    sha1_of(content, digest);
    hex_encode(digest, SHA1_SIZE, hash);
    buf_printf(out, "%03d %.4s %zu\n", i, hash, content.len);
}

/* More files than one group or one commit takes, of sizes that make them finish out of order. */
static void results_come_in_order(void **state)
{
    static const enum batch_work works[] = {BATCH_LINK, BATCH_COPY, BATCH_HASH};
    enum { FILES = 500, LARGE = 5 << 18 }; /* more than a group, or what is cached at least */
    struct fixture *f = *state;
    char *data = calloc(1, LARGE);
    struct buf want = {0};

    for (size_t w = 0; w < UNIT_COUNT(works) * UNIT_COUNT(sets); w++) {
        struct results results = {0};
        cpu_restrict(sets[w / UNIT_COUNT(works)]);
        struct batch *b = start(f, works[w % UNIT_COUNT(works)], 3, &results);
        for (int i = 0; i < FILES; i++) {
            char name[32];
            size_t size = i % 50 == 0 ? LARGE - (size_t)i : 1 + (size_t)i;
            snprintf(name, sizeof name, "data/%03d", i);
            const char *path = fixture_write(f, name, (struct str){data, size}, 1700000000);
            if (w == 0)
                put_line(&want, i, (struct str){data, size});
            add(b, path, (int64_t)size);
        }
        run_to_end(b);
        unit_equal("order", buf_cstr(&results.text), buf_cstr(&want));
        assert_int_equal(results.count, batch_files(b));
        assert_int_equal(results.bytes, batch_bytes(b));
        batch_free(b);
        buf_free(&results.text);
    }
    buf_free(&want);
    free(data);
}

/* Large files with manifests and small ones, hashed side by side: each manifest is the one that the
 * file has when it is hashed alone, without vectors. */
static void note_manifest(void *owner, struct batch_item *item)
{
    struct results *r = owner;

    note(owner, item);
    r->damaged += item->manifest != MANIFEST_FILE_OK && item->manifest != MANIFEST_FILE_NEEDLESS;
    r->checked += item->manifest == MANIFEST_FILE_OK;
}

static void manifests_are_as_of_one_file(void **state)
{
    enum { FILES = 40, LARGE = 6 };
    struct fixture *f = *state;
    char *data = malloc(3 << 20);

    assert_non_null(data);
    for (size_t i = 0; i < 3 << 20; i++)
        data[i] = (char)(i * 7 + (i >> 8) * 13 + (i >> 17));
    for (size_t set = 0; set < UNIT_COUNT(sets); set++) {
        struct results results = {0}, again = {0};
        struct batch_options options = {.wake = waker_of(&waker),
                                        .store = &f->store,
                                        .work = BATCH_LINK,
                                        .makes_manifests = true,
                                        .jobs = 2,
                                        .on_result = note,
                                        .owner = &results};
        struct err e = {0};
        for (int pass = 0; pass < 2; pass++) {
            cpu_restrict(pass == 0 ? sets[set] : 0);
            struct batch *b = batch_new(&options, &e);
            assert_non_null(b);
            for (size_t i = 0; i < FILES; i++) {
                size_t size = i % 4 == 0 ? 100000 + i * 58831 : i * 1000;
                char name[32];
                snprintf(name, sizeof name, "set%zu-%02zu", set, i);
                const char *path = fixture_path(f, name);
                if (pass == 0)
                    path = fixture_write(f, name, (struct str){data + i + set * 100, size},
                                         1700000000);
                add(b, path, (int64_t)size);
            }
            run_to_end(b);
            batch_free(b);
            options.work = BATCH_HASH;
            options.owner = &again;
            options.on_result = note_manifest;
        }
        unit_equal("hashes", buf_cstr(&again.text), buf_cstr(&results.text));
        assert_int_equal(again.damaged, 0);
        assert_true(again.checked >= LARGE);
        buf_free(&results.text);
        buf_free(&again.text);
    }
    cpu_restrict(~0U);
    free(data);
}

static void bad_files_do_not_stop_the_others(void **state)
{
    struct fixture *f = *state;
    struct results results = {0};
    struct batch *b = start(f, BATCH_LINK, 2, &results);
    struct batch_item known = {.path = strdup("/known/bad")};

    add(b, fixture_write(f, "one", STR("hello"), 1700000000), 5);
    add(b, fixture_path(f, "none"), 0);
    batch_item_fail(&known, &(struct err){ERR_FAILED, "told before"});
    batch_add(b, &known);
    add(b, fixture_write(f, "two \xff\n", STR("hello!"), 1700000000), 6);
    run_to_end(b);
    unit_equal("results", buf_cstr(&results.text),
               "one aaf4 5\nnone cann 0\nbad told 0\ntwo \xff\n 8f7d 6\n");
    assert_int_equal(fixture_count(f), 4); /* of each its record and its paths */
    batch_free(b);
    buf_free(&results.text);
}

/* The same bytes at several paths, some linked before: the last of the input wins. */
static void last_link_wins(void **state)
{
    static const char *const orders[] = {"ab", "ba", "aba", "bab", "abab", "baa"};
    struct fixture *f = *state;
    struct buf file = {0};
    char a[256], b[256];

    snprintf(a, sizeof a, "%s", fixture_write(f, "a", STR("hello"), 1700000000));
    snprintf(b, sizeof b, "%s", fixture_write(f, "b", STR("hello"), 1700000000));
    store_put_link_path(&f->store, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", &file);
    for (size_t i = 0; i < UNIT_COUNT(orders); i++) {
        struct results results = {0};
        struct record r;
        struct err e;
        struct batch *batch = start(f, BATCH_LINK, 2, &results);
        const char *last = NULL;
        for (const char *p = orders[i]; *p != '\0'; p++)
            add(batch, last = *p == 'a' ? a : b, 5);
        run_to_end(batch);
        batch_free(batch);
        buf_free(&results.text);
        assert_int_equal(record_read(buf_cstr(&file), &r, &e), 0);
        unit_equal(orders[i], r.path, last);
        record_deinit(&r);
        assert_int_equal(fixture_count(f), 2); /* its record and its paths */
    }
    buf_free(&file);
}

static const char *write_endless(struct fixture *f, const char *name)
{
    const char *path = fixture_path(f, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0666);

    assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
    close(fd);
    return path;
}

/* Given up in the middle: what was staged is put away, what was not told is not visible. */
static void given_up(void **state)
{
    static const enum batch_work works[] = {BATCH_LINK, BATCH_COPY};
    struct fixture *f = *state;

    for (size_t w = 0; w < UNIT_COUNT(works); w++) {
        struct results results = {0};
        struct err e;
        struct batch *b = start(f, works[w], 2, &results);
        int64_t deadline_ms = clock_now_ms() + 60000;
        /* The first, for which the others wait to be told. */
        add(b, write_endless(f, "large"), INT64_C(1) << 40);
        for (int i = 0; i < 10; i++) {
            char name[16], text[16];
            snprintf(name, sizeof name, "f%d", i);
            snprintf(text, sizeof text, "%zu %d", w, i);
            add(b, fixture_write(f, name, str_of(text), 1700000000), 5);
        }
        while (batch_files(b) < 10 || batch_bytes(b) < 1 << 20) {
            assert_true(clock_now_ms() < deadline_ms);
            assert_int_equal(batch_step(b, false, &e), 0);
            waker_wait_ms(&waker, 100);
        }
        assert_int_equal(results.count, 0);
        batch_free(b);
        assert_int_equal(fixture_count(f), 0);
        buf_free(&results.text);
    }
}

/* The one child of this process: there is no other, not even one that is only to be waited for. */
static pid_t only_child(void)
{
    char name[64], want[16];

    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    char *text = fixture_read(name);
    assert_non_null(text);
    pid_t pid = (pid_t)atoi(text);
    snprintf(want, sizeof want, "%d ", (int)pid);
    unit_equal("the only child", text, want);
    free(text);
    return pid;
}

/* A worker that dies costs the file that it was at; those given to it together go on. */
static void lost_worker(void **state)
{
    struct fixture *f = *state;
    struct results results = {0};
    struct err e;
    struct batch *b = start(f, BATCH_LINK, 1, &results);

    add(b, fixture_write(f, "a", STR("hello"), 1700000000), 5);
    /* It grew since it was looked at: small work, as far as is known. */
    add(b, write_endless(f, "endless"), 1);
    add(b, fixture_write(f, "b", STR("hello!"), 1700000000), 6);
    add(b, fixture_write(f, "c", STR("hello"), 1700000000), 5);
    while (batch_bytes(b) < 1 << 20) {
        assert_int_equal(batch_step(b, false, &e), 0);
        waker_wait_ms(&waker, 100);
    }
    assert_int_equal(kill(only_child(), SIGKILL), 0);
    run_to_end(b);
    unit_equal("results", buf_cstr(&results.text),
               "a aaf4 5\nendless the  1\nb 8f7d 6\nc aaf4 5\n");
    batch_free(b);
    buf_free(&results.text);
}

static void step_until(struct batch *b, uint64_t files, uint64_t bytes)
{
    int64_t deadline_ms = clock_now_ms() + 60000;
    struct err e;

    while (batch_files(b) < files || batch_bytes(b) < bytes) {
        assert_true(clock_now_ms() < deadline_ms);
        assert_int_equal(batch_step(b, false, &e), 0);
        waker_wait_ms(&waker, 100);
    }
}

/* A worker that dies with several files in hand: each is tried once more, alone, so that those that
 * are not to blame are hashed. */
static void lost_worker_of_several(void **state)
{
    struct fixture *f = *state;
    struct results results = {0};

    cpu_restrict(CPU_SSE2);
    if (sha1_lanes() < 3)
        skip();
    struct batch *b = start(f, BATCH_LINK, 1, &results);
    add(b, write_endless(f, "first"), INT64_C(1) << 40);
    add(b, write_endless(f, "second"), INT64_C(1) << 40);
    add(b, fixture_write(f, "a", STR("hello"), 1700000000), 5);
    step_until(b, 1, 1 << 20); /* "a" is behind the two, which are in hand then */
    assert_int_equal(kill(only_child(), SIGKILL), 0);
    for (uint64_t files = 1; files < 3; files++) {
        step_until(b, files, 0);
        step_until(b, files, batch_bytes(b) + (1 << 20));
        assert_int_equal(kill(only_child(), SIGKILL), 0);
        step_until(b, files + 1, 0);
    }
    run_to_end(b);
    unit_equal("results", buf_cstr(&results.text),
               "first the  1099511627776\nsecond the  1099511627776\na aaf4 5\n");
    batch_free(b);
    buf_free(&results.text);
    cpu_restrict(~0U);
}

static int setup(void **state)
{
    waker_open(&waker);
    return fixture_setup(state);
}

static int teardown(void **state)
{
    int result = fixture_teardown(state);

    waker_close(&waker);
    return result;
}

int main(void)
{
#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_STORE(results_come_in_order),
        WITH_STORE(manifests_are_as_of_one_file),
        WITH_STORE(bad_files_do_not_stop_the_others),
        WITH_STORE(last_link_wins),
        WITH_STORE(given_up),
        WITH_STORE(lost_worker),
        WITH_STORE(lost_worker_of_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
