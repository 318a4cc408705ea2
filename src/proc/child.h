/*
 * One forked process under supervision: its frames, whether it answers, and the cause of its end in
 * words. Which jobs it gets is its owner's business. To kill, to give up and to report need no
 * memory: what they need is taken when the child is started.
 *
 *     RUNNING ──(silent for stuck_ms)──► STUCK ──(for kill_ms)──► KILLED ──► ENDED
 *        ▲                                 │     (stopped for stopped_ms,       ▲
 *        └────────(a frame comes)──────────┘      or what is no message)        │
 *        └──────────────────────(it ends by itself, or others kill it)──────────┘
 *
 * The end is reported when both are there, the end of file behind its last frame and its status
 * (whoever handles SIGCHLD calls process_reap), or CHILD_END_MS after the first of them.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proc/process.h"

enum {
    CHILD_END_MS = 1000,
    CHILD_MEMORY_MS = 1000,    /* a frame waits so long for memory: then the child is killed */
    CHILD_MAX_UNSENT = 64,     /* frames that wait for a socket that takes no more */
    CHILD_MAX_WORDS_BYTES = 160 /* of an event's words, with the NUL */
};

struct child;

enum child_event {
    CHILD_STUCK,   /* it is owed an answer for too long; it may still come back */
    CHILD_ANSWERS, /* and did */
    CHILD_KILLED,  /* by us; in a dead file system its end may come much later */
    CHILD_ENDED    /* the last event, also after CHILD_KILLED */
};

/* 0: never. The intervals count only while the child is watched (child_watch). */
struct child_policy {
    int64_t ping_ms;    /* it is asked that often whether it is there; 0: silence is the absence of
                           frames */
    int64_t stuck_ms;   /* silent for so long: stuck */
    int64_t kill_ms;    /* stuck for so long: killed; CLOCK_NEVER_MS: never */
    int64_t stopped_ms; /* stopped by a signal for about so long: killed */
};

struct child_options {
    struct loop *loop;
    struct process_options process;
    struct child_policy policy;
    struct str ping; /* the frame; borrowed for the child's life */
    /* One message; `frame` is borrowed until the return, `fd` is -1 or the callee's. False when it
     * is no message: the child is killed then. */
    bool (*on_frame)(void *owner, struct str frame, int fd);
    /* `words` are the cause of the event: "did not answer for 12 s", "stopped by SIGSTOP",
     * "killed by SIGKILL: …", "ended with exit status 1"; borrowed until the return. After
     * CHILD_ENDED the child is freed. */
    void (*on_event)(void *owner, enum child_event event, const char *words);
    void (*on_drained)(void *owner); /* no frame waits any more; may be NULL */
    void *owner;
};

/* Starts a child. NULL when it cannot be started. */
struct child *child_start(const struct child_options *options, struct err *e);

/* Kills it, or what is left of it, and forgets it: no callback follows. May be called inside of its
 * callbacks. NULL-safe. */
void child_free(struct child *child);

/* Sends a frame, or queues it (a copy of `pass_fd`, too; -1: none) behind those that wait. -1:
 * ERR_NOT_FOUND when it is gone, leaves or was killed, ERR_TOO_LARGE when CHILD_MAX_UNSENT frames
 * wait or this one is none, ERR_FAILED without memory or descriptor. */
int child_send(struct child *child, struct str frame, int pass_fd, struct err *e);

/* Returns true when the child takes messages and none waits to be sent. */
bool child_takes_at_once(const struct child *child);

/* Sets whether the child owes something (it has a job). A child that is not watched is left to
 * sleep once it has answered the last ping. */
void child_watch(struct child *child, bool is_watched);

/* Returns true when the child was asked for a sign of life and has not answered yet. */
bool child_owes_answer(const struct child *child);

bool child_is_stuck(const struct child *child); /* also when it was killed */
bool child_was_killed(const struct child *child);

/* Returns false when the child is known to be gone, leaves or was killed: it gets nothing any
 * more. */
bool child_takes_messages(const struct child *child);

/* Returns true when the end of file behind the child's last frame is there: the child is gone, or
 * as good as. */
bool child_has_hung_up(const struct child *child);

/* Returns true when the child ended with exit status 0. */
bool child_ended_well(const struct child *child);

/* Lets it end by itself: it reads the end of file behind what it was sent, and is killed at
 * `kill_at_ms` (CLOCK_NEVER_MS: never). */
void child_leave(struct child *child, int64_t kill_at_ms);

/* Sends SIGKILL now; `why` completes "killed: …" and is cut to fit. */
void child_kill(struct child *child, const char *why);

/* Returns the process number. */
pid_t child_pid(const struct child *child);

/* Writes the words for a wait status, e.g. "killed by SIGKILL: out of memory, or a limit of this
 * host?"; `out` has CHILD_MAX_WORDS_BYTES. */
void child_put_status(int wait_status, char *out);

/* Writes the words for a child that has been silent for `silent_ms`: "did not answer for 12 s", or
 * by which signal it is stopped. `out` has CHILD_MAX_WORDS_BYTES. */
void child_put_silence(const struct process *p, int64_t silent_ms, char *out);

/* Returns `out`, which has 16 bytes, with "SIGKILL", or "signal 34" for a signal without a name. */
const char *child_signal_name(int number, char *out);

#endif
