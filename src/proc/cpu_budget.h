/* The processor time of a worker process: login nodes end processes that use too much of it, so
 * that a worker is replaced between two jobs before. */
#ifndef PROC_CPU_BUDGET_H
#define PROC_CPU_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

/* Returns whether this process and its children (hasher.h) have used `max_ms` of processor time,
 * or this process, where it has a limit (RLIMIT_CPU), a quarter of that. */
bool cpu_budget_is_spent(int64_t max_ms);

#endif
