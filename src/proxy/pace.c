#include "proxy/pace.h"

#include "base/clock.h"

enum {
    FIRST_WINDOW = 4,
    ROUND_MS = 20,      /* at least: of shorter ones the rate is noise */
    SLOT_MS = 10000,
    FLAT_ROUNDS = 3,
    TURNS = 8,
    QUEUE_MS = 25       /* a queue that is no longer than this is no harm */
};

void pace_init(struct pace *p)
{
    *p = (struct pace){.window = FIRST_WINDOW,
                       .is_starting = true,
                       .round_ms = CLOCK_NEVER_MS,
                       .slot_ms = CLOCK_NEVER_MS};
}

size_t pace_window(const struct pace *p)
{
    return p->window;
}

static double best_rate(const struct pace *p)
{
    return p->rates[0] > p->rates[1] ? p->rates[0] : p->rates[1];
}

static int64_t shortest_ms(const struct pace *p)
{
    const int64_t a = p->least_ms[0], b = p->least_ms[1];

    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void set_window(struct pace *p, double leaves)
{
    p->window = leaves < PACE_MIN ? PACE_MIN : leaves > PACE_MAX ? PACE_MAX : (size_t)leaves;
}

/* The leaves on their way when the line is full, and those that may wait. */
static void follow_rate(struct pace *p)
{
    const double flight = best_rate(p) * (double)shortest_ms(p);
    const size_t queue = (size_t)(best_rate(p) * QUEUE_MS);

    p->turn = (p->turn + 1) % TURNS;
    set_window(p, (p->turn == 0 ? 1.25 * flight : flight) + 0.999 + (double)queue);
}

/* The next 10 s begin: the highest rate and the shortest time of the 20 s before the last are
 * forgotten. Fewer leaves are asked for, that the queue ends. */
static void begin_slot(struct pace *p, int64_t now_ms)
{
    p->slot_ms = now_ms;
    p->slot = (p->slot + 1) % PACE_SLOTS;
    p->rates[p->slot] = 0;
    p->least_ms[p->slot] = 0;
    if (!p->is_starting)
        set_window(p, best_rate(p) * (double)shortest_ms(p) / 2);
}

static void end_round(struct pace *p, int64_t now_ms)
{
    const double before = best_rate(p), rate = (double)p->came / (double)(now_ms - p->round_ms);

    if (rate > p->rates[p->slot])
        p->rates[p->slot] = rate;
    if (p->is_starting && p->was_full) {
        const double queue_ms = (double)(p->last_ms - shortest_ms(p));
        p->flat = rate < 1.25 * before ? p->flat + 1 : 0;
        p->is_starting = p->flat < FLAT_ROUNDS && queue_ms < QUEUE_MS + 1.5 / best_rate(p);
        set_window(p, 2.0 * (double)p->window);
    }
    if (!p->is_starting)
        follow_rate(p);
    if (now_ms - p->slot_ms >= SLOT_MS)
        begin_slot(p, now_ms);
    p->round_ms = now_ms;
    p->came = 0;
    p->was_full = false;
}

void pace_begin(struct pace *p, int64_t now_ms)
{
    p->round_ms = now_ms;
    p->came = 0;
    p->was_full = false;
    if (p->slot_ms == CLOCK_NEVER_MS)
        p->slot_ms = now_ms;
}

void pace_came(struct pace *p, int64_t now_ms, int64_t took_ms, bool is_full)
{
    if (took_ms < 1)
        took_ms = 1;
    if (p->least_ms[p->slot] == 0 || took_ms < p->least_ms[p->slot])
        p->least_ms[p->slot] = took_ms;
    p->last_ms = took_ms;
    p->came++;
    p->was_full = p->was_full || is_full;
    if (now_ms - p->round_ms >= (shortest_ms(p) < ROUND_MS ? ROUND_MS : shortest_ms(p)))
        end_round(p, now_ms);
}
