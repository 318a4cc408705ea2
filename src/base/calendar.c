#include "base/calendar.h"

#include <time.h>

bool calendar_days(int year, int month, int day, int64_t *days)
{
    struct tm t = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    time_t seconds = timegm(&t);

    /* It makes a day of the next month of one that is too many. */
    if (t.tm_mon != month - 1 || t.tm_mday != day)
        return false;
    *days = seconds / CALENDAR_DAY_S;
    return true;
}
