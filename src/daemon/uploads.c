#include "daemon/uploads.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/child_log.h"
#include "daemon/reason.h"
#include "daemon/upload_message.h"
#include "daemon/upload_worker.h"
#include "proc/pool.h"

/* Workers in a system call that does not end, beside those that work. */
enum { MAX_STUCK = 4 };

/* Of the workers: what else this host does goes before their hashing. */
enum { NICENESS = 5 };

static const char upload_worker_name[] = "kachery-upload";

struct uploads {
    struct uploads_options options;
    struct upload_worker worker;
    struct pool *pool;
    struct uploads_totals totals;
    struct buf frame;
    struct buf warned; /* the last warning of a worker */
};

/* Reports the end of a job that is still in the table. */
static void report_upload_end(struct uploads *u, uint64_t id, const char *outcome,
                              const char *reason)
{
    const struct jobs_facts facts = jobs_facts(u->options.jobs, id);
    const struct audit_event event = {.event = "upload",
                                      .hash = facts.hash,
                                      .path = facts.path,
                                      .outcome = str_of(outcome),
                                      .reason = str_of(reason),
                                      .asker = facts.asker,
                                      .size = facts.size,
                                      .bytes = reason == NULL ? facts.size : AUDIT_UNKNOWN,
                                      .ms = facts.running_ms > 0 ? facts.running_ms : 0};

    u->options.on_end(u->options.owner, &event);
}

static void take_completed(struct uploads *u, const struct upload_message *m)
{
    log_line(LOG_INFO, "%s sha1=%.*s bytes=%lld ms=%lld",
             m->existed ? "already uploaded" : "uploaded", STR_ARG(m->hash), (long long)m->size,
             (long long)m->ms);
    u->totals.completed++;
    u->totals.bytes += m->existed ? 0 : m->size;
    u->totals.answered_ms = clock_wall_ms();
    if (!m->existed)
        report_upload_end(u, (uint64_t)m->id, "uploaded", NULL);
    jobs_completed(u->options.jobs, (uint64_t)m->id, m->size);
}

static void take_upload_failed(struct uploads *u, const struct upload_message *m)
{
    struct str reason = str_slice(m->reason, 0, ERR_MESSAGE_SIZE - 1);
    char text[ERR_MESSAGE_SIZE];

    memcpy(text, reason.p, reason.len);
    text[reason.len] = '\0';
    log_line(LOG_WARN, "upload failed sha1=%.*s: %s%s%.*s", STR_ARG(m->hash), text,
             m->detail.len > 0 ? ": " : "", STR_ARG(m->detail));
    if (reason_is_change(reason))
        u->totals.changed++;
    else
        u->totals.failed++;
    report_upload_end(u, (uint64_t)m->id, "failed", text);
    jobs_failed(u->options.jobs, (uint64_t)m->id, text);
}

/* A worker to which nothing can be sent is being lost. */
static void send_go_on(struct uploads *u, uint64_t id)
{
    upload_message_put(&u->frame, &(struct upload_message){.type = UPLOAD_MESSAGE_GO,
                                                           .id = (int64_t)id});
    if (!u->frame.failed)
        pool_send(u->pool, id, buf_str(&u->frame), ERR_IGNORED);
}

/* A worker that is being lost loses its credit, too. */
static void give_upload_credit(void *owner, uint64_t id, const struct credit *credit)
{
    struct uploads *u = owner;

    upload_message_put(&u->frame, &(struct upload_message){.type = UPLOAD_MESSAGE_CREDIT,
                                                           .id = (int64_t)id,
                                                           .bytes = credit->bytes,
                                                           .unsent = credit->unsent});
    if (!u->frame.failed)
        pool_send(u->pool, id, buf_str(&u->frame), ERR_IGNORED);
}

static void log_warning_once(struct uploads *u, struct str text)
{
    if (str_equal(text, buf_str(&u->warned)))
        return;
    buf_clear(&u->warned);
    buf_put(&u->warned, text);
    log_line(LOG_WARN, "%.*s", STR_ARG(text));
}

static void touch_owner(const struct uploads *u)
{
    u->options.on_touch(u->options.owner);
}

static enum pool_said take_upload_message(struct uploads *u, const struct upload_message *m)
{
    uint64_t id = (uint64_t)m->id;

