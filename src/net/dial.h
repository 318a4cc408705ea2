/*
 * Connecting to host:port with a deadline: look-up, then all addresses raced with a head start of
 * 250 ms each (RFC 8305 §5).
 *     RESOLVE ──► RACE ──► connected
 */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/resolve.h"

enum { DIAL_STAGGER_MS = 250, DIAL_TIMEOUT_MS = 20000 };

struct dial;

struct dial_attempt {
    struct dial *dial;
    int fd; /* -1: not started or failed */
    struct loop_fd source;
    bool is_ready; /* connected or failed */
};

struct dial {
    struct loop_wake wake;
    struct loop_timer alarm;
    struct resolve resolve;
    bool is_racing;
    struct addr_list addrs;
    struct dial_attempt attempts[ADDR_MAX];
    size_t started;
    int64_t begun_ms, next_start_ms, deadline_ms;
    int last_errno; /* the most telling failure so far; 0: none */
};

/* Starts to dial. The deadline is of the whole dial, look-up included (clock_now_ms());
 * CLOCK_NEVER_MS means DIAL_TIMEOUT_MS from now. -1: host too long, no process for the look-up. `d`
 * stays where it is until dial_cancel. */
int dial_start(struct dial *d, const struct loop_wake *wake, struct str host, uint16_t port,
               int64_t deadline_ms, struct err *e);

/* Goes on as far as it can. IO_DONE: *fd is a connected, non-blocking, close-on-exec socket
 * (TCP_NODELAY, keep-alive) that the caller owns. IO_WANT_WRITE/IO_WANT_READ: `wake` comes. IO_ERR:
 * ERR_NETWORK naming host, port and cause ("Connection refused", "no answer within 20 s");
 * ERR_FAILED when this host cannot open or watch a socket. */
enum io dial_step(struct dial *d, int64_t now_ms, int *fd, struct err *e);

/* Closes everything still open. Safe on zeros and when finished. */
void dial_cancel(struct dial *d);

#endif
