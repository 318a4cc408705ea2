#include "daemon/builder.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/sha1.h"
#include "daemon/child_log.h"
#include "proc/child.h"
#include "proc/frame.h"
#include "store/add.h"
#include "store/manifest_file.h"
#include "store/store.h"

enum { PROGRESS_MS = 1000 };

static const char builder_name[] = "kachery-prepare";

struct builder_message {
    int64_t bytes;
    struct str text;
};

#define WORD(type) {.name = "type", .kind = FIELD_WORD, .word = type}

static const struct field progress_fields[] = {
    WORD("progress"),
    {.name = "bytes", .kind = FIELD_INT, .at = offsetof(struct builder_message, bytes)},
    {.kind = FIELD_END}};
static const struct field built_fields[] = {WORD("built"), {.kind = FIELD_END}};
static const struct field failed_fields[] = {
    WORD("failed"),
    {.name = "text", .kind = FIELD_STRING, .at = offsetof(struct builder_message, text)},
    {.kind = FIELD_END}};

enum { PROGRESS, BUILT, FAILED };
static const struct field *const messages[] = {progress_fields, built_fields, failed_fields, NULL};

/* A hash that is wanted, or that failed. */
struct wish {
    char hash[SHA1_HEX + 1]; /* "": free */
    int64_t failed_ms;       /* 0: it did not */
};

struct builder {
    struct builder_options options;
    struct vouchers vouchers;
    struct wish wishes[BUILDER_MAX_QUEUED];
    struct child *child; /* at `current` */
    char current[SHA1_HEX + 1];
    int64_t done;
    bool is_over; /* it has reported its result */
    struct loop_call next;
};

/* ---- the child ---- */

struct work {
    int fd;
    struct store store;
    const char *hash;
    int64_t told_ms;
    struct buf out;
};

static void send_builder_message(struct work *w, int type, const struct builder_message *m)
{
    buf_clear(&w->out);
    fields_put(&w->out, messages[type], m);
    if (!w->out.failed)
        frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED);
}

static bool report_build_progress(void *ctx, int64_t bytes)
{
    struct work *w = ctx;
    int64_t now = clock_now_ms();

    if (now - w->told_ms >= PROGRESS_MS) {
        w->told_ms = now;
        send_builder_message(w, PROGRESS, &(struct builder_message){.bytes = bytes});
    }
    return true;
}

/* A manifest that does not count would be made again and again. */
static int check_published(const struct work *w, struct err *e)
{
    struct manifest_file manifest;

    if (manifest_file_open(&w->store, w->hash, &manifest, e) != 0)
        return err_wrap(e, "it was made, but does not count");
    manifest_file_close(&manifest);
    return 0;
}

/* Publishes the manifest of a file that has its hash; its link or copy stays as it is. */
static int publish_manifest_of(struct work *w, const char *path, const struct hash_result *hashed,
                               struct err *e)
{
    struct add_staged staged = {.kind = STORE_LINK, .size = hashed->size, .mtime = hashed->mtime};
    int result;

    memcpy(staged.hash, hashed->hash, sizeof staged.hash);
    memcpy(staged.manifest, hashed->manifest, sizeof staged.manifest);
    if (strcmp(hashed->hash, w->hash) != 0) {
        add_discard(&w->store, &staged);
        return err_set(e, ERR_CHANGED, "it does not have its hash any more");
    }
    if (staged.manifest[0] == '\0') /* a small file has none; else one was there already */
        return manifest_is_for(hashed->size) ? check_published(w, e) : 0;
    result = add_sync_staged(&w->store, &staged, e);
    if (result != 0)
        add_discard(&w->store, &staged);
    else
        result = add_publish(&w->store, path, &staged, e);
    if (result == 0)
        result = add_sync_published(&w->store, &staged, e);
    return result == 0 ? check_published(w, e) : -1;
}

static int build_manifest(struct work *w, struct err *e)
{
    const struct hash_watch watch = {report_build_progress, w};
    const struct hash_options options = {.flags = HASH_MAKE_MANIFEST, .watch = &watch};
    struct store_entry entry = {0};
    struct hash_result hashed;
    int result = -1;

    if (store_lookup(&w->store, w->hash, &entry, e) != 0)
        return -1;
    if (entry.path == NULL)
        err_set(e, ERR_NOT_FOUND, "it is not there any more");
    else if (hash_file(&w->store, entry.path, &options, &hashed, e) == 0)
        result = publish_manifest_of(w, entry.path, &hashed, e);
    store_entry_deinit(&entry);
    return result;
}

static int run_builder(int fd, void *ctx)
{
    struct builder *builder = ctx;
    struct work w = {.fd = fd, .hash = builder->current};
    struct err e = {0};
    int result = store_init(&w.store, &e);

    if (result == 0) {
        w.store.vouchers = &builder->vouchers;
        result = build_manifest(&w, &e);
    }
    send_builder_message(&w, result == 0 ? BUILT : FAILED,
                         &(struct builder_message){.text = str_of(e.msg)});
    store_deinit(&w.store);
    buf_free(&w.out);
    return 0;
}

/* ---- the supervisor's side ---- */

static struct wish *find_wish(const struct builder *builder, struct str hash)
{
    for (size_t n = 0; n < BUILDER_MAX_QUEUED; n++)
        if (str_equal(str_of(builder->wishes[n].hash), hash))
            return (struct wish *)(uintptr_t)&builder->wishes[n];
    return NULL;
}