    switch (m->type) {
    case UPLOAD_MESSAGE_BEGUN:
        if (jobs_begun(u->options.jobs, id))
            send_go_on(u, id);
        return POOL_GOES_ON;
    case UPLOAD_MESSAGE_PROGRESS: jobs_progress(u->options.jobs, id, m->bytes); return POOL_GOES_ON;
    case UPLOAD_MESSAGE_NOTE:
        log_line(LOG_WARN, "upload sha1=%.*s: %.*s", STR_ARG(m->hash), STR_ARG(m->text));
        return POOL_GOES_ON;
    case UPLOAD_MESSAGE_WARNING: log_warning_once(u, m->text); return POOL_GOES_ON;
    case UPLOAD_MESSAGE_ASKS:
        if (u->options.credits == NULL)
            break;
        credits_ask(u->options.credits, give_upload_credit, u, id);
        return POOL_GOES_ON;
    case UPLOAD_MESSAGE_COMPLETED: take_completed(u, m); return POOL_IS_LAST;
    case UPLOAD_MESSAGE_FAILED: take_upload_failed(u, m); return POOL_IS_LAST;
    case UPLOAD_MESSAGE_UPLOAD: /* no worker sends these */
    case UPLOAD_MESSAGE_CREDIT:
    case UPLOAD_MESSAGE_GO: break;
    }
    return POOL_NONSENSE;
}

static enum pool_said on_upload_message(void *owner, uint64_t id, const struct json *doc)
{
    struct uploads *u = owner;
    struct upload_message m;
    enum pool_said said;

    if (upload_message_read(&m, doc, ERR_IGNORED) != 0)
        return POOL_NONSENSE;
    if (m.type != UPLOAD_MESSAGE_ASKS)
        touch_owner(u);
    said = take_upload_message(u, &m);
    if (said == POOL_IS_LAST && m.is_spent)
        pool_abandon(u->pool, id); /* the job is over: this ends its worker */
    return said;
}

static void on_upload_lost(void *owner, uint64_t id, const char *reason)
{
    struct uploads *u = owner;
    bool is_again;

    touch_owner(u);
    is_again = jobs_retry(u->options.jobs, id);
    log_line(LOG_WARN, "an upload worker was lost (%s)%s", reason,
             is_again ? "; its upload starts again" : "");
    child_log_lost(upload_worker_name, reason);
    if (is_again)
        return;
    u->totals.failed++;
    report_upload_end(u, id, "failed", REASON_CRASHED);
    jobs_failed(u->options.jobs, id, REASON_CRASHED);
}

static void on_upload_room(void *owner)
{
    touch_owner(owner);
}

static void on_idle_worker_end(void *owner, const char *reason)
{
    (void)owner;
    log_line(LOG_WARN, "an idle upload worker was lost (%s)", reason);
    child_log_lost(upload_worker_name, reason);
}

struct uploads *uploads_new(const struct uploads_options *options, struct err *e)
{
    struct uploads *u = calloc(1, sizeof *u);

    if (u == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    u->options = *options;
    u->worker = (struct upload_worker){.config = options->config,
                                       .max_cpu_ms = options->intervals->worker_cpu_ms,
                                       .is_metered = options->credits != NULL};
    u->pool =
        pool_new(&(struct pool_options){.loop = options->loop,
                                        .process = {.name = upload_worker_name,
                                                    .run = upload_worker_run,
                                                    .ctx = &u->worker,
                                                    .asks_servers = true,
                                                    .niceness = config_nice(options->config,
                                                                            NICENESS)},
                                        .max_workers = (unsigned)options->config->max_uploads +
                                                       JOBS_MAX_RECALLED,
                                        .depth = 1,
                                        .job_timeout_ms = options->intervals->upload_silent_ms,
                                        .stopped_ms = options->intervals->upload_stopped_ms,
                                        .idle_ms = options->intervals->worker_idle_ms,
                                        .max_stuck = MAX_STUCK,
                                        .on_message = on_upload_message,
                                        .on_lost = on_upload_lost,
                                        .on_room = on_upload_room,
                                        .on_idle_end = on_idle_worker_end,
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

static int submit_upload(struct uploads *u, const struct jobs_work *work, struct err *e)
{
    upload_message_put(&u->frame, &(struct upload_message){.type = UPLOAD_MESSAGE_UPLOAD,
                                                           .id = (int64_t)work->id,
                                                           .hash = str_of(work->hash)});
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
        send_go_on(u, id);
    while (pool_has_room(u->pool) && jobs_next_upload(u->options.jobs, &work)) {
        if (submit_upload(u, &work, &e) == 0)
            continue;
        log_line(LOG_ERROR, "cannot start an upload sha1=%s: %s", work.hash, e.msg);
        jobs_failed(u->options.jobs, work.id, REASON_NO_WORKER);
    }
}

struct uploads_totals uploads_totals(const struct uploads *u)
{
    return u->totals;
}
