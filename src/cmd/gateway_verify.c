/*
 * gateway verify: read the objects of a hub's folder and compare their hashes, beside a hub that
 * may be running and that learns what is found (bucket/checked.h). Of a whole bucket the state is
 * kept in .hub/verify after each object, so that the next run goes on where one was ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/ready.h"
#include "bucket/object_walk.h"
#include "cmd/commands.h"
#include "cmd/gateway_folder.h"
#include "cmd/progress.h"

enum {
    STATE_BYTES = 8192,
    NICENESS = 19,
    IO_CLASS_IDLE = 3 << 13, /* ioprio_set(2) */
    IO_OF_PROCESS = 1,
    BREATH_BYTES = 64 << 20,
    MAX_REST_MS = 2000
};

static const char name[] = "gateway verify";

struct gateway_verify {
    struct gateway_folder folder;
    bool is_quiet, is_partial; /* URIs were named */
    int state_fd;              /* -1: nothing is kept */
    struct buf scope, after;   /* --zone, and the key behind which to go on */
    int64_t ok, damaged, missing, failed;
    struct progress progress;
    int64_t bytes_before, bytes_rested, rested_ms;
};

/* ---- slowly ---- */

/* The machine's other work goes first. */
static void step_back(void)
{
    setpriority(PRIO_PROCESS, 0, NICENESS);
    syscall(SYS_ioprio_set, IO_OF_PROCESS, 0, IO_CLASS_IDLE);
}

/* After each part of a large amount as long a rest as the part took: disks that know no priorities
 * are half free. */
static bool rest_after_part(void *ctx, int64_t bytes)
{
    struct gateway_verify *v = ctx;
    int64_t total = v->bytes_before + bytes, spent;

    progress_update(&v->progress, (uint64_t)(v->ok + v->damaged), (uint64_t)total);
    if (total - v->bytes_rested >= BREATH_BYTES) {
        spent = clock_now_ms() - v->rested_ms;
        spent = spent < 0 ? 0 : spent < MAX_REST_MS ? spent : MAX_REST_MS;
        ready_sleep(spent);
        v->bytes_rested = total;
        v->rested_ms = clock_now_ms();
    }
    return true;
}

/* ---- where the last run ended ---- */

struct verify_state {
    struct str after, scope;
    int64_t ok, damaged, failed, wall_ms;
};

#define AT(member) offsetof(struct verify_state, member)
static const struct field state_fields[] = {
    {.name = "after", .kind = FIELD_STRING, .at = AT(after)},
    {.name = "zone", .kind = FIELD_STRING, .at = AT(scope)},
    {.name = "ok", .kind = FIELD_INT, .at = AT(ok)},
    {.name = "damaged", .kind = FIELD_INT, .at = AT(damaged)},
    {.name = "failed", .kind = FIELD_INT, .at = AT(failed)},
    {.name = "wallMs", .kind = FIELD_INT, .at = AT(wall_ms), .is_optional = true},
    {.kind = FIELD_OTHERS},
};
#undef AT

static void read_state(struct gateway_verify *v, struct str text)
{
    struct json *doc = json_parse(text, JSON_STRICT, ERR_IGNORED);
    struct verify_state state = {.wall_ms = 0};

    if (fields_read(state_fields, doc, &state, NULL, ERR_IGNORED) == 0 &&
        str_equal(state.scope, buf_str(&v->scope))) {
        buf_put(&v->after, state.after);
        v->ok = state.ok;
        v->damaged = state.damaged;
        v->failed = state.failed;
        if (!v->is_quiet)
            fprintf(stderr, "going on behind %.*s (%lld ok, %lld damaged so far; without "
                            ".hub/verify it begins anew)\n", STR_ARG(state.after),
                    (long long)state.ok, (long long)state.damaged);
    }
    json_free(doc);
}

