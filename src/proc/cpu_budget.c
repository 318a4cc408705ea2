#include "proc/cpu_budget.h"

#include <sys/resource.h>

/* Of a limit that this process has, a part. */
enum { LIMIT_PARTS = 4 };

bool cpu_budget_is_spent(int64_t max_ms)
{
    struct rusage used;
    struct rlimit limit;

    if (getrusage(RUSAGE_SELF, &used) != 0)
        return false;
    int64_t ms = (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
                 (int64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < (rlim_t)max_ms / 1000 * LIMIT_PARTS)
        max_ms = (int64_t)limit.rlim_cur * 1000 / LIMIT_PARTS;
    return ms >= max_ms;
}
