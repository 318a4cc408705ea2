#include "proxy/folder_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sha1.h"
#include "proxy/block_cache.h"

enum {
    BLOCKS_A_TURN = 4,  /* parsed before others have their turn */
    AHEAD_BLOCKS = 16,
    PART_BYTES = 1 << 18 /* of a bucket's object */
};

struct cached_folder {
    struct folder_cache *cache;
    struct cached_folder *next;
    struct folder_reader *readers;
    char zone_name[256], directory[ZONE_FILES_MAX_DIRECTORY_BYTES + 1];
    struct zone zone; /* of these two */
    char sha1[SHA1_HEX + 1];
    enum folder_state state;
    int64_t until_ms; /* of FOLDER_NONE */
    uint64_t used;
    struct folder_index index;
    /* While it is read: */
    struct folder_parser parser;
    struct sha1 hash;
    int64_t position;
    struct relay_reader reader;
    struct relay_info info; /* size -1: not known yet */
    struct bucket_read part;
    struct buf key;
    struct err e;
    struct loop_call turn;
};

struct folder_cache {
    struct folder_cache_options options;
    struct cached_folder *folders;
    uint64_t uses;
};

struct folder_cache *folder_cache_new(const struct folder_cache_options *options, struct err *e)
{
    struct folder_cache *cache = calloc(1, sizeof *cache);

