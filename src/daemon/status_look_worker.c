#include "daemon/status_look_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/ready.h"
#include "base/time_text.h"
#include "daemon/config.h"
#include "daemon/keeper.h"
#include "daemon/lease_watch.h"
#include "daemon/look_message.h"
#include "daemon/status_parts.h"
#include "daemon/stop_request.h"
#include "proc/frame.h"

enum { TICK_MS = 1000 };

/* --- the verdict --- */

struct look_place {
    const struct status_look_worker *worker;
    int fd;
    struct buf in, out;
    struct buf config, folder, status_path;
    struct lease_watch watch;
};

/* Waits until the counter moves, at most for watch_ms. */
static int watch_until_moved(struct look_place *k, int64_t watch_ms, enum lease_verdict *verdict,
                       struct err *e)
{
    int64_t until_ms = clock_now_ms() + watch_ms;

    for (;;) {
        if (lease_watch_look(&k->watch, verdict, e) != 0)
            return -1;
        int64_t left_ms = until_ms - clock_now_ms();
        if (*verdict != LEASE_WATCHING || left_ms <= 0)
            return 0;
        frame_send(k->fd, LOOK_MESSAGE_WATCHING, -1, ERR_IGNORED);
        ready_sleep(left_ms < TICK_MS ? left_ms : TICK_MS);
    }
}

static void put_age(struct liveness *life, const struct lease_watch *watch, bool has_moved)
{
    const struct lease_record *record = &watch->record;

    life->age_ms = lease_process_renewed_ago_ms(record);
    if (life->age_ms < 0 && has_moved)
        life->age_ms = watch->unchanged_ms;
    if (life->age_ms < 0 && record->renewed_ms > 0 && clock_wall_ms() >= record->renewed_ms)
        life->age_ms = clock_wall_ms() - record->renewed_ms;
}

static void put_reason(struct liveness *life, const char *format, const char *host)
{
    struct buf text = {0};

    buf_printf(&text, format, host);
    if (life->age_ms >= 0) {
        buf_puts(&text, "; last renewed ");
        time_text_put_span(&text, life->age_ms);
        buf_puts(&text, " ago");
    }
    snprintf(life->reason, sizeof life->reason, "%s", buf_cstr(&text));
    buf_free(&text);
}

static void explain_dead(struct look_place *k, struct liveness *life)
{
    const char *host = life->record.host;

    if (k->watch.process == LEASE_PROCESS_DEAD)
        put_reason(life, "its process on %s is gone without a word", host);
    else
        put_reason(life, "%s does not renew the lease: it is down, stopped, or cut off", host);
}

/* Appends for how long it was watched, and when that will be enough. */
static void add_when_clear(struct liveness *life, int64_t watched_ms, int64_t left_ms)
{
    struct buf text = {0};

    buf_puts(&text, life->reason);
    buf_puts(&text, "; watched for ");
    time_text_put_span(&text, watched_ms);
    buf_puts(&text, ", dead if it stays so for another ");
    time_text_put_span(&text, left_ms + 999);
    buf_puts(&text, ": see `status --watch`");
    snprintf(life->reason, sizeof life->reason, "%s", buf_cstr(&text));
    buf_free(&text);
}

/* The counter did not move while it was watched. Clocks of hosts may differ by a little. */
static void judge_unmoved(struct look_place *k, struct liveness *life)
{
    const struct intervals *t = k->worker->intervals;

    if (life->age_ms >= life->stale_ms + t->look_doubt_ms) {
        life->verdict = LIVENESS_NONE;
        explain_dead(k, life);
        return;
    }
    life->verdict = LIVENESS_UNCLEAR;
    if (k->watch.process == LEASE_PROCESS_HALTED)
        put_reason(life, "its process on %s is stopped, or waits for storage", life->record.host);
    else
        put_reason(life, "%s did not renew the lease while it was watched", life->record.host);
    add_when_clear(life, k->watch.unchanged_ms, k->watch.left_ms);
}

static int judge_daemon(struct look_place *k, int64_t watch_ms, struct status_found *out,
                        struct err *e)
{
    struct liveness *life = &out->life;
    enum lease_verdict verdict;

    if (watch_until_moved(k, watch_ms, &verdict, e) != 0)
        return -1;
    life->record = k->watch.record;
    life->has_record = life->record.host[0] != '\0' && verdict != LEASE_FREE;
    life->stale_ms = k->worker->intervals->lease_stale_ms;
    life->age_ms = -1;
    out->is_same_host = k->watch.process != LEASE_PROCESS_ELSEWHERE;
    if (life->has_record)
        put_age(life, &k->watch, verdict == LEASE_HELD);
    switch (verdict) {
    case LEASE_HELD: life->verdict = LIVENESS_ALIVE; break;
    case LEASE_FREE:
        life->verdict = LIVENESS_NONE;
        put_reason(life, "%s", "nobody holds the lease");
        break;
    case LEASE_DEAD:
        life->verdict = LIVENESS_NONE;
        explain_dead(k, life);
        break;
    case LEASE_WATCHING: judge_unmoved(k, life); break;
    }
    return 0;
}

/* --- the files --- */

static void read_status(struct look_place *k, struct status_found *out)
{
    struct buf text = {0};
    struct err e = {0};

    if (fs_read_file(buf_path(&k->status_path, ERR_IGNORED), STATUS_MAX_BYTES, &text, &e) == 0)
        out->document = json_parse(buf_str(&text), JSON_STRICT, &e);
    if (out->document != NULL && json_type(out->document) == JSON_OBJECT) {
        out->status = out->document;
    } else if (e.code != ERR_NOT_FOUND) {
        if (e.code == ERR_NONE)
            err_set(&e, ERR_PROTOCOL, "it is no JSON object");
        err_wrap(&e, "cannot be read");
        snprintf(out->trouble, sizeof out->trouble, "%s", e.msg);
    }
    buf_free(&text);
}

