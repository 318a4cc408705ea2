/* Which leaf is asked of which line, and who waits for it. */
#include <stdlib.h>
#include <string.h>

#include "proto/manifest.h"
#include "proxy/relay_state.h"

/* ---- blocks that are wanted ---- */

static struct relay_block **block_slot(struct relay_file *file, uint32_t i)
{
    return &file->blocks[i % RELAY_BLOCK_SLOTS];
}

struct relay_block *relay_block_find(const struct relay_file *file, uint32_t i)
{
    struct relay_block *block = file->blocks[i % RELAY_BLOCK_SLOTS];

    while (block != NULL && block->i != i)
        block = block->next;
    return block;
}

static void free_block(struct relay_block *block)
{
    struct relay_block **link = block_slot(block->file, block->i);

    if (block->line != NULL)
        relay_line_cancel(block);
    while (*link != block)
        link = &(*link)->next;
    *link = block->next;
    free(block);
}

/* ---- the rings: readers that want something that is asked of nobody ---- */

static void enter_ring(struct relay_reader *reader)
{
    struct relay_reader **ring = &reader->relay->rings[reader->read_class];

    if (reader->is_in_ring)
        return;
    reader->is_in_ring = true;
    if (*ring == NULL) {
        reader->ring_previous = reader->ring_next = reader;
        *ring = reader;
        return;
    }
    reader->ring_next = *ring; /* the last one in turn */
    reader->ring_previous = (*ring)->ring_previous;
    reader->ring_previous->ring_next = reader->ring_next->ring_previous = reader;
}

static void leave_ring(struct relay_reader *reader)
{
    struct relay_reader **ring = &reader->relay->rings[reader->read_class];

    if (!reader->is_in_ring)
        return;
    reader->is_in_ring = false;
    if (reader->ring_next == reader) {
        *ring = NULL;
        return;
    }
    reader->ring_previous->ring_next = reader->ring_next;
    reader->ring_next->ring_previous = reader->ring_previous;
    if (*ring == reader)
        *ring = reader->ring_next;
}

/* ---- wants ---- */

static void free_want(struct relay_want *want)
{
    struct relay_reader *reader = want->reader;
    struct relay_want **link = &want->block->wants;

    while (*link != want)
        link = &(*link)->next_of_block;
    *link = want->next_of_block;
    *(want->previous_of_reader != NULL ? &want->previous_of_reader->next_of_reader
                                       : &reader->first) = want->next_of_reader;
    *(want->next_of_reader != NULL ? &want->next_of_reader->previous_of_reader : &reader->last) =
        want->previous_of_reader;
    reader->want_count--;
    free(want);
}

/* The block is let go if nobody else wants it. */
static void drop_reader_want(struct relay_want *want)
{
    struct relay_block *block = want->block;

    free_want(want);
    if (block->wants == NULL)
        free_block(block);
}

static bool wants_already(const struct relay_block *block, const struct relay_reader *reader)
{
    const struct relay_want *want = block->wants;

    while (want != NULL && want->reader != reader)
        want = want->next_of_block;
    return want != NULL;
}

static struct relay_block *get_block(struct relay_file *file, uint32_t i)
{
    struct relay_block *block = relay_block_find(file, i);

    if (block != NULL || (block = calloc(1, sizeof *block)) == NULL)
        return block;
    *block = (struct relay_block){.next = *block_slot(file, i), .file = file, .i = i};
    *block_slot(file, i) = block;
    return block;
}

struct relay_block *relay_reader_want(struct relay_reader *reader, uint32_t i)
{
    struct relay_block *block = get_block(reader->file, i);
    struct relay_want *want = NULL;

    if (block != NULL && wants_already(block, reader))
        return block;
    if (block != NULL)
        want = calloc(1, sizeof *want);
    if (want == NULL) {
        if (block != NULL && block->wants == NULL)
            free_block(block);
        return NULL;
    }
    *want = (struct relay_want){.block = block,
                                .reader = reader,
                                .next_of_block = block->wants,
                                .previous_of_reader = reader->last};
    block->wants = want;
    *(reader->last != NULL ? &reader->last->next_of_reader : &reader->first) = want;
    reader->last = want;
    reader->want_count++;
    if (block->line == NULL) {
        enter_ring(reader);
        relay_pump_soon(reader->relay);
    }
    return block;
}

void relay_block_arrived(struct relay_block *block)
{
    struct relay_file *file = block->file;

    while (block->wants != NULL) {
        struct relay_reader *reader = block->wants->reader;
        free_want(block->wants);
        loop_defer(file->relay->loop, &reader->change);
    }
    free_block(block);
    relay_pump_soon(file->relay);
}

