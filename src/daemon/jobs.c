#include "daemon/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "daemon/waiters.h"

enum { SLOTS = 65536, BUCKETS = 4096, FIRST_SLOTS = 64, MAX_REASON_BYTES = 512,
       RATE_MS = 1000 };

/* From RUNNING to READY: with a worker. */
enum state { WANTED, LOOKING, QUEUED, RUNNING, RECALLED, READY, KEPT, STATES };

struct resource_job {
    struct resource_job *previous, *next; /* among those of the same state, first come first */
    struct resource_job *next_in_bucket;
    enum state state;
    bool was_retried;
    bool has_begun;         /* the first bytes are read */
    int64_t recalled_at_ms; /* without them */
    uint64_t id; /* serial * SLOTS + slot */
    char hash[SHA1_HEX + 1];
    struct upload_status status; /* the waiters' answer; status.error is `reason` */
    int64_t marked_ms, marked_bytes, bytes_per_s; /* its rate, from RATE_MS to RATE_MS */
    char *reason;
    char *path;                         /* of the file; NULL: not known */
    char asker[JOBS_ASKER_BYTES + 1];   /* of the first request */
    int64_t kept_until_ms;
    struct waiter_list waiters;
};

struct job_list {
    struct resource_job *first, *last;
    size_t count;
};

struct jobs {
    struct jobs_options options;
    int64_t now_ms, wall_ms;
    uint64_t seed, serial;
    struct job_list lists[STATES];
    struct resource_job **slots; /* by the low part of an id; NULL: free */
    uint32_t *free_slots;
    size_t slot_cap, free_count;
    struct waiters waiters;
    struct resource_job *buckets[BUCKETS];
};

struct jobs *jobs_new(const struct jobs_options *options)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);

    if (jobs == NULL)
        return NULL;
    jobs->options = *options;
    random_bytes(&jobs->seed, sizeof jobs->seed);
    return jobs;
}

void jobs_set_time(struct jobs *jobs, int64_t now_ms, int64_t wall_ms)
{
    jobs->now_ms = now_ms;
    jobs->wall_ms = wall_ms;
}

/* Strangers choose the hashes: which of them share a bucket depends on a secret. */
static struct resource_job **bucket_of(struct jobs *jobs, const char *hash)
{
    uint64_t mix = jobs->seed, word;

    for (size_t i = 0; i < SHA1_HEX; i += sizeof word) {
        memcpy(&word, hash + i, sizeof word);
        mix = (mix ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        mix ^= mix >> 29;
    }
    return &jobs->buckets[mix % BUCKETS];
}

static struct resource_job *find_job_by_hash(struct jobs *jobs, const char *hash)
{
    struct resource_job *job = *bucket_of(jobs, hash);

    while (job != NULL && memcmp(job->hash, hash, SHA1_HEX) != 0)
        job = job->next_in_bucket;
    return job;
}

static struct resource_job *find_job_by_id(const struct jobs *jobs, uint64_t id, enum state state)
{
    size_t slot = (size_t)(id % SLOTS);
    struct resource_job *job = slot < jobs->slot_cap ? jobs->slots[slot] : NULL;

    return job != NULL && job->id == id && job->state == state ? job : NULL;
}

/* Finds a job that is with a worker. */
static struct resource_job *find_given_job(const struct jobs *jobs, uint64_t id)
{
    struct resource_job *job = NULL;

