/*
 * Forked helper processes, each with one SOCK_SEQPACKET socket to its parent. Never exec'ed, no
 * threads; shared memory is hasher.h's alone.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* All zeros is a valid empty struct (a socket to a child is never descriptor 0). */
struct process {
    pid_t pid; /* 0: none */
    int fd;    /* our end, non-blocking, close-on-exec; 0 or -1: none */
};

struct process_options {
    const char *name; /* shown by ps, at most 15 bytes */
    /* The child's life: `fd` is its end (blocking). Its return value is the exit status. */
    int (*run)(int fd, void *ctx);
    void *ctx;
    const int *keep_fds; /* descriptors to keep open besides 0-2 and fd; at most PROCESS_MAX_KEPT */
    size_t keep_count;
    /* Address space that the child may map besides what is mapped at the fork (RLIMIT_AS);
     * 0: 128 MiB; SIZE_MAX: no limit. */
    size_t address_space_bytes;
    /* It signs, or reaches servers through HTTP proxies: it keeps the environment's private key and
     * proxies' passwords, which others lose (env_wipe_secrets). */
    bool asks_servers;
    int niceness; /* more than the parent's: who works hard leaves the processor to who answers */
};

enum {
    PROCESS_MAX_KEPT = 16,
    /* In a wait status, beside the bits of waitpid(2): SIGKILL came when the processor time that
     * the process may have (RLIMIT_CPU, the hard limit) was over. */
    PROCESS_USED_UP = 1 << 24
};

/*
 * Forks. The child: overwrites what secret.h knows and the secrets of the environment, closes every
 * other descriptor, resets signal handlers and mask, sets PDEATHSIG (SIGKILL; and checks for the
 * race), core limit 0, address space limit, descriptors raised to the hard limit; runs; _exit()s
 * without flushing the parent's stdio.
 * The child ignores SIGINT, SIGTERM, SIGHUP and SIGQUIT: sent to a whole group by a terminal or a
 * service manager, they are for the parent, which decides when its children end. It also ignores
 * SIGPIPE (sendfile has no MSG_NOSIGNAL) and SIGXFSZ (write then fails with EFBIG), and what
 * process_ignore_foreign_signals ignores.
 */
int process_start(struct process *p, const struct process_options *options, struct err *e);

/* Closes our end: a child that reads end of file ends by itself. `pid` stays, for process_kill.
 * Safe on an empty struct. */
void process_close(struct process *p);

/* Sends SIGKILL (never to a number that was reaped, which may be another process's by now), closes
 * our end and empties the struct. process_reap reaps the child, or the next process_start. */
void process_kill(struct process *p);

/* Sends SIGKILL alone. The socket stays and hangs up when the child is really gone, which is long
 * after when it sleeps uninterruptibly in a dead file system. */
void process_signal_kill(const struct process *p);

/* Returns the signal (SIGSTOP, SIGTSTP, a debugger's) by which the child is stopped; 0 when it is
 * not. Uses waitid with WSTOPPED and WNOWAIT: the result stays there for others. */
int process_stop_signal(const struct process *p);

/* Sets the call for the child's end: `on_end` gets its wait status, once, when the child is reaped
 * (see process_reap), also after process_close and process_kill. NULL: no call any more. It must
 * start and close nothing. */
void process_watch(const struct process *p, void (*on_end)(void *owner, int wait_status),
                   void *owner);

/* Returns true when the child has ended and sets *wait_status; it is then reaped, and on_end
 * will not be called. False while it runs, and when others have waited for it. */
bool process_get_status(const struct process *p, int *wait_status);

/* Reaps every child that ended (waitpid WNOHANG); returns how many. `on_exit` may be NULL. */
int process_reap(void (*on_exit)(void *ctx, pid_t pid, int wait_status), void *ctx);

/* Returns the processor time of the children that were not reaped yet, in ms. */
int64_t process_children_cpu_ms(void);

/* Ignores the signals that would end a process and mean nothing to any of ours (SIGUSR1, SIGALRM,
 * the real-time ones …): batch systems send them to every process of a job, as a warning. */
void process_ignore_foreign_signals(void);

/* Blocks the given signals and returns a non-blocking, close-on-exec signalfd for them, or -1. */
int process_signal_fd(const int *signals, size_t count, struct err *e);

/* Reads one signal number from a signalfd; 0 when there is none left. */
int process_next_signal(int fd);

#endif