bool relay_block_is_beyond(const struct relay_block *block)
{
    return block->file->is_known && block->i >= manifest_leaf_count(block->file->size);
}

void relay_block_requeue(struct relay_block *block)
{
    block->line = NULL;
    for (struct relay_want *want = block->wants; want != NULL; want = want->next_of_block)
        enter_ring(want->reader);
    relay_pump_soon(block->file->relay);
}

/* ---- the pump ---- */

/* The line of a file's holder with the fewest leaves in flight, of another daemon than the avoided
 * one if there is one; lines that are missing are asked for. NULL: there is none now. */
static struct relay_line *choose_line(struct relay_file *file, enum range_class read_class,
                                      int64_t avoided)
{
    struct relay_line *best = NULL, *last = NULL;
    bool is_coming = false; /* a line of another daemon than the avoided one */

    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++) {
        const struct relay_holder *holder = &file->holders[n];
        if (holder->daemon == 0 || holder->is_bad)
            continue;
        struct relay_daemon *daemon = relay_daemon_get(file->relay, holder->daemon);
        if (daemon == NULL || (daemon->lines[read_class] == NULL && best != NULL))
            continue;
        struct relay_line *line = relay_line_find(daemon, read_class);
        is_coming = is_coming || (line == NULL && relay_line_is_coming(daemon, read_class));
        if (holder->daemon == avoided)
            last = line;
        else if (line != NULL && (best == NULL || line->in_flight < best->in_flight))
            best = line;
    }
    return best != NULL || is_coming ? best : last;
}

/* Asks for the page that the reader wants, once a line has the file open. */
static void ask_wanted_page(struct relay_reader *reader)
{
    struct relay_file *file = reader->file;

    if (file->state != RELAY_FILE_OPEN || reader->page >= file->page_count)
        return;
    reader->wants_page = file->pages[reader->page] == NULL;
    if (!reader->wants_page || file->pages_asked[reader->page])
        return;
    struct relay_line *line = choose_line(file, reader->read_class, 0);
    struct relay_source *source = line == NULL ? NULL : relay_file_source(file, line);
    if (source != NULL && source->is_open)
        relay_file_ask_page(source, reader->page);
}

/* True if a leaf was asked for. */
static bool serve_reader(struct relay_reader *reader)
{
    struct relay_file *file = reader->file;
    struct relay_want *want = reader->first;
    struct relay_source *source;

    if (reader->wants_page)
        ask_wanted_page(reader);
    while (want != NULL && want->block->line != NULL)
        want = want->next_of_reader;
    if (want == NULL) {
        if (!reader->wants_page)
            leave_ring(reader);
        return false;
    }
    if (file->state != RELAY_FILE_OPEN)
        return false;
    if (relay_block_is_beyond(want->block)) {
        relay_block_arrived(want->block);
        return true;
    }
    struct relay_line *line = choose_line(file, reader->read_class, want->block->avoided);
    source = line == NULL ? NULL : relay_file_source(file, line);
    if (source == NULL || !source->is_open || source->in_flight >= RELAY_FILE_IN_FLIGHT ||
        !relay_line_has_room(line))
        return false;
    if (relay_file_hash(file, want->block->i).len == 0) {
        /* The page goes ahead of the leaf on the same line. A leaf that the disk may have waits for
         * its page alone. */
        relay_file_ask_page(source, want->block->i / LINE_PAGE_LEAVES);
        if (block_cache_may_have(file->relay->cache, file->cached, want->block->i))
            return false;
    }
    relay_line_want(line, source, want->block);
    return true;
}

/* Every reader in turn, until a whole round brings nothing. */
static void pump_ring(struct relay *relay, enum range_class read_class)
{
    struct relay_reader *reader = relay->rings[read_class], *quiet = NULL;

    while (reader != NULL && reader != quiet) {
        struct relay_reader *next = reader->ring_next;
        if (serve_reader(reader)) {
            quiet = NULL;
            relay->rings[read_class] = next; /* the others first, next time */
        } else if (quiet == NULL && reader->is_in_ring) {
            quiet = reader;
        }
        reader = relay->rings[read_class] == NULL ? NULL : next;
    }
}

static void pump_relay(void *owner)
{
    struct relay *relay = owner;

    pump_ring(relay, RANGE_SMALL);
    pump_ring(relay, RANGE_BULK);
}

void relay_pump_soon(struct relay *relay)
{
    relay->pump.call = pump_relay;
    relay->pump.owner = relay;
    loop_defer(relay->loop, &relay->pump);
}

