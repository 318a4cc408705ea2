#include "daemon/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/audit_queue.h"
#include "daemon/child_log.h"
#include "daemon/keeper_worker.h"
#include "daemon/stop_request.h"
#include "proc/child.h"

enum { AGAIN_MS = 1000, HELD_BYTES = 16384 };

static const char keeper_name[] = "kachery-keeper";

struct keeper {
    struct keeper_options options;
    struct child *child;     /* NULL: it ended */
    struct loop_timer alarm; /* to start it again, to report what was dropped */
    struct loop_timer overdue; /* a renewal should have been reported */
    bool is_leaving, is_late;
    struct buf held;                 /* log lines that wait for a child that takes them */
    uint64_t dropped;                /* lines for which there was no room */
    char end[CHILD_MAX_WORDS_BYTES]; /* of the one before: for the log, which was its own */
    struct audit_queue audit;
    struct buf frame;
};

static bool takes_at_once(const struct keeper *k)
{
    return k->child != NULL && child_takes_at_once(k->child);
}

/* False when there is no child that takes it. */
static bool send_order(struct keeper *k, enum keeper_order which, struct str text)
{
    const struct keeper_message order = {.text = text};

    if (k->child == NULL)
        return false;
    buf_clear(&k->frame);
    fields_put(&k->frame, keeper_orders[which], &order);
    return !k->frame.failed && child_send(k->child, buf_str(&k->frame), -1, ERR_IGNORED) == 0;
}

static void set_keeper_alarm(struct keeper *k)
{
    if (loop_timer_at_ms(&k->alarm) == CLOCK_NEVER_MS)
        loop_set_timer(k->options.loop, &k->alarm,
                       loop_now_ms(k->options.loop) + AGAIN_MS);
}

/* A keeper that is busy, or does not run, gets it later. */
static void send_audit(struct keeper *k)
{
    struct keeper_message order = {.lost = 0};
    uint64_t lost;

    if (k->options.audit_path == NULL)
        return;
    if (!takes_at_once(k)) {
        if (!audit_queue_is_empty(&k->audit) && !k->is_leaving)
            set_keeper_alarm(k);
        return;
    }
    if (!audit_queue_next(&k->audit, &order.text, &lost))
        return;
    order.lost = (int64_t)lost;
    buf_clear(&k->frame);
    fields_put(&k->frame, keeper_orders[KEEPER_AUDIT], &order);
    if (!k->frame.failed && child_send(k->child, buf_str(&k->frame), -1, ERR_IGNORED) == 0)
        return;
    audit_queue_again(&k->audit);
    if (!k->is_leaving)
        set_keeper_alarm(k);
}

void keeper_audit(struct keeper *k, const struct buf *line)
{
    audit_queue_add(&k->audit, line);
    send_audit(k);
}

/* Returns whether none waits any more. */
static bool send_held_lines(struct keeper *k)
{
    size_t sent = 0;

    while (sent < k->held.len && takes_at_once(k)) {
        struct str left = str_slice(buf_str(&k->held), sent, SIZE_MAX);
        struct str line = str_slice(left, 0, str_find(left, '\n') + 1);
        if (!send_order(k, KEEPER_LOG, line))
            break;
        sent += line.len;
    }
    buf_consume(&k->held, sent);
    if (k->held.len == 0)
        buf_free(&k->held); /* it is rarely needed */
    return k->held.len == 0;
}

static void hold_line(struct keeper *k, struct str line)
{
    const size_t before = k->held.len;

    if (before + line.len <= HELD_BYTES)
        buf_put(&k->held, line);
    if (k->held.len == before || k->held.failed) {
        k->held.failed = false; /* without memory what is there stays */
        k->held.len = before;
        k->dropped++;
    }
    set_keeper_alarm(k);
}

static void send_line(void *ctx, const char *line, size_t len)
{
    struct keeper *k = ctx;
    const struct str text = {line, len};

    if (!send_held_lines(k) || !takes_at_once(k) || !send_order(k, KEEPER_LOG, text))
        hold_line(k, text);
}

static void report_dropped_log_lines(struct keeper *k)
{
    uint64_t dropped = k->dropped;

    if (dropped == 0)
        return;
    if (!takes_at_once(k)) {
        set_keeper_alarm(k);
        return;
    }
    k->dropped = 0;
    log_line(LOG_WARN, "log lines dropped=%llu", (unsigned long long)dropped);
    if (k->dropped > 0)
        k->dropped = dropped;
}

/* A child that renews needs no watching, which would wake this process every few seconds. */
static void expect_renewal(struct keeper *k)
{
    if (k->child == NULL)
        return;
    child_watch(k->child, false);
    loop_set_timer(k->options.loop, &k->overdue,
                   loop_now_ms(k->options.loop) + k->options.renew_ms * 3 / 2);
}

static void on_renewal_overdue(void *owner)
{
    struct keeper *k = owner;

    if (k->child != NULL)
        child_watch(k->child, true);
}

