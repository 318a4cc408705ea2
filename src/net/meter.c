#include "net/meter.h"

static struct meter *of_process;

static void ask_for_bytes(void *owner)
{
    struct meter *meter = owner;

    loop_set_timer(meter->loop, &meter->again, loop_now_ms(meter->loop) + METER_AGAIN_MS);
    meter->on_empty(meter->owner);
}

void meter_use(struct meter *meter)
{
    of_process = meter;
    meter->last = &meter->first;
    meter->again = (struct loop_timer){.call = ask_for_bytes, .owner = meter};
}

void meter_forget(struct meter *meter)
{
    meter->is_asking = false;
    loop_clear_timer(meter->loop, &meter->again);
}

struct meter *meter_of_process(void)
{
    return of_process;
}

static void ask_for_bytes_once(struct meter *meter)
{
    if (meter->is_asking)
        return;
    meter->is_asking = true;
    ask_for_bytes(meter);
}

static void wait_for_bytes(struct meter *meter, struct meter_place *place)
{
    if (place->link == NULL) {
        place->next = NULL;
        place->link = meter->last;
        *meter->last = place;
        meter->last = &place->next;
    }
    ask_for_bytes_once(meter);
}

static bool is_stale(const struct meter *meter, int64_t given_ms)
{
    return loop_now_ms(meter->loop) - given_ms > METER_STALE_MS;
}

/* Takes what came while no socket waited. */
static void take_spare(struct meter *meter, struct meter_place *place)
{
    if (!is_stale(meter, meter->spare_ms)) {
        place->share = meter->spare;
        place->given_ms = meter->spare_ms;
    }
    meter->spare = 0;
}

size_t meter_allow(struct meter *meter, struct meter_place *place, size_t wanted)
{
    if (meter->is_open)
        return wanted;
    if (place->share > 0 && is_stale(meter, place->given_ms))
        place->share = 0;
    if (place->share <= 0 && meter->first == NULL)
        take_spare(meter, place);
    if (place->share <= 0) {
        wait_for_bytes(meter, place);
        return 0;
    }
    if (meter->spare == 0)
        ask_for_bytes_once(meter);
    return (int64_t)wanted < place->share ? wanted : (size_t)place->share;
}

void meter_spend(struct meter *meter, struct meter_place *place, size_t bytes)
{
    if (!meter->is_open)
        place->share -= (int64_t)bytes;
}

void meter_leave(struct meter *meter, struct meter_place *place)
{
    if (place->link == NULL)
        return;
    *place->link = place->next;
    if (place->next != NULL)
        place->next->link = place->link;
    else
        meter->last = place->link;
    place->link = NULL;
}

void meter_give(struct meter *meter, int64_t bytes, void (*wake)(struct meter_place *place))
{
    int64_t count = 0;

    meter_forget(meter);
    if (meter->first == NULL) {
        meter->spare = bytes;
        meter->spare_ms = loop_now_ms(meter->loop);
    }
    for (const struct meter_place *place = meter->first; place != NULL; place = place->next)
        count++;
    for (; count > 0 && meter->first != NULL; count--) {
        struct meter_place *place = meter->first;
        meter_leave(meter, place);
        place->share = bytes / count;
        place->given_ms = loop_now_ms(meter->loop);
        bytes -= place->share;
        wake(place);
    }
}