/* ---- readers ---- */

static void report_reader_change(void *owner)
{
    struct relay_reader *reader = owner;

    reader->on_change(reader->owner);
}

static void enter_file(struct relay_reader *reader, struct relay_file *file)
{
    reader->file = file;
    reader->previous = NULL;
    reader->next = file->readers;
    if (file->readers != NULL)
        file->readers->previous = reader;
    file->readers = reader;
}

static void leave_file(struct relay_reader *reader)
{
    relay_reader_drop(reader);
    *(reader->previous != NULL ? &reader->previous->next : &reader->file->readers) = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
}

void relay_reader_move(struct relay_reader *reader, struct relay_file *file)
{
    leave_file(reader);
    enter_file(reader, file);
    loop_defer(reader->relay->loop, &reader->change);
}

static bool is_bulk_reader(const struct relay_reader *reader)
{
    return reader->read_class == RANGE_BULK && !reader->only_prefetches;
}

void relay_reader_enter(struct relay *relay, struct relay_reader *reader, struct relay_file *file)
{
    reader->relay = relay;
    reader->change = (struct loop_call){.call = report_reader_change, .owner = reader};
    reader->first = reader->last = NULL;
    reader->want_count = 0;
    reader->is_in_ring = reader->is_bound = reader->is_waiting = reader->wants_page = false;
    enter_file(reader, file);
    relay->bulk_readers += is_bulk_reader(reader);
    relay_file_used(file);
}

bool relay_reader_start(struct relay *relay, struct relay_reader *reader, const struct zone *zone,
                        struct str sha1)
{
    struct relay_file *file = relay_file_find(relay, zone, sha1);

    if (file != NULL && file->object != NULL) /* it was removed */
        file = relay_file_renew(file);
    if (file == NULL)
        return false;
    relay_reader_enter(relay, reader, file);
    return true;
}

void relay_reader_drop(struct relay_reader *reader)
{
    while (reader->first != NULL)
        drop_reader_want(reader->first);
    leave_ring(reader);
    loop_undefer(reader->relay->loop, &reader->change);
}

void relay_reader_stop(struct relay_reader *reader)
{
    struct relay_file *file = reader->file;

    if (file == NULL)
        return;
    leave_file(reader);
    reader->relay->bulk_readers -= is_bulk_reader(reader);
    reader->file = NULL;
    relay_file_used(file);
    relay_pump_soon(reader->relay);
}

enum relay_answer relay_reader_info(struct relay_reader *reader, struct relay_info *info)
{
    struct relay_file *file = reader->file;

    *info = (struct relay_info){.size = file->size,
                                .done = file->done,
                                .has_root = file->has_root,
                                .is_proven = file->is_proven};
    memcpy(info->root, file->root, sizeof info->root);
    relay_file_seek(file);
    reader->is_waiting = file->state == RELAY_FILE_SOUGHT;
    switch (file->state) {
    case RELAY_FILE_OPEN: return RELAY_READY;
    case RELAY_FILE_ABSENT: return RELAY_ABSENT;
    case RELAY_FILE_BUILDING: return RELAY_BUILDING;
    case RELAY_FILE_SOUGHT: break;
    }
    return RELAY_WAIT;
}

bool relay_reader_is_denied(const struct relay_reader *reader)
{
    const struct relay_file *file = reader->file;

    return file->state == RELAY_FILE_SOUGHT && file->is_denied;
}

int64_t relay_reader_unreadable_ms(const struct relay_reader *reader)
{
    const struct relay_file *file = reader->file;

    return file->state == RELAY_FILE_SOUGHT ? file->unreadable_ms : 0;
}

struct str relay_reader_hashes(struct relay_reader *reader)
{
    const struct relay_file *file = reader->file;

    if (!file->is_complete || !file->has_root || file->is_refuted)
        return STR("");
    reader->is_bound = true;
    return (struct str){(const char *)file->page_hashes, (size_t)file->page_count * SHA256_SIZE};
}

enum relay_answer relay_reader_page(struct relay_reader *reader, uint32_t j, struct str *leaves)
{
    struct relay_file *file = reader->file;

    *leaves = STR("");
    if (!file->is_complete || j >= file->page_count || file->is_refuted)
        return RELAY_ABSENT;
    struct relay_page *page = relay_file_page(file, j);
    reader->wants_page = reader->is_waiting = page == NULL;
    if (!reader->wants_page) {
        reader->is_bound = true;
        page->used = ++file->relay->page_uses;
        *leaves = (struct str){(const char *)page->leaves,
                               manifest_leaves_in_page(file->size, j) * SHA256_SIZE};
        return RELAY_READY;
    }
    reader->page = j;
    enter_ring(reader);
    relay_pump_soon(reader->relay);
    relay_file_seek(file);
    return file->is_lost ? RELAY_ABSENT : RELAY_WAIT;
}

