#include "proc/pool_worker.h"

#include <stdlib.h>

#include "proc/frame.h"

void pool_jobs_append(struct pool_jobs *list, struct pool_job *job)
{
    struct pool_job **end = &list->first;

    while (*end != NULL)
        end = &(*end)->next;
    *end = job;
    job->next = NULL;
    list->count++;
}

struct pool_job *pool_jobs_shift(struct pool_jobs *list)
{
    struct pool_job *job = list->first;

    if (job != NULL) {
        list->first = job->next;
        list->count--;
    }
    return job;
}

struct pool_job *pool_jobs_find(const struct pool_jobs *list, uint64_t id)
{
    struct pool_job *job = list->first;

    while (job != NULL && job->id != id)
        job = job->next;
    return job;
}

void pool_jobs_remove(struct pool_jobs *list, struct pool_job *job)
{
    for (struct pool_job **at = &list->first; *at != NULL; at = &(*at)->next)
        if (*at == job) {
            *at = job->next;
            list->count--;
            return;
        }
}

void pool_jobs_free(struct pool_jobs *list)
{
    while (list->first != NULL)
        pool_job_free(pool_jobs_shift(list));
}

struct pool_job *pool_job_new(uint64_t id, struct str message)
{
    struct pool_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return NULL;
    job->id = id;
    buf_put(&job->message, message);
    if (!job->message.failed)
        return job;
    pool_job_free(job);
    return NULL;
}

void pool_job_free(struct pool_job *job)
{
    if (job == NULL)
        return;
    buf_free(&job->message);
    free(job);
}

static int queue(struct pool_worker *w, struct str text, struct err *e)
{
    struct pool_unsent **end = &w->unsent;
    struct pool_unsent *item = calloc(1, sizeof *item);

    if (item == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    buf_put(&item->text, text);
    if (buf_check(&item->text, e) != 0) {
        free(item);
        return -1;
    }
    while (*end != NULL)
        end = &(*end)->next;
    *end = item;
    w->unsent_count++;
    return 0;
}

/* True when the frame went out, or nothing ever will. */
static bool is_sent(struct pool_worker *w, struct str text)
{
    enum io io = frame_send(w->process.fd, text, -1, NULL);

    if (io == IO_EOF || io == IO_ERR)
        w->is_broken = true;
    return io != IO_WANT_WRITE;
}

int pool_worker_send(struct pool_worker *w, struct str text, struct err *e)
{
    if (w->unsent == NULL && is_sent(w, text))
        return 0;
    return queue(w, text, e);
}

static void drop_first_unsent(struct pool_worker *w)
{
    struct pool_unsent *item = w->unsent;

    w->unsent = item->next;
    w->unsent_count--;
    buf_free(&item->text);
    free(item);
}

void pool_worker_flush(struct pool_worker *w)
{
    while (w->unsent != NULL && is_sent(w, buf_str(&w->unsent->text)))
        drop_first_unsent(w);
}

void pool_worker_free_unsent(struct pool_worker *w)
{
    while (w->unsent != NULL)
        drop_first_unsent(w);
}

bool pool_worker_is_useless(const struct pool_worker *w)
{
    for (const struct pool_job *job = w->jobs.first; job != NULL; job = job->next)
        if (!job->is_abandoned)
            return false;
    return w->jobs.first != NULL;
}
