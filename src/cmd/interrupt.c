#include "cmd/interrupt.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static char guarded[PATH_MAX];
static volatile sig_atomic_t is_guarded, is_installed;

/* Only what signal-safety(7) allows. The signal is delivered again when this returns. */
static void remove_and_die(int number)
{
    if (is_guarded)
        unlink(guarded);
    signal(number, SIG_DFL);
    raise(number);
}

static void install(int number)
{
    struct sigaction action = {.sa_handler = remove_and_die, .sa_flags = SA_RESTART}, old;

    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

void interrupt_guard(void *ctx, const char *temporary)
{
    (void)ctx;
    is_guarded = 0;
    if (temporary == NULL || strlen(temporary) >= sizeof guarded)
        return;
    memcpy(guarded, temporary, strlen(temporary) + 1);
    is_guarded = 1;
    if (!is_installed) {
        is_installed = 1;
        install(SIGINT);
        install(SIGTERM);
        install(SIGHUP);
    }
}