    for (int state = RUNNING; state <= READY && job == NULL; state++)
        job = find_job_by_id(jobs, id, (enum state)state);
    return job;
}

static void leave_list(struct jobs *jobs, struct resource_job *job)
{
    struct job_list *list = &jobs->lists[job->state];

    *(job->previous == NULL ? &list->first : &job->previous->next) = job->next;
    *(job->next == NULL ? &list->last : &job->next->previous) = job->previous;
    job->previous = job->next = NULL;
    list->count--;
}

static void enter_list(struct jobs *jobs, struct resource_job *job, enum state state, bool is_first)
{
    struct job_list *list = &jobs->lists[state];

    job->state = state;
    job->previous = is_first ? NULL : list->last;
    job->next = is_first ? list->first : NULL;
    *(job->previous == NULL ? &list->first : &job->previous->next) = job;
    *(job->next == NULL ? &list->last : &job->next->previous) = job;
    list->count++;
}

static void move_to(struct jobs *jobs, struct resource_job *job, enum state state)
{
    leave_list(jobs, job);
    enter_list(jobs, job, state, false);
}

static bool grow_slots(struct jobs *jobs)
{
    size_t cap = jobs->slot_cap == 0 ? FIRST_SLOTS : jobs->slot_cap * 2;
    struct resource_job **slots = realloc(jobs->slots, cap * sizeof(struct resource_job *));

    if (slots == NULL)
        return false;
    jobs->slots = slots;
    uint32_t *free_slots = realloc(jobs->free_slots, cap * sizeof *free_slots);
    if (free_slots == NULL)
        return false;
    jobs->free_slots = free_slots;
    for (size_t slot = cap; slot > jobs->slot_cap; slot--) {
        slots[slot - 1] = NULL;
        free_slots[jobs->free_count++] = (uint32_t)(slot - 1);
    }
    jobs->slot_cap = cap;
    return true;
}

static void remove_resource_job(struct jobs *jobs, struct resource_job *job)
{
    struct resource_job **link = bucket_of(jobs, job->hash);
    size_t slot = (size_t)(job->id % SLOTS);

    while (job->waiters.first != NULL)
        waiters_remove(&jobs->waiters, job->waiters.first);
    while (*link != job)
        link = &(*link)->next_in_bucket;
    *link = job->next_in_bucket;
    leave_list(jobs, job);
    jobs->slots[slot] = NULL;
    jobs->free_slots[jobs->free_count++] = (uint32_t)slot;
    free(job->reason);
    free(job->path);
    free(job);
}

static size_t count_all_jobs(const struct jobs *jobs)
{
    size_t count = 0;

    for (int state = 0; state < STATES; state++)
        count += jobs->lists[state].count;
    return count;
}

static struct resource_job *add_resource_job(struct jobs *jobs, const char *hash, struct err *e)
{
    if (count_all_jobs(jobs) >= JOBS_MAX && jobs->lists[KEPT].first != NULL)
        remove_resource_job(jobs, jobs->lists[KEPT].first);
    if (count_all_jobs(jobs) >= JOBS_MAX) {
        err_set(e, ERR_TOO_LARGE, "the resource is busy: %d files are asked for; ask again later",
                JOBS_MAX);
        return NULL;
    }
    struct resource_job *job = calloc(1, sizeof *job);
    if (job == NULL || (jobs->free_count == 0 && !grow_slots(jobs))) {
        free(job);
        err_set(e, ERR_FAILED, "the resource is out of memory; ask again later");
        return NULL;
    }
    uint32_t slot = jobs->free_slots[--jobs->free_count];
    struct resource_job **bucket = bucket_of(jobs, hash);
    job->id = ++jobs->serial * SLOTS + slot;
    job->next_in_bucket = *bucket;
    job->waiters.owner = job;
    memcpy(job->hash, hash, SHA1_HEX + 1);
    job->status = message_status(UPLOAD_QUEUED);
    job->status.requested_ms = jobs->wall_ms;
    *bucket = jobs->slots[slot] = job;
    enter_list(jobs, job, WANTED, false);
    return job;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    for (int state = 0; state < STATES; state++)
        while (jobs->lists[state].first != NULL)
            remove_resource_job(jobs, jobs->lists[state].first);
    waiters_deinit(&jobs->waiters);
    free(jobs->slots);
    free(jobs->free_slots);
    free(jobs);
}

static void answer_request(struct jobs *jobs, const struct resource_job *job,
                           struct jobs_answer answer)
{
    answer.hash = job->hash;
    answer.path = str_of(job->path);
    answer.status = &job->status;
    jobs->options.answer(jobs->options.owner, &answer);
}

static void answer_waiter(struct jobs *jobs, struct resource_job *job, struct waiter *waiter)
{
    answer_request(jobs, job,
                   (struct jobs_answer){.request_id = {waiter->id, waiter->id_len},
                                        .asker = waiter_asker(waiter),
                                        .waited_ms = jobs->now_ms - waiter->asked_ms});
    waiters_remove(&jobs->waiters, waiter);
}

int jobs_request(struct jobs *jobs, const char hash[SHA1_HEX + 1], struct str request_id,
                 struct str asker, int64_t deadline_ms, struct err *e)
{
    struct resource_job *job = find_job_by_hash(jobs, hash);
    const struct waiter_request request = {.id = request_id,
                                           .asker = str_slice(asker, 0, JOBS_ASKER_BYTES),
                                           .asked_ms = jobs->now_ms,
                                           .deadline_ms = deadline_ms};
    bool is_new = job == NULL;

