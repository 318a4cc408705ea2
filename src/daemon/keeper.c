#include "daemon/keeper.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/ready.h"
#include "daemon/child_log.h"
#include "daemon/keeper_worker.h"
#include "proc/child.h"
#include "proc/frame.h"
#include "proc/process.h"

enum { START_AGAIN_MS = 1000 };

static const char keeper_name[] = "kachery-keeper";

struct keeper {
    struct keeper_options options;
    struct process process;
    bool is_running;
    int64_t start_at_ms;
    uint64_t dropped; /* log lines that the child did not take */
    struct process last;             /* the one before, for its end */
    char end[CHILD_MAX_WORDS_BYTES]; /* of the one before: to be logged, which it did itself */
    struct buf frame;
};

static enum io send_text(struct keeper *k, const char *type, const char *key, struct str text)
{
    if (!k->is_running)
        return IO_EOF;
    buf_clear(&k->frame);
    json_open(&k->frame, '{');
    json_put_str(&k->frame, "type", str_of(type));
    if (key != NULL)
        json_put_str(&k->frame, key, text);
    json_close(&k->frame, '}');
    return k->frame.failed ? IO_ERR : frame_send(k->process.fd, buf_str(&k->frame), -1, NULL);
}

static void send_line(void *ctx, const char *line, size_t len)
{
    struct keeper *k = ctx;

    if (send_text(k, "log", "line", (struct str){line, len}) != IO_DONE)
        k->dropped++;
}

static void report_dropped(struct keeper *k)
{
    uint64_t dropped = k->dropped;

    if (dropped == 0 || !k->is_running)
        return;
    k->dropped = 0;
    log_line(LOG_WARN, "log lines dropped=%llu", (unsigned long long)dropped);
    if (k->dropped > 0)
        k->dropped = dropped;
}

/* Whose log it is knows after receive() whether the one that runs is another. */
static void report_end(struct keeper *k)
{
    if (k->end[0] == '\0' || !k->is_running)
        return;
    log_line(LOG_WARN, "%s process %s", keeper_name, k->end);
    k->end[0] = '\0';
}

static void take_status(void *owner, int wait_status)
{
    struct keeper *k = owner;

    child_put_status(wait_status, k->end);
}

static int start(struct keeper *k, struct err *e)
{
    const struct process_options options = {
        .name = keeper_name, .run = keeper_worker_run, .ctx = &k->options};

    if (process_start(&k->process, &options, e) != 0)
        return -1;
    process_watch(&k->process, take_status, k);
    k->is_running = true;
    return 0;
}

struct keeper *keeper_new(const struct keeper_options *options, struct err *e)
{
    struct keeper *k = calloc(1, sizeof *k);

    if (k == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    k->options = *options;
    if (start(k, e) != 0) {
        free(k);
        return NULL;
    }
    log_set_sink(send_line, k);
    return k;
}

void keeper_reopen_log(struct keeper *k)
{
    send_text(k, "reopen", NULL, (struct str){0});
}

bool keeper_write_status(struct keeper *k, struct str text)
{
    return send_text(k, "status", "text", text) == IO_DONE;
}

static int take_message(const struct json *message, struct err *e)
{
    struct str text;

    if (json_str(json_get(message, "reason"), &text))
        return err_set(e, ERR_REFUSED, "%.*s", STR_ARG(text));
    if (json_str(json_get(message, "what"), &text))
        log_line(LOG_WARN, "%.*s", STR_ARG(text));
    return 0;
}

static int receive(struct keeper *k, int64_t now_ms, struct err *e)
{
    enum io got = IO_DONE;
    int result = 0;

    while (result == 0 && (got = frame_receive(k->process.fd, &k->frame, NULL, NULL)) == IO_DONE) {
        struct json *message = json_parse(buf_str(&k->frame), JSON_STRICT, NULL);
        result = take_message(message, e);
        json_free(message);
    }
    if (got == IO_EOF || got == IO_ERR) {
        k->last = k->process;
        child_log_let_go(&k->process);
        k->is_running = false;
        k->start_at_ms = now_ms + START_AGAIN_MS;
    }
    return result;
}

int keeper_step(struct keeper *k, int64_t now_ms, struct err *e)
{
    int result = 0;

    if (k->is_running)
        result = receive(k, now_ms, e);
    else if (now_ms >= k->start_at_ms && start(k, NULL) != 0)
        k->start_at_ms = now_ms + START_AGAIN_MS;
    report_end(k);
    report_dropped(k);
    return result;
}

void keeper_poll(const struct keeper *k, struct pollset *set)
{
    if (k->is_running)
        pollset_add(set, k->process.fd, POLLIN);
    else
        pollset_wake_at(set, k->start_at_ms);
}

/* Until the child hangs up; what it still says is nobody's business. */
static void wait_for_end(struct keeper *k, int64_t end_ms)
{
    int64_t now_ms;

    while ((now_ms = clock_now_ms()) < end_ms) {
        enum io got = ready_wait(k->process.fd, READY_READ, end_ms - now_ms) != 0
                          ? frame_receive(k->process.fd, &k->frame, NULL, NULL)
                          : IO_WANT_READ;
        if (got == IO_EOF || got == IO_ERR)
            return;
    }
}

void keeper_free(struct keeper *k, int64_t wait_ms)
{
    if (k == NULL)
        return;
    log_set_sink(NULL, NULL);
    send_text(k, "leave", NULL, (struct str){0});
    if (k->is_running)
        wait_for_end(k, clock_now_ms() + wait_ms);
    child_log_end(&k->process);
    process_watch(&k->last, NULL, NULL);
    buf_free(&k->frame);
    free(k);
}
