#include "proc/descriptors.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* the same on every architecture */
#endif

enum { FIRST_FOREIGN = 3, MOST_COUNTED = 1 << 20 /* the kernel's default fs.nr_open */ };

void descriptors_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static bool is_kept(int fd, const int *kept, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == fd)
            return true;
    return fd < FIRST_FOREIGN;
}

static int compare_numbers(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static bool close_numbers_between(unsigned first, unsigned last)
{
    return first > last || syscall(SYS_close_range, first, last, 0) == 0;
}

static bool close_ranges(const int *kept, size_t count)
{
    unsigned next = FIRST_FOREIGN;

    for (size_t i = 0; i < count; i++) {
        if (kept[i] < (int)next)
            continue;
        if (!close_numbers_between(next, (unsigned)kept[i] - 1))
            return false;
        next = (unsigned)kept[i] + 1;
    }
    return close_numbers_between(next, UINT_MAX);
}

int descriptors_close_listed(const int *kept, size_t count)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    if (dir == NULL)
        return -1;
    while ((entry = readdir(dir)) != NULL) {
        int fd = entry->d_name[0] == '.' ? 0 : atoi(entry->d_name);
        if (fd != dirfd(dir) && !is_kept(fd, kept, count))
            close(fd);
    }
    closedir(dir);
    return 0;
}

void descriptors_close_counted(const int *kept, size_t count)
{
    struct rlimit limit = {MOST_COUNTED, MOST_COUNTED};

    getrlimit(RLIMIT_NOFILE, &limit);
    int end = limit.rlim_cur < MOST_COUNTED ? (int)limit.rlim_cur : MOST_COUNTED;
    for (int fd = FIRST_FOREIGN; fd < end; fd++)
        if (!is_kept(fd, kept, count))
            close(fd);
}

void descriptors_close_others(int *kept, size_t count)
{
    qsort(kept, count, sizeof *kept, compare_numbers);
    if (!close_ranges(kept, count) && descriptors_close_listed(kept, count) != 0)
        descriptors_close_counted(kept, count);
}