    if (job != NULL && job->state == KEPT) {
        answer_request(jobs, job,
                       (struct jobs_answer){.request_id = request_id, .asker = request.asker});
        remove_resource_job(jobs, job);
        return 0;
    }
    if (jobs->waiters.count >= JOBS_MAX_WAITERS)
        return err_set(e, ERR_TOO_LARGE,
                       "the resource is busy: %d requests are waiting; ask again later",
                       JOBS_MAX_WAITERS);
    if (is_new && (job = add_resource_job(jobs, hash, e)) == NULL)
        return -1;
    if (is_new)
        snprintf(job->asker, sizeof job->asker, "%.*s", STR_ARG(request.asker));
    if (waiters_add(&jobs->waiters, &job->waiters, &request))
        return 0;
    if (is_new)
        remove_resource_job(jobs, job);
    return err_set(e, ERR_FAILED, "the resource is out of memory; ask again later");
}

static void fill_work(const struct resource_job *job, struct jobs_work *out)
{
    out->id = job->id;
    out->size = job->status.size;
    memcpy(out->hash, job->hash, sizeof out->hash);
}

bool jobs_next_lookup(struct jobs *jobs, struct jobs_work *out)
{
    struct resource_job *job = jobs->lists[WANTED].first;

    if (job == NULL)
        return false;
    move_to(jobs, job, LOOKING);
    fill_work(job, out);
    return true;
}

bool jobs_next_upload(struct jobs *jobs, struct jobs_work *out)
{
    struct resource_job *job = jobs->lists[QUEUED].first;

    if (job == NULL || jobs->lists[RUNNING].count >= jobs->options.max_running)
        return false;
    move_to(jobs, job, RUNNING);
    job->has_begun = false;
    job->recalled_at_ms = jobs->now_ms + jobs->options.recall_ms;
    job->status.state = UPLOAD_RUNNING;
    job->status.started_ms = jobs->wall_ms;
    job->status.bytes_uploaded = 0;
    job->marked_ms = jobs->now_ms;
    job->marked_bytes = job->bytes_per_s = 0;
    fill_work(job, out);
    return true;
}

bool jobs_begun(struct jobs *jobs, uint64_t id)
{
    struct resource_job *job = find_given_job(jobs, id);

    if (job != NULL && job->state == RECALLED)
        move_to(jobs, job, READY);
    if (job != NULL)
        job->has_begun = true;
    return job != NULL && job->state == RUNNING;
}

bool jobs_next_ready(struct jobs *jobs, uint64_t *id)
{
    struct resource_job *job = jobs->lists[READY].first;

    if (job == NULL || jobs->lists[RUNNING].count >= jobs->options.max_running)
        return false;
    move_to(jobs, job, RUNNING);
    *id = job->id;
    return true;
}

/* The next whose first bytes are late, if it may be recalled. */
static struct resource_job *next_recall(const struct jobs *jobs)
{
    struct resource_job *next = NULL;

