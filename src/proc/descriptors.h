/* The descriptors of a process: how many it may have, and closing what a forked child must not
 * hold. */
#ifndef PROC_DESCRIPTORS_H
#define PROC_DESCRIPTORS_H

#include <stddef.h>

/* Raises the soft limit to the hard one, where that can be done. */
void descriptors_raise_limit(void);

/* Closes every descriptor above 2 that is not in `kept` (sorted on return): with close_range, on
 * kernels before 5.9 from /proc/self/fd, without /proc up to RLIMIT_NOFILE. */
void descriptors_close_others(int *kept, size_t count);

/* Close them in the two other ways, for the tests. The first: -1 when there is no /proc. */
int descriptors_close_listed(const int *kept, size_t count);
void descriptors_close_counted(const int *kept, size_t count);

#endif