    if (cache == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    cache->options = *options;
    return cache;
}

/* ---- the table ---- */

static void end_reading(struct cached_folder *folder)
{
    relay_reader_stop(&folder->reader);
    bucket_cancel(&folder->part.call);
    buf_free(&folder->part.bytes);
    buf_free(&folder->key);
    loop_undefer(folder->cache->options.loop, &folder->turn);
    folder_parser_free(&folder->parser);
}

static void free_cached_folder(struct cached_folder *folder)
{
    struct cached_folder **link = &folder->cache->folders;

    end_reading(folder);
    folder_index_free(&folder->index);
    while (*link != folder)
        link = &(*link)->next;
    *link = folder->next;
    free(folder);
}

void folder_cache_free(struct folder_cache *cache)
{
    if (cache == NULL)
        return;
    while (cache->folders != NULL)
        free_cached_folder(cache->folders);
    free(cache);
}

static size_t held_bytes(const struct cached_folder *folder)
{
    return sizeof *folder + folder_index_bytes(&folder->index);
}

/* Forgets the indexes that were not used for longest. */
static void drop_oldest_folders(struct folder_cache *cache)
{
    for (;;) {
        struct cached_folder *oldest = NULL;
        size_t bytes = 0, count = 0;
        for (struct cached_folder *f = cache->folders; f != NULL; f = f->next) {
            if (f->readers != NULL)
                continue;
            bytes += held_bytes(f);
            count++;
            if (oldest == NULL || f->used < oldest->used)
                oldest = f;
        }
        if (oldest == NULL || (bytes <= FOLDER_CACHE_MAX_BYTES && count <= FOLDER_CACHE_MAX_IDLE))
            return;
        free_cached_folder(oldest);
    }
}

/* ---- reading ---- */

static void wake_folder_readers(struct cached_folder *folder)
{
    for (struct folder_reader *reader = folder->readers; reader != NULL; reader = reader->next)
        loop_defer(folder->cache->options.loop, &reader->change);
}

static void end_folder(struct cached_folder *folder, enum folder_state state)
{
    end_reading(folder);
    folder->state = state;
    if (state == FOLDER_NONE)
        folder->until_ms = loop_now_ms(folder->cache->options.loop) + FOLDER_CACHE_NONE_MS;
    wake_folder_readers(folder);
}

static void fail_folder(struct cached_folder *folder, const char *why)
{
    log_line(LOG_WARN, "folder index sha1://%s cannot be read: %s", folder->sha1, why);
    end_folder(folder, FOLDER_FAILED);
}

/* False: it is no index, and that is the end. */
static bool take_folder_bytes(struct cached_folder *folder, struct str bytes)
{
    struct err e = {0};

    if (folder_parser_feed(&folder->parser, bytes, &e) == 0) {
        sha1_update(&folder->hash, bytes.p, bytes.len);
        folder->position += (int64_t)bytes.len;
        return true;
    }
    if (e.code == ERR_PROTOCOL)
        end_folder(folder, FOLDER_NONE);
    else
        fail_folder(folder, e.msg);
    return false;
}

static void complete_folder(struct cached_folder *folder)
{
    char hash[SHA1_HEX + 1];
    struct err e = {0};

    sha1_final_hex(&folder->hash, hash);
    if (strcmp(hash, folder->sha1) != 0)
        fail_folder(folder, "what came has another hash");
    else if (folder_parser_end(&folder->parser, &folder->index, &e) == 0)
        end_folder(folder, FOLDER_READY);
    else if (e.code == ERR_PROTOCOL)
        end_folder(folder, FOLDER_NONE);
    else
        fail_folder(folder, e.msg);
}

/* ---- from hosts ---- */

static bool is_other_content(const struct relay_info *a, const struct relay_info *b)
{
    return a->size != b->size || a->has_root != b->has_root ||
           memcmp(a->root, b->root, sizeof a->root) != 0;
}

static void restart_folder(struct cached_folder *folder)
{
    folder_parser_free(&folder->parser);
    sha1_init(&folder->hash);
    folder->position = 0;
}

static void read_folder_blocks(struct cached_folder *folder)
{
    const int64_t count = (folder->info.size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    struct str bytes;

    for (int n = 0; n < BLOCKS_A_TURN && folder->position < folder->info.size; n++) {
        int64_t i = folder->position / BLOCK_BYTES;
        enum relay_answer got = relay_reader_block(&folder->reader, (uint32_t)i, &bytes);
        if (got == RELAY_NO_MEMORY) {
            fail_folder(folder, "out of memory");
            return;
        }
        if (got != RELAY_READY) {
            for (int64_t k = i + 1; k < count && k <= i + AHEAD_BLOCKS; k++)
                relay_reader_prefetch(&folder->reader, (uint32_t)k);
            return;
        }
        if (!take_folder_bytes(folder, bytes))
            return;
    }
    if (folder->position >= folder->info.size)
        complete_folder(folder);
    else
        loop_defer(folder->cache->options.loop, &folder->turn);
}

static void read_from_hosts(void *owner)
{
    struct cached_folder *folder = owner;
    struct relay_info info;

    switch (relay_reader_info(&folder->reader, &info)) {
    case RELAY_READY: break;
    case RELAY_ABSENT: end_folder(folder, FOLDER_ABSENT); return;
    default: return;
    }
    if (info.size > FOLDER_INDEX_MAX_BYTES) {
        end_folder(folder, FOLDER_NONE);
        return;
    }
    if (folder->info.size >= 0 && is_other_content(&folder->info, &info))
        restart_folder(folder);
    folder->info = info;
    read_folder_blocks(folder);
}

static void start_host_reading(struct cached_folder *folder)
{
    if (!relay_reader_start(folder->cache->options.relay, &folder->reader,
                            &folder->zone, str_of(folder->sha1)))
        fail_folder(folder, "out of memory");
    else
        read_from_hosts(folder);
}

/* ---- from the bucket ---- */

static void read_folder_part(struct cached_folder *folder)
{
    folder->part.start = folder->position;
    folder->part.length = PART_BYTES;
    bucket_read(folder->cache->options.bucket, &folder->part);
}

static void on_folder_part(void *owner)
{
    struct cached_folder *folder = owner;
    struct str bytes = buf_str(&folder->part.bytes);

    if (folder->part.call.result != 0) {
        if (folder->e.code == ERR_NOT_FOUND && folder->position == 0)
            start_host_reading(folder);
        else
            fail_folder(folder, folder->e.msg);
        return;
    }
    bool is_last = bytes.len < PART_BYTES;
    if (!take_folder_bytes(folder, bytes))
        return;
    buf_clear(&folder->part.bytes);
    if (is_last)
        complete_folder(folder);
    else
        read_folder_part(folder);
}

static void begin_reading(struct cached_folder *folder)
{
    restart_folder(folder);
    folder->state = FOLDER_WAIT;
    folder->info.size = -1;
    zone_files_put_object_key(&folder->zone, str_of(folder->sha1), &folder->key);
    if (folder->key.failed) {
        fail_folder(folder, "out of memory");
        return;
    }
    folder->part.call =
        (struct bucket_call){.on_done = on_folder_part, .owner = folder, .e = &folder->e};
    folder->part.key = buf_str(&folder->key);
    read_folder_part(folder);
}

/* ---- readers ---- */

static struct cached_folder *find_folder(struct folder_cache *cache, const struct zone *zone,
                                         struct str sha1)
{
    struct cached_folder *folder = cache->folders;

    while (folder != NULL && !(str_equal(str_of(folder->sha1), sha1) &&
                               str_equal(folder->zone.name, zone->name) &&
                               str_equal(folder->zone.directory, zone->directory)))
        folder = folder->next;
    return folder;
}

static struct cached_folder *new_folder(struct folder_cache *cache, const struct zone *zone,
                                        struct str sha1)
{
    struct cached_folder *folder = NULL;

    if (zone->name.len < sizeof folder->zone_name &&
        zone->directory.len < sizeof folder->directory)
        folder = calloc(1, sizeof *folder);
    if (folder == NULL)
        return NULL;
    *folder = (struct cached_folder){
        .cache = cache,
        .next = cache->folders,
        .state = FOLDER_FAILED,
        .reader = {.on_change = read_from_hosts, .owner = folder, .read_class = RANGE_SMALL},
        .turn = {.call = read_from_hosts, .owner = folder}};
    snprintf(folder->zone_name, sizeof folder->zone_name, "%.*s", STR_ARG(zone->name));
    snprintf(folder->directory, sizeof folder->directory, "%.*s", STR_ARG(zone->directory));
    folder->zone = (struct zone){.name = str_of(folder->zone_name),
                                 .directory = str_of(folder->directory)};
    memcpy(folder->sha1, sha1.p, SHA1_HEX);
    cache->folders = folder;
    return folder;
}

/* It was read, or looked for, with an outcome that counts no more. */
static bool is_outcome_over(const struct cached_folder *folder)
{
    return folder->state == FOLDER_ABSENT || folder->state == FOLDER_FAILED ||
           (folder->state == FOLDER_NONE &&
            folder->until_ms <= loop_now_ms(folder->cache->options.loop));
}

static void report_folder_change(void *owner)
{
    struct folder_reader *reader = owner;

    reader->on_change(reader->owner);
}

bool folder_reader_start(struct folder_cache *cache, struct folder_reader *reader,
                         const struct zone *zone, struct str sha1)
{
    struct cached_folder *folder = find_folder(cache, zone, sha1);

    if (folder == NULL && (folder = new_folder(cache, zone, sha1)) == NULL)
        return false;
    reader->folder = folder;
    reader->change = (struct loop_call){.call = report_folder_change, .owner = reader};
    reader->previous = NULL;
    reader->next = folder->readers;
    if (folder->readers != NULL)
        folder->readers->previous = reader;
    folder->readers = reader;
    folder->used = ++cache->uses;
    if (is_outcome_over(folder))
        begin_reading(folder);
    return true;
}

enum folder_state folder_reader_look(struct folder_reader *reader,
                                     const struct folder_index **index)
{
    *index = &reader->folder->index;
    return reader->folder->state;
}

void folder_reader_stop(struct folder_reader *reader)
{
    struct cached_folder *folder = reader->folder;

    if (folder == NULL)
        return;
    loop_undefer(folder->cache->options.loop, &reader->change);
    *(reader->previous != NULL ? &reader->previous->next : &folder->readers) = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
    reader->folder = NULL;
    if (folder->readers != NULL)
        return;
    if (folder->state == FOLDER_READY || folder->state == FOLDER_NONE)
        drop_oldest_folders(folder->cache);
    else
        free_cached_folder(folder); /* it is wanted no more */
}
