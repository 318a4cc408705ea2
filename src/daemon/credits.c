#include "daemon/credits.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* A credit is worth its message; the rate of the hour is looked at that often. */
enum { LEAST_BYTES = 4096, LOOK_MS = 1000 };

struct credit_asking {
    void (*give)(void *owner, uint64_t id, const struct credit *credit);
    void *owner;
    uint64_t id;
};

struct credits {
    struct loop *loop;
    const struct rate_plan *plan;
    struct loop_timer timer;
    struct credit_asking asking[CREDITS_MAX_ASKING]; /* a ring */
    size_t first, count;
    int64_t rate;          /* bytes a second */
    int64_t look_at_ms;    /* when the rate may be another one */
    int64_t saved;         /* thousandths of a byte that may be given */
    int64_t saved_ms;      /* up to this time */
    int64_t tick_ms;       /* the last one */
};

static int64_t plan_rate(const struct credits *c)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm local;

    return localtime_r(&now, &local) == NULL ? c->plan->bytes : rate_plan_at(c->plan, &local);
}

int64_t credits_rate(const struct credits *c)
{
    return plan_rate(c);
}

static void look_at_plan(struct credits *c, int64_t now_ms)
{
    if (now_ms < c->look_at_ms)
        return;
    int64_t rate = plan_rate(c);
    c->rate = rate == 0 ? CREDITS_UNLIMITED : rate;
    c->look_at_ms = now_ms + LOOK_MS;
}

static void save_bytes(struct credits *c, int64_t now_ms)
{
    int64_t passed_ms = now_ms - c->saved_ms;

    if (passed_ms > CREDITS_BEHIND_MS)
        passed_ms = CREDITS_BEHIND_MS;
    c->saved += passed_ms * c->rate;
    c->saved_ms = now_ms;
    if (c->saved > CREDITS_BEHIND_MS * c->rate)
        c->saved = CREDITS_BEHIND_MS * c->rate;
}

static void give_credit(struct credits *c, int64_t bytes)
{
    const struct credit_asking asking = c->asking[c->first];
    const struct credit credit = {
        .bytes = bytes,
        .unsent = c->rate == CREDITS_UNLIMITED ? 0 : c->rate * CREDITS_MS / 1000};

    c->first = (c->first + 1) % CREDITS_MAX_ASKING;
    c->count--;
    c->saved -= bytes * 1000;
    asking.give(asking.owner, asking.id, &credit);
}

static void on_credits_time(void *owner)
{
    struct credits *c = owner;
    int64_t now_ms = loop_now_ms(c->loop);

    look_at_plan(c, now_ms);
    save_bytes(c, now_ms);
    c->tick_ms = now_ms;
    int64_t most = c->rate * CREDITS_MS / 1000, ready = c->saved / 1000;
    int64_t least = LEAST_BYTES < most ? LEAST_BYTES : most;
    if (ready > most)
        ready = most;
    for (int64_t n = (int64_t)c->count; n > 0 && ready >= least; n--) {
        int64_t bytes = ready / n > least ? ready / n : least;
        give_credit(c, bytes);
        ready -= bytes;
    }
    if (c->count > 0)
        loop_set_timer(c->loop, &c->timer, now_ms + CREDITS_TICK_MS);
}

struct credits *credits_new(struct loop *loop, const struct rate_plan *plan, struct err *e)
{
    struct credits *c = calloc(1, sizeof *c);

    if (c == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    tzset(); /* it reads the time zone's file now */
    c->loop = loop;
    c->plan = plan;
    c->timer = (struct loop_timer){.call = on_credits_time, .owner = c};
    c->saved_ms = c->tick_ms = loop_now_ms(loop) - CREDITS_TICK_MS;
    return c;
}

void credits_free(struct credits *c)
{
    if (c == NULL)
        return;
    loop_clear_timer(c->loop, &c->timer);
    free(c);
}

void credits_ask(struct credits *c,
                 void (*give)(void *owner, uint64_t id, const struct credit *credit), void *owner,
                 uint64_t id)
{
    int64_t now_ms = loop_now_ms(c->loop), next_ms = c->tick_ms + CREDITS_TICK_MS;

    if (c->count == CREDITS_MAX_ASKING) {
        give(owner, id, &(struct credit){.bytes = 1});
        return;
    }
    c->asking[(c->first + c->count++) % CREDITS_MAX_ASKING] =
        (struct credit_asking){give, owner, id};
    if (loop_timer_at_ms(&c->timer) == CLOCK_NEVER_MS)
        loop_set_timer(c->loop, &c->timer, next_ms > now_ms ? next_ms : now_ms);
}
