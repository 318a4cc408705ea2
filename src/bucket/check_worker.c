#include "bucket/check_worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "bucket/object.h"
#include "http/crew_frame.h"
#include "proc/frame.h"
#include "proto/kachery_uri.h"

enum { REPORT_MS = 1000, JUST_NOW_S = 60 };

struct check_worker {
    const struct data_dir *dir;
    int fd;
    int64_t reported_ms;
};

static bool send_check_frame(const struct check_worker *worker, enum crew_frame type, uint64_t id)
{
    struct buf frame = {0};
    bool is_sent;

    crew_frame_put(&frame, type, id, STR(""));
    is_sent = !frame.failed && frame_send(worker->fd, buf_str(&frame), -1, ERR_IGNORED) == IO_DONE;
    buf_free(&frame);
    return is_sent;
}

/* False when the hub is gone. */
static bool report_alive(void *ctx, int64_t bytes)
{
    struct check_worker *worker = ctx;
    int64_t now = clock_now_ms();

    (void)bytes;
    if (now - worker->reported_ms < REPORT_MS)
        return true;
    worker->reported_ms = now;
    return send_check_frame(worker, CREW_FRAME_PONG, 0);
}

static void check_object(struct check_worker *worker, struct str key)
{
    struct hash_watch watch = {report_alive, worker};
    struct object_facts facts;
    struct err e = {0};
    enum object_state state;

    worker->reported_ms = clock_now_ms();
    state = object_publish_kept(worker->dir, key, &watch, &e);
    if (state == OBJECT_UNKNOWN)
        log_line(LOG_WARN, "object not kept key=%.*s: %s", STR_ARG(key), e.msg);
    state = object_check(worker->dir, key, JUST_NOW_S, &watch, &facts, &e);
    if (state == OBJECT_UNKNOWN)
        log_line(LOG_WARN, "object not checked key=%.*s: %s", STR_ARG(key), e.msg);
    else if (facts.manifest == OBJECT_MANIFEST_FAILED)
        log_line(LOG_WARN, "no manifest of object key=%.*s: %s", STR_ARG(key), e.msg);
    else if (facts.manifest == OBJECT_MANIFEST_MENDED)
        log_line(LOG_WARN, "the manifest of object key=%.*s was wrong: it was made anew",
                 STR_ARG(key));
}

int check_worker_run(int fd, void *ctx)
{
    struct check_worker worker = {.dir = ctx, .fd = fd};
    struct buf frame = {0};
    enum crew_frame type;
    struct str key, hash;
    uint64_t id;

    while (frame_receive(fd, &frame, NULL, ERR_IGNORED) == IO_DONE) {
        if (!crew_frame_parse(buf_str(&frame), &type, &id, &key) || type != CREW_FRAME_CHECK ||
            !kachery_uri_is_object_key(key, &hash))
            break;
        check_object(&worker, key);
        if (!send_check_frame(&worker, CREW_FRAME_CHECKED, id))
            break;
    }
    buf_free(&frame);
    return 0;
}
