#include "daemon/processor.h"

#include <sys/resource.h>

#include "base/time_text.h"
#include "proc/process.h"

static int64_t used_ms(int who)
{
    struct rusage used;

    if (getrusage(who, &used) != 0)
        return 0;
    return (int64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

void processor_init(struct processor *p, int64_t date, int64_t used_before_ms)
{
    *p = (struct processor){.date = date, .before_ms = used_before_ms};
}

struct processor_view processor_look(struct processor *p, int64_t wall_ms)
{
    struct processor_view v = {.supervisor_ms = used_ms(RUSAGE_SELF)};

    v.all_ms = v.supervisor_ms + used_ms(RUSAGE_CHILDREN) + process_children_cpu_ms();
    v.date = time_text_date(wall_ms);
    if (v.date != p->date)
        *p = (struct processor){.date = v.date, .base_ms = p->date == 0 ? 0 : v.all_ms};
    v.today_ms = p->before_ms + v.all_ms - p->base_ms;
    return v;
}