/* A record that is there and cannot be read is not the same as none. */
static void read_cron(struct look_place *k, struct status_found *out)
{
    struct err e = {0};

    if (cron_record_read(k->folder.data, &out->cron, &e) == 0 || e.code == ERR_NOT_FOUND)
        return;
    err_wrap(&e, "cannot be read");
    snprintf(out->cron.outcome, sizeof out->cron.outcome, "%s", e.msg);
}

static bool is_nowhere(struct look_place *k, const struct status_found *found)
{
    return !found->life.has_record && found->status == NULL && found->trouble[0] == '\0' &&
           found->cron.at_ms == 0 && found->cron.outcome[0] == '\0' &&
           access(k->config.data, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int find_look_places(struct look_place *k, struct err *e)
{
    if (config_put_real_path(k->worker->config_path, &k->config, e) != 0)
        return -1;
    config_put_sibling(buf_cstr(&k->config), LEASE_FOLDER, &k->folder);
    config_put_sibling(buf_cstr(&k->config), KEEPER_STATUS_FILE, &k->status_path);
    if (buf_path(&k->folder, e) == NULL || buf_path(&k->status_path, e) == NULL)
        return -1;
    lease_watch_init(&k->watch, k->folder.data, k->worker->intervals);
    return 0;
}

/* --- the end --- */

/* The number may be another process's by now: its descriptor is of one process alone. */
static int signal_process(const struct lease_record *record, bool *is_anothers, struct err *e)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)record->pid, 0), result = 0, number;

    if (lease_process_look(record) == LEASE_PROCESS_DEAD)
        result = 0; /* it has just ended */
    else if (fd >= 0)
        result = (int)syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
    else
        result = kill((pid_t)record->pid, SIGTERM);
    number = errno;
    if (fd >= 0)
        close(fd);
    *is_anothers = result != 0 && number == EPERM;
    if (result == 0 || number == ESRCH)
        return 0;
    return err_errno(e, ERR_FAILED, number, "cannot signal process %lld", (long long)record->pid);
}

static int ask_to_end(struct look_place *k, const struct status_found *found, struct err *e)
{
    const struct lease_record *record = &found->life.record;
    bool is_anothers = true;

    if (found->life.verdict == LIVENESS_NONE || !found->life.has_record)
        return 0;
    if (found->is_same_host && signal_process(record, &is_anothers, e) == 0)
        return 0;
    /* A group's folder may be shared by a process of another member, who may not be signalled. */
    if (!is_anothers)
        return -1;
    return stop_request_write(k->folder.data, record->token, e);
}

/* --- the look --- */

static int look_around(struct look_place *k, const struct status_question *question,
                       struct status_found *out, struct err *e)
{
    if (k->folder.len == 0 && find_look_places(k, e) != 0)
        return -1;
    if (judge_daemon(k, question->watch_ms, out, e) != 0)
        return -1;
    if (question->is_stop && ask_to_end(k, out, e) != 0)
        return -1;
    read_status(k, out);
    read_cron(k, out);
    if (is_nowhere(k, out))
        return err_set(e, ERR_NOT_FOUND,
                       "there is no %s: name the daemon's config file with --config",
                       k->config.data);
    return 0;
}

static void answer_question(struct look_place *k, const struct status_question *question)
{
    struct status_found found = {.document = NULL};
    struct err e = {0};

    if (look_around(k, question, &found, &e) != 0 && e.msg[0] == '\0')
        err_set(&e, ERR_FAILED, "out of memory");
    look_message_put_answer(&k->out, &found, &e);
    if (k->out.failed || k->out.len > FRAME_MAX_BYTES) {
        found.status = NULL;
        snprintf(found.trouble, sizeof found.trouble, "cannot be shown: it is too large");
        look_message_put_answer(&k->out, &found, &e);
    }
    frame_send(k->fd, buf_str(&k->out), -1, ERR_IGNORED);
    status_found_deinit(&found);
}

static void pause_look(const struct look_place *k, int64_t pause_ms)
{
    for (; pause_ms > TICK_MS; pause_ms -= TICK_MS) {
        ready_sleep(TICK_MS);
        frame_send(k->fd, LOOK_MESSAGE_WATCHING, -1, ERR_IGNORED);
    }
    ready_sleep(pause_ms);
}

/* A process that hangs in a dead file system would keep them open for their readers when the
 * command has long ended. */
static bool leave_standard_descriptors(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        fd = open("/", O_RDONLY | O_CLOEXEC); /* an empty root has no devices */
    if (fd < 0)
        return false;
    for (int standard = 0; standard <= STDERR_FILENO; standard++)
        while (dup2(fd, standard) < 0)
            if (errno != EINTR && errno != EBUSY)
                return false;
    if (fd > STDERR_FILENO)
        close(fd);
    return true;
}

int status_look_worker_run(int fd, void *ctx)
{
    struct look_place k = {.worker = ctx, .fd = fd};
    struct status_question question;

    if (!leave_standard_descriptors())
        return 1;
    while (frame_receive(fd, &k.in, NULL, ERR_IGNORED) == IO_DONE) {
        if (look_message_read_question(&question, buf_str(&k.in), ERR_IGNORED) != 0)
            break;
        pause_look(&k, question.pause_ms);
        answer_question(&k, &question);
    }
    lease_watch_deinit(&k.watch);
    buf_free(&k.config);
    buf_free(&k.folder);
    buf_free(&k.status_path);
    buf_free(&k.in);
    buf_free(&k.out);
    return 0;
}
