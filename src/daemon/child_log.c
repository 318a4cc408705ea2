#include "daemon/child_log.h"

#include "base/log.h"

void child_log_event(const struct child *child, enum child_event event, const char *name,
                     const char *words)
{
    bool is_new = event == CHILD_KILLED || (event == CHILD_ENDED && !child_ended_well(child) &&
                                            !child_was_killed(child));

    if (is_new)
        log_line(LOG_WARN, "%s process %s", name, words);
}
