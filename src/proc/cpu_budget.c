#include "proc/cpu_budget.h"

#include <sys/resource.h>

#include "proc/process.h"

/* Of a limit that this process has, a part. */
enum { LIMIT_PARTS = 4 };

static int64_t budget_used_ms(int who)
{
    struct rusage used;

    if (getrusage(who, &used) != 0)
        return 0;
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (int64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

/* The limit is of each process alone. */
static bool is_limit_near(int64_t own_ms)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (rlim_t)(own_ms * LIMIT_PARTS / 1000) >= limit.rlim_cur;
}

bool cpu_budget_is_spent(int64_t max_ms)
{
    int64_t own_ms = budget_used_ms(RUSAGE_SELF);

    return is_limit_near(own_ms) ||
           own_ms + budget_used_ms(RUSAGE_CHILDREN) + process_children_cpu_ms() >= max_ms;
}
