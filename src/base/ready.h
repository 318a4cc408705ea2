/*
 * One descriptor, and time: whether it is ready now, waiting for it alone, sleeping. For processes
 * and moments that have no loop; waiting for more than one thing is loop/loop.h's. No other file
 * calls poll, select or epoll_wait (ci/layers.sh).
 */
#ifndef BASE_READY_H
#define BASE_READY_H

#include <stdint.h>

enum {
    READY_READ = 1,
    READY_WRITE = 2,
    READY_HANGUP = 4, /* the peer will send no more; only reported when wanted */
    READY_FAILED = 8  /* it failed, or is closed at both ends; always reported */
};

/* Returns which of `wanted`, and READY_FAILED, holds now; 0 for none, and when poll(2) failed.
 * Files and /dev/null are always ready. Never blocks. */
unsigned ready_look(int fd, unsigned wanted);

/* Waits until one of `wanted` or READY_FAILED holds, and returns which; 0 when `wait_ms` passed
 * (CLOCK_NEVER_MS: waits without a limit) or a signal handler ran. READY_FAILED also when poll(2)
 * fails. */
unsigned ready_wait(int fd, unsigned wanted, int64_t wait_ms);

/* Sleeps for `pause_ms`, or until a signal handler runs. */
void ready_sleep(int64_t pause_ms);

#endif
