/* Dates of the Gregorian calendar, in UTC. Pure: no clock, no locale. */
#ifndef BASE_CALENDAR_H
#define BASE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

enum { CALENDAR_DAY_S = 86400 };

/* Counts the days from 1970-01-01 (negative before) to a date, whose month and day begin at 1.
 * Returns false when there is no such day. */
bool calendar_days(int year, int month, int day, int64_t *days);

#endif
