#include "daemon/bulk_flight.h"

enum { ROUND_MS = 50, SLOT_MS = 1500 };

static void begin_rate_slot(struct bulk_flight *f, int64_t now_ms)
{
    f->slot_ms = now_ms;
    f->slot = (f->slot + 1) % BULK_FLIGHT_SLOTS;
    f->rates[f->slot] = 0;
}

void bulk_flight_note(struct bulk_flight *f, int64_t delivered, int64_t least_us, int64_t now_ms)
{
    int64_t least_ms = 2 * least_us / 1000 > ROUND_MS ? 2 * least_us / 1000 : ROUND_MS;

    if (f->round_ms != 0 && now_ms - f->round_ms < least_ms)
        return;
    if (f->round_ms != 0 && delivered > f->delivered) {
        double rate = (double)(delivered - f->delivered) / (double)(now_ms - f->round_ms);
        if (now_ms - f->slot_ms >= SLOT_MS)
            begin_rate_slot(f, now_ms);
        if (rate > f->rates[f->slot])
            f->rates[f->slot] = rate;
    }
    f->round_ms = now_ms;
    f->delivered = delivered;
}

void bulk_flight_skip(struct bulk_flight *f)
{
    f->round_ms = 0;
}

int64_t bulk_flight_bytes(const struct bulk_flight *f, int64_t least_us, bool is_short)
{
    double rate = f->rates[0] > f->rates[1] ? f->rates[0] : f->rates[1];
    double least_ms = (double)least_us / 1000;

    if (rate <= 0)
        return BULK_FLIGHT_FIRST_BYTES;
    int64_t bytes = (int64_t)(rate * ((is_short ? 1.25 : 1.6) * least_ms + BULK_FLIGHT_QUEUE_MS));
    return bytes > BULK_FLIGHT_LEAST_BYTES ? bytes : BULK_FLIGHT_LEAST_BYTES;
}
