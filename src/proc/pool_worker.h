/* The pool's inside: jobs, and the workers that have them. Used by pool*.c alone. */
#ifndef PROC_POOL_WORKER_H
#define PROC_POOL_WORKER_H

#include "base/buf.h"
#include "base/io.h"
#include "proc/child.h"
#include "proc/pool.h"

enum { POOL_REASON_SIZE = CHILD_MAX_WORDS_BYTES + 32 };

struct pool_job {
    uint64_t id;
    struct pool_job *next;
    struct buf message;
    bool has_begun;    /* something was heard of it or told to it: never done twice */
    bool is_abandoned; /* its messages are dropped; it keeps its place */
    char lost[POOL_REASON_SIZE]; /* in the list of lost jobs: why */
    int64_t waiting_since_ms;
};

/* A list in order of arrival. */
struct pool_jobs {
    struct pool_job *first;
    size_t count;
};

void pool_jobs_append(struct pool_jobs *list, struct pool_job *job);
struct pool_job *pool_jobs_shift(struct pool_jobs *list);
struct pool_job *pool_jobs_find(const struct pool_jobs *list, uint64_t id);
void pool_jobs_remove(struct pool_jobs *list, struct pool_job *job);
void pool_jobs_free(struct pool_jobs *list);
struct pool_job *pool_job_new(uint64_t id, struct str message);
void pool_job_free(struct pool_job *job);

/* A frame that the socket did not take yet. */
struct pool_unsent {
    struct pool_unsent *next;
    struct buf text;
};

struct pool_worker {
    bool is_running;
    bool is_broken;  /* it takes nothing more: lost at the next step */
    bool has_hung_up, has_status; /* lost when its wait status is there, or CHILD_END_MS later */
    int status;
    int64_t hung_up_ms;
    uint64_t serial; /* differs for every process that ever had this place */
    struct process process;
    struct pool_jobs jobs;
    struct pool_unsent *unsent;
    size_t unsent_count;
    int64_t quiet_since_ms; /* last heard of, or given its first job */
    int64_t idle_since_ms;
    int64_t look_at_ms;     /* when it is next looked at whether the process is stopped */
    unsigned stopped_looks; /* in a row that found it stopped */
};

/* Sends a frame, or queues it behind those that wait. -1 without memory. A worker that is found
 * gone is broken then: it did not get the frame. */
int pool_worker_send(struct pool_worker *w, struct str text, struct err *e);

/* Sends what waits, as far as the socket takes it. */
void pool_worker_flush(struct pool_worker *w);

void pool_worker_free_unsent(struct pool_worker *w);

/* True when every job that it has was abandoned. */
bool pool_worker_is_useless(const struct pool_worker *w);

#endif
