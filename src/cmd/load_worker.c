#include "cmd/load_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/ready.h"
#include "cmd/remote.h"
#include "proc/frame.h"

struct worker {
    const struct load_job *job;
    int fd;
    int64_t id; /* the first entry of the hash in hand */
    int64_t reported_ms;
    enum fetch_phase reported;
    struct remote remote;
    struct err why; /* nothing can be got: why not */
    bool is_open;
    bool is_lost; /* it could not tell what became of an entry */
    struct buf out;
};

static void begin(struct worker *w)
{
    buf_clear(&w->out);
    json_open(&w->out, '{');
    json_put_int(&w->out, "id", w->id);
}

/* A parent that is gone is seen by is_given_up. */
static void send_out(struct worker *w)
{
    json_close(&w->out, '}');
    if (!w->out.failed)
        frame_send(w->fd, buf_str(&w->out), -1, NULL);
}

/* Sends the result for which the parent waits: without it, the end of this process is the
 * answer. */
static void send_result(struct worker *w)
{
    send_out(w);
    w->is_lost |= w->out.failed;
}

/* The parent lets go: the user has interrupted it. */
static bool is_given_up(void *ctx)
{
    const struct worker *w = ctx;

    return ready_look(w->fd, READY_HANGUP) != 0;
}

static void report(void *ctx, enum fetch_phase phase, int64_t bytes, int64_t size)
{
    struct worker *w = ctx;
    int64_t now_ms = clock_now_ms();

    if (phase == w->reported && now_ms - w->reported_ms < LOAD_WORKER_REPORT_MS)
        return;
    w->reported = phase;
    w->reported_ms = now_ms;
    begin(w);
    json_put_int(&w->out, "what", phase);
    json_put_int(&w->out, "bytes", bytes);
    json_put_int(&w->out, "size", size);
    send_out(w);
}

static void note(void *ctx, const char *text)
{
    struct worker *w = ctx;

    begin(w);
    json_put_path(&w->out, "note", str_of(text));
    send_out(w);
}

/* *known_at (caller frees) is where an entry of the same hash is, then this one. */
static void get_entry(struct worker *w, size_t index, char **known_at)
{
    const struct load_entry *entry = &w->job->entries[index];
    const struct remote_fetch fetch = {.uri = entry->uri,
                                       .resource = w->job->resource,
                                       .to_file = entry->to_file,
                                       .known_at = *known_at,
                                       .is_in_folder = true,
                                       .max_bytes = w->job->max_bytes,
                                       .no_request = w->job->no_request,
                                       .is_quiet = w->job->is_quiet};
    struct err e = w->why;
    char *path = NULL;
    int result = w->is_open ? remote_fetch(&w->remote, &fetch, &path, &e) : -1;

    begin(w);
    json_put_int(&w->out, "entry", (int64_t)index);
    if (result == 0) {
        json_put_path(&w->out, "path", str_of(path));
    } else {
        json_put_int(&w->out, "code", e.code);
        json_put_path(&w->out, "error", str_of(e.msg));
    }
    send_result(w);
    if (result != 0)
        return;
    free(*known_at);
    *known_at = path;
}

static bool do_job(struct worker *w, const struct json *message)
{
    char *known_at = NULL;

    if (!json_int(json_get(message, "id"), &w->id))
        return false;
    for (size_t i = (size_t)w->id; i != LOAD_NONE && !w->is_lost; i = w->job->entries[i].next)
        if (w->job->entries[i].twin == LOAD_NONE)
            get_entry(w, i, &known_at);
    free(known_at);
    begin(w);
    json_put_bool(&w->out, "end", true);
    send_result(w);
    return !w->is_lost;
}

int load_worker_run(int fd, void *ctx)
{
    struct worker w = {.job = ctx, .fd = fd};
    struct buf in = {0};
    bool goes_on = true;

    w.is_open = remote_open(&w.remote, w.job->name, REMOTE_KEYS_SILENTLY, &w.why) == 0;
    if (w.is_open)
        remote_set_hooks(&w.remote, (struct remote_hooks){report, note, is_given_up, &w});
    while (goes_on && frame_receive(fd, &in, NULL, NULL) == IO_DONE) {
        struct json *message = json_parse(buf_str(&in), JSON_STRICT, NULL);
        goes_on = message != NULL && do_job(&w, message) && !is_given_up(&w);
        json_free(message);
    }
    if (w.is_open)
        remote_close(&w.remote);
    buf_free(&in);
    buf_free(&w.out);
    return 0;
}
