/* The two clocks: deadlines use the first, timestamps and logs the second. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

enum { CLOCK_NEVER_MS = -1 };

/* Returns the milliseconds of CLOCK_BOOTTIME, which never jumps and counts suspended time. */
int64_t clock_now_ms(void);

/* Returns the milliseconds since the Unix epoch by this host's clock, which may be wrong and may
 * jump. */
int64_t clock_wall_ms(void);

/* Returns the earlier of two deadlines in ms; either may be CLOCK_NEVER_MS. */
int64_t clock_earlier(int64_t a, int64_t b);

#endif
