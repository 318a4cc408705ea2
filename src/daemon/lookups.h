/*
 * Finding out whether files are there, in worker processes: storage that hangs costs the lookups
 * that touch it, and nobody else's.
 *
 * One worker is active and gets all lookups, pipelined; it answers in order, so the first that is
 * not answered is the one that it is at. When that takes long, the worker is left alone with it and
 * another becomes active (what looks after each of them is proc/child.h):
 *
 *     active ──► slow (silent for slow_ms) ──► dying (lost_ms: answered "does not answer", killed)
 *                  └──► answered after all: ended
 *
 * At most LOOKUPS_MAX_SLOW workers are slow or cannot die; then lookups wait, and fail after
 * lost_ms.
 */
#ifndef DAEMON_LOOKUPS_H
#define DAEMON_LOOKUPS_H

#include <stdint.h>

#include "base/err.h"
#include "base/sha1.h"
#include "daemon/lookup_worker.h"
#include "loop/loop.h"
#include "proc/process.h"

enum { LOOKUPS_MAX_SLOW = 4, LOOKUPS_BATCH = 64, LOOKUPS_WINDOW = 256 };

struct lookups;

struct lookups_options {
    struct loop *loop;              /* borrowed */
    struct process_options process; /* process.run speaks lookup_worker.h's messages */
    int64_t slow_ms, lost_ms;
    /* `path` is borrowed, and empty unless the worker has_paths. */
    void (*on_found)(void *owner, uint64_t id, int64_t size, struct str path);
    /* `note` is for the host's log alone, and often NULL. */
    void (*on_absent)(void *owner, uint64_t id, const char *hash, const char *note);
    void (*on_failed)(void *owner, uint64_t id, const char *hash, const char *reason);
    /* The answer to lookups_add_file. */
    void (*on_file)(void *owner, uint64_t id, const char *hash, const struct lookup_result *file);
    void *owner;
};

/* Makes it without workers; the options are copied. NULL without memory. */
struct lookups *lookups_new(const struct lookups_options *options);

/* Kills the workers. NULL-safe. */
void lookups_free(struct lookups *l);

/* Starts the active worker if there is none: early, while this process is small. */
int lookups_start(struct lookups *l, struct err *e) ERR_CHECKED;

/* Adds one lookup; exactly one callback follows, later. All that are added in one round of the loop
 * go out together at its end. -1 without memory. */
int lookups_add(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1],
                struct err *e) ERR_CHECKED;

/* Adds a file that is to be read in parts in the same way: on_file follows. */
int lookups_add_file(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1],
                     struct err *e) ERR_CHECKED;

#endif
