/* What the unit tests share: cmocka with the headers that it wants, and checks that name a case. */
#ifndef UNIT_H
#define UNIT_H

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/str.h"

#define UNIT_COUNT(table) (sizeof(table) / sizeof(table)[0])

/* Fails with the case's name and both texts. */
#define unit_equal(name, got, want) unit_equal_at(name, got, want, __FILE__, __LINE__)
#define unit_equal_str(name, got, want) unit_equal_str_at(name, got, want, __FILE__, __LINE__)

/* Fails with the case's name when the claim is false. */
#define unit_true(name, claim)                                                                     \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            print_error("case \"%s\": not true: %s\n", name, #claim);                              \
            _fail(__FILE__, __LINE__);                                                             \
        }                                                                                          \
    } while (0)

static inline void unit_equal_at(const char *name, const char *got, const char *want,
                                 const char *file, int line)
{
    if (got != NULL && want != NULL && strcmp(got, want) == 0)
        return;
    print_error("case \"%s\":\n  got  %s\n  want %s\n", name, got ? got : "(null)",
                want ? want : "(null)");
    _fail(file, line);
}

static inline void unit_equal_str_at(const char *name, struct str got, struct str want,
                                     const char *file, int line)
{
    if (str_equal(got, want))
        return;
    print_error("case \"%s\":\n  got  %.*s (%zu bytes)\n  want %.*s (%zu bytes)\n", name,
                STR_ARG(got), got.len, STR_ARG(want), want.len);
    _fail(file, line);
}

/* The pid of the first child that this process has; 0: it has none. */
static inline pid_t unit_child(void)
{
    char name[64];
    int pid = 0;

    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return (pid_t)pid;
}

enum { UNIT_CHILDREN_MS = 10000 };

/* Skips a test where an emulator runs it, which lacks what the words name. */
static inline void unit_needs_a_kernel(const char *words)
{
    if (getenv("UNIT_EMULATOR") == NULL)
        return;
    print_message("an emulator lacks: %s\n", words);
    skip();
}

/* Waits until no child is left, living or not yet waited for: the next test would find it among its
 * own. A test that failed leaves those that wait for it: one that does not end in time is killed,
 * and that is a failure too. A teardown. */
static inline int unit_wait_for_children(void **state)
{
    int result = 0;

    (void)state;
    for (int waited_ms = 0;;) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended < 0)
            return result;
        if (ended == 0 && waited_ms++ >= UNIT_CHILDREN_MS) {
            pid_t pid = unit_child();
            print_error("the child %d does not end: killed\n", (int)pid);
            result = -1;
            if (pid <= 0 || kill(pid, SIGKILL) != 0 || waitpid(pid, NULL, 0) != pid)
                return result;
        } else if (ended == 0) {
            poll(NULL, 0, 1);
        }
    }
}

#endif
