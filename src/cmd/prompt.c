#include "cmd/prompt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/text_file.h"

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

enum { DEADLY = sizeof deadly / sizeof deadly[0] };

static struct termios before; /* for the handler */

/* tcsetattr, signal and raise may be called in a handler (signal-safety(7)). */
static void restore_terminal(int number)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (write(STDERR_FILENO, "\n", 1) < 0)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

/* A pipe may bring what a Windows editor wrote. */
static int finish_line(struct buf *answer, struct err *e)
{
    size_t mark = text_file_mark(buf_str(answer));

    if (answer->len > 0 && answer->data[answer->len - 1] == '\r')
        answer->len--;
    buf_consume(answer, mark);
    return buf_check(answer, e);
}

/* A byte at a time: what follows the line is not ours. */
static int read_line(struct buf *answer, struct err *e)
{
    char c;

    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot read the answer");
        if (n == 0 && answer->len == 0)
            return err_set(e, ERR_NOT_FOUND, "the input ended before all was answered");
        if (n == 0 || c == '\n')
            return finish_line(answer, e);
        if (answer->len >= PROMPT_MAX_BYTES)
            return err_set(e, ERR_TOO_LARGE, "an answer of more than %d bytes", PROMPT_MAX_BYTES);
        buf_putc(answer, c);
    }
}

static void print_question(const char *text, const char *offered)
{
    fprintf(stderr, offered == NULL ? "%s: " : "%s [%s]: ", text, offered);
    fflush(stderr);
}

static int ask_hidden(const char *text, const char *offered, struct buf *answer, struct err *e)
{
    struct sigaction old[DEADLY], action = {.sa_handler = restore_terminal};
    struct termios hidden;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot hide a secret on this terminal");
    for (int i = 0; i < DEADLY; i++) {
        sigaction(deadly[i], NULL, &old[i]);
        if (old[i].sa_handler != SIG_IGN)
            sigaction(deadly[i], &action, NULL);
    }
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &hidden);
    print_question(text, offered);
    int result = read_line(answer, e);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    fputc('\n', stderr);
    for (int i = 0; i < DEADLY; i++)
        sigaction(deadly[i], &old[i], NULL);
    return result;
}

int prompt_ask(const char *text, const char *offered, bool is_secret, struct buf *answer,
               struct err *e)
{
    if (is_secret && isatty(STDIN_FILENO))
        return ask_hidden(text, offered, answer, e);
    print_question(text, offered);
    int result = read_line(answer, e);
    if (!isatty(STDIN_FILENO))
        fputc('\n', stderr);
    return result;
}
