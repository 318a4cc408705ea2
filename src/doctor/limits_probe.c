/* The limits of this host on the processes of a user, against what the daemon needs. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/sha1.h"
#include "doctor/probe.h"
#include "doctor/sample.h"

/* The least that a daemon does well with, and those below which it does not run. */
enum { FEW_FILES = 256, TOO_FEW_FILES = 64, LITTLE_SECONDS = 60, MEASURED_BYTES = 8 << 20,
       PIECE_BYTES = 4096 };

#define LITTLE_SPACE    ((rlim_t)256 << 20)
#define TOO_LITTLE_SPACE ((rlim_t)64 << 20)
#define LITTLE_STACK     ((rlim_t)256 << 10)
#define LITTLE_FILE      ((rlim_t)11 * 1000 * 1000) /* a log before its rotation */

/* Encryption and sending take about as long again as hashing and reading. */
#define SENDING_FACTOR 3.0

static double processor_seconds(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0
               ? 0
               : (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The bytes that this processor hashes in a second. */
static double measure_hash_rate(void)
{
    static const char zeros[PIECE_BYTES];
    unsigned char digest[SHA1_SIZE];
    struct sha1 hash;
    double begun = processor_seconds();

    sha1_init(&hash);
    for (int done = 0; done < MEASURED_BYTES; done += PIECE_BYTES)
        sha1_update(&hash, zeros, sizeof zeros);
    sha1_final(&hash, digest);
    double seconds = processor_seconds() - begun;
    return seconds > 0 ? MEASURED_BYTES / seconds : 1e8;
}

static void judge_time(struct probe *p, const struct rlimit *limit, struct sample *s)
{
    double seconds = s->largest_bytes > 0
                         ? SENDING_FACTOR * (double)s->largest_bytes / measure_hash_rate()
                         : 0;
    const char *cure = "raise it (`ulimit -t unlimited` before `share`, if the host allows it), or "
                       "run `share` on a host without that limit";

    if (seconds > (double)limit->rlim_max)
        probe_fail(p, CHECK_LIMITS, cure,
                   "a process may use %llu s of processor time here (ulimit -t); to hash and send "
                   "%s (%.1f GB) takes about %.0f s: its worker would be killed",
                   (unsigned long long)limit->rlim_max, buf_cstr(&s->largest),
                   (double)s->largest_bytes / 1e9, seconds);
    else if (limit->rlim_max < LITTLE_SECONDS)
        probe_warn(p, CHECK_LIMITS, cure,
                   "a process may use %llu s of processor time here (ulimit -t): the daemon would "
                   "be killed after some days",
                   (unsigned long long)limit->rlim_max);
}

/* The files are looked at only if it matters: their file systems may hang. */
static void judge_processor(struct probe *p, const struct rlimit *limit)
{
    struct sample s;

    if (limit->rlim_max == RLIM_INFINITY)
        return;
    if (sample_take(p, &s, clock_now_ms() + p->options->times.sample_ms, ERR_IGNORED) != 0)
        s.largest_bytes = -1; /* `links` reports it */
    judge_time(p, limit, &s);
    sample_free(&s);
}

static void judge_other_limits(struct probe *p, const struct probe_limits *l)
{
    const char *files_cure = "raise it (`ulimit -n 1024`), or ask those who run this host";
    const char *space_cure = "raise it (`ulimit -v unlimited`), or ask those who run this host";

    if (l->files.rlim_max < TOO_FEW_FILES)
        probe_fail(p, CHECK_LIMITS, files_cure, "a process may open %llu files here (ulimit -n)",
                   (unsigned long long)l->files.rlim_max);
    else if (l->files.rlim_max < FEW_FILES)
        probe_warn(p, CHECK_LIMITS, files_cure, "a process may open %llu files here (ulimit -n)",
                   (unsigned long long)l->files.rlim_max);
    if (l->address_space.rlim_max < TOO_LITTLE_SPACE)
        probe_fail(p, CHECK_LIMITS, space_cure,
                   "a process may have %llu MiB of address space here (ulimit -v)",
                   (unsigned long long)l->address_space.rlim_max >> 20);
    else if (l->address_space.rlim_max < LITTLE_SPACE)
        probe_warn(p, CHECK_LIMITS, space_cure,
                   "a process may have %llu MiB of address space here (ulimit -v)",
                   (unsigned long long)l->address_space.rlim_max >> 20);
    if (l->stack.rlim_cur < LITTLE_STACK)
        probe_fail(p, CHECK_LIMITS, "raise it (`ulimit -s 8192`), or ask those who run this host",
                   "a process may have a stack of %llu KiB here (ulimit -s)",
                   (unsigned long long)l->stack.rlim_cur >> 10);
    if (l->file_size.rlim_max < LITTLE_FILE)
        probe_warn(p, CHECK_LIMITS, "raise it (`ulimit -f unlimited`), or rotate the log earlier "
                                    "(--log-size)",
                   "a process may write files of %llu kB here (ulimit -f)",
                   (unsigned long long)l->file_size.rlim_max / 1000);
}

static void put_limit(char *out, size_t size, const struct rlimit *limit)
{
    if (limit->rlim_max == RLIM_INFINITY)
        snprintf(out, size, "unlimited");
    else
        snprintf(out, size, "%llu", (unsigned long long)limit->rlim_max);
}

void limits_probe_run(struct probe *p)
{
    const struct probe_limits *l = &p->limits;
    char processor[24], files[24], space[24];

    judge_processor(p, &l->processor);
    judge_other_limits(p, l);
    put_limit(processor, sizeof processor, &l->processor);
    put_limit(files, sizeof files, &l->files);
    put_limit(space, sizeof space, &l->address_space);
    probe_ok(p, CHECK_LIMITS, "ulimit -t %s, -n %s, -v %s", processor, files, space);
}
