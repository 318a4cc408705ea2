#include "proc/pool_leaver.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ready.h"

static bool grow(struct pool_leavers *leavers)
{
    size_t cap = leavers->cap == 0 ? 8 : leavers->cap * 2;
    struct pool_leaver *items = realloc(leavers->items, cap * sizeof *items);

    if (items == NULL)
        return false;
    leavers->items = items;
    leavers->cap = cap;
    return true;
}

void pool_leavers_add(struct pool_leavers *leavers, struct process *process, int64_t kill_at_ms)
{
    if (leavers->count == leavers->cap && !grow(leavers)) {
        process_kill(process);
        return;
    }
    if (kill_at_ms == CLOCK_NEVER_MS)
        process_signal_kill(process);
    else
        shutdown(process->fd, SHUT_WR);
    leavers->items[leavers->count++] = (struct pool_leaver){*process, kill_at_ms};
    *process = (struct process){0};
}

/* Gone is whose socket hung up; what it still says is thrown away. */
static bool is_gone(const struct pool_leaver *leaver)
{
    char scrap[16];

    while (recv(leaver->process.fd, scrap, sizeof scrap, MSG_DONTWAIT) > 0)
        continue;
    return (ready_look(leaver->process.fd, 0) & READY_FAILED) != 0;
}

void pool_leavers_sweep(struct pool_leavers *leavers, int64_t now_ms)
{
    for (size_t i = 0; i < leavers->count;) {
        struct pool_leaver *leaver = &leavers->items[i];
        if (is_gone(leaver)) {
            process_kill(&leaver->process); /* it may have closed just its socket */
            *leaver = leavers->items[--leavers->count];
            continue;
        }
        if (leaver->kill_at_ms != CLOCK_NEVER_MS && now_ms >= leaver->kill_at_ms) {
            process_signal_kill(&leaver->process);
            leaver->kill_at_ms = CLOCK_NEVER_MS;
        }
        i++;
    }
}

size_t pool_leavers_stuck(const struct pool_leavers *leavers)
{
    size_t n = 0;

    for (size_t i = 0; i < leavers->count; i++)
        n += leavers->items[i].kill_at_ms == CLOCK_NEVER_MS;
    return n;
}

void pool_leavers_poll(const struct pool_leavers *leavers, struct pollset *set)
{
    for (size_t i = 0; i < leavers->count; i++) {
        bool was_killed = leavers->items[i].kill_at_ms == CLOCK_NEVER_MS;
        /* One that may still be writing must not find its socket full. */
        pollset_add(set, leavers->items[i].process.fd, was_killed ? 0 : POLLIN);
        pollset_wake_at(set, leavers->items[i].kill_at_ms);
    }
}

void pool_leavers_free(struct pool_leavers *leavers)
{
    struct pollset set = {0};
    int64_t end_ms = clock_now_ms() + 2 * POOL_LEAVE_MS;

    while (leavers->count > 0 && clock_now_ms() < end_ms) {
        pollset_clear(&set);
        pool_leavers_poll(leavers, &set);
        pollset_wake_at(&set, end_ms);
        if (pollset_wait(&set, NULL) < 0)
            break;
        pool_leavers_sweep(leavers, clock_now_ms());
    }
    for (size_t i = 0; i < leavers->count; i++)
        process_kill(&leavers->items[i].process);
    pollset_free(&set);
    free(leavers->items);
    *leavers = (struct pool_leavers){0};
}
