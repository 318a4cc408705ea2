#include "daemon/status_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/status_look_worker.h"
#include "loop/loop.h"
#include "proc/child.h"

struct status_look {
    struct loop *loop;
    struct child *child;
    struct status_look_worker worker;
    bool is_asked;    /* it owes an answer */
    bool is_silent;   /* it did not answer for long */
    struct buf answer; /* its last one; empty: none yet */
    char words[CHILD_MAX_WORDS_BYTES];
};

static bool on_look_frame(void *owner, struct str frame, int fd)
{
    struct status_look *l = owner;

    if (fd >= 0)
        close(fd);
    l->is_silent = false;
    if (str_equal(frame, LOOK_MESSAGE_WATCHING))
        return true;
    buf_clear(&l->answer);
    buf_put(&l->answer, frame);
    l->is_asked = false;
    child_watch(l->child, false);
    return true;
}

static void on_look_event(void *owner, enum child_event event, const char *words)
{
    struct status_look *l = owner;

    l->is_silent = event != CHILD_ANSWERS;
    snprintf(l->words, sizeof l->words, "%s", words);
    if (event == CHILD_ENDED)
        l->child = NULL;
}

struct status_look *status_look_new(const char *config_path, const struct intervals *intervals,
                                    struct err *e)
{
    struct status_look *l = calloc(1, sizeof *l);

    if (l == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    l->worker = (struct status_look_worker){config_path, intervals};
    l->loop = loop_new(NULL, e);
    if (l->loop != NULL)
        l->child = child_start(
            &(struct child_options){.loop = l->loop,
                                    .process = {.name = "kachery-status",
                                                .run = status_look_worker_run,
                                                .ctx = &l->worker},
                                    .policy = {.stuck_ms = intervals->look_silent_ms,
                                               .kill_ms = CLOCK_NEVER_MS},
                                    .on_frame = on_look_frame,
                                    .on_event = on_look_event,
                                    .owner = l},
            e);
    if (l->child != NULL)
        return l;
    status_look_free(l);
    return NULL;
}

void status_look_free(struct status_look *l)
{
    if (l == NULL)
        return;
    child_free(l->child);
    loop_free(l->loop);
    buf_free(&l->answer);
    free(l);
}

static bool has_answer(void *owner)
{
    const struct status_look *l = owner;

    return !l->is_asked || l->is_silent || l->child == NULL;
}

static int send_question(struct status_look *l, const struct status_question *question,
                         struct err *e)
{
    struct buf frame = {0};
    int result;

    if (l->is_asked)
        return 0;
    if (l->child == NULL)
        return err_set(e, ERR_FAILED, "the process that looks has ended: %s", l->words);
    look_message_put_question(&frame, question);
    result = buf_check(&frame, e);
    if (result == 0)
        result = child_send(l->child, buf_str(&frame), -1, e);
    buf_free(&frame);
    l->is_asked = result == 0;
    child_watch(l->child, l->is_asked);
    return result;
}

int status_look_run(struct status_look *l, const struct status_question *question,
                    struct status_found *out, struct err *e)
{
    *out = (struct status_found){.document = NULL};
    l->is_silent = false;
    if (send_question(l, question, e) != 0)
        return -1;
    if (loop_run_until(l->loop, has_answer, l, e) != 0)
        return -1;
    if (l->is_asked && l->child == NULL)
        return err_set(e, ERR_FAILED, "the process that looks has ended: %s", l->words);
    if (l->is_asked)
        return err_set(e, ERR_TIMEOUT, "the folder of %s %s: its file system hangs",
                       l->worker.config_path, l->words);
    return look_message_read_answer(out, buf_str(&l->answer), e);
}
