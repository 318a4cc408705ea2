/*
 * Name look-ups with a deadline: getaddrinfo in a child process, since musl's blocks for seconds
 * when name servers are silent. Literals are answered at once, without a child.
 *
 * musl's look-up of all addresses fails as a whole when the question for IPv6 addresses alone is
 * not answered, or answered with an error, as some firewalls and name servers do. So a second child
 * asks for IPv4 addresses alone when the first has failed or takes long.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "loop/loop.h"
#include "proto/addr.h"

enum {
    RESOLVE_SECOND_MS = 300, /* when the second child begins */
    RESOLVE_MAX_REASON_BYTES = 192
};

struct child;
struct resolve;

/* One child's look-up. */
struct resolve_asker {
    struct resolve *resolve;
    struct child *child; /* NULL: not started, or over */
    bool has_failed;     /* it found nothing, for that `reason` */
    bool is_lost;        /* its process ended without an answer */
    char reason[RESOLVE_MAX_REASON_BYTES];
};

struct resolve {
    struct loop_wake wake;
    struct loop_call turn; /* a step is due */
    struct loop_timer alarm;
    struct resolve_asker first, second;
    struct addr_list found;
    bool is_found, has_second;
    int64_t second_ms, deadline_ms; /* clock_now_ms() */
    char host[256];
    uint16_t port;
    char endpoint[ADDR_MAX_ENDPOINT]; /* both, for messages */
};

/* Starts a look-up. -1 when the host is too long, no process can be started or watched. The struct
 * stays where it is until it is finished or cancelled. */
int resolve_start(struct resolve *r, const struct loop_wake *wake, struct str host, uint16_t port,
                  int64_t deadline_ms, struct err *e);

/* Goes on as far as it can. IO_DONE: *out has 1 to ADDR_MAX addresses. IO_WANT_READ: `wake` comes.
 * IO_ERR: "cannot find the address of HOST: …" with the reason; ERR_NO_HOST when the name servers
 * say that there is none, else ERR_NETWORK. */
enum io resolve_step(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e);

/* Ends the look-up, killing the child if there is one. Safe on zeros and when finished. */
void resolve_cancel(struct resolve *r);

#endif