    if (jobs->lists[RECALLED].count + jobs->lists[READY].count >= JOBS_MAX_RECALLED)
        return NULL;
    for (struct resource_job *job = jobs->lists[RUNNING].first; job != NULL; job = job->next)
        if (!job->has_begun && (next == NULL || job->recalled_at_ms < next->recalled_at_ms))
            next = job;
    return next;
}

/* Answers the waiters whose time was up while the file was still being looked for. */
static void answer_late(struct jobs *jobs, struct resource_job *job)
{
    struct waiter *next;

    for (struct waiter *waiter = job->waiters.first; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (waiter->heap_index == 0)
            answer_waiter(jobs, job, waiter);
    }
}

void jobs_set_path(struct jobs *jobs, uint64_t id, struct str path)
{
    struct resource_job *job = find_job_by_id(jobs, id, LOOKING);

    if (job == NULL || path.len == 0)
        return;
    free(job->path);
    job->path = strndup(path.p, path.len);
}

struct jobs_facts jobs_facts(const struct jobs *jobs, uint64_t id)
{
    const struct resource_job *job = find_given_job(jobs, id);

    if (job == NULL)
        return (struct jobs_facts){.size = MESSAGE_ABSENT};
    return (struct jobs_facts){.hash = str_of(job->hash),
                               .path = str_of(job->path),
                               .asker = str_of(job->asker),
                               .size = job->status.size,
                               .running_ms = jobs->wall_ms - job->status.started_ms};
}

void jobs_found(struct jobs *jobs, uint64_t id, int64_t size)
{
    struct resource_job *job = find_job_by_id(jobs, id, LOOKING);

    if (job == NULL)
        return;
    job->status.size = size;
    move_to(jobs, job, QUEUED);
    answer_late(jobs, job);
}

/* Tells every waiter; whether there was one. */
static bool answer_all(struct jobs *jobs, struct resource_job *job)
{
    bool was_told = job->waiters.first != NULL;

    while (job->waiters.first != NULL)
        answer_waiter(jobs, job, job->waiters.first);
    return was_told;
}

void jobs_not_found(struct jobs *jobs, uint64_t id)
{
    struct resource_job *job = find_job_by_id(jobs, id, LOOKING);

    if (job == NULL)
        return;
    job->status = message_status(UPLOAD_NOT_FOUND);
    answer_all(jobs, job);
    remove_resource_job(jobs, job);
}

/* Returns the rate since the mark; 0 when the upload began anew. */
static int64_t rate_since_mark(const struct jobs *jobs, const struct resource_job *job)
{
    int64_t bytes = job->status.bytes_uploaded - job->marked_bytes;
    int64_t ms = jobs->now_ms - job->marked_ms;

    return bytes <= 0 || ms <= 0 ? 0 : (int64_t)((double)bytes * 1000 / (double)ms);
}

void jobs_progress(struct jobs *jobs, uint64_t id, int64_t bytes)
{
    struct resource_job *job = find_given_job(jobs, id);

    if (job == NULL || bytes < 0 || bytes > job->status.size)
        return;
    job->status.bytes_uploaded = bytes;
    if (jobs->now_ms - job->marked_ms < RATE_MS && bytes >= job->marked_bytes)
        return;
    job->bytes_per_s = rate_since_mark(jobs, job);
    job->marked_ms = jobs->now_ms;
    job->marked_bytes = bytes;
}

static void end_resource_job(struct jobs *jobs, struct resource_job *job, enum upload_state state)
{
    job->status.state = state;
    job->status.completed_ms = jobs->wall_ms;
    if (answer_all(jobs, job)) {
        remove_resource_job(jobs, job);
        return;
    }
    job->kept_until_ms = jobs->now_ms + jobs->options.keep_result_ms;
    move_to(jobs, job, KEPT);
}

void jobs_completed(struct jobs *jobs, uint64_t id, int64_t size)
{
    struct resource_job *job = find_given_job(jobs, id);

    if (job == NULL)
        return;
    job->status.size = job->status.bytes_uploaded = size;
    end_resource_job(jobs, job, UPLOAD_COMPLETED);
}

static void fail_job(struct jobs *jobs, struct resource_job *job, const char *reason)
{
    free(job->reason);
    job->reason = strndup(reason, MAX_REASON_BYTES);
    job->status.error = job->reason == NULL ? STR("it failed") : str_of(job->reason);
    end_resource_job(jobs, job, UPLOAD_ERROR);
}

void jobs_failed(struct jobs *jobs, uint64_t id, const char *reason)
{
    struct resource_job *job = find_job_by_id(jobs, id, LOOKING);

    if (job == NULL)
        job = find_given_job(jobs, id);
    if (job != NULL)
        fail_job(jobs, job, reason);
}

bool jobs_retry(struct jobs *jobs, uint64_t id)
{
    struct resource_job *job = find_given_job(jobs, id);

    if (job == NULL || job->was_retried)
        return false;
    job->was_retried = true;
    job->id = ++jobs->serial * SLOTS + job->id % SLOTS;
    job->status.state = UPLOAD_QUEUED;
    job->status.started_ms = job->status.bytes_uploaded = MESSAGE_ABSENT;
    leave_list(jobs, job);
    enter_list(jobs, job, QUEUED, true);
    return true;
}

void jobs_step(struct jobs *jobs)
{
    struct waiter *waiter;

    for (struct resource_job *job;
         (job = next_recall(jobs)) != NULL && job->recalled_at_ms <= jobs->now_ms;)
        move_to(jobs, job, RECALLED);
    while ((waiter = waiters_take_due(&jobs->waiters, jobs->now_ms)) != NULL) {
        struct resource_job *job = waiter->list->owner;
        if (job->state >= QUEUED && job->state <= READY)
            answer_waiter(jobs, job, waiter);
    }
    while (jobs->lists[KEPT].first != NULL &&
           jobs->lists[KEPT].first->kept_until_ms <= jobs->now_ms)
        remove_resource_job(jobs, jobs->lists[KEPT].first);
}

int64_t jobs_next_ms(const struct jobs *jobs)
{
    const struct resource_job *kept = jobs->lists[KEPT].first, *recalled = next_recall(jobs);
    int64_t next_ms = waiters_next_ms(&jobs->waiters);

    if (kept != NULL)
        next_ms = clock_earlier(next_ms, kept->kept_until_ms);
    return recalled == NULL ? next_ms : clock_earlier(next_ms, recalled->recalled_at_ms);
}

void jobs_forget_waiters(struct jobs *jobs)
{
    for (int state = 0; state < STATES; state++)
        for (struct resource_job *job = jobs->lists[state].first; job != NULL; job = job->next)
            while (job->waiters.first != NULL)
                waiters_remove(&jobs->waiters, job->waiters.first);
}

void jobs_fail_all(struct jobs *jobs, bool also_running, const char *reason)
{
    for (int state = WANTED; state <= (also_running ? READY : QUEUED); state++)
        while (jobs->lists[state].first != NULL)
            fail_job(jobs, jobs->lists[state].first, reason);
}

struct jobs_counts jobs_count(const struct jobs *jobs)
{
    return (struct jobs_counts){
        .looking = jobs->lists[WANTED].count + jobs->lists[LOOKING].count,
        .queued = jobs->lists[QUEUED].count,
        .running = jobs->lists[RUNNING].count + jobs->lists[RECALLED].count +
                   jobs->lists[READY].count,
        .kept = jobs->lists[KEPT].count,
        .waiters = jobs->waiters.count,
    };
}

bool jobs_each_running(const struct jobs *jobs, size_t *cursor, struct jobs_running *out)
{
    const struct resource_job *job = NULL;
    size_t before = *cursor;

    for (int state = RUNNING; state <= READY && job == NULL; state++)
        for (job = jobs->lists[state].first; job != NULL && before > 0; before--)
            job = job->next;
    if (job == NULL)
        return false;
    ++*cursor;
    *out = (struct jobs_running){.size = job->status.size,
                                 .bytes_uploaded = job->status.bytes_uploaded,
                                 .started_ms = job->status.started_ms,
                                 .bytes_per_s = job->bytes_per_s};
    if (jobs->now_ms - job->marked_ms >= 2 * RATE_MS || out->bytes_per_s == 0)
        out->bytes_per_s = rate_since_mark(jobs, job); /* it began just now, or stalls */
    memcpy(out->hash, job->hash, sizeof out->hash);
    return true;
}
