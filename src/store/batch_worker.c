#include "store/batch_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ready.h"
#include "proc/frame.h"
#include "store/add.h"
#include "store/batch_message.h"
#include "store/hash.h"

struct batch_worker {
    const struct batch_options *options;
    int fd;
    int64_t id; /* of the job */
    struct follow follow;
    int64_t reported_ms;
    struct buf out;
    /* Of this job. A parent that lets go may not have read of all of them. */
    struct add_staged staged[BATCH_WORKER_PATHS];
    size_t staged_count;
};

/* False when the parent is gone: nobody wants the work. */
static bool send_batch_message(struct batch_worker *w, struct batch_message m)
{
    m.id = w->id;
    batch_message_put(&w->out, &m);
    return !w->out.failed && frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED) == IO_DONE;
}

/* A parent that lets go shuts its side down and waits a moment. */
static bool parent_is_there(const struct batch_worker *w)
{
    return ready_look(w->fd, READY_HANGUP) == 0;
}

static bool report_bytes(void *ctx, int64_t bytes)
{
    struct batch_worker *w = ctx;
    int64_t now_ms = clock_now_ms();

    if (now_ms - w->reported_ms < BATCH_REPORT_MS)
        return true;
    w->reported_ms = now_ms;
    return parent_is_there(w) &&
           send_batch_message(w,
                              (struct batch_message){.type = BATCH_MESSAGE_BYTES, .bytes = bytes});
}

static int stage_path(struct batch_worker *w, const char *path, struct add_staged *staged,
                      enum manifest_file_state *manifest, struct err *e)
{
    const struct store *s = w->options->store;
    const struct hash_watch watch = {report_bytes, w};
    const bool only_hashes = w->options->work == BATCH_HASH;
    const unsigned flags = only_hashes                   ? HASH_CHECK_MANIFEST
                           : w->options->makes_manifests ? HASH_MAKE_MANIFEST
                                                         : 0;
    const struct hash_options options = {
        .flags = flags, .watch = &watch, .follow = &w->follow};
    struct hash_result hashed;

    if (!only_hashes)
        return add_stage(s, w->options->work == BATCH_LINK ? STORE_LINK : STORE_COPY, path,
                         &options, staged, e);
    if (hash_file(s, path, &options, &hashed, e) != 0)
        return -1;
    memcpy(staged->hash, hashed.hash, sizeof staged->hash);
    staged->size = hashed.size;
    staged->mtime = hashed.mtime;
    staged->id = hashed.id;
    *manifest = hashed.manifest_state;
    return 0;
}

static bool send_path_failed(struct batch_worker *w, const struct err *e)
{
    enum err_code code = e->code == ERR_NONE ? ERR_FAILED : e->code;

    return send_batch_message(
        w,
        (struct batch_message){.type = BATCH_MESSAGE_FAILED, .code = code, .text = str_of(e->msg)});
}

static bool send_hashed(struct batch_worker *w, const struct add_staged *staged,
                        enum manifest_file_state manifest)
{
    return send_batch_message(w, (struct batch_message){.type = BATCH_MESSAGE_HASHED,
                                                        .hash = str_of(staged->hash),
                                                        .size = staged->size,
                                                        .mtime = staged->mtime,
                                                        .suffix = str_of(staged->suffix),
                                                        .manifest = str_of(staged->manifest),
                                                        .manifest_state = manifest,
                                                        .device = staged->id.device,
                                                        .inode = staged->id.inode,
                                                        .owner = staged->id.owner});
}

static bool answer_path(struct batch_worker *w, struct str path)
{
    enum manifest_file_state manifest = MANIFEST_FILE_NEEDLESS;
    struct add_staged staged = {0};
    struct err e = {0};
    char *name = strndup(path.p, path.len);
    int status = name == NULL ? err_set(&e, ERR_FAILED, "out of memory")
                              : stage_path(w, name, &staged, &manifest, &e);

    free(name);
    if (status != 0)
        return send_path_failed(w, &e);
    w->staged[w->staged_count++] = staged;
    return send_hashed(w, &staged, manifest);
}

static bool do_batch_job(struct batch_worker *w, const struct json *doc)
{
    struct batch_message m;
    struct str path;

    if (batch_message_read(&m, doc, ERR_IGNORED) != 0 || m.type != BATCH_MESSAGE_WORK ||
        json_count(m.paths) > BATCH_WORKER_PATHS)
        return false;
    w->id = m.id;
    w->follow = (struct follow){.kind = (enum follow_kind)m.follow_kind,
                                .root_len = (size_t)m.root_len,
                                .root_device = m.root_device,
                                .root_inode = m.root_inode};
    w->staged_count = 0;
    for (const struct json *p = json_first(m.paths); p != NULL; p = json_next(p))
        if (!json_str(p, &path) || !parent_is_there(w) || !answer_path(w, path))
            return false;
    return true;
}

/* The next job, or the end, comes when all results of the last were read; an end that comes before
 * leaves temporary files of which only we know. Published ones have lost that name. */
static void discard_staged(struct batch_worker *w)
{
    for (size_t i = 0; i < w->staged_count; i++)
        add_discard(w->options->store, &w->staged[i]);
}

int batch_worker_run(int fd, void *ctx)
{
    struct batch_worker w = {.options = ctx, .fd = fd};
    struct buf in = {0};
    bool goes_on = true;

    while (goes_on && frame_receive(fd, &in, NULL, ERR_IGNORED) == IO_DONE) {
        struct json *doc = json_parse(buf_str(&in), JSON_SURROGATE_ESCAPE, ERR_IGNORED);
        goes_on = do_batch_job(&w, doc);
        json_free(doc);
    }
    discard_staged(&w);
    buf_free(&in);
    buf_free(&w.out);
    return 0;
}
