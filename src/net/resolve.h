/*
 * Name look-ups with a deadline: getaddrinfo in a child process, since musl's blocks for seconds
 * when name servers are silent. Literals are answered at once, without a child.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "net/addr.h"
#include "proc/pollset.h"
#include "proc/process.h"

struct resolve {
    struct process process;
    struct addr_list found;
    bool is_found;
    int64_t deadline_ms;
    char host[256];
    uint16_t port;
    char endpoint[ADDR_MAX_ENDPOINT]; /* both, for messages */
};

/* Starts; 0 or -1 (host too long, no process). */
int resolve_start(struct resolve *r, struct str host, uint16_t port, int64_t deadline_ms,
                  struct err *e);

/* IO_DONE: *out has 1 to ADDR_MAX addresses. IO_WANT_READ. IO_ERR: ERR_NETWORK "cannot find the
 * address of HOST: …" or "name servers do not answer". */
enum io resolve_step(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e);

void resolve_poll(const struct resolve *r, struct pollset *set);

/* Ends the look-up, killing the child if there is one. Safe on zeros and when finished. */
void resolve_cancel(struct resolve *r);

#endif
