/*
 * Looks at everything that a daemon needs, from the config to the proxy's answer to a stranger, and
 * gives each fault with its cure. Each check runs in a child of its own for a bounded time, so that
 * a file system, name server or server that hangs costs the checks that need it. Nothing is changed
 * and no daemon is disturbed. Prints nothing.
 */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "base/buf.h"
#include "base/err.h"
#include "doctor/doctor_options.h"
#include "doctor/finding.h"

/* Sets the default times, with the changes of KACHERY_RESOURCE_TEST_DOCTOR. */
int doctor_load_times(struct doctor_times *times, struct err *e) ERR_CHECKED;

/* A check's line: the worst of what was found, with all details and cures of that level. */
struct doctor_line {
    enum doctor_level level;
    struct buf detail, cure;
};

/* Runs the checks. Each of the DOCTOR_CHECKS lines is the caller's to free with doctor_free_lines,
 * also on failure, which means that there is no memory. */
int doctor_run(const struct doctor_options *options, struct doctor_line lines[DOCTOR_CHECKS],
               struct err *e) ERR_CHECKED;
void doctor_free_lines(struct doctor_line lines[DOCTOR_CHECKS]);

#endif
