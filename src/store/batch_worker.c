#include "store/batch_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/ready.h"
#include "proc/frame.h"
#include "store/hash.h"

struct worker {
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
static bool send_out(struct worker *w)
{
    return !w->out.failed && frame_send(w->fd, buf_str(&w->out), -1, NULL) == IO_DONE;
}

/* A parent that lets go shuts its side down and waits a moment. */
static bool parent_is_there(const struct worker *w)
{
    return ready_look(w->fd, READY_HANGUP) == 0;
}

static bool report_bytes(void *ctx, int64_t bytes)
{
    struct worker *w = ctx;
    int64_t now_ms = clock_now_ms();

    if (now_ms - w->reported_ms < BATCH_REPORT_MS)
        return true;
    w->reported_ms = now_ms;
    buf_clear(&w->out);
    json_open(&w->out, '{');
    json_put_int(&w->out, "id", w->id);
    json_put_int(&w->out, "bytes", bytes);
    json_close(&w->out, '}');
    return parent_is_there(w) && send_out(w);
}

static int work_on(struct worker *w, const char *path, struct add_staged *staged,
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

static void put_number(struct buf *out, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    json_put_str(out, NULL, str_of(text));
}

static void put_id(struct buf *out, const struct file_id *id)
{
    json_open_member(out, "file", '[');
    put_number(out, id->device);
    put_number(out, id->inode);
    put_number(out, id->owner);
    json_close(out, ']');
}

static bool answer(struct worker *w, struct str path)
{
    enum manifest_file_state manifest = MANIFEST_FILE_NEEDLESS;
    struct add_staged staged = {0};
    struct err e = {0};
    char *name = strndup(path.p, path.len);
    int status = name == NULL ? err_set(&e, ERR_FAILED, "out of memory")
                              : work_on(w, name, &staged, &manifest, &e);

    free(name);
    buf_clear(&w->out);
    json_open(&w->out, '{');
    json_put_int(&w->out, "id", w->id);
    if (status == 0) {
        json_put_str(&w->out, "hash", str_of(staged.hash));
        json_put_int(&w->out, "size", staged.size);
        json_put_double(&w->out, "mtime", staged.mtime);
        json_put_str(&w->out, "suffix", str_of(staged.suffix));
        json_put_str(&w->out, "manifest", str_of(staged.manifest));
        json_put_int(&w->out, "manifestState", manifest);
        put_id(&w->out, &staged.id);
    } else {
        json_put_int(&w->out, "code", e.code);
        json_put_path(&w->out, "error", str_of(e.msg));
    }
    json_close(&w->out, '}');
    if (status == 0)
        w->staged[w->staged_count++] = staged;
    return send_out(w);
}

/* Numbers that a JSON number cannot hold are written as text. */
static bool take_number(const struct json *value, uint64_t *out)
{
    struct str text;

    return json_str(value, &text) && str_to_uint(text, UINT64_MAX, out);
}

static bool take_follow(const struct json *value, struct follow *out)
{
    const struct json *kind, *root_len, *device;
    int64_t number, len;

    if (json_count(value) != 4)
        return false;
    kind = json_first(value);
    root_len = json_next(kind);
    device = json_next(root_len);
    if (!json_int(kind, &number) || !json_int(root_len, &len) ||
        !take_number(device, &out->root_device) ||
        !take_number(json_next(device), &out->root_inode))
        return false;
    out->kind = (enum follow_kind)number;
    out->root_len = (size_t)len;
    return true;
}

static bool do_job(struct worker *w, const struct json *job)
{
    const struct json *paths = json_get(job, "paths");
    struct str path;

    if (!json_int(json_get(job, "id"), &w->id) ||
        !take_follow(json_get(job, "follow"), &w->follow) ||
        json_count(paths) > BATCH_WORKER_PATHS)
        return false;
    w->staged_count = 0;
    for (const struct json *p = json_first(paths); p != NULL; p = json_next(p))
        if (!json_str(p, &path) || !parent_is_there(w) || !answer(w, path))
            return false;
    return true;
}

/* The next job, or the end, comes when all results of the last were read; an end that comes before
 * leaves temporary files of which only we know. Those that were published have lost that name. */
static void discard_staged(struct worker *w)
{
    for (size_t i = 0; i < w->staged_count; i++)
        add_discard(w->options->store, &w->staged[i]);
}

int batch_worker_run(int fd, void *ctx)
{
    struct worker w = {.options = ctx, .fd = fd};
    struct buf in = {0};
    bool goes_on = true;

    while (goes_on && frame_receive(fd, &in, NULL, NULL) == IO_DONE) {
        struct json *job = json_parse(buf_str(&in), JSON_SURROGATE_ESCAPE, NULL);
        goes_on = job != NULL && do_job(&w, job);
        json_free(job);
    }
    discard_staged(&w);
    buf_free(&in);
    buf_free(&w.out);
    return 0;
}

void batch_worker_open_job(struct buf *out, uint64_t id, const struct follow *follow)
{
    json_open(out, '{');
    json_put_int(out, "id", (int64_t)id);
    json_open_member(out, "follow", '[');
    json_put_int(out, NULL, follow->kind);
    json_put_int(out, NULL, (int64_t)follow->root_len);
    put_number(out, follow->root_device);
    put_number(out, follow->root_inode);
    json_close(out, ']');
    json_open_member(out, "paths", '[');
}

void batch_worker_put_path(struct buf *out, const char *path)
{
    json_put_path(out, NULL, str_of(path));
}

void batch_worker_close_job(struct buf *out)
{
    json_close(out, ']');
    json_close(out, '}');
}

static bool take_id(const struct json *value, struct file_id *id)
{
    const struct json *inode, *device = json_first(value);
    uint64_t owner;

    if (json_count(value) != 3)
        return false;
    inode = json_next(device);
    if (!take_number(device, &id->device) || !take_number(inode, &id->inode) ||
        !take_number(json_next(inode), &owner))
        return false;
    id->owner = (uint32_t)owner;
    return true;
}

static bool take_result(const struct json *message, struct batch_item *item)
{
    struct str hash, suffix, manifest;
    int64_t state;

    if (!json_str(json_get(message, "hash"), &hash) || !hex_is_lower(hash, SHA1_HEX) ||
        !json_int(json_get(message, "size"), &item->size) ||
        !json_number(json_get(message, "mtime"), &item->staged.mtime) ||
        !json_str(json_get(message, "suffix"), &suffix) || suffix.len >= ADD_SUFFIX_SIZE ||
        !json_str(json_get(message, "manifest"), &manifest) ||
        manifest.len >= MANIFEST_SUFFIX_SIZE ||
        !json_int(json_get(message, "manifestState"), &state) || state < MANIFEST_FILE_NEEDLESS ||
        state > MANIFEST_FILE_OK ||
        !take_id(json_get(message, "file"), &item->id))
        return false;
    item->staged.id = item->id;
    memcpy(item->hash, hash.p, SHA1_HEX);
    item->staged.size = item->size;
    item->mtime = item->staged.mtime;
    memcpy(item->staged.hash, item->hash, sizeof item->hash);
    snprintf(item->staged.suffix, sizeof item->staged.suffix, "%.*s", STR_ARG(suffix));
    snprintf(item->staged.manifest, sizeof item->staged.manifest, "%.*s", STR_ARG(manifest));
    item->manifest = (enum manifest_file_state)state;
    return true;
}

enum batch_said batch_worker_understand(const struct json *message, struct batch_item *item,
                                        int64_t *bytes)
{
    struct str text;
    int64_t code;

    if (json_int(json_get(message, "bytes"), bytes))
        return BATCH_SAID_BYTES;
    if (json_str(json_get(message, "error"), &text) &&
        json_int(json_get(message, "code"), &code)) {
        struct err e;
        err_set(&e, (enum err_code)code, "%.*s", STR_ARG(text));
        batch_item_fail(item, &e);
        return BATCH_SAID_RESULT;
    }
    return take_result(message, item) ? BATCH_SAID_RESULT : BATCH_SAID_NONSENSE;
}
