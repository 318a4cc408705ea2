#include "cmd/load_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/place.h"
#include "base/ready.h"
#include "cmd/load_message.h"
#include "cmd/remote.h"
#include "proc/frame.h"

struct load_worker {
    const struct load_job *job;
    int fd;
    int64_t id; /* the first entry of the hash in hand */
    int64_t reported_ms;
    enum transfer_phase reported;
    struct remote remote;
    struct err why; /* nothing can be got: why not */
    bool is_open;
    bool is_lost; /* it could not tell what became of an entry */
    struct buf out;
};

/* False when the message could not be made. A parent that is gone is seen by is_parent_gone. */
static bool send_load_message(struct load_worker *w, struct load_message m)
{
    m.id = w->id;
    load_message_put(&w->out, &m);
    if (!w->out.failed)
        frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED);
    return !w->out.failed;
}

/* Sends the result for which the parent waits: without it, the end of this process is the
 * answer. */
static void send_result(struct load_worker *w, struct load_message m)
{
    w->is_lost |= !send_load_message(w, m);
}

/* The parent lets go: the user has interrupted it. */
static bool is_parent_gone(void *ctx)
{
    const struct load_worker *w = ctx;

    return ready_look(w->fd, READY_HANGUP) != 0;
}

static void report_phase(void *ctx, enum transfer_phase phase, int64_t bytes, int64_t size)
{
    struct load_worker *w = ctx;
    int64_t now_ms = clock_now_ms();

    if (phase == w->reported && now_ms - w->reported_ms < LOAD_WORKER_REPORT_MS)
        return;
    w->reported = phase;
    w->reported_ms = now_ms;
    send_load_message(w, (struct load_message){.type = LOAD_MESSAGE_PROGRESS,
                                               .phase = phase,
                                               .bytes = bytes,
                                               .size = size < 0 ? -1 : size});
}

static void report_note(void *ctx, const char *text)
{
    send_load_message(ctx, (struct load_message){.type = LOAD_MESSAGE_NOTE, .text = str_of(text)});
}

/* *path (caller frees) is where it is then. */
static int fetch_entry(struct load_worker *w, const struct load_entry *entry, const char *to_file,
                       const char *known_at, char **path, struct err *e)
{
    struct transfer transfer = *w->job->each;

    transfer.uri = entry->uri;
    transfer.to_file = to_file;
    transfer.known_at = known_at;
    transfer.is_in_folder = true;
    transfer.has_size = entry->below > 0;
    transfer.size = entry->size;
    return remote_fetch(&w->remote, &transfer, path, e);
}

/* Into the folder of an index, where no link is followed. */
static int fetch_below(struct load_worker *w, const struct load_entry *entry, const char *known_at,
                       char **path, struct err *e)
{
    const struct str below = str_slice(str_of(entry->to_file), entry->below, SIZE_MAX);
    struct place place;
    char *written = NULL;
    int result = -1;

    if (place_make_below(w->job->folder, below, &place, e) == 0)
        result = place_name_given(&place, entry->to_file,
                            fetch_entry(w, entry, place.path.data, known_at, &written, e), e);
    place_close(&place);
    free(written);
    if (result != 0)
        return -1;
    *path = strdup(entry->to_file);
    return *path != NULL ? 0 : err_set(e, ERR_FAILED, "out of memory");
}

/* *known_at (caller frees) is where an entry of the same hash is, then this one. */
static void get_entry(struct load_worker *w, size_t index, char **known_at)
{
    const struct load_entry *entry = &w->job->entries[index];
    struct err e = w->why;
    char *path = NULL;
    int result = -1;

    if (w->is_open && entry->below > 0)
        result = fetch_below(w, entry, *known_at, &path, &e);
    else if (w->is_open)
        result = fetch_entry(w, entry, entry->to_file, *known_at, &path, &e);
    if (result != 0) {
        send_result(w, (struct load_message){.type = LOAD_MESSAGE_FAILED,
                                             .entry = (int64_t)index,
                                             .code = e.code == ERR_NONE ? ERR_FAILED : e.code,
                                             .text = str_of(e.msg)});
        return;
    }
    send_result(w, (struct load_message){
                       .type = LOAD_MESSAGE_GOT, .entry = (int64_t)index, .path = str_of(path)});
    free(*known_at);
    *known_at = path;
}

static bool do_load_job(struct load_worker *w, const struct json *doc)
{
    struct load_message m;
    char *known_at = NULL;

    if (load_message_read(&m, doc, ERR_IGNORED) != 0 || m.type != LOAD_MESSAGE_GET)
        return false;
    w->id = m.id;
    for (size_t i = (size_t)w->id; i != LOAD_NONE && !w->is_lost; i = w->job->entries[i].next)
        if (w->job->entries[i].twin == LOAD_NONE)
            get_entry(w, i, &known_at);
    free(known_at);
    send_result(w, (struct load_message){.type = LOAD_MESSAGE_END});
    return !w->is_lost;
}

int load_worker_run(int fd, void *ctx)
{
    struct load_worker w = {.job = ctx, .fd = fd};
    struct buf in = {0};
    bool goes_on = true;

    w.is_open = remote_open(&w.remote, w.job->name, REMOTE_KEYS_SILENTLY, &w.why) == 0;
    if (w.is_open)
        remote_set_hooks(&w.remote,
                         (struct remote_hooks){report_phase, report_note, is_parent_gone, &w});
    while (goes_on && frame_receive(fd, &in, NULL, ERR_IGNORED) == IO_DONE) {
        struct json *doc = json_parse(buf_str(&in), JSON_STRICT, ERR_IGNORED);
        goes_on = do_load_job(&w, doc) && !is_parent_gone(&w);
        json_free(doc);
    }
    if (w.is_open)
        remote_close(&w.remote);
    buf_free(&in);
    buf_free(&w.out);
    return 0;
}
