#include "cmd/batch_run.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/pool.h"
#include "proc/process.h"

enum { FEED_AT_ONCE = 256 };

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

/* What the loop is at. */
struct loop {
    struct batch_run *run;
    struct batch *batch;
    int signal_fd;
    bool is_ended, is_waiting, is_counted;
    uint64_t files_ahead, bytes_ahead;
};

static void pass_result(void *owner, struct batch_item *item)
{
    struct batch_run *run = owner;

    progress_clear(&run->progress);
    run->on_result(run->owner, item);
}

/* True when feeding goes on at once: there are more files, and room for them. */
static bool has_more(const struct loop *l)
{
    return !l->is_ended && !l->is_waiting && batch_has_room(l->batch);
}

static void feed(struct loop *l)
{
    l->is_waiting = false;
    for (int i = 0; i < FEED_AT_ONCE && batch_has_room(l->batch); i++) {
        struct batch_item item = {0};
        enum batch_run_step step = l->run->next(l->run->owner, &item);
        l->is_ended = step == BATCH_RUN_END;
        l->is_waiting = step == BATCH_RUN_WAIT;
        if (step != BATCH_RUN_ITEM)
            return;
        batch_add(l->batch, &item);
    }
}

static void show(struct loop *l)
{
    struct batch_run *run = l->run;

    if (run->progress.mode == PROGRESS_SILENT)
        return;
    if (!l->is_counted) {
        l->is_counted = run->look_ahead == NULL ||
                        run->look_ahead(run->owner, &l->files_ahead, &l->bytes_ahead);
        if (l->is_counted && run->look_ahead != NULL) {
            run->progress.files_total = l->files_ahead;
            run->progress.bytes_total = l->bytes_ahead;
        }
    }
    progress_update(&run->progress, batch_files(l->batch), batch_bytes(l->batch));
}

static int wait_for_work(struct loop *l, struct pollset *set, struct err *e)
{
    pollset_clear(set);
    batch_poll(l->batch, set);
    pollset_add(set, l->signal_fd, POLLIN);
    if (l->is_waiting)
        pollset_add(set, l->run->wait_fd, POLLIN);
    /* The batch may have made room just now, and have nothing left in hand. */
    if (has_more(l) || (l->run->progress.mode != PROGRESS_SILENT && !l->is_counted))
        pollset_wake_at(set, clock_now_ms());
    pollset_wake_at(set, progress_due_ms(&l->run->progress));
    return pollset_wait(set, e) < 0 ? -1 : 0;
}

static int run_loop(struct loop *l, struct err *e)
{
    struct pollset set = {0};
    int status = 0;

    for (;;) {
        if (!l->is_ended)
            feed(l);
        if (batch_step(l->batch, clock_now_ms(), has_more(l), e) != 0) {
            status = -1;
            break;
        }
        fflush(stdout); /* somebody may be reading along */
        if (ferror(stdout) || (l->is_ended && batch_is_empty(l->batch)))
            break;
        show(l);
        if (wait_for_work(l, &set, e) != 0) {
            status = -1;
            break;
        }
        status = process_next_signal(l->signal_fd);
        if (status != 0)
            break;
    }
    pollset_free(&set);
    return status;
}

static unsigned core_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > POOL_MAX_WORKERS ? POOL_MAX_WORKERS : (unsigned)cores;
}

int batch_run(struct batch_run *run, struct err *e)
{
    struct batch_options options = {.store = run->store,
                                    .work = run->work,
                                    .jobs = run->jobs == 0 ? core_count() : run->jobs,
                                    .on_result = pass_result,
                                    .owner = run};
    struct loop l = {.run = run};
    int status = -1;

    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error of stdout, seen in the loop */
    l.signal_fd = process_signal_fd(ending_signals, sizeof ending_signals / sizeof(int), e);
    if (l.signal_fd < 0)
        return -1;
    progress_init(&run->progress, run->what, run->is_quiet);
    l.batch = batch_new(&options, e);
    if (l.batch != NULL)
        status = run_loop(&l, e);
    progress_clear(&run->progress);
    batch_free(l.batch);
    close(l.signal_fd);
    return status;
}

void batch_run_die(int number)
{
    sigset_t all;

    signal(number, SIG_DFL);
    raise(number);
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
}
