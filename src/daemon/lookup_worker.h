/*
 * The lookup worker: stat(2) and link records, in a process of its own. It reads no data of any
 * file, opens no connection, does not fork, and talks to the supervisor alone: it gets questions
 * and answers in order, each answer for some of what was asked. Before it touches storage that may
 * hang it sends all that it has.
 */
#ifndef DAEMON_LOOKUP_WORKER_H
#define DAEMON_LOOKUP_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fields.h"
#include "base/json.h"
#include "proto/range_message.h"
#include "store/voucher.h"

/* Both messages: values of consecutive sequence numbers. */
struct lookup_message {
    int64_t first; /* the number of the first value */
    const struct json *values;
    bool is_spent; /* of an answer: the worker is to get no further question */
};

/* {"first":N,"hashes":["…",…]} and {"first":N,"isSpent":…,"found":[…]}, whose values are
 * lookup_results. Both arrays are written behind the members, with fields_put_members. A hash that
 * is asked for to be read in parts stands in an array of its own; its answer is an object
 * (lookup_file_fields). */
extern const struct field lookup_question_fields[], lookup_answer_fields[];

/* The result for one hash: null is not there, a number the size, a number and a path in an array
 * both, a text why the file cannot be had, a text in an array why what is there does not count. */
struct lookup_result {
    bool is_found;
    int64_t size;
    struct str path;    /* of what was found, where the worker has_paths; borrowed */
    const char *reason; /* why it cannot be had; NULL: it can, or is not there */
    const char *note;   /* when it is not there: why what is there does not count; may be NULL */
    bool is_file;       /* asked for to be read in parts: only the next ones and `reason` count */
    enum range_state state;
    int64_t file_size; /* -1: not known */
    char root[RANGE_ROOT_DIGITS + 1];
    char text[ERR_MESSAGE_SIZE]; /* lookup_result_read lets these point here */
};

/* Reads a result; its texts are copies inside of *result. Returns false when `value` is none. */
bool lookup_result_read(struct lookup_result *result, const struct json *value);
void lookup_result_put(struct buf *out, const struct lookup_result *result);

struct lookup_worker_options {
    struct vouchers vouchers;
    int64_t max_cpu_ms; /* after so much processor time it is spent */
    bool has_paths;     /* it answers with the paths of files, too */
};

/* Runs a worker: a process_options.run whose `ctx` is a struct lookup_worker_options. */
int lookup_worker_run(int fd, void *ctx);

#endif