/* Blocks that a bulk reader comes to are checked side by side: at most three quarters of the memory
 * for all of these readers, that none pushes out what another one has not read yet. Returns how
 * many. */
static size_t find_hashes(struct relay_reader *reader, uint32_t i, struct str *hashes)
{
    struct relay_file *file = reader->file;
    size_t readers = file->relay->bulk_readers > 0 ? file->relay->bulk_readers : 1, count = 0;
    size_t room = BLOCK_CACHE_MEMORY_BLOCKS * 3 / 4 / readers;
    size_t lanes = reader->read_class == RANGE_BULK ? sha256_lanes() : 1;

    while (count < lanes && (count < room || count == 0)) {
        hashes[count] = relay_file_hash(file, i + (uint32_t)count);
        if (hashes[count].len != SHA256_SIZE && (count > 0 || hashes[0].len == 0))
            break;
        count++;
        if (hashes[0].len != SHA256_SIZE) /* a single block */
            break;
    }
    return count;
}

/* The bytes of a block that is here: its hash is needed to believe the disk. */
static struct str look_in_cache(struct relay_reader *reader, uint32_t i)
{
    struct relay_file *file = reader->file;
    struct block_cache *cache = file->relay->cache;
    struct str hashes[SHA256_LANES] = {{NULL, 0}}, bytes;
    size_t count = 1;

    if (block_cache_is_in_memory(cache, file->cached, i))
        hashes[0] = relay_file_hash(file, i);
    else
        count = find_hashes(reader, i, hashes);
    if (count == 0 || hashes[0].len == 0)
        return STR("");
    if (count > 1)
        block_cache_load(cache, file->cached, i, hashes, count);
    bytes = block_cache_get(cache, file->cached, i, hashes[0]);
    if (bytes.len > 0 || file->object == NULL)
        return bytes;
    relay_object_load(file, i, hashes, count);
    return block_cache_get(cache, file->cached, i, hashes[0]);
}

/* A block that came from the disk after all need not be fetched. */
static void forget_wish(struct relay_reader *reader, uint32_t i)
{
    struct relay_want *want = reader->first;

    while (want != NULL && want->block->i != i)
        want = want->next_of_reader;
    if (want != NULL)
        drop_reader_want(want);
}

enum relay_answer relay_reader_block(struct relay_reader *reader, uint32_t i, struct str *bytes)
{
    struct relay_file *file = reader->file;

    *bytes = STR("");
    if (file->is_refuted)
        return RELAY_ABSENT;
    if (file->is_known && file->object == NULL)
        relay_file_note_opening(file, i);
    if (file->cached != NULL)
        *bytes = look_in_cache(reader, i);
    reader->is_waiting = bytes->len == 0;
    if (bytes->len > 0) {
        reader->is_bound = true;
        forget_wish(reader, i);
        return RELAY_READY;
    }
    if (relay_reader_want(reader, i) == NULL)
        return RELAY_NO_MEMORY;
    relay_file_seek(file);
    return file->is_lost ? RELAY_ABSENT : RELAY_WAIT;
}

/* Blocks that the only reader has read go first: so the same little memory, which the processor's
 * caches have, is used again and again. */
void relay_reader_pass(struct relay_reader *reader, uint32_t i)
{
    const struct relay *relay = reader->relay;

    if (is_bulk_reader(reader) && relay->bulk_readers == 1 && reader->file->cached != NULL)
        block_cache_release(relay->cache, reader->file->cached, i);
}

void relay_reader_judge(struct relay_reader *reader, bool is_right)
{
    relay_file_judge(reader->file, is_right);
}

void relay_reader_prefetch(struct relay_reader *reader, uint32_t i)
{
    struct relay_file *file = reader->file;

    if (file->cached != NULL && file->object == NULL &&
        !block_cache_may_have(file->relay->cache, file->cached, i))
        relay_reader_want(reader, i);
}

void relay_reader_keep(struct relay_reader *reader, uint32_t first, uint32_t last)
{
    struct relay_want *want = reader->first, *next;

    for (; want != NULL; want = next) {
        next = want->next_of_reader;
        if (want->block->i < first || want->block->i > last)
            drop_reader_want(want);
    }
}
