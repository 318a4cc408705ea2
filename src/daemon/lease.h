/*
 * The lease: a folder beside the config whose record names the process that shares the resource, so
 * that two never do, on whichever hosts. Works on NFS, and on file systems that cache names and
 * sizes: it relies on that of several who create one name with O_EXCL or link(2) exactly one
 * succeeds, and on that a file that is opened anew shows what was written into it. File I/O, which
 * may hang: for the start and for the keeper, never for the supervisor's loop.
 *
 *     kachery-resource.lease/owner           the holder (lease_record.h), renewed in place
 *     kachery-resource.lease/after.TOKEN     its creator may write over the record of TOKEN
 *     kachery-resource.lease/after.TOKEN.1   ... if the creator of after.TOKEN has died, and so on
 *
 * lease_watch.h judges the holder, also for those who do not want the lease.
 */
#ifndef DAEMON_LEASE_H
#define DAEMON_LEASE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "daemon/intervals.h"
#include "daemon/lease_watch.h"

struct lease {
    char *folder;
    const char *config; /* the file beside it, which is there when a disk is mounted; borrowed */
    const struct intervals *intervals;
    struct lease_record self; /* as last written */
    struct lease_watch watch; /* of the holder that is not this process */
    struct lease_watch claim; /* of the taker that is before this process */
    char claimed[LEASE_TOKEN_DIGITS + 1]; /* the record that `claim` and dead_claims are about */
    unsigned dead_claims;
    dev_t device; /* of the file in which the record was last ours */
    ino_t inode;
    struct buf written; /* the record's bytes, as this process wrote them last */
};

/* Prepares to take the lease of that resource; ends with lease_deinit, also after a failure.
 * `intervals` is borrowed. The caller sets `config`, or leaves it NULL: without that file no lease
 * is made anew. */
int lease_init(struct lease *l, const char *folder, const char *resource,
               const struct intervals *intervals, struct err *e) ERR_CHECKED;
void lease_deinit(struct lease *l);

/* Makes the folder if it is missing. It names no hash, so all may read it; in a folder of a group,
 * each of its members may take over. */
int lease_make_folder(const char *folder, struct err *e) ERR_CHECKED;

/* Tries once to take the lease. 0: it is ours, or *again_ms is not 0: to be tried again after so
 * long. ERR_TAKEN: it is held; l->watch.record and the message say by which process. ERR_FAILED:
 * trouble with the storage, or the folder's lease is held for another resource. */
int lease_try(struct lease *l, int64_t *again_ms, struct err *e) ERR_CHECKED;

/* Takes the lease as lease_try does, and waits meanwhile. `on_watch` (may be NULL) is called once
 * if the holder has to be watched. The caller ends with lease_release. */
int lease_take(struct lease *l, void (*on_watch)(const struct lease_watch *watch),
               struct err *e) ERR_CHECKED;

/* Renews it, from this process or a child. *is_anew: the record, or its file, was not the one that
 * was last renewed: somebody deleted it or put another there. ERR_TAKEN: it is another's now, whom
 * the message names. ERR_NOT_FOUND: it was deleted, and this host does not see yet what is there
 * now; lease_try is for what follows. Any other error is trouble with the storage: try again. */
int lease_renew(struct lease *l, bool *is_anew, struct err *e) ERR_CHECKED;

/* Returns true when the record's file is another than that of the last renewal: it may be older
 * than that renewal. */
bool lease_is_elsewhere(const struct lease *l);

/* Gives it back. False when it is not ours any more. */
bool lease_release(const struct lease *l);

#endif
