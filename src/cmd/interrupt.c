#include "cmd/interrupt.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static char guarded[PATH_MAX];
static volatile sig_atomic_t is_guarded, is_installed, is_noting, noted;

/* Only what signal-safety(7) allows. The signal is delivered again when this returns. */
static void remove_and_die(int number)
{
    if (is_noting) {
        noted = number;
        return;
    }
    if (is_guarded)
        unlink(guarded);
    signal(number, SIG_DFL);
    raise(number);
}

static void install_handler(int number)
{
    struct sigaction action = {.sa_handler = remove_and_die, .sa_flags = SA_RESTART}, old;

    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

static void install_all_handlers(void)
{
    if (is_installed)
        return;
    is_installed = 1;
    install_handler(SIGINT);
    install_handler(SIGTERM);
    install_handler(SIGHUP);
}

void interrupt_guard(void *ctx, const char *temporary)
{
    (void)ctx;
    is_guarded = 0;
    if (temporary == NULL || strlen(temporary) >= sizeof guarded)
        return;
    memcpy(guarded, temporary, strlen(temporary) + 1);
    is_guarded = 1;
    install_all_handlers();
}

void interrupt_note(void)
{
    is_noting = 1;
    install_all_handlers();
}

bool interrupt_came(void)
{
    return noted != 0;
}

void interrupt_act(void)
{
    is_noting = 0;
    if (noted != 0)
        raise(noted);
}