static bool on_keeper_frame(void *owner, struct str frame, int fd)
{
    struct keeper *k = owner;
    struct json *document = json_parse(frame, JSON_STRICT, ERR_IGNORED);
    struct keeper_message report = {0};
    int which = fields_read_one_of(keeper_reports, document, &report, ERR_IGNORED);
    char host[STOP_REQUEST_HOST];
    struct err reason;

    if (fd >= 0)
        close(fd);
    if (which == KEEPER_RENEWED) {
        expect_renewal(k);
        k->options.on_renewed(k->options.owner, report.started_ms);
    } else if (which == KEEPER_TROUBLE) {
        log_line(LOG_WARN, "%.*s", STR_ARG(report.text));
    } else if (which == KEEPER_DOUBT && !k->is_leaving) {
        err_set(&reason, ERR_TAKEN, "%.*s", STR_ARG(report.text));
        k->options.on_doubt(k->options.owner, reason.msg);
    } else if (which == KEEPER_STOP && !k->is_leaving) {
        snprintf(host, sizeof host, "%.*s", STR_ARG(report.text));
        k->options.on_stop(k->options.owner, host);
    } else if (which == KEEPER_LOST && !k->is_leaving) {
        err_set(&reason, ERR_REFUSED, "%.*s", STR_ARG(report.text));
        k->options.on_lost(k->options.owner, &reason);
    }
    json_free(document);
    if (which == KEEPER_AUDITED) {
        audit_queue_done(&k->audit, (uint64_t)report.lost);
        if (k->audit.lost == 0 || k->audit.lines.len > 0)
            send_audit(k);
    }
    return which >= 0;
}

static void on_keeper_event(void *owner, enum child_event event, const char *words)
{
    struct keeper *k = owner;

    if (event != CHILD_ENDED)
        return;
    k->child = NULL;
    audit_queue_again(&k->audit);
    snprintf(k->end, sizeof k->end, "%s", words);
    if (k->is_leaving)
        return;
    child_log_lost(keeper_name, words);
    set_keeper_alarm(k);
}

static int start_keeper(struct keeper *k, struct err *e)
{
    const struct child_options options = {
        .loop = k->options.loop,
        .process = {.name = keeper_name, .run = keeper_worker_run, .ctx = &k->options},
        .policy = {.stopped_ms = k->options.stopped_ms},
        .on_frame = on_keeper_frame,
        .on_event = on_keeper_event,
        .owner = k};

    k->child = child_start(&options, e);
    if (k->child == NULL)
        return -1;
    expect_renewal(k);
    return 0;
}

static void on_keeper_alarm(void *owner)
{
    struct keeper *k = owner;

    if (k->is_leaving) {
        k->is_late = true;
        return;
    }
    if (k->child == NULL && start_keeper(k, ERR_IGNORED) != 0)
        set_keeper_alarm(k);
    else if (k->end[0] != '\0')
        log_line(LOG_WARN, "%s process %s", keeper_name, k->end);
    if (k->child != NULL)
        k->end[0] = '\0';
    if (!send_held_lines(k))
        set_keeper_alarm(k);
    report_dropped_log_lines(k);
    send_audit(k);
}

struct keeper *keeper_new(const struct keeper_options *options, struct err *e)
{
    struct keeper *k = calloc(1, sizeof *k);

    if (k == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    k->options = *options;
    k->alarm = (struct loop_timer){.call = on_keeper_alarm, .owner = k};
    k->overdue = (struct loop_timer){.call = on_renewal_overdue, .owner = k};
    if (start_keeper(k, e) != 0) {
        free(k);
        return NULL;
    }
    log_set_sink(send_line, k);
    return k;
}

void keeper_reopen_log(struct keeper *k)
{
    send_order(k, KEEPER_REOPEN, STR(""));
}

bool keeper_write_status(struct keeper *k, struct str text)
{
    return takes_at_once(k) && send_order(k, KEEPER_STATUS, text);
}

void keeper_write_last_status(struct keeper *k, struct str text)
{
    send_order(k, KEEPER_STATUS, text);
}

/* A line about lost ones is worth no wait. */
static bool has_audited(void *owner)
{
    const struct keeper *k = owner;

    return k->child == NULL || k->is_late ||
           (!k->audit.is_given && k->audit.lines.len == k->audit.first);
}

static bool has_left(void *owner)
{
    const struct keeper *k = owner;

    return k->child == NULL || k->is_late;
}

void keeper_free(struct keeper *k, int64_t wait_ms)
{
    struct loop *loop;

    if (k == NULL)
        return;
    loop = k->options.loop;
    log_set_sink(NULL, NULL);
    k->is_leaving = true;
    loop_set_timer(loop, &k->alarm, clock_now_ms() + wait_ms);
    send_audit(k);
    loop_run_until(loop, has_audited, k, ERR_IGNORED);
    (void)send_held_lines(k);
    send_order(k, KEEPER_LEAVE, STR(""));
    loop_run_until(loop, has_left, k, ERR_IGNORED); /* where it cannot wait, the child ends alone */
    loop_clear_timer(loop, &k->alarm);
    loop_clear_timer(loop, &k->overdue);
    child_free(k->child);
    audit_queue_deinit(&k->audit);
    buf_free(&k->held);
    buf_free(&k->frame);
    free(k);
}
