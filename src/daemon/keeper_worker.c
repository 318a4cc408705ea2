#include "daemon/keeper_worker.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/leftover.h"
#include "base/log.h"
#include "base/newfile.h"
#include "base/ready.h"
#include "daemon/keeper.h"
#include "proc/frame.h"
#include "store/store.h"

enum { TIDY_MS = 24 * 3600 * 1000 };

struct worker {
    int fd;
    const struct keeper_options *options;
    int64_t renew_at_ms, tidy_at_ms;
    struct err trouble; /* the last that was told, so that it is told once */
    struct buf in, out;
};

static void tell(struct worker *w, const char *type, const char *key, const char *text)
{
    buf_clear(&w->out);
    json_open(&w->out, '{');
    json_put_str(&w->out, "type", str_of(type));
    json_put_str(&w->out, key, str_of(text));
    json_close(&w->out, '}');
    if (!w->out.failed)
        frame_send(w->fd, buf_str(&w->out), -1, NULL);
}

/* A full disk is worth one line, not one a second. */
static void tell_trouble(struct worker *w, const struct err *trouble)
{
    if (strcmp(w->trouble.msg, trouble->msg) == 0)
        return;
    w->trouble = *trouble;
    tell(w, "trouble", "what", trouble->msg);
}

static void open_log(struct worker *w)
{
    struct err e;

    if (w->options->log_path != NULL && log_open(w->options->log_path, &e) != 0)
        tell_trouble(w, &e);
}

/* What killed processes left, of ours and in the local store. */
static void tidy(struct worker *w)
{
    struct store store;

    w->tidy_at_ms = clock_now_ms() + TIDY_MS;
    leftover_clean(w->options->status_path);
    if (store_init(&store, NULL) == 0)
        store_tidy(&store);
    store_deinit(&store);
}

static void renew(struct worker *w)
{
    struct lease_holder other;
    struct err e = {0};

    w->renew_at_ms = clock_now_ms() + w->options->renew_ms;
    if (lease_renew(w->options->lease, &other, &e) == 0)
        return;
    if (e.code == ERR_TAKEN)
        tell(w, "lost", "reason", e.msg);
    else
        tell_trouble(w, &e);
}

static void write_status(struct worker *w, struct str text)
{
    const char *path = w->options->status_path;
    /* It names what is uploaded: a hash is the key to its file. */
    mode_t mode = newfile_is_in_group_folder(path) ? 0660 : 0600;
    struct err e;

    if (fs_write_file_mode(path, text, 0, mode, &e) != 0)
        tell_trouble(w, &e);
}

/* False at the last message. */
static bool take_message(struct worker *w, const struct json *message)
{
    struct str type, text;

    if (!json_str(json_get(message, "type"), &type))
        return true;
    if (str_equal(type, STR("log")) && json_str(json_get(message, "line"), &text))
        log_finished(text.p, text.len);
    else if (str_equal(type, STR("status")) && json_str(json_get(message, "text"), &text))
        write_status(w, text);
    else if (str_equal(type, STR("reopen")))
        open_log(w);
    return !str_equal(type, STR("leave"));
}

/* IO_EOF when the supervisor is gone. */
static enum io wait_for_message(struct worker *w)
{
    for (;;) {
        int64_t left_ms = w->renew_at_ms - clock_now_ms();
        if (left_ms <= 0) {
            renew(w);
            if (clock_now_ms() >= w->tidy_at_ms)
                tidy(w);
            continue;
        }
        if (ready_wait(w->fd, READY_READ, left_ms) != 0)
            return frame_receive(w->fd, &w->in, NULL, NULL);
    }
}

int keeper_worker_run(int fd, void *ctx)
{
    struct worker w = {.fd = fd, .options = ctx};
    enum io got = IO_DONE;
    bool is_over = false;

    log_set_sink(NULL, NULL);
    open_log(&w);
    w.renew_at_ms = clock_now_ms() + w.options->renew_ms;
    tidy(&w);
    while (!is_over && (got = wait_for_message(&w)) == IO_DONE) {
        struct json *message = json_parse(buf_str(&w.in), JSON_STRICT, NULL);
        is_over = !take_message(&w, message);
        json_free(message);
    }
    /* Asked to leave, or alone: nobody shares the resource any more. After an error of ours the
     * supervisor goes on with another keeper. */
    if ((is_over || got == IO_EOF) && lease_release(w.options->lease))
        unlink(w.options->status_path);
    buf_free(&w.in);
    buf_free(&w.out);
    return 0;
}
