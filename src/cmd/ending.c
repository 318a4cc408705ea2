#include "cmd/ending.h"

#include <signal.h>
#include <unistd.h>

#include "proc/process.h"

static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};

static void on_ending_signal(void *owner)
{
    struct ending *ending = owner;
    int number;

    while ((number = process_next_signal(ending->signals.fd)) != 0) {
        if (number == SIGCHLD)
            process_reap(NULL, NULL);
        else if (ending->number == 0)
            ending->number = number;
    }
}

int ending_open(struct ending *ending, struct loop *loop, struct err *e)
{
    signal(SIGPIPE, SIG_IGN);
    *ending = (struct ending){.loop = loop};
    ending->signals =
        (struct loop_fd){.fd = process_signal_fd(taken, sizeof taken / sizeof taken[0], e),
                         .call = on_ending_signal,
                         .owner = ending};
    if (ending->signals.fd < 0)
        return -1;
    if (loop_add(loop, &ending->signals, LOOP_READ, e) == 0)
        return 0;
    close(ending->signals.fd);
    *ending = (struct ending){0};
    return -1;
}

void ending_close(struct ending *ending)
{
    if (!ending->signals.is_added)
        return;
    loop_remove(ending->loop, &ending->signals);
    close(ending->signals.fd);
    ending->signals.fd = -1;
}

void ending_die(int number)
{
    sigset_t all;

    signal(number, SIG_DFL);
    raise(number);
    sigfillset(&all);
    sigprocmask(SIG_UNBLOCK, &all, NULL);
}
