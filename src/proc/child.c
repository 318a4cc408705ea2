#include "proc/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "proc/frame.h"

/* How many frames one child may bring in a round, that others get their turn. */
enum { FRAMES_PER_ROUND = 16 };

/* A child is killed when as many looks in a row find it stopped. Time alone would not do: after all
 * processes were stopped together, this one may be continued first. The looks begin a while behind
 * its last frame, so that one that reports often enough is never looked at. */
enum { STOPPED_LOOKS = 4 };

enum { SIGNAL_NAME_SIZE = 16, MAX_WHY = 112 };

/* A frame that the socket did not take yet. */
struct unsent {
    struct unsent *next;
    int fd; /* ours, or -1 */
    size_t len;
    char bytes[];
};

struct child {
    struct child_options options;
    struct process process;
    struct loop_fd source;
    struct loop_timer timer; /* the next of: ping, stuck, kill, a look, the end */
    struct buf in;
    struct unsent *unsent;
    size_t unsent_count;
    bool is_watched, is_stuck, was_killed, is_leaving;
    bool has_hung_up, has_status;
    bool has_ping_waiting; /* behind what is unsent */
    bool is_freed;         /* by a callback that runs */
    unsigned depth;        /* callbacks that run */
    int status;
    int64_t heard_ms;
    int64_t asked_ms; /* of the first ping that was not answered; CLOCK_NEVER_MS: none */
    int64_t ping_at_ms, look_at_ms, leave_at_ms, end_at_ms;
    int64_t starved_ms; /* since then a frame waits for memory; CLOCK_NEVER_MS: none does */
    unsigned stopped_looks;
    char why[MAX_WHY]; /* we killed it */
};

/* ---- words ---- */