static void start_next(void *owner);

static void start_next_soon(struct builder *builder)
{
    builder->options.on_change(builder->options.owner);
    loop_defer(builder->options.loop, &builder->next);
}

static void end_current(struct builder *builder, const char *failure)
{
    struct wish *wish = find_wish(builder, str_of(builder->current));

    builder->is_over = true;
    if (failure != NULL)
        log_line(LOG_WARN, "the manifest of sha1://%s was not made: %s", builder->current, failure);
    else
        log_line(LOG_INFO, "manifest made sha1=%s", builder->current);
    if (wish == NULL)
        return;
    wish->failed_ms = failure == NULL ? 0 : loop_now_ms(builder->options.loop);
    if (failure == NULL)
        wish->hash[0] = '\0';
}

static bool on_builder_frame(void *owner, struct str frame, int fd)
{
    struct builder *builder = owner;
    struct json *doc = json_parse(frame, JSON_STRICT, ERR_IGNORED);
    struct builder_message m = {.text = STR("")};
    char text[ERR_MESSAGE_SIZE];
    int type = doc == NULL || fd >= 0 ? -1 : fields_read_one_of(messages, doc, &m, ERR_IGNORED);

    if (type == PROGRESS) {
        builder->done = m.bytes;
        builder->options.on_change(builder->options.owner);
    } else if (type == BUILT) {
        end_current(builder, NULL);
    } else if (type == FAILED) {
        snprintf(text, sizeof text, "%.*s", STR_ARG(m.text));
        end_current(builder, text);
    }
    json_free(doc);
    return type >= 0;
}

static void on_builder_event(void *owner, enum child_event event, const char *words)
{
    struct builder *builder = owner;

    if (event != CHILD_ENDED)
        return;
    if (!builder->is_over) {
        child_log_lost(builder_name, words);
        end_current(builder, words);
    }
    builder->child = NULL;
    builder->current[0] = '\0';
    start_next_soon(builder);
}

static void start_next(void *owner)
{
    struct builder *builder = owner;
    const struct child_options child = {.loop = builder->options.loop,
                                        .process = {.name = builder_name,
                                                    .run = run_builder,
                                                    .niceness = config_nice(builder->options.config,
                                                                            BUILDER_NICENESS),
                                                    .ctx = builder},
                                        .policy = {.stopped_ms = builder->options.stopped_ms},
                                        .on_frame = on_builder_frame,
                                        .on_event = on_builder_event,
                                        .owner = builder};
    struct err e = {0};

    for (size_t n = 0; builder->child == NULL && n < BUILDER_MAX_QUEUED; n++) {
        const struct wish *wish = &builder->wishes[n];
        if (wish->hash[0] == '\0' || wish->failed_ms != 0)
            continue;
        memcpy(builder->current, wish->hash, sizeof builder->current);
        builder->done = 0;
        builder->is_over = false;
        builder->child = child_start(&child, &e);
        if (builder->child == NULL)
            end_current(builder, e.msg);
        else
            child_watch(builder->child, true);
    }
}

struct builder *builder_new(const struct builder_options *options, struct err *e)
{
    struct builder *builder = calloc(1, sizeof *builder);

    if (builder == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    builder->options = *options;
    builder->vouchers = config_vouchers(options->config);
    builder->next = (struct loop_call){.call = start_next, .owner = builder};
    return builder;
}

void builder_free(struct builder *builder)
{
    if (builder == NULL)
        return;
    loop_undefer(builder->options.loop, &builder->next);
    child_free(builder->child);
    free(builder);
}

/* A free place; those of old failures are free, too. */
static struct wish *find_wish_place(struct builder *builder)
{
    int64_t now = loop_now_ms(builder->options.loop);

    for (size_t n = 0; n < BUILDER_MAX_QUEUED; n++) {
        struct wish *wish = &builder->wishes[n];
        if (wish->failed_ms != 0 && now - wish->failed_ms >= BUILDER_FORGET_MS)
            *wish = (struct wish){.failed_ms = 0};
        if (wish->hash[0] == '\0')
            return wish;
    }
    return NULL;
}

void builder_want(struct builder *builder, struct str hash)
{
    struct wish *wish = find_wish(builder, hash);

    if (hash.len != SHA1_HEX || (wish != NULL && (wish->failed_ms == 0 ||
                                                  loop_now_ms(builder->options.loop) -
                                                          wish->failed_ms <
                                                      BUILDER_FORGET_MS)))
        return;
    if (wish == NULL)
        wish = find_wish_place(builder);
    if (wish == NULL)
        return;
    *wish = (struct wish){.failed_ms = 0};
    memcpy(wish->hash, hash.p, SHA1_HEX);
    loop_defer(builder->options.loop, &builder->next);
}

bool builder_has_failed(const struct builder *builder, struct str hash)
{
    const struct wish *wish = find_wish(builder, hash);

    return wish != NULL && wish->failed_ms != 0 &&
           loop_now_ms(builder->options.loop) - wish->failed_ms < BUILDER_FORGET_MS;
}

int64_t builder_done(const struct builder *builder, struct str hash)
{
    return str_equal(str_of(builder->current), hash) ? builder->done : 0;
}
