/*
 * Finding out whether files are there, in worker processes: storage that hangs costs the lookups
 * that touch it, and nobody else's.
 *
 * One worker is active and gets all lookups, pipelined; it answers in order, so the first that is
 * not answered is the one that it is at. When that takes long, the worker is left alone with it and
 * another becomes active:
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
#include "proc/pollset.h"
#include "proc/process.h"

enum { LOOKUPS_MAX_SLOW = 4, LOOKUPS_BATCH = 64, LOOKUPS_WINDOW = 256 };

struct lookups;

struct lookups_options {
    /*
     * process.run: gets frames {"first":N,"hashes":["…",…]} and answers in order with frames
     * {"first":N,"found":[…]}, each for some of them: null is not there, a number the size, a text
     * why the file cannot be had, a text in an array why what is there does not count. It sends all
     * it has before it touches storage that may hang.
     */
    struct process_options process;
    int64_t slow_ms, lost_ms;
    void (*on_found)(void *owner, uint64_t id, int64_t size);
    /* `note` is for the host's log alone, and often NULL. */
    void (*on_absent)(void *owner, uint64_t id, const char *hash, const char *note);
    void (*on_failed)(void *owner, uint64_t id, const char *hash, const char *reason);
    void *owner;
};

struct lookups *lookups_new(const struct lookups_options *options);

/* Kills the workers. NULL-safe. */
void lookups_free(struct lookups *l);

/* Starts the active worker if there is none: early, while this process is small. */
int lookups_start(struct lookups *l, int64_t now_ms, struct err *e) ERR_CHECKED;

/* Adds one lookup; exactly one callback follows, from lookups_step or lookups_send. -1 without
 * memory. */
int lookups_add(struct lookups *l, uint64_t id, const char hash[SHA1_HEX + 1], int64_t now_ms,
                struct err *e) ERR_CHECKED;

void lookups_poll(const struct lookups *l, struct pollset *set);

/* Takes the answers and looks at the clock. */
void lookups_step(struct lookups *l, int64_t now_ms);

/* Gives to the active worker what was added: call it before every wait. */
void lookups_send(struct lookups *l, int64_t now_ms);

#endif
