#include "daemon/keeper_worker.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"
#include "base/log.h"
#include "base/ready.h"
#include "daemon/audit_file.h"
#include "daemon/keeper_options.h"
#include "daemon/stop_request.h"
#include "proc/frame.h"
#include "store/store.h"

enum { TIDY_MS = 24 * 3600 * 1000 };

#define TEXT .kind = FIELD_STRING, .at = offsetof(struct keeper_message, text)

static const struct field log_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "log"},
    {.name = "line", TEXT},
    {.kind = FIELD_END}};

static const struct field status_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "status"},
    {.name = "text", TEXT},
    {.kind = FIELD_END}};

static const struct field reopen_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "reopen"},
    {.kind = FIELD_END}};

#define LOST {.name = "lost", .kind = FIELD_INT, .at = offsetof(struct keeper_message, lost)}

static const struct field audit_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "audit"}, LOST, {.name = "lines", TEXT},
    {.kind = FIELD_END}};

static const struct field audited_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "audited"}, LOST, {.kind = FIELD_END}};

static const struct field leave_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "leave"},
    {.kind = FIELD_END}};

static const struct field renewed_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "renewed"},
    {.name = "startedMs", .kind = FIELD_INT, .at = offsetof(struct keeper_message, started_ms)},
    {.kind = FIELD_END}};

static const struct field doubt_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "doubt"},
    {.name = "reason", TEXT},
    {.kind = FIELD_END}};

static const struct field lost_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "lost"},
    {.name = "reason", TEXT},
    {.kind = FIELD_END}};

static const struct field stop_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "stop"},
    {.name = "host", TEXT},
    {.kind = FIELD_END}};

static const struct field trouble_fields[] = {
    {.name = "type", .kind = FIELD_WORD, .word = "trouble"},
    {.name = "what", TEXT},
    {.kind = FIELD_END}};

const struct field *const keeper_orders[] = {[KEEPER_LOG] = log_fields,
                                             [KEEPER_STATUS] = status_fields,
                                             [KEEPER_REOPEN] = reopen_fields,
                                             [KEEPER_AUDIT] = audit_fields,
                                             [KEEPER_LEAVE] = leave_fields,
                                             NULL};

const struct field *const keeper_reports[] = {
    [KEEPER_RENEWED] = renewed_fields,
    [KEEPER_DOUBT] = doubt_fields,
    [KEEPER_LOST] = lost_fields,
    [KEEPER_STOP] = stop_fields,
    [KEEPER_TROUBLE] = trouble_fields,
    [KEEPER_AUDITED] = audited_fields,
    NULL};

struct keeper_worker {
    int fd;
    int supervisor_fd; /* its state in /proc; -1: not known */
    const struct keeper_options *options;
    int64_t renew_at_ms, tidy_at_ms;
    bool is_stop_reported;
    bool is_doubtful; /* the record in the lease's place is another's, and is watched */
    struct audit_file audit;
    struct err audit_trouble;
    struct err trouble, lease_trouble; /* the last ones, so that each is reported once */
    struct buf in, out;
    struct buf status; /* as last written */
};

static void send_report(struct keeper_worker *w, enum keeper_report which,
                        const struct keeper_message *report)
{
    buf_clear(&w->out);
    fields_put(&w->out, keeper_reports[which], report);
    if (!w->out.failed)
        frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED);
}

/* A full disk is worth one line, not one a second. */
static void report_trouble(struct keeper_worker *w, struct err *last, const struct err *trouble)
{
    if (strcmp(last->msg, trouble->msg) == 0)
        return;
    *last = *trouble;
    send_report(w, KEEPER_TROUBLE, &(struct keeper_message){.text = str_of(trouble->msg)});
}

static void open_log(struct keeper_worker *w)
{
    struct err e;

    if (w->options->log->path != NULL && log_open(w->options->log, &e) != 0)
        report_trouble(w, &w->trouble, &e);
}

static void write_log_line(struct keeper_worker *w, struct str line)
{
    struct err e;

    if (log_finished(line.p, line.len, &e) != 0)
        report_trouble(w, &w->trouble, &e);
}

static void reopen_audit(struct keeper_worker *w)
{
    struct err e;

    if (audit_file_reopen(&w->audit, &e) != 0)
        report_trouble(w, &w->audit_trouble, &e);
}

static void append_to_audit(struct keeper_worker *w, const struct keeper_message *order)
{
    struct err e;
    struct keeper_message report = {
        .lost = (int64_t)audit_file_append(&w->audit, order->text, (uint64_t)order->lost, &e)};

    if (e.code != ERR_NONE)
        report_trouble(w, &w->audit_trouble, &e);
    else
        w->audit_trouble = (struct err){0};
    send_report(w, KEEPER_AUDITED, &report);
}

