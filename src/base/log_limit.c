#include "base/log_limit.h"

#include <stddef.h>
#include <sys/mman.h>

/* Processes that share this may step on one another: then there is a line more or less. */
struct kind {
    const char *format;   /* the same in all of them: they were forked from one */
    int64_t next_ms;      /* when all lines that were admitted would have had their time */
    int64_t report_at_ms; /* not before */
    uint64_t left_out;
};

struct table {
    struct kind kinds[LOG_LIMIT_KINDS];
    uint64_t left_out; /* of all together, so that usually nobody has to look */
};

static struct table own, *table = &own;

void log_limit_share(void)
{
    struct table *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return; /* then each counts its own */
    *shared = *table;
    table = shared;
}

static struct kind *find_format_kind(const char *format)
{
    size_t first = ((uintptr_t)format * 2654435761u >> 7) % LOG_LIMIT_KINDS;

    for (size_t i = 0; i < LOG_LIMIT_KINDS; i++) {
        struct kind *kind = &table->kinds[(first + i) % LOG_LIMIT_KINDS];
        if (kind->format == NULL)
            kind->format = format;
        if (kind->format == format)
            return kind;
    }
    return &table->kinds[first];
}

bool log_limit_admits(const char *format, int64_t now_ms)
{
    struct kind *kind = find_format_kind(format);
    int64_t next_ms = kind->next_ms > now_ms ? kind->next_ms : now_ms;

    if (next_ms - now_ms <= (int64_t)(LOG_LIMIT_BURST - 1) * LOG_LIMIT_EVERY_MS) {
        kind->next_ms = next_ms + LOG_LIMIT_EVERY_MS;
        return true;
    }
    __atomic_add_fetch(&kind->left_out, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&table->left_out, 1, __ATOMIC_RELAXED);
    return false;
}

bool log_limit_report(int64_t now_ms, bool is_end, const char **format, uint64_t *count)
{
    for (size_t i = 0; table->left_out > 0 && i < LOG_LIMIT_KINDS; i++) {
        struct kind *kind = &table->kinds[i];
        if (kind->left_out == 0 || (now_ms < kind->report_at_ms && !is_end))
            continue;
        kind->report_at_ms = now_ms + LOG_LIMIT_REPORT_MS;
        *format = kind->format;
        *count = __atomic_exchange_n(&kind->left_out, 0, __ATOMIC_RELAXED);
        __atomic_sub_fetch(&table->left_out, *count, __ATOMIC_RELAXED);
        return *count > 0;
    }
    return false;
}
