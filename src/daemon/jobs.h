/*
 * The table of what remote people asked for: one job per hash however many ask, uploads first come
 * first served. Pure logic: no descriptor, no clock, no process; whoever drives it takes jobs out
 * (jobs_next_…), reports what came of them, and sends the answers.
 *
 *     request ──► LOOKING ──► QUEUED ──► RUNNING ──► ended: all waiters are answered
 *                    └──► not found, failed │ ▲
 *                                           ▼ │
 *                                   RECALLED, READY
 *
 * An upload whose file's first bytes do not come for a while (tape, a dead server) is recalled, and
 * makes room for another one; when they came, it waits for room. Of such there are few: their
 * workers are processes that wait too.
 * A waiter gets the job's state at its own deadline, or at once when the job ends. A job that
 * ended is forgotten, so whoever asks again starts anew; only an end that nobody was waiting for is
 * kept for a while, for the next who asks.
 */
#ifndef DAEMON_JOBS_H
#define DAEMON_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha1.h"
#include "base/str.h"
#include "proto/message.h"

enum { JOBS_MAX = 16384, JOBS_MAX_WAITERS = 32768, JOBS_MAX_RECALLED = 8,
       JOBS_ASKER_BYTES = 63 };

struct jobs;

/* An answer; all of it is borrowed for the call. */
struct jobs_answer {
    struct str request_id, asker; /* asker: the address of who asked; empty: not known */
    const char *hash;
    struct str path; /* empty: not known */
    int64_t waited_ms;
    const struct upload_status *status;
};

struct jobs_options {
    unsigned max_running; /* at most JOBS_MAX_RECALLED more are with workers */
    int64_t recall_ms;    /* from the start to the first bytes */
    int64_t keep_result_ms;
    void (*answer)(void *owner, const struct jobs_answer *answer);
    void *owner;
};

/* Makes an empty table; the options are copied. NULL without memory. */
struct jobs *jobs_new(const struct jobs_options *options);

/* Tells nobody. NULL-safe. */
void jobs_free(struct jobs *jobs);

/* Sets the time of everything until the next call: clock_now_ms() and clock_wall_ms(). */
void jobs_set_time(struct jobs *jobs, int64_t now_ms, int64_t wall_ms);

/* Adds a request for `hash`, which waits until `deadline_ms`, of an `asker` (an address; may be
 * empty; cut to JOBS_ASKER_BYTES). ERR_TOO_LARGE, with words for the
 * requester, when JOBS_MAX or JOBS_MAX_WAITERS is reached; ERR_FAILED without memory. */
int jobs_request(struct jobs *jobs, const char hash[SHA1_HEX + 1], struct str request_id,
                 struct str asker, int64_t deadline_ms, struct err *e) ERR_CHECKED;

/* One job, on its way to a worker. The id is never used again. */
struct jobs_work {
    uint64_t id; /* below 2^53 */
    char hash[SHA1_HEX + 1];
    int64_t size; /* of an upload */
};

/* Takes the next job that no worker looks up yet; it then counts as given to one. Returns false
 * when there is none. */
bool jobs_next_lookup(struct jobs *jobs, struct jobs_work *out);

/* Takes the next upload while fewer than max_running run; it then runs. Returns false when there is
 * none. */
bool jobs_next_upload(struct jobs *jobs, struct jobs_work *out);

/* Notes that the first bytes of an upload's file are read. Returns whether the upload may go on;
 * else it waits (jobs_next_ready). */
bool jobs_begun(struct jobs *jobs, uint64_t id);

/* Takes the next upload that waited and may go on now. Called before jobs_next_upload. Returns
 * false when there is none. */
bool jobs_next_ready(struct jobs *jobs, uint64_t *id);

/* Remembers where the file of a job is, for its answers. Without memory that is not known. */
void jobs_set_path(struct jobs *jobs, uint64_t id, struct str path);

/* Returns the facts of a job that is with a worker, borrowed until the table changes: also where
 * its file is, and who asked for it first, which may be empty. */
struct jobs_facts {
    struct str hash, path, asker;
    int64_t size, running_ms;
};
struct jobs_facts jobs_facts(const struct jobs *jobs, uint64_t id);

/* Report a job's progress or end. An id that is not in that state (any more) is ignored. */
void jobs_found(struct jobs *jobs, uint64_t id, int64_t size);
void jobs_not_found(struct jobs *jobs, uint64_t id);
/* Reports progress. `bytes` may be less than before: the upload began anew. */
void jobs_progress(struct jobs *jobs, uint64_t id, int64_t bytes);
void jobs_completed(struct jobs *jobs, uint64_t id, int64_t size);
/* Ends a job by a failure. `reason` goes to the waiters (cut and cleaned to UTF-8 by the writer of
 * messages). */
void jobs_failed(struct jobs *jobs, uint64_t id, const char *reason);

/* Queues the upload of a lost worker again, before all others, under a new id. Returns false when
 * that happened to it before: it then stays as it is. */
bool jobs_retry(struct jobs *jobs, uint64_t id);

/* Answers whose deadline has come, forgets results that were kept long enough. */
void jobs_step(struct jobs *jobs);

/* Returns when jobs_step has to be called; CLOCK_NEVER_MS: never. */
int64_t jobs_next_ms(const struct jobs *jobs);

/* Drops all waiters, as their session is gone; the jobs go on. */
void jobs_forget_waiters(struct jobs *jobs);

/* Fails every job that does not run yet, or, with `also_running`, every job. */
void jobs_fail_all(struct jobs *jobs, bool also_running, const char *reason);

struct jobs_counts {
    size_t looking, queued, running, kept, waiters;
};
struct jobs_counts jobs_count(const struct jobs *jobs);

/* Walks over the running uploads: *cursor starts at 0. False at the end. */
struct jobs_running {
    char hash[SHA1_HEX + 1];
    int64_t size, bytes_uploaded, started_ms;
    int64_t bytes_per_s; /* over about the last second */
};
bool jobs_each_running(const struct jobs *jobs, size_t *cursor, struct jobs_running *out);

#endif