static void sync_audit(struct keeper_worker *w)
{
    struct err e;

    if (audit_file_sync(&w->audit, &e) != 0)
        report_trouble(w, &w->audit_trouble, &e);
}

/* Removes the leftovers of killed processes beside the status file and in the local store. */
static void tidy_leftovers(struct keeper_worker *w)
{
    struct store store;

    w->tidy_at_ms = clock_now_ms() + TIDY_MS;
    newfile_clean(w->options->status_path);
    if (store_init(&store, ERR_IGNORED) == 0)
        store_tidy(&store);
    store_deinit(&store);
}

static void write_status_file(struct keeper_worker *w)
{
    const char *path = w->options->status_path;
    /* It names what is uploaded: a hash is the key to its file. */
    mode_t mode = newfile_is_in_group_folder(path) ? 0660 : 0600;
    struct err e;

    if (buf_check(&w->status, &e) != 0 ||
        newfile_put_mode(path, buf_str(&w->status), 0, mode, &e) != 0)
        report_trouble(w, &w->trouble, &e);
}

static void take_status(struct keeper_worker *w, struct str text)
{
    buf_clear(&w->status);
    buf_put(&w->status, text);
    write_status_file(w);
}

/* --- the lease --- */

/* Somebody deleted the folder, or put another in its place: what belongs there is written anew. */
static void write_all_anew(struct keeper_worker *w)
{
    struct err e;

    open_log(w);
    reopen_audit(w);
    stop_request_make(w->options->lease->folder);
    if (w->status.len > 0)
        write_status_file(w);
    err_set(&e, ERR_FAILED, "%s was deleted or replaced: lease, status and log are written anew",
            w->options->lease->folder);
    send_report(w, KEEPER_TROUBLE, &(struct keeper_message){.text = str_of(e.msg)});
}

static void look_for_stop_request(struct keeper_worker *w)
{
    const struct lease *lease = w->options->lease;
    char host[STOP_REQUEST_HOST];

    if (w->is_stop_reported || !stop_request_came(lease->folder, lease->self.token, host))
        return;
    w->is_stop_reported = true;
    send_report(w, KEEPER_STOP, &(struct keeper_message){.text = str_of(host)});
}

static void take_renewal(struct keeper_worker *w, int64_t started_ms, bool is_anew)
{
    w->lease_trouble = (struct err){0};
    w->is_doubtful = false;
    if (is_anew)
        write_all_anew(w);
    send_report(w, KEEPER_RENEWED, &(struct keeper_message){.started_ms = started_ms});
    look_for_stop_request(w);
}

/* A folder that was put back may have an old record of a dead process in it: that one is watched,
 * as at the start. In the folder of the last renewal it is of a process that took the lease. */
static void meet_other_holder(struct keeper_worker *w, const struct err *reason)
{
    bool was_watched = w->is_doubtful;

    w->is_doubtful = !was_watched && lease_is_elsewhere(w->options->lease);
    if (w->is_doubtful)
        open_log(w); /* it was put back too, or is to be written anew */
    send_report(w, w->is_doubtful ? KEEPER_DOUBT : KEEPER_LOST,
                &(struct keeper_message){.text = str_of(reason->msg)});
    if (w->is_doubtful)
        w->renew_at_ms = clock_now_ms();
}

/* The record was deleted, and another may have made one that this host does not see yet. */
static void doubt_deleted_record(struct keeper_worker *w, const struct err *reason)
{
    w->is_doubtful = true;
    w->renew_at_ms = clock_now_ms();
    send_report(w, KEEPER_DOUBT, &(struct keeper_message){.text = str_of(reason->msg)});
}

/* Looks at the other's record; takes the lease again when that one is dead. 0 with *again_ms while
 * it is not clear. */
static int retake_lease(struct keeper_worker *w, int64_t *again_ms, bool *is_anew, struct err *e)
{
    *is_anew = true;
    return lease_try(w->options->lease, again_ms, e);
}

static int open_supervisor_state(void)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)getppid());
    return openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/* Returns true when the supervisor is stopped by a signal or a debugger, or has not read the last
 * report: at any wake it reads all. */
