#include "base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

int64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t clock_earlier(int64_t a, int64_t b)
{
    if (a == CLOCK_NEVER_MS)
        return b;
    if (b == CLOCK_NEVER_MS)
        return a;
    return a < b ? a : b;
}
