#include "daemon/right_of_way.h"

#include <stddef.h>
#include <sys/mman.h>

struct right_of_way {
    int64_t taken_ms, since_ms; /* last, and the first of a row without a long pause; 0: never */
};

struct right_of_way *right_of_way_new(void)
{
    struct right_of_way *way =
        mmap(NULL, sizeof *way, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return way == MAP_FAILED ? NULL : way;
}

void right_of_way_free(struct right_of_way *way)
{
    if (way != NULL)
        munmap(way, sizeof *way);
}

static int64_t taken_ms(const struct right_of_way *way)
{
    return way == NULL ? 0 : __atomic_load_n(&way->taken_ms, __ATOMIC_RELAXED);
}

void right_of_way_take(struct right_of_way *way, int64_t now_ms)
{
    if (way == NULL)
        return;
    if (now_ms - taken_ms(way) >= RIGHT_OF_WAY_CONTESTED_MS)
        __atomic_store_n(&way->since_ms, now_ms, __ATOMIC_RELAXED);
    __atomic_store_n(&way->taken_ms, now_ms, __ATOMIC_RELAXED);
}

bool right_of_way_is_contested(const struct right_of_way *way, int64_t now_ms)
{
    int64_t taken = taken_ms(way);

    return taken != 0 && now_ms - taken < RIGHT_OF_WAY_CONTESTED_MS &&
           taken - __atomic_load_n(&way->since_ms, __ATOMIC_RELAXED) >= RIGHT_OF_WAY_ROW_MS;
}

int64_t right_of_way_wait_ms(const struct right_of_way *way, int64_t sent_ms, int64_t now_ms)
{
    int64_t taken = taken_ms(way);

    if (taken == 0 || now_ms - sent_ms >= RIGHT_OF_WAY_MOST_MS ||
        now_ms - taken >= RIGHT_OF_WAY_MS)
        return 0;
    return RIGHT_OF_WAY_MS - (now_ms - taken);
}
