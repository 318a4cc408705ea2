/*
 * In a worker process: how it has objects checked, which takes longer than a call may. The hub's
 * queue (check_queue.h) is asked over the worker's socket and answers there.
 */
#ifndef BUCKET_CHECK_ASKER_H
#define BUCKET_CHECK_ASKER_H

#include <stdint.h>

#include "base/str.h"
#include "bucket/checked.h"

enum { CHECK_MAX_CLIENT_BYTES = 64 };

/* An answer that is waited for, in the memory of its owner. */
struct check_wait {
    void (*on_checked)(struct check_wait *wait); /* it may free its memory */
    uint64_t id;
    struct check_wait *next;
};

struct check_asker {
    int fd; /* the worker's socket to the hub */
    uint64_t last_id;
    struct check_wait *first;
};

/* A check that a client asks for. `client` has at most CHECK_MAX_CLIENT_BYTES and no blank; `key`
 * is the object's, size_bytes its file's. */
struct check_request {
    struct str client;
    int64_t size_bytes;
    struct str key;
};

/* Asks the hub for a check. `wait` (NULL: no answer is wanted) is called back once, when the check
 * is done or takes too long. Returns 0, or -1 if the hub takes no request now: then no callback
 * comes. */
int check_asker_ask(struct check_asker *asker, const struct check_request *request,
                    struct check_wait *wait);

/* Drops the wait; its owner is not called any more. */
void check_asker_forget(struct check_asker *asker, struct check_wait *wait);

/* Takes the hub's answer to the request `id`. It is a crew_worker_options.on_checked; `owner` is
 * the struct check_asker. */
void check_asker_answered(void *owner, uint64_t id);

/* Appends the bytes of a request, for a frame. */
void check_request_put(struct buf *out, const struct check_request *request);

/* Parses the bytes of a request, from which *request borrows. Returns false when they are none. */
bool check_request_parse(struct str bytes, struct check_request *request);

#endif
