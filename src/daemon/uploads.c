#include "daemon/uploads.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/reason.h"
#include "daemon/upload_worker.h"
#include "proc/pool.h"

/* Workers in a system call that does not end, beside those that work. */
enum { MAX_STUCK = 4 };

/* Of the workers: what else this host does goes before their hashing. */
enum { NICENESS = 5 };

struct uploads {
    struct uploads_options options;
    struct upload_worker worker;
    struct pool *pool;
    struct uploads_totals totals;
    struct buf frame;
    struct buf warned; /* the last warning of a worker */
};

static void took_completed(struct uploads *u, uint64_t id, const struct json *message)
{
    struct str hash = STR("?");
    int64_t size = 0, ms = 0;
    bool existed = false;

    json_str(json_get(message, "hash"), &hash);
    json_int(json_get(message, "size"), &size);
    json_int(json_get(message, "ms"), &ms);
    json_bool(json_get(message, "existed"), &existed);
    log_line(LOG_INFO, "%s sha1=%.*s bytes=%lld ms=%lld",
             existed ? "already uploaded" : "uploaded", STR_ARG(hash), (long long)size,
             (long long)ms);
    u->totals.completed++;
    u->totals.bytes += existed ? 0 : (uint64_t)size;
    jobs_completed(u->options.jobs, id, size);
}

static void took_failed(struct uploads *u, uint64_t id, const struct json *message)
{
    struct str hash = STR("?"), reason = STR(""), detail = STR("");
    char text[ERR_MESSAGE_SIZE];

    json_str(json_get(message, "hash"), &hash);
    json_str(json_get(message, "reason"), &reason);
    json_str(json_get(message, "detail"), &detail);
    reason = str_slice(reason, 0, sizeof text - 1);
    memcpy(text, reason.p, reason.len);
    text[reason.len] = '\0';
    log_line(LOG_WARN, "upload failed sha1=%.*s: %s%s%.*s", STR_ARG(hash), text,
             detail.len > 0 ? ": " : "", STR_ARG(detail));
    u->totals.failed++;
    jobs_failed(u->options.jobs, id, text);
}

static void tell_to_go_on(struct uploads *u, uint64_t id)
{
    buf_clear(&u->frame);
    json_open(&u->frame, '{');
    json_put_int(&u->frame, "id", (int64_t)id);
    json_put_str(&u->frame, "type", STR("go"));
    json_close(&u->frame, '}');
    /* A worker that cannot be told is being lost. */
    if (!u->frame.failed)
        pool_tell(u->pool, id, buf_str(&u->frame), NULL);
}

static void log_note(const struct json *message)
{
    struct str hash = STR("?"), text = STR("");

    json_str(json_get(message, "hash"), &hash);
    json_str(json_get(message, "text"), &text);
    log_line(LOG_WARN, "upload sha1=%.*s: %.*s", STR_ARG(hash), STR_ARG(text));
}

static void log_warning_once(struct uploads *u, const struct json *message)
{
    struct str text;

    if (!json_str(json_get(message, "text"), &text) || str_equal(text, buf_str(&u->warned)))
        return;
    buf_clear(&u->warned);
    buf_put(&u->warned, text);
    log_line(LOG_WARN, "%.*s", STR_ARG(text));
}

static void touch(const struct uploads *u)
{
    u->options.on_touch(u->options.owner);
}

static bool on_message(void *owner, uint64_t id, const struct json *message)
{
    struct uploads *u = owner;
    struct str type = STR("");
    bool is_completed, is_spent = false;
    int64_t bytes;

    touch(u);
    json_str(json_get(message, "type"), &type);
    is_completed = str_equal(type, STR("completed"));
    if (!is_completed && !str_equal(type, STR("failed"))) {
        if (str_equal(type, STR("note")))
            log_note(message);
        else if (str_equal(type, STR("warning")))
            log_warning_once(u, message);
        else if (str_equal(type, STR("begun")) && jobs_begun(u->options.jobs, id))
            tell_to_go_on(u, id);
        else if (json_int(json_get(message, "bytes"), &bytes))
            jobs_progress(u->options.jobs, id, bytes);
        return false;
    }
    if (is_completed)
        took_completed(u, id, message);
    else
        took_failed(u, id, message);
    json_bool(json_get(message, "isSpent"), &is_spent);
    if (is_spent)
        pool_abandon(u->pool, id); /* the job is over: this ends its worker */
    return true;
}

static void on_lost(void *owner, uint64_t id, const char *reason)
{
    struct uploads *u = owner;
    bool is_again;

    touch(u);
    is_again = jobs_retry(u->options.jobs, id);
    log_line(LOG_WARN, "an upload worker was lost (%s)%s", reason,
             is_again ? "; its upload starts again" : "");
    if (is_again)
        return;
    u->totals.failed++;
    jobs_failed(u->options.jobs, id, REASON_CRASHED);
}

static void on_room(void *owner)
{
    touch(owner);
}

static void on_idle_end(void *owner, const char *reason)
{
    (void)owner;
    log_line(LOG_WARN, "an idle upload worker was lost (%s)", reason);
}

struct uploads *uploads_new(const struct uploads_options *options, struct err *e)
{
    struct uploads *u = calloc(1, sizeof *u);

    if (u == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    u->options = *options;
    u->worker = (struct upload_worker){options->config, options->intervals->worker_cpu_ms};
    u->pool = pool_new(
        &(struct pool_options){
            .loop = options->loop,
            .process = {.name = "kachery-upload",
                        .run = upload_worker_run,
                        .ctx = &u->worker,
                        .asks_servers = true,
                        .niceness = NICENESS},
            .max_workers = (unsigned)options->config->max_uploads + JOBS_MAX_RECALLED,
            .depth = 1,
            .job_timeout_ms = options->intervals->upload_silent_ms,
            .stopped_ms = options->intervals->upload_stopped_ms,
            .idle_ms = options->intervals->worker_idle_ms,
            .max_stuck = MAX_STUCK,
            .on_message = on_message,
            .on_lost = on_lost,
            .on_room = on_room,
            .on_idle_end = on_idle_end,
            .owner = u},
        e);
    if (u->pool == NULL) {
        free(u);
        return NULL;
    }
    return u;
}

void uploads_free(struct uploads *u)
{
    if (u == NULL)
        return;
    pool_free(u->pool);
    buf_free(&u->frame);
    buf_free(&u->warned);
    free(u);
}

static int submit(struct uploads *u, const struct jobs_work *work, struct err *e)
{
    buf_clear(&u->frame);
    json_open(&u->frame, '{');
    json_put_int(&u->frame, "id", (int64_t)work->id);
    json_put_str(&u->frame, "type", STR("upload"));
    json_put_str(&u->frame, "hash", str_of(work->hash));
    json_close(&u->frame, '}');
    if (buf_check(&u->frame, e) != 0)
        return -1;
    return pool_submit(u->pool, work->id, buf_str(&u->frame), e);
}

void uploads_feed(struct uploads *u)
{
    struct jobs_work work;
    struct err e = {0};
    uint64_t id;

    while (jobs_next_ready(u->options.jobs, &id))
        tell_to_go_on(u, id);
    while (pool_has_room(u->pool) && jobs_next_upload(u->options.jobs, &work)) {
        if (submit(u, &work, &e) == 0)
            continue;
        log_line(LOG_ERROR, "cannot start an upload sha1=%s: %s", work.hash, e.msg);
        jobs_failed(u->options.jobs, work.id, REASON_NO_WORKER);
    }
}

struct uploads_totals uploads_totals(const struct uploads *u)
{
    return u->totals;
}