static int open_state(struct gateway_verify *v, struct err *e)
{
    char text[STATE_BYTES];
    struct buf path = {0};
    int result = 0;
    ssize_t n;

    buf_printf(&path, "%s/.hub/verify", v->folder.dir.path);
    const char *file = buf_path(&path, e);
    v->state_fd = file == NULL ? -1 : open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file == NULL)
        result = -1;
    else if (v->state_fd < 0)
        result = err_errno(e, ERR_FAILED, errno, "cannot open %s", file);
    else if (flock(v->state_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        result = err_set(e, ERR_FAILED, "%s: another `gateway verify` is at work", file);
    else if ((n = pread(v->state_fd, text, sizeof text, 0)) > 0)
        read_state(v, (struct str){text, (size_t)n});
    buf_free(&path);
    return result;
}

/* One write in place, padded: whoever is killed leaves the old state or the new one. */
static void keep_state(struct gateway_verify *v, struct str after)
{
    struct buf text = {0};

    if (v->state_fd < 0)
        return;
    fields_put(&text, state_fields,
               &(struct verify_state){after, buf_str(&v->scope), v->ok, v->damaged, v->failed,
                                      clock_wall_ms()});
    while (text.len < STATE_BYTES && !text.failed)
        buf_putc(&text, ' ');
    if (!text.failed && text.len == STATE_BYTES)
        (void)!pwrite(v->state_fd, text.data, STATE_BYTES, 0);
    buf_free(&text);
}

/* The next run begins anew. */
static void forget_state(const struct gateway_verify *v)
{
    if (v->state_fd >= 0)
        (void)!ftruncate(v->state_fd, 0);
}

/* ---- objects ---- */

static void count_object(struct gateway_verify *v, enum object_state state, const struct err *e,
                         struct str key)
{
    v->ok += state == OBJECT_OK;
    v->damaged += state == OBJECT_DAMAGED;
    v->missing += state == OBJECT_MISSING;
    if (state == OBJECT_UNKNOWN) {
        struct err named = *e;
        err_wrap(&named, "%.*s", STR_ARG(key));
        cmd_warn(name, &named);
        v->failed++;
    }
}

/* An object is right without a manifest, too. */
static void report_manifest(enum object_manifest_end manifest, const struct err *e, struct str key)
{
    if (manifest == OBJECT_MANIFEST_MENDED)
        fprintf(stderr, "kachery-resource %s: %.*s: its manifest was damaged and was made anew\n",
                name, STR_ARG(key));
    else if (manifest == OBJECT_MANIFEST_FAILED)
        fprintf(stderr, "kachery-resource %s: %.*s: no manifest of it: %s\n", name, STR_ARG(key),
                e->msg);
}

/* Of a whole bucket, what goes while it is read was never there. */
static bool verify_object(void *ctx, struct str key)
{
    struct gateway_verify *v = ctx;
    const struct hash_watch watch = {rest_after_part, v};
    struct err e = {0};
    struct object_facts facts;
    enum object_state state = object_check(&v->folder.dir, key, -1, &watch, &facts, &e);

    v->bytes_before += facts.size_bytes;
    progress_clear(&v->progress);
    count_object(v, state, &e, key);
    report_manifest(facts.manifest, &e, key);
    if (state != OBJECT_UNKNOWN && (state != OBJECT_MISSING || v->is_partial) &&
        (state != OBJECT_OK || !v->is_quiet)) {
        gateway_folder_print(state, facts.size_bytes, key);
        fflush(stdout);
    }
    if (ferror(stdout) != 0)
        return false; /* the next run checks and prints it again */
    keep_state(v, key);
    return true;
}

static void on_walk_error(void *ctx, const struct err *e)
{
    struct gateway_verify *v = ctx;

    progress_clear(&v->progress);
    cmd_warn(name, e);
    v->failed++;
}

static int find_directories(struct gateway_verify *v, struct names *directories, struct err *e)
{
    if (v->folder.zone_name == NULL)
        return gateway_folder_find_directories(&v->folder, directories, on_walk_error, v, e);
    names_add(directories, v->folder.zone.directory);
    return 0;
}

static int check_all(struct gateway_verify *v, struct err *e)
{
    struct names directories = {.items = NULL};
    struct object_walk walk = {.dir = &v->folder.dir,
                               .directories = &directories,
                               .on_object = verify_object,
                               .on_error = on_walk_error,
                               .ctx = v};
    int result;

    buf_puts(&v->scope, v->folder.zone_name == NULL ? "" : v->folder.zone_name);
    if (buf_check(&v->scope, e) != 0 || open_state(v, e) != 0 || buf_check(&v->after, e) != 0)
        return -1;
    walk.after = buf_str(&v->after);
    result = find_directories(v, &directories, e);
    if (result == 0)
        result = object_walk(&walk, e);
    names_free(&directories);
    if (result == 0)
        forget_state(v);
    return result < 0 ? -1 : 0;
}

/* All URIs are read before any object is: a wrong one is told at once. */
static int check_named(struct gateway_verify *v, const struct cmd_args *args, struct err *e)
{
    struct buf key = {0};
    int result = 0;

    v->is_partial = true;
    for (int is_real = 0; is_real < 2 && result == 0; is_real++)
        for (size_t i = 0; i < args->operand_count && result == 0; i++) {
            buf_clear(&key);
            result = gateway_folder_put_key(&v->folder, args->operands[i], &key, e);
            if (result == 0 && is_real)
                verify_object(v, buf_str(&key));
        }
    buf_free(&key);
    return result;
}

static int sum_up_objects(const struct gateway_verify *v)
{
    if (!v->is_quiet) {
        fprintf(stderr, "%lld ok, %lld damaged", (long long)v->ok, (long long)v->damaged);
        if (v->is_partial)
            fprintf(stderr, ", %lld missing", (long long)v->missing);
        fputc('\n', stderr);
    }
    if (v->damaged > 0 || v->failed > 0)
        return CMD_FAILED;
    return v->is_partial && v->missing > 0 ? CMD_NOT_FOUND : CMD_OK;
}

static int run_gateway_verify(struct gateway_verify *v, const struct cmd_args *args)
{
    struct err e = {0};
    int result;

    if (gateway_folder_open(&v->folder, &e) != 0)
        return cmd_fail(name, &e);
    step_back();
    progress_init(&v->progress, "verifying", v->is_quiet);
    v->rested_ms = clock_now_ms();
    result = args->operand_count > 0 ? check_named(v, args, &e) : check_all(v, &e);
    progress_clear(&v->progress);
    gateway_folder_close(&v->folder);
    return result == 0 ? sum_up_objects(v) : cmd_fail(name, &e);
}

int cmd_gateway_verify(int argc, char **argv)
{
    struct gateway_verify v = {.state_fd = -1};
    const struct cmd_option options[] = {
        {.name = "data", .value = &v.folder.data},
        {.name = "zone", .value = &v.folder.zone_name},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .max_operands = SIZE_MAX};
    int status = cmd_parse(name, argc, argv, &args);

    if (status >= 0)
        return status;
    v.is_quiet = args.is_quiet;
    status = run_gateway_verify(&v, &args);
    if (v.state_fd >= 0)
        close(v.state_fd);
    buf_free(&v.scope);
    buf_free(&v.after);
    return cmd_finish(name, status);
}
