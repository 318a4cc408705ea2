#include "cmd/batch_run.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ending.h"
#include "proc/pool.h"

enum { FEED_AT_ONCE = 256 };

/* The state of one batch_run. */
struct batch_runner {
    struct batch_run *run;
    struct loop *loop;
    struct ending ending;
    struct batch *batch;
    struct loop_call turn;
    struct loop_timer redraw;
    struct loop_fd input; /* in the loop while there is nothing but it to wait for a next item */
    bool is_ended, is_waiting, is_counted, is_over;
    uint64_t files_ahead, bytes_ahead;
    int status;
    struct err *e;
};

static void pass_result(void *owner, struct batch_item *item)
{
    struct batch_run *run = owner;

    progress_clear(&run->progress);
    run->on_result(run->owner, item);
}

/* True when feeding goes on at once: there are more files, and room for them. */
static bool has_more_items(const struct batch_runner *r)
{
    return !r->is_ended && !r->is_waiting && batch_has_room(r->batch);
}

static void feed_batch(struct batch_runner *r)
{
    r->is_waiting = false;
    for (int i = 0; i < FEED_AT_ONCE && batch_has_room(r->batch); i++) {
        struct batch_item item = {0};
        enum batch_run_step step = r->run->next(r->run->owner, &item);
        r->is_ended = step == BATCH_RUN_END;
        r->is_waiting = step == BATCH_RUN_WAIT;
        if (step != BATCH_RUN_ITEM)
            return;
        batch_add(r->batch, &item);
    }
}

static void show_batch(struct batch_runner *r)
{
    struct batch_run *run = r->run;

    if (run->progress.mode == PROGRESS_SILENT)
        return;
    if (!r->is_counted) {
        r->is_counted = run->look_ahead == NULL ||
                        run->look_ahead(run->owner, &r->files_ahead, &r->bytes_ahead);
        if (r->is_counted && run->look_ahead != NULL) {
            run->progress.files_total = r->files_ahead;
            run->progress.bytes_total = r->bytes_ahead;
        }
    }
    progress_update(&run->progress, batch_files(r->batch), batch_bytes(r->batch));
}

static void stop_batch(struct batch_runner *r, int status)
{
    r->is_over = true;
    r->status = status;
}

static void defer_batch_turn(void *owner)
{
    struct batch_runner *r = owner;

    loop_defer(r->loop, &r->turn);
}

static int watch_input(struct batch_runner *r)
{
    if (r->is_waiting == r->input.is_added)
        return 0;
    if (r->is_waiting)
        return loop_add(r->loop, &r->input, LOOP_READ, r->e);
    loop_remove(r->loop, &r->input);
    return 0;
}

static void wait_for_work(struct batch_runner *r)
{
    if (watch_input(r) != 0)
        stop_batch(r, -1);
    /* The batch may have made room just now, and have nothing left in hand. */
    if (has_more_items(r) || (r->run->progress.mode != PROGRESS_SILENT && !r->is_counted))
        defer_batch_turn(r);
    loop_set_timer(r->loop, &r->redraw, progress_due_ms(&r->run->progress));
}

static void on_batch_turn(void *owner)
{
    struct batch_runner *r = owner;

    if (r->is_over)
        return;
    if (!r->is_ended)
        feed_batch(r);
    if (batch_step(r->batch, has_more_items(r), r->e) != 0) {
        stop_batch(r, -1);
        return;
    }
    fflush(stdout); /* somebody may be reading along */
    if (ferror(stdout) || (r->is_ended && batch_is_empty(r->batch))) {
        stop_batch(r, 0);
        return;
    }
    show_batch(r);
    wait_for_work(r);
}

static bool is_batch_over(void *owner)
{
    const struct batch_runner *r = owner;

    return r->is_over || r->ending.number != 0;
}

static int run_batch_loop(struct batch_runner *r)
{
    defer_batch_turn(r);
    if (loop_run_until(r->loop, is_batch_over, r, r->e) != 0)
        return -1;
    return r->is_over ? r->status : r->ending.number;
}

static unsigned core_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > POOL_MAX_WORKERS ? POOL_MAX_WORKERS : (unsigned)cores;
}

static int open_runner(struct batch_runner *r, struct err *e)
{
    struct batch_run *run = r->run;
    struct batch_options options = {.store = run->store,
                                    .work = run->work,
                                    .makes_manifests = run->makes_manifests,
                                    .jobs = run->jobs == 0 ? core_count() : run->jobs,
                                    .on_result = pass_result,
                                    .owner = run};

    r->turn = (struct loop_call){.call = on_batch_turn, .owner = r};
    r->redraw = (struct loop_timer){.call = defer_batch_turn, .owner = r};
    r->input = (struct loop_fd){.fd = run->wait_fd, .call = defer_batch_turn, .owner = r};
    if ((r->loop = loop_new(NULL, e)) == NULL || ending_open(&r->ending, r->loop, e) != 0)
        return -1;
    options.wake = (struct loop_wake){r->loop, defer_batch_turn, r};
    return (r->batch = batch_new(&options, e)) == NULL ? -1 : 0;
}

static void close_runner(struct batch_runner *r)
{
    if (r->loop == NULL)
        return;
    loop_undefer(r->loop, &r->turn);
    loop_clear_timer(r->loop, &r->redraw);
    loop_remove(r->loop, &r->input);
    ending_close(&r->ending);
    batch_free(r->batch);
    loop_free(r->loop);
}

int batch_run(struct batch_run *run, struct err *e)
{
    struct batch_runner r = {.run = run, .e = e};
    int status = open_runner(&r, e);

    progress_init(&run->progress, run->what, run->is_quiet);
    if (status == 0)
        status = run_batch_loop(&r);
    progress_clear(&run->progress);
    close_runner(&r);
    return status;
}