static bool is_supervisor_stopped(const struct keeper_worker *w)
{
    char stat[64]; /* "4711 (kachery-resourc) S …" */
    int unread_bytes = 0;

    if (ioctl(w->fd, TIOCOUTQ, &unread_bytes) == 0 && unread_bytes > 0)
        return true;
    ssize_t n = w->supervisor_fd < 0 ? -1 : pread(w->supervisor_fd, stat, sizeof stat - 1, 0);
    stat[n < 0 ? 0 : n] = '\0';
    const char *state = strrchr(stat, ')');
    return state != NULL && (strncmp(state, ") T", 3) == 0 || strncmp(state, ") t", 3) == 0);
}

static void renew_lease(struct keeper_worker *w)
{
    const int64_t started_ms = clock_now_ms();
    int64_t again_ms = 0;
    bool is_anew;
    struct err e = {0};

    w->renew_at_ms = started_ms + w->options->renew_ms;
    if (is_supervisor_stopped(w))
        return; /* it serves nobody: another may */
    int result = w->is_doubtful ? retake_lease(w, &again_ms, &is_anew, &e)
                                : lease_renew(w->options->lease, &is_anew, &e);

    if (again_ms > 0)
        w->renew_at_ms = started_ms + again_ms;
    if (result == 0 && again_ms == 0)
        take_renewal(w, started_ms, is_anew);
    else if (result != 0 && e.code == ERR_TAKEN)
        meet_other_holder(w, &e);
    else if (result != 0 && e.code == ERR_NOT_FOUND && !w->is_doubtful)
        doubt_deleted_record(w, &e);
    else if (result != 0)
        report_trouble(w, &w->lease_trouble, &e);
}

/* --- orders --- */

/* False at the last message. Another text is passed over. */
static bool take_order(struct keeper_worker *w, const struct json *document)
{
    struct keeper_message order = {.lost = 0};

    switch (fields_read_one_of(keeper_orders, document, &order, ERR_IGNORED)) {
    case KEEPER_LOG: write_log_line(w, order.text); break;
    case KEEPER_STATUS: take_status(w, order.text); break;
    case KEEPER_REOPEN:
        open_log(w);
        reopen_audit(w);
        break;
    case KEEPER_AUDIT: append_to_audit(w, &order); break;
    case KEEPER_LEAVE: return false;
    default: break;
    }
    return true;
}

/* IO_EOF when the supervisor is gone. */
static enum io wait_for_order(struct keeper_worker *w)
{
    for (;;) {
        int64_t now_ms = clock_now_ms(), sync_at_ms = w->audit.sync_at_ms;
        int64_t left_ms = w->renew_at_ms - now_ms;
        if (sync_at_ms != CLOCK_NEVER_MS && now_ms >= sync_at_ms) {
            sync_audit(w);
            continue;
        }
        if (left_ms <= 0) {
            renew_lease(w);
            if (clock_now_ms() >= w->tidy_at_ms)
                tidy_leftovers(w);
            continue;
        }
        left_ms = clock_earlier(w->renew_at_ms, sync_at_ms) - now_ms;
        if (ready_wait(w->fd, READY_READ, left_ms) != 0)
            return frame_receive(w->fd, &w->in, NULL, ERR_IGNORED);
    }
}

static void give_lease_back(const struct keeper_worker *w)
{
    const struct lease *lease = w->options->lease;
    struct lease_record owner;

    if (lease_record_read(lease->folder, &owner, NULL, ERR_IGNORED) == 0 &&
        strcmp(owner.token, lease->self.token) == 0)
        stop_request_remove(lease->folder);
    lease_release(lease);
}

int keeper_worker_run(int fd, void *ctx)
{
    struct keeper_worker w = {
        .fd = fd, .supervisor_fd = open_supervisor_state(), .options = ctx};
    enum io got = IO_DONE;
    bool is_over = false;

    log_set_sink(NULL, NULL);
    open_log(&w);
    audit_file_init(&w.audit, w.options->audit_path);
    stop_request_make(w.options->lease->folder);
    w.renew_at_ms = clock_now_ms(); /* the keeper before it may have been late */
    while (!is_over && (got = wait_for_order(&w)) == IO_DONE) {
        struct json *document = json_parse(buf_str(&w.in), JSON_STRICT, ERR_IGNORED);
        is_over = !take_order(&w, document);
        json_free(document);
    }
    sync_audit(&w);
    audit_file_close(&w.audit);
    /* Asked to leave, or alone: nobody shares the resource any more. After an error of ours the
     * supervisor goes on with another keeper. */
    if (is_over || got == IO_EOF)
        give_lease_back(&w);
    if (w.supervisor_fd >= 0)
        close(w.supervisor_fd);
    buf_free(&w.in);
    buf_free(&w.out);
    buf_free(&w.status);
    return 0;
}
