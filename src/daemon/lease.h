/*
 * The lease: a folder beside the config that names the process which shares the resource, so that
 * two never do, on whichever hosts. Works on NFS: the only thing it relies on is that of several
 * who create one file with O_EXCL exactly one succeeds. File I/O, which may hang: for the start and
 * for the keeper, never for the supervisor's loop.
 *
 *     kachery-resource.lease/owner           who holds it; its mtime is renewed
 *     kachery-resource.lease/after.TOKEN     whoever created this may replace the owner TOKEN
 *
 * A holder of this host and this boot is judged by whether its process runs. Another one has gone
 * when it has not renewed the lease for `stale_ms`, by the clock of the file server.
 */
#ifndef DAEMON_LEASE_H
#define DAEMON_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define LEASE_FOLDER "kachery-resource.lease"

enum { LEASE_TOKEN_DIGITS = 32, LEASE_TEXT = 256 };

struct lease_holder {
    char resource[LEASE_TEXT];   /* "" when not known */
    char host[LEASE_TEXT];
    int64_t pid;
    int64_t pid_started;         /* clock ticks after boot, from /proc: numbers are used again */
    char boot[LEASE_TEXT];       /* this boot of this kernel; "" when not known */
    char pid_namespace[LEASE_TEXT];
    char token[LEASE_TOKEN_DIGITS + 1]; /* of this holding */
    int64_t since_ms;
};

struct lease {
    char *folder;
    struct lease_holder self;
    int64_t stale_ms;
};

/* Takes the lease of that resource for this process. ERR_TAKEN when it is held: *other and the
 * message say by whom. ERR_FAILED when it is held for another resource: one folder has one lease.
 * On success the caller ends with lease_release and lease_deinit. */
int lease_take(struct lease *l, const char *folder, const char *resource, int64_t stale_ms,
               struct lease_holder *other, struct err *e) ERR_CHECKED;

/* Renews it, from this process or a child. ERR_TAKEN: it is *other's now (this process was away
 * for too long). Any other error is trouble with the storage: try again. A lease that somebody
 * deleted is written anew. */
int lease_renew(const struct lease *l, struct lease_holder *other, struct err *e) ERR_CHECKED;

/* Gives it back. False when it is not ours any more. */
bool lease_release(const struct lease *l);
void lease_deinit(struct lease *l);

#endif