static const struct {
    int number;
    const char *name;
} signal_names[] = {
    {SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
    {SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
    {SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
    {SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGSTOP, "SIGSTOP"},
    {SIGTSTP, "SIGTSTP"}, {SIGTTIN, "SIGTTIN"}, {SIGTTOU, "SIGTTOU"}, {SIGXCPU, "SIGXCPU"},
    {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"},
};

const char *child_signal_name(int number, char *out)
{
    snprintf(out, SIGNAL_NAME_SIZE, "signal %d", number);
    for (size_t i = 0; i < sizeof signal_names / sizeof signal_names[0]; i++)
        if (signal_names[i].number == number)
            snprintf(out, SIGNAL_NAME_SIZE, "%s", signal_names[i].name);
    return out;
}

static const char *explain_signal(int number, bool is_used_up)
{
    static const char used_up[] = ": the limit of processor time of this host (ulimit -t)";

    switch (is_used_up ? SIGXCPU : number) {
    case SIGKILL: return ": out of memory, or a limit of this host?";
    case SIGXCPU: return used_up;
    case SIGSYS: return ": a system call that this host forbids";
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV: return ": a fault of this program";
    default: return "";
    }
}

void child_put_status(int wait_status, char *out)
{
    char name[SIGNAL_NAME_SIZE];

    if (WIFSIGNALED(wait_status))
        snprintf(out, CHILD_MAX_WORDS_BYTES, "killed by %s%s",
                 child_signal_name(WTERMSIG(wait_status), name),
                 explain_signal(WTERMSIG(wait_status), (wait_status & PROCESS_USED_UP) != 0));
    else
        snprintf(out, CHILD_MAX_WORDS_BYTES, "ended with exit status %d",
                 WEXITSTATUS(wait_status));
}

/* A status that our own SIGKILL does not explain counts more than it. */
static void put_child_end(const struct child *child, char *out)
{
    bool is_ours = child->was_killed && (!child->has_status || (WIFSIGNALED(child->status) &&
                                                               WTERMSIG(child->status) == SIGKILL));

    if (is_ours)
        snprintf(out, CHILD_MAX_WORDS_BYTES, "killed: %s", child->why);
    else if (child->has_status)
        child_put_status(child->status, out);
    else
        snprintf(out, CHILD_MAX_WORDS_BYTES, "%s",
                 child->has_hung_up ? "closed its socket, and no exit status came"
                                    : "takes no messages");
}

static int64_t silent_since(const struct child *child)
{
    return child->options.policy.ping_ms > 0 ? child->asked_ms
           : child->is_watched               ? child->heard_ms
                                             : CLOCK_NEVER_MS;
}

void child_put_silence(const struct process *p, int64_t silent_ms, char *out)
{
    char name[SIGNAL_NAME_SIZE];
    int number = process_stop_signal(p);

    if (number != 0)
        snprintf(out, MAX_WHY, "stopped by %s", child_signal_name(number, name));
    else if (silent_ms < 10000)
        snprintf(out, MAX_WHY, "did not answer for %lld ms", (long long)silent_ms);
    else
        snprintf(out, MAX_WHY, "did not answer for %lld s", (long long)silent_ms / 1000);
}

static void put_silence(const struct child *child, int64_t now, char *out)
{
    child_put_silence(&child->process, now - silent_since(child), out);
}

/* ---- life and end ---- */

static void drop_first_unsent(struct child *child)
{
    struct unsent *item = child->unsent;

    child->unsent = item->next;
    child->unsent_count--;
    if (item->fd >= 0)
        close(item->fd);
    free(item);
}

/* Frees a child of which no callback runs. */
static void destroy_child(struct child *child)
{
    if (child->source.is_added)
        loop_remove(child->options.loop, &child->source);
    loop_clear_timer(child->options.loop, &child->timer);
    process_watch(&child->process, NULL, NULL);
    process_kill(&child->process);
    while (child->unsent != NULL)
        drop_first_unsent(child);
    buf_free(&child->in);
    free(child);
}

void child_free(struct child *child)
{
    if (child == NULL)
        return;
    child->is_freed = true;
    if (child->depth > 0)
        process_signal_kill(&child->process);
    else
        destroy_child(child);
}

/* A public call or a callback of the loop: the child may be freed inside. */
static void enter_child(struct child *child)
{
    child->depth++;
}

static void leave_child(struct child *child)
{
    if (--child->depth == 0 && child->is_freed)
        destroy_child(child);
}

static void emit_event(struct child *child, enum child_event event, const char *words)
{
    if (!child->is_freed)
        child->options.on_event(child->options.owner, event, words);
}

static void set_child_timer(struct child *child);

static void report_child_end(struct child *child)
{
    char words[CHILD_MAX_WORDS_BYTES];

    if (child->is_freed)
        return;
    put_child_end(child, words);
    emit_event(child, CHILD_ENDED, words);
    child->is_freed = true;
}

/* A sign of its end is there: the others are not waited for without a limit. */
static void expect_child_end(struct child *child)
{
    if (child->end_at_ms == CLOCK_NEVER_MS)
        child->end_at_ms = loop_now_ms(child->options.loop) + CHILD_END_MS;
    if (child->has_hung_up && child->source.is_added)
        loop_remove(child->options.loop, &child->source); /* it would be ready again and again */
    if (child->has_hung_up && !child->has_status)
        child->has_status = process_get_status(&child->process, &child->status);
    if (child->has_hung_up && child->has_status)
        report_child_end(child);
}

static void on_exit_status(void *owner, int wait_status)
{
    struct child *child = owner;

    enter_child(child);
    child->has_status = true;
    child->status = wait_status;
    expect_child_end(child);
    set_child_timer(child);
    leave_child(child);
}

/* The socket stays until it hangs up, so that it is known when the child is really gone. */
static void kill_now(struct child *child)
{
    char words[CHILD_MAX_WORDS_BYTES];

    if (child->was_killed || child->has_status)
        return;
    child->was_killed = child->is_stuck = true;
    process_signal_kill(&child->process);
    snprintf(words, sizeof words, "killed: %s", child->why);
    emit_event(child, CHILD_KILLED, words);
}

void child_kill(struct child *child, const char *why)
{
    enter_child(child);
    if (!child->was_killed)
        snprintf(child->why, sizeof child->why, "%.*s", MAX_WHY - 1, why);
    kill_now(child);
    set_child_timer(child);
    leave_child(child);
}

/* ---- frames that it sends ---- */

static void note_sign_of_life(struct child *child)
{
    child->heard_ms = loop_now_ms(child->options.loop);
    child->look_at_ms =
        child->heard_ms + child->options.policy.stopped_ms * (STOPPED_LOOKS - 1) / STOPPED_LOOKS;
    child->stopped_looks = 0;
    child->asked_ms = child->starved_ms = CLOCK_NEVER_MS;
    child->has_ping_waiting = false;
    if (!child->is_stuck || child->was_killed)
        return;
    child->is_stuck = false;
    emit_event(child, CHILD_ANSWERS, "answers again");
}

static void kill_for_reason(struct child *child, const char *why)
{
    if (child->is_freed || child->was_killed)
        return;
    snprintf(child->why, sizeof child->why, "%.*s", MAX_WHY - 1, why);
    kill_now(child);
}

/* A frame that finds no memory for long is lost with its child: no job is waited for for ever. */
static void await_memory(struct child *child, const char *why)
{
    int64_t now = loop_now_ms(child->options.loop);

    if (child->starved_ms == CLOCK_NEVER_MS)
        child->starved_ms = now;
    else if (now - child->starved_ms >= CHILD_MEMORY_MS)
        kill_for_reason(child, why);
}

/* One frame; false when there is none. */
static bool receive_one(struct child *child)
{
    struct err e = {0};
    int fd = -1;
    enum io io = frame_receive(child->process.fd, &child->in, &fd, &e);

    switch (io) {
    case IO_DONE: break;
    case IO_WANT_READ:
        if (e.code != ERR_NONE)
            await_memory(child, e.msg);
        return false;
    case IO_EOF:
        child->has_hung_up = true;
        expect_child_end(child);
        return false;
    default: kill_for_reason(child, e.msg); return false;
    }
    note_sign_of_life(child);
    if (child->is_freed || child->was_killed) {
        if (fd >= 0)
            close(fd); /* a killed child's messages are thrown away */
        return !child->is_freed;
    }
    if (!child->options.on_frame(child->options.owner, buf_str(&child->in), fd))
        kill_for_reason(child, "sent what is no message");
    return true;
}

/* ---- frames that it is sent ---- */

static void change_wanted(struct child *child)
{
    if (child->source.is_added)
        loop_change(child->options.loop, &child->source,
                    LOOP_READ |
                        (child->unsent != NULL || child->has_ping_waiting ? LOOP_WRITE : 0));
}

/* IO_EOF and IO_ERR: it will take nothing any more. */
static enum io send_frame(struct child *child, struct str frame, int pass_fd)
{
    enum io io = frame_send(child->process.fd, frame, pass_fd, ERR_IGNORED);

    if (io != IO_DONE && io != IO_WANT_WRITE)
        expect_child_end(child);
    return io;
}

static int queue_frame(struct child *child, struct str frame, int pass_fd, struct err *e)
{
    struct unsent **end = &child->unsent, *item;

    if (child->unsent_count >= CHILD_MAX_UNSENT)
        return err_set(e, ERR_TOO_LARGE, "%d messages wait for the process already",
                       CHILD_MAX_UNSENT);
    item = malloc(sizeof *item + frame.len);
    if (item == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    *item = (struct unsent){.fd = -1, .len = frame.len};
    memcpy(item->bytes, frame.p, frame.len);
    if (pass_fd >= 0 && (item->fd = fcntl(pass_fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        free(item);
        return err_set(e, ERR_FAILED, "no descriptor left for a message to another process");
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = item;
    child->unsent_count++;
    change_wanted(child);
    return 0;
}

int child_send(struct child *child, struct str frame, int pass_fd, struct err *e)
{
    enum io io = IO_WANT_WRITE;

    if (!child_takes_messages(child))
        return err_set(e, ERR_NOT_FOUND, "the process is gone");
    if (frame.len == 0 || frame.len > FRAME_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "message of %zu bytes to another process: want 1-%d",
                       frame.len, FRAME_MAX_BYTES);
    if (child->unsent == NULL)
        io = frame_send(child->process.fd, frame, pass_fd, e);
    if (io == IO_WANT_WRITE)
        return queue_frame(child, frame, pass_fd, e);
    if (io == IO_DONE)
        return 0;
    child->end_at_ms = loop_now_ms(child->options.loop) + CHILD_END_MS;
    set_child_timer(child);
    return io == IO_EOF ? err_set(e, ERR_NOT_FOUND, "the process is gone") : -1;
}

bool child_takes_messages(const struct child *child)
{
    return child->end_at_ms == CLOCK_NEVER_MS && !child->was_killed && !child->is_leaving;
}

bool child_takes_at_once(const struct child *child)
{
    return child->unsent == NULL && child_takes_messages(child);
}

static void finish_sending(struct child *child)
{
    if (child->has_ping_waiting && !child->is_leaving)
        child->has_ping_waiting = send_frame(child, child->options.ping, -1) == IO_WANT_WRITE;
    if (child->is_leaving)
        shutdown(child->process.fd, SHUT_WR);
}

static void flush_frames(struct child *child)
{
    while (child->unsent != NULL) {
        struct str frame = {child->unsent->bytes, child->unsent->len};
        enum io io = send_frame(child, frame, child->unsent->fd);
        if (io == IO_WANT_WRITE)
            return;
        drop_first_unsent(child);
        if (child->asked_ms != CLOCK_NEVER_MS)
            child->asked_ms = loop_now_ms(child->options.loop); /* it reads */
    }
    finish_sending(child);
    change_wanted(child);
    if (child->options.on_drained != NULL && child_takes_at_once(child))
        child->options.on_drained(child->options.owner);
}

static void on_socket_ready(void *owner)
{
    struct child *child = owner;
    unsigned ready = child->source.ready;

    enter_child(child);
    if ((ready & LOOP_WRITE) != 0)
        flush_frames(child);
    for (int i = 0; i < FRAMES_PER_ROUND && !child->is_freed && (ready & ~LOOP_WRITE) != 0; i++)
        if (!receive_one(child))
            break;
    set_child_timer(child);
    leave_child(child);
}

/* ---- time ---- */

/* A socket that is full is a reason to expect an answer, too. */
static void ping_child(struct child *child, int64_t now)
{
    child->ping_at_ms = now + child->options.policy.ping_ms;
    if (child->asked_ms != CLOCK_NEVER_MS)
        return;
    child->asked_ms = now;
    child->has_ping_waiting = child->unsent != NULL ||
                              send_frame(child, child->options.ping, -1) == IO_WANT_WRITE;
    change_wanted(child);
}

static bool is_due(int64_t at_ms, int64_t now)
{
    return at_ms != CLOCK_NEVER_MS && at_ms <= now;
}

static int64_t ping_at(const struct child *child)
{
    return child->options.policy.ping_ms > 0 && child->is_watched ? child->ping_at_ms
                                                                  : CLOCK_NEVER_MS;
}

static int64_t next_look_at(const struct child *child)
{
    return child->options.policy.stopped_ms > 0 && child->is_watched ? child->look_at_ms
                                                                     : CLOCK_NEVER_MS;
}

static int64_t stuck_at(const struct child *child)
{
    const struct child_policy *policy = &child->options.policy;
    int64_t since_ms = silent_since(child);

    return policy->stuck_ms == 0 || since_ms == CLOCK_NEVER_MS || child->is_stuck
               ? CLOCK_NEVER_MS
               : since_ms + policy->stuck_ms;
}

static int64_t kill_at(const struct child *child)
{
    const struct child_policy *policy = &child->options.policy;
    int64_t since_ms = silent_since(child);

    return !child->is_stuck || since_ms == CLOCK_NEVER_MS || policy->kill_ms == CLOCK_NEVER_MS
               ? CLOCK_NEVER_MS
               : since_ms + policy->stuck_ms + policy->kill_ms;
}

static void look_whether_stopped(struct child *child, int64_t now)
{
    char name[SIGNAL_NAME_SIZE];
    int number = process_stop_signal(&child->process);

    child->look_at_ms = now + child->options.policy.stopped_ms / STOPPED_LOOKS;
    child->stopped_looks = number != 0 ? child->stopped_looks + 1 : 0;
    if (child->stopped_looks < STOPPED_LOOKS)
        return;
    snprintf(child->why, sizeof child->why, "stopped by %s and not continued",
             child_signal_name(number, name));
    kill_now(child);
}

static void be_stuck(struct child *child, int64_t now)
{
    put_silence(child, now, child->why);
    child->is_stuck = true;
    emit_event(child, CHILD_STUCK, child->why);
}

static void on_silence(struct child *child, int64_t now)
{
    if (is_due(ping_at(child), now))
        ping_child(child, now);
    if (is_due(stuck_at(child), now))
        be_stuck(child, now);
    if (child->is_freed || child->was_killed)
        return;
    if (is_due(kill_at(child), now)) {
        put_silence(child, now, child->why);
        kill_now(child);
    } else if (is_due(next_look_at(child), now)) {
        look_whether_stopped(child, now);
    }
}

/* One of the signs of its end did not come: what is left of it is killed by child_free. */
static void end_without_sign(struct child *child)
{
    if (!child->has_status)
        child->has_status = process_get_status(&child->process, &child->status);
    report_child_end(child);
}

static void on_child_time(void *owner)
{
    struct child *child = owner;
    int64_t now = loop_now_ms(child->options.loop);

    enter_child(child);
    if (is_due(child->end_at_ms, now)) {
        end_without_sign(child);
    } else if (!child->was_killed) {
        on_silence(child, now);
        if (!child->is_freed && is_due(child->leave_at_ms, now))
            kill_for_reason(child, "did not leave when it was told to");
    }
    set_child_timer(child);
    leave_child(child);
}

static void set_child_timer(struct child *child)
{
    int64_t at_ms = child->end_at_ms;

    if (child->is_freed)
        return;
    if (!child->was_killed && at_ms == CLOCK_NEVER_MS) {
        at_ms = clock_earlier(ping_at(child), next_look_at(child));
        at_ms = clock_earlier(at_ms, stuck_at(child));
        at_ms = clock_earlier(at_ms, kill_at(child));
        at_ms = clock_earlier(at_ms, child->leave_at_ms);
    }
    loop_set_timer(child->options.loop, &child->timer, at_ms);
}

/* ---- what its owner calls ---- */

struct child *child_start(const struct child_options *options, struct err *e)
{
    struct child *child = calloc(1, sizeof *child);

    if (child == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    child->options = *options;
    child->heard_ms = loop_now_ms(options->loop);
    child->asked_ms = child->leave_at_ms = child->end_at_ms = child->starved_ms = CLOCK_NEVER_MS;
    child->timer = (struct loop_timer){.call = on_child_time, .owner = child};
    buf_reserve(&child->in, FRAME_MAX_BYTES);
    if (buf_check(&child->in, e) != 0 || process_start(&child->process, &options->process, e) != 0)
        goto failed;
    child->source =
        (struct loop_fd){.fd = child->process.fd, .call = on_socket_ready, .owner = child};
    if (loop_add(options->loop, &child->source, LOOP_READ, e) != 0)
        goto failed;
    process_watch(&child->process, on_exit_status, child);
    return child;
failed:
    child_free(child);
    return NULL;
}

void child_watch(struct child *child, bool is_watched)
{
    int64_t now = loop_now_ms(child->options.loop);

    if (is_watched && !child->is_watched) {
        child->heard_ms = now;
        child->ping_at_ms = now + child->options.policy.ping_ms;
        child->look_at_ms = now + child->options.policy.stopped_ms / STOPPED_LOOKS;
        child->stopped_looks = 0;
    }
    child->is_watched = is_watched;
    set_child_timer(child);
}

bool child_owes_answer(const struct child *child)
{
    return child->asked_ms != CLOCK_NEVER_MS;
}

bool child_is_stuck(const struct child *child)
{
    return child->is_stuck;
}

bool child_has_hung_up(const struct child *child)
{
    return child->has_hung_up;
}

bool child_ended_well(const struct child *child)
{
    return child->has_status && WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0;
}

bool child_was_killed(const struct child *child)
{
    return child->was_killed;
}

void child_leave(struct child *child, int64_t kill_at_ms)
{
    if (child->is_leaving)
        return;
    child->is_leaving = true;
    child->is_watched = false;
    if (!child->is_stuck)
        child->asked_ms = CLOCK_NEVER_MS; /* a ping after which the end comes needs no answer */
    child->leave_at_ms = kill_at_ms;
    if (child->unsent == NULL)
        shutdown(child->process.fd, SHUT_WR);
    set_child_timer(child);
}

pid_t child_pid(const struct child *child)
{
    return child->process.pid;
}
