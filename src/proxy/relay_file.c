/* A file of a relay: who has it, what it is, and the hashes of its leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "proto/manifest.h"
#include "proto/signature.h"
#include "proxy/openings.h"
#include "proxy/relay_note.h"
#include "proxy/relay_state.h"

enum {
    ANSWER_MS = 8000,
    BUILDING_MS = 1000,
    OPENING_MS = 5000,
    OBJECT_MS = 5000 /* an object that is not read is kept open */
};

/* ---- the table ---- */

static struct relay_file **file_slot(struct relay *relay, const unsigned char *address)
{
    return &relay->files[(address[1] << 8 | address[2]) % RELAY_FILE_SLOTS];
}

static void on_file_time(void *owner);

static void ignore_block_change(void *owner)
{
    (void)owner;
}

/* The file that was not read for longest, among those that nobody reads. */
static struct relay_file *find_unread(const struct relay *relay)
{
    struct relay_file *best = NULL;

    for (size_t n = 0; n < RELAY_FILE_SLOTS; n++)
        for (struct relay_file *file = relay->files[n]; file != NULL; file = file->next)
            if (file->readers == NULL && (best == NULL || file->used_ms < best->used_ms))
                best = file;
    return best;
}

/* Strangers may ask for any number of hashes: what is known of them is bounded. */
static void drop_unread_files(struct relay *relay)
{
    struct relay_file *file;

    while ((relay->file_count >= RELAY_MAX_FILES || relay->file_bytes >= RELAY_FILE_BYTES) &&
           (file = find_unread(relay)) != NULL)
        relay_file_free(file);
}

/* The memory of its page hashes and pages. */
static size_t page_bytes(uint32_t page_count)
{
    return page_count * (SHA256_SIZE + sizeof(struct relay_page *) + sizeof(bool));
}

static struct relay_file *new_file(struct relay *relay, const struct relay_zone *zone,
                                   struct str sha1, const unsigned char *address)
{
    struct relay_file *file = calloc(1, sizeof *file);

    if (file == NULL)
        return NULL;
    file->relay = relay;
    file->zone = zone;
    relay->file_bytes += sizeof *file;
    memcpy(file->address, address, sizeof file->address);
    memcpy(file->sha1, sha1.p, SHA1_HEX);
    file->timer = (struct loop_timer){.call = on_file_time, .owner = file};
    file->self = (struct relay_reader){.on_change = ignore_block_change,
                                       .read_class = RANGE_SMALL,
                                       .file = file,
                                       .relay = relay,
                                       .change = {.call = ignore_block_change}};
    /* No leaf is asked for again: the disk has blocks of it, by a root that is not known. */
    if (!block_cache_has_some(relay->cache, str_of(file->sha1)))
        file->opening_count = openings_get(relay->openings_fd, address, file->opening);
    file->next = *file_slot(relay, address);
    *file_slot(relay, address) = file;
    relay->file_count++;
    return file;
}

/* NULL without memory, and beyond RELAY_MAX_ZONES. */
static const struct relay_zone *find_relay_zone(struct relay *relay, const struct zone *zone)
{
    struct relay_zone *found = relay->zones;

    while (found != NULL && !(str_equal(str_of(found->name), zone->name) &&
                              str_equal(str_of(found->directory), zone->directory)))
        found = found->next;
    if (found != NULL || relay->zone_count == RELAY_MAX_ZONES ||
        zone->name.len >= sizeof found->name || zone->directory.len >= sizeof found->directory ||
        (found = calloc(1, sizeof *found)) == NULL)
        return found;
    memcpy(found->name, zone->name.p, zone->name.len);
    if (zone->directory.len > 0)
        memcpy(found->directory, zone->directory.p, zone->directory.len);
    found->next = relay->zones;
    relay->zones = found;
    relay->zone_count++;
    return found;
}

struct relay_file *relay_file_find(struct relay *relay, const struct zone *zone, struct str sha1)
{
    const struct relay_zone *of = find_relay_zone(relay, zone);
    unsigned char address[SHA1_SIZE];
    struct relay_file *file;

    if (of == NULL || !hex_is_lower(sha1, SHA1_HEX) || !hex_decode(sha1, address, sizeof address))
        return NULL;
    for (file = *file_slot(relay, address); file != NULL; file = file->next)
        if (file->zone == of && !file->is_past &&
            memcmp(file->address, address, sizeof address) == 0)
            return file;
    drop_unread_files(relay);
    return new_file(relay, of, sha1, address);
}

static void end_check(struct relay_file *file)
{
    const struct relay_options *options = &file->relay->options;

    file->teacher = NULL;
    if (file->check.state != NULL)
        options->cancel_check(options->check_owner, &file->check);
}

static void drop_page(struct relay_page *page)
{
    page->file->pages[page->index] = NULL;
    page->file = NULL;
}

/* Forgets size, root and hashes. */
static void forget_content(struct relay_file *file)
{
    struct relay *relay = file->relay;

    for (size_t n = 0; n < RELAY_MAX_PAGES; n++)
        if (relay->pages[n].file == file)
            drop_page(&relay->pages[n]);
    if (file->cached != NULL)
        block_cache_close(relay->cache, file->cached);
    file->cached = NULL;
    free(file->page_hashes);
    free(file->pages);
    free(file->pages_asked);
    file->page_hashes = NULL;
    file->pages = NULL;
    file->pages_asked = NULL;
    relay->file_bytes -= page_bytes(file->page_count);
    file->page_count = 0;
    file->has_root = file->is_known = file->is_complete = file->is_trusted = false;
    file->is_proven = false;
    end_check(file);
}

void relay_source_free(struct relay_source *source)
{
    struct relay_source **link = &source->file->sources;

    while (*link != source)
        link = &(*link)->next_of_file;
    *link = source->next_of_file;
    link = &source->line->sources;
    while (*link != source)
        link = &(*link)->next_of_line;
    *link = source->next_of_line;
    relay_line_expect(source, -(int)source->expected);
    if (source->file->teacher == source)
        forget_content(source->file); /* another one has to tell */
    if (source->file->pages_asked != NULL) /* pages that it was asked for do not come */
        memset(source->file->pages_asked, 0, source->file->page_count * sizeof(bool));
    free(source);
}

static void close_source(struct relay_source *source)
{
    struct range_message m = range_message(RANGE_CLOSE);

    m.file_id = source->number;
    relay_line_send(source->line, &m);
    relay_source_free(source);
}

void relay_file_free(struct relay_file *file)
{
    struct relay_file **link = file_slot(file->relay, file->address);

    relay_reader_drop(&file->self);
    relay_object_end(file);
    while (file->sources != NULL)
        close_source(file->sources);
    forget_content(file);
    loop_clear_timer(file->relay->loop, &file->timer);
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    file->relay->file_count--;
    file->relay->file_bytes -= sizeof *file;
    free(file);
}

void relay_file_wake(struct relay_file *file)
{
    for (struct relay_reader *reader = file->readers; reader != NULL; reader = reader->next)
        loop_defer(file->relay->loop, &reader->change);
}

/* ---- who has it ---- */

static struct relay_holder *find_file_holder(struct relay_file *file, int64_t daemon)
{
    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        if (file->holders[n].daemon == daemon)
            return &file->holders[n];
    return NULL;
}

static bool has_holder(const struct relay_file *file)
{
    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        if (file->holders[n].daemon != 0 && !file->holders[n].is_bad)
            return true;
    return false;
}

/* Doubts end after a while. */
static void forgive_holders(struct relay_file *file, int64_t now_ms)
{
    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        if (file->holders[n].is_bad && file->holders[n].until_ms <= now_ms)
            file->holders[n] = (struct relay_holder){0};
}

static void add_holder(struct relay_file *file, int64_t daemon)
{
    struct relay_holder *holder = find_file_holder(file, daemon);

    if (holder != NULL || (holder = find_file_holder(file, 0)) == NULL)
        return;
    *holder = (struct relay_holder){.daemon = daemon};
    file->is_lost = false;
}

static void close_sources_of(struct relay_file *file, const struct relay_daemon *daemon)
{
    struct relay_source *source = file->sources, *next;

    for (; source != NULL; source = next) {
        next = source->next_of_file;
        if (source->line->daemon == daemon) {
            relay_line_requeue(source->line, file);
            close_source(source);
        }
    }
}

static void doubt_daemon(struct relay_file *file, struct relay_daemon *daemon, int64_t ms,
                         const char *why)
{
    struct relay_holder *holder = find_file_holder(file, daemon->number);

    if (why != NULL)
        log_line(LOG_WARN, "sha1://%s is not read from daemon %s: %s", file->sha1, daemon->name,
                 why);
    if (holder == NULL)
        holder = find_file_holder(file, 0);
    if (holder != NULL)
        *holder = (struct relay_holder){.daemon = daemon->number,
                                        .is_bad = true,
                                        .until_ms = loop_now_ms(file->relay->loop) + ms};
    close_sources_of(file, daemon);
    relay_file_seek(file);
}

void relay_file_doubt(struct relay_source *source, const char *why)
{
    doubt_daemon(source->file, source->line->daemon, source->file->relay->options.times.doubt_ms,
                 why);
}

void relay_file_doubt_block(struct relay_source *source)
{
    struct relay_file *file = source->file;
    struct relay_daemon *daemon = source->line->daemon;

    if (!file->has_root) {
        /* Its size, too, was only the word of this daemon: the others are not measured by it. */
        while (file->sources != NULL) {
            relay_line_requeue(file->sources->line, file);
            close_source(file->sources);
        }
        forget_content(file);
        file->state = RELAY_FILE_SOUGHT;
        for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
            file->holders[n].is_bad = false;
    }
    doubt_daemon(file, daemon, file->relay->options.times.doubt_ms,
                 "a block does not have its hash");
}

void relay_file_lose_daemon(struct relay *relay, int64_t daemon)
{
    for (size_t n = 0; n < RELAY_FILE_SLOTS; n++)
        for (struct relay_file *file = relay->files[n]; file != NULL; file = file->next) {
            struct relay_holder *holder = find_file_holder(file, daemon);
            if (holder == NULL)
                continue;
            *holder = (struct relay_holder){0};
            if (file->readers != NULL)
                relay_file_seek(file);
        }
}

/* ---- asking ---- */

static void set_file_timer(struct relay_file *file)
{
    const struct relay_times *times = &file->relay->options.times;
    const int64_t now = loop_now_ms(file->relay->loop);
    int64_t at = file->used_ms + (file->object != NULL               ? OBJECT_MS
                                  : file->state == RELAY_FILE_OPEN ? times->keep_ms
                                                                   : times->absent_ms);

    if (file->readers != NULL && file->ask != 0)
        at = file->asked_ms + ANSWER_MS;
    else if (file->readers != NULL && file->state == RELAY_FILE_OPEN &&
             (has_holder(file) || file->object != NULL))
        at = CLOCK_NEVER_MS;
    else if (file->readers != NULL) /* a look at the state, if it is not time to ask */
        at = file->ask_again_ms > now ? file->ask_again_ms : now + times->ask_again_ms;
    loop_set_timer(file->relay->loop, &file->timer, at);
}

/* ---- another root ---- */

static bool has_other(const struct relay_file *file)
{
    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        if (file->holders[n].daemon != 0 && file->holders[n].is_other)
            return true;
    return false;
}

/* By a reader that has no byte of it yet. */
static bool is_waited_for(const struct relay_file *file)
{
    const struct relay_reader *reader = file->readers;

    while (reader != NULL && (reader->is_bound || !reader->is_waiting))
        reader = reader->next;
    return reader != NULL && file->state == RELAY_FILE_OPEN;
}

static void move_unbound_readers(struct relay_file *file, struct relay_file *to)
{
    struct relay_reader *reader = file->readers, *next;

    for (; reader != NULL; reader = next) {
        next = reader->next;
        if (!reader->is_bound)
            relay_reader_move(reader, to);
    }
}

/* The daemons that are left have another root: readers without a byte are given that one, the
 * others wait for a daemon that has theirs. */
static void change_root(struct relay_file *file)
{
    struct relay_file *other =
        new_file(file->relay, file->zone, str_of(file->sha1), file->address);

    if (other == NULL)
        return;
    log_line(LOG_WARN, "sha1://%s has another root now", file->sha1);
    file->is_past = true;
    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        if (file->holders[n].is_other)
            add_holder(other, file->holders[n].daemon);
    move_unbound_readers(file, other);
    relay_file_seek(other);
}

/* All answers are there, or those that are not will not come. */
static void conclude_question(struct relay_file *file, bool is_late)
{
    struct relay *relay = file->relay;
    int64_t now = loop_now_ms(relay->loop);

    file->ask = 0;
    file->ask_again_ms = now + relay->options.times.ask_again_ms;
    if (!has_holder(file) && file->state == RELAY_FILE_OPEN) {
        file->is_lost = !is_late && !file->saw_building && !file->saw_error && file->away == 0;
        file->known_until_ms = now + relay->options.times.absent_ms;
    } else if (!has_holder(file)) {
        if (file->saw_building) {
            file->state = RELAY_FILE_BUILDING;
            file->known_until_ms = now + BUILDING_MS;
        } else if (!is_late && !file->saw_error && file->away == 0) {
            file->state = RELAY_FILE_ABSENT;
            file->known_until_ms = now + relay->options.times.absent_ms;
        }
        file->is_denied = !is_late && !file->saw_error;
    }
    file->unreadable_ms =
        !has_holder(file) && !is_late && file->saw_error && file->away == 0 ? file->asked_ms : 0;
    if (!has_holder(file) && has_other(file) && is_waited_for(file))
        change_root(file);
    relay_file_wake(file);
    set_file_timer(file);
}

/* The file changed at this daemon. If it was the last one, and no other is expected, readers need
 * not wait. */
static void lose_changed_file(struct relay_file *file, struct relay_daemon *daemon, const char *why)
{
    doubt_daemon(file, daemon, file->relay->options.times.doubt_ms, why);
    struct relay_holder *holder = find_file_holder(file, daemon->number);
    if (holder != NULL)
        holder->is_refused = true;
    if (holder != NULL && !has_holder(file) && file->ask == 0 && file->asked_ms != 0)
        conclude_question(file, false);
}

void relay_file_changed(struct relay_source *source, const char *why)
{
    lose_changed_file(source->file, source->line->daemon, why);
}

static void ask_hub(struct relay_file *file)
{
    struct relay *relay = file->relay;
    struct relay_note note = relay_note(RELAY_ASK);
    int64_t now = loop_now_ms(relay->loop);

    note.sha1 = str_of(file->sha1);
    note.zone = str_of(file->zone->name);
    buf_clear(&relay->text);
    relay_note_put(&relay->text, &note);
    file->ask_again_ms = now + relay->options.times.ask_again_ms;
    if (!relay->text.failed && relay->options.send_note(relay->options.owner, relay->last_ask + 1,
                                                        buf_str(&relay->text)) == 0) {
        file->ask = ++relay->last_ask;
        file->asked = -1;
        file->asked_ms = now;
        file->answered = file->away = 0;
        file->saw_building = file->saw_error = file->is_denied = false;
    }
    set_file_timer(file);
}

static bool is_overdue(const struct relay_source *source)
{
    const struct relay *relay = source->file->relay;

    return source->expected > 0 &&
           loop_now_ms(relay->loop) >= source->waiting_ms + relay->options.times.overdue_ms;
}

/* Opens the file at a holder that has a line, or has one made; at a further one if the first does
 * not answer soon. */
static void open_somewhere(struct relay_file *file)
{
    bool is_opening = false;

    for (size_t n = 0; n < RELAY_MAX_HOLDERS && !is_opening; n++) {
        const struct relay_holder *holder = &file->holders[n];
        struct relay_daemon *daemon = holder->daemon == 0 || holder->is_bad
                                          ? NULL
                                          : relay_daemon_get(file->relay, holder->daemon);
        if (daemon == NULL)
            continue;
        struct relay_line *line = relay_line_find(daemon, RANGE_SMALL);
        const struct relay_source *source = line == NULL ? NULL : relay_file_source(file, line);
        is_opening = source != NULL && !is_overdue(source);
    }
}

static bool is_block_wanted(const struct relay_file *file)
{
    const struct relay_reader *reader = file->readers;

    while (reader != NULL && reader->first == NULL)
        reader = reader->next;
    return reader != NULL;
}

/* While all daemons are asked whether they have the file, opens it at the one that had the last:
 * where files are read one after the other, that saves a round trip for each. */
static void guess_holder(struct relay_file *file)
{
    struct relay_daemon *daemon = file->relay->daemons;

    if (file->is_guessed || file->state != RELAY_FILE_SOUGHT || !is_block_wanted(file))
        return;
    file->is_guessed = true;
    while (daemon != NULL && daemon->number != file->relay->likely)
        daemon = daemon->next;
    if (daemon != NULL && daemon->lines[RANGE_SMALL] != NULL &&
        daemon->lines[RANGE_SMALL]->why[0] == '\0' &&
        strcmp(daemon->zone, file->zone->name) == 0 &&
        find_file_holder(file, daemon->number) == NULL)
        (void)relay_file_source(file, daemon->lines[RANGE_SMALL]);
}

void relay_file_seek(struct relay_file *file)
{
    int64_t now = loop_now_ms(file->relay->loop);

    if (file->is_refuted || file->object != NULL) {
        set_file_timer(file);
        return;
    }
    forgive_holders(file, now);
    if ((file->state == RELAY_FILE_ABSENT || file->state == RELAY_FILE_BUILDING) &&
        now >= file->known_until_ms)
        file->state = RELAY_FILE_SOUGHT;
    if (file->is_lost && now >= file->known_until_ms)
        file->is_lost = false;
    if (file->state == RELAY_FILE_ABSENT || file->state == RELAY_FILE_BUILDING || file->is_lost) {
        set_file_timer(file);
    } else if (!has_holder(file)) {
        if (file->ask == 0 && now >= file->ask_again_ms)
            ask_hub(file);
        else
            set_file_timer(file);
        guess_holder(file);
    } else if (file->state == RELAY_FILE_SOUGHT) {
        open_somewhere(file);
        set_file_timer(file);
    } else {
        relay_pump_soon(file->relay);
    }
}

void relay_file_widen(struct relay_file *file)
{
    if (file->ask == 0 && loop_now_ms(file->relay->loop) >= file->ask_again_ms)
        ask_hub(file);
}

void relay_file_overdue(struct relay_source *source)
{
    struct relay_file *file = source->file;
    size_t count = 0;

    for (size_t n = 0; n < RELAY_MAX_HOLDERS; n++)
        count += file->holders[n].daemon != 0 && !file->holders[n].is_bad;
    if (count < 2)
        relay_file_widen(file); /* until there is another one, it is waited for */
    else if (source->is_answered)
        relay_file_doubt(source, "hashes of its leaves do not come");
    else
        relay_file_seek(file);
}

/* ---- proven and refuted roots ---- */

static void note_verdict(const struct relay_file *file, bool is_right)
{
    verdicts_put(file->relay->verdicts, file->address, file->root, is_right);
}

/* Ends the reading of a content that is not what its address says. Readers without a byte of it
 * read `other`. */
static void refute_file(struct relay_file *file, struct relay_file *other)
{
    log_line(LOG_WARN, "sha1://%s: client %s signed a root of another content", file->sha1,
             file->signer);
    note_verdict(file, false);
    file->is_past = file->is_refuted = true;
    relay_object_end(file);
    while (file->sources != NULL) {
        relay_line_requeue(file->sources->line, file);
        close_source(file->sources);
    }
    memset(file->holders, 0, sizeof file->holders);
    if (other != NULL)
        move_unbound_readers(file, other);
    relay_file_wake(file);
}

static struct relay_file *new_file_like(const struct relay_file *file)
{
    return new_file(file->relay, file->zone, str_of(file->sha1), file->address);
}

void relay_file_judge(struct relay_file *file, bool is_right)
{
    if (file->state != RELAY_FILE_OPEN || !file->has_root || file->is_refuted)
        return;
    if (!is_right) {
        refute_file(file, new_file_like(file));
        return;
    }
    file->is_proven = true;
    note_verdict(file, true);
    for (struct relay_file *f = *file_slot(file->relay, file->address); f != NULL; f = f->next)
        if (f->has_root && f->state == RELAY_FILE_OPEN && !f->is_refuted &&
            memcmp(f->address, file->address, sizeof f->address) == 0 &&
            memcmp(f->root, file->root, sizeof f->root) != 0) {
            refute_file(f, new_file_like(f));
            return; /* the slot has changed, and no third one is open */
        }
}

/* Takes size and root (NULL: it is one block) for those of the file. */
static int set_content(struct relay_file *file, int64_t size, const unsigned char *root,
                       struct err *e)
{
    uint32_t pages = root != NULL ? (uint32_t)manifest_page_count(size) : 0;

    forget_content(file);
    file->size = size;
    memset(file->root, 0, sizeof file->root);
    if (root != NULL)
        memcpy(file->root, root, sizeof file->root);
    file->cached = block_cache_open(file->relay->cache, str_of(file->sha1), file->root, size, e);
    if (root != NULL) {
        file->page_hashes = calloc(pages, SHA256_SIZE);
        file->pages = calloc(pages, sizeof(struct relay_page *));
        file->pages_asked = calloc(pages, sizeof(bool));
    }
    if (file->cached == NULL || (root != NULL && (file->page_hashes == NULL ||
                                                  file->pages == NULL ||
                                                  file->pages_asked == NULL))) {
        forget_content(file);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    file->page_count = pages;
    file->relay->file_bytes += page_bytes(pages);
    file->has_root = root != NULL;
    file->is_known = true;
    return 0;
}

static bool has_content(const struct relay_file *file, int64_t size, const unsigned char *root)
{
    return file->state == RELAY_FILE_OPEN && file->is_complete && !file->is_refuted &&
           file->size == size && file->has_root == (root != NULL) &&
           (root == NULL || memcmp(file->root, root, SHA256_SIZE) == 0);
}

struct relay_file *relay_file_renew(struct relay_file *file)
{
    struct relay_file *other = new_file_like(file);

    if (other != NULL)
        file->is_past = true;
    return other;
}

struct relay_file *relay_file_prove(struct relay_file *file, int64_t size,
                                    const unsigned char *root, struct str page_hashes)
{
    struct relay_file *other = file;

    if (!has_content(file, size, root)) {
        if ((other = new_file_like(file)) == NULL)
            return NULL;
        if (set_content(other, size, root, ERR_IGNORED) != 0) {
            relay_file_free(other);
            return NULL;
        }
        if (page_hashes.len > 0)
            memcpy(other->page_hashes, page_hashes.p, page_hashes.len);
        other->is_complete = other->is_trusted = true;
        other->state = RELAY_FILE_OPEN;
        if (file->state == RELAY_FILE_OPEN && file->has_root && root != NULL &&
            memcmp(file->root, root, SHA256_SIZE) != 0) {
            refute_file(file, other);
        } else {
            file->is_past = true;
            move_unbound_readers(file, other);
        }
    }
    other->is_proven = root != NULL;
    if (root != NULL)
        note_verdict(other, true);
    return other;
}

static void on_file_time(void *owner)
{
    struct relay_file *file = owner;
    int64_t now = loop_now_ms(file->relay->loop);

    if (file->readers == NULL) {
        relay_file_free(file);
        return;
    }
    if (file->ask != 0 && now >= file->asked_ms + ANSWER_MS)
        conclude_question(file, true);
    relay_file_seek(file);
}

void relay_file_used(struct relay_file *file)
{
    file->used_ms = loop_now_ms(file->relay->loop);
    set_file_timer(file);
}

/* Blocks that one daemon left out and is asked for again are asked of another one now. */
static void move_left_out_blocks(struct relay_file *file)
{
    for (size_t slot = 0; slot < RELAY_BLOCK_SLOTS; slot++)
        for (struct relay_block *block = file->blocks[slot]; block != NULL; block = block->next)
            if (block->line != NULL && block->line->daemon->number == block->avoided) {
                relay_line_cancel(block);
                relay_block_requeue(block);
            }
}

void relay_file_on_note(struct relay_file *file, const struct relay_note *note)
{
    if (note->type == RELAY_ASKED) {
        file->asked = note->asked;
        file->away = note->away;
        if (note->daemon != 0 && file->answered == 0) {
            /* It is likely to have the file: its line is made while it looks. */
            struct relay_daemon *daemon = relay_daemon_get(file->relay, note->daemon);
            if (daemon != NULL)
                relay_line_ask(daemon, RANGE_SMALL);
        }
    } else {
        file->answered++;
        if (note->state == RANGE_FOUND) {
            add_holder(file, note->daemon);
            const struct relay_holder *holder = find_file_holder(file, note->daemon);
            move_left_out_blocks(file);
            /* It may have it, but cannot be asked now. */
            file->saw_error = file->saw_error || holder == NULL ||
                              (holder->is_bad && !holder->is_refused);
            relay_file_seek(file);
        }
        file->saw_building = file->saw_building || note->state == RANGE_BUILDING;
        if (note->state == RANGE_BUILDING && !file->is_known) {
            file->size = note->size;
            file->done = note->done;
        }
        file->saw_error = file->saw_error || note->state == RANGE_ERROR;
    }
    if (file->asked >= 0 && file->answered >= file->asked)
        conclude_question(file, false);
}

/* ---- opening ---- */

static bool is_on_disk(const struct relay_file *file, uint32_t i)
{
    return file->cached != NULL && block_cache_may_have(file->relay->cache, file->cached, i);
}

void relay_file_note_opening(struct relay_file *file, uint32_t i)
{
    int64_t now = loop_now_ms(file->relay->loop);

    if (file->opening_until_ms == 0)
        file->opening_until_ms = now + OPENING_MS;
    if (now >= file->opening_until_ms || file->opening_count == RANGE_MAX_ALSO)
        return;
    for (size_t n = 0; n < file->opening_count; n++)
        if (file->opening[n] == i)
            return;
    file->opening[file->opening_count++] = i;
    openings_put(file->relay->openings_fd, file->address, file->opening, file->opening_count);
}

/* The first leaf that a reader waits for, and those that the opening of the file touched before,
 * come with the answer. */
static void name_leaves(struct relay_source *source, struct range_message *m, uint32_t *also)
{
    struct relay_file *file = source->file;
    struct relay_reader *reader = file->readers;
    struct relay_block *block = NULL;

    while (reader != NULL && block == NULL) {
        if (reader->first != NULL && reader->first->block->line == NULL)
            block = reader->first->block;
        reader = reader->next;
    }
    if (block == NULL || is_on_disk(file, block->i) ||
        (!file->is_known && block_cache_has_some(file->relay->cache, str_of(file->sha1))) ||
        (m->request = relay_line_register(source->line, source, block)) == 0)
        return;
    m->first = block->i;
    for (size_t n = 0; n < file->opening_count && file->state != RELAY_FILE_OPEN; n++) {
        if (relay_block_find(file, file->opening[n]) != NULL || is_on_disk(file, file->opening[n]))
            continue;
        block = relay_reader_want(&file->self, file->opening[n]);
        if (block == NULL || relay_line_register(source->line, source, block) == 0)
            return;
        also[m->also_count++] = block->i;
    }
}

/* The address of a reader of the file. */
static struct str first_asker(const struct relay_file *file)
{
    const struct relay_reader *reader = file->readers;

    while (reader != NULL && reader->asker[0] == '\0')
        reader = reader->next;
    return str_of(reader == NULL ? "" : reader->asker);
}

struct relay_source *relay_file_source(struct relay_file *file, struct relay_line *line)
{
    struct range_message m = range_message(RANGE_OPEN);
    struct relay_source *source = file->sources;
    uint32_t also[RANGE_MAX_ALSO];

    while (source != NULL && source->line != line)
        source = source->next_of_file;
    if (source != NULL)
        return source;
    source = calloc(1, sizeof *source);
    if (source == NULL)
        return NULL;
    *source = (struct relay_source){.next_of_line = line->sources,
                                    .next_of_file = file->sources,
                                    .line = line,
                                    .file = file,
                                    .number = ++line->last_file};
    line->sources = source;
    file->sources = source;
    m.file_id = source->number;
    m.sha1 = str_of(file->sha1);
    m.also = also;
    name_leaves(source, &m, also);
    if (line->daemon->has_asker)
        m.asker = first_asker(file);
    relay_line_expect(source, 1);
    relay_line_send(line, &m);
    return source;
}

/* Whether the daemon's word that this root belongs to the SHA-1 is good. */
static int check_root_signature(const struct relay_source *source, const struct range_message *m,
                                struct err *e)
{
    const struct relay_daemon *daemon = source->line->daemon;
    struct buf text = {0};
    bool is_right;

    range_message_put_signed(&text, m, str_of(daemon->zone), str_of(daemon->name),
                             str_of(source->file->sha1));
    if (buf_check(&text, e) != 0)
        return -1;
    is_right = signature_is_right(m->client_id, buf_str(&text), m->signature);
    buf_free(&text);
    return is_right ? 0 : err_set(e, ERR_REFUSED, "its signature is wrong");
}

static void open_relay_file(struct relay_file *file)
{
    file->teacher = NULL;
    file->state = RELAY_FILE_OPEN;
    relay_file_wake(file);
    relay_pump_soon(file->relay);
    set_file_timer(file);
}

static void on_signer_checked(struct relay_check *check, int result, const struct err *e)
{
    struct relay_file *file = check->owner;
    file->is_trusted = result == 0;
    if (result == 0 && file->is_complete)
        open_relay_file(file);
    else if (result != 0 && file->teacher != NULL)
        relay_file_doubt(file->teacher, e->msg);
}

/* Whether the client that signed is one of the zone. */
static int start_signer_check(struct relay_source *source, struct str client_id, struct err *e)
{
    struct relay_file *file = source->file;
    const struct relay_options *options = &file->relay->options;

    if (options->check_signer == NULL) {
        file->is_trusted = true;
        return 0;
    }
    const struct zone zone = {.name = str_of(file->zone->name),
                              .directory = str_of(file->zone->directory)};
    file->check = (struct relay_check){.on_done = on_signer_checked, .owner = file};
    options->check_signer(options->check_owner, &zone, client_id, &file->check);
    return file->check.state != NULL ? 0 : err_set(e, ERR_FAILED, "its client cannot be looked up");
}

/* Takes the daemon's word for what the file is. */
static int learn_content(struct relay_source *source, const struct range_message *m, struct err *e)
{
    struct relay_file *file = source->file;
    const bool has_root = manifest_is_for(m->size);
    unsigned char root[SHA256_SIZE] = {0};

    if (m->size <= 0 || m->size > MANIFEST_MAX_SIZE || has_root != (m->root.len > 0))
        return err_set(e, ERR_PROTOCOL, "its size does not fit its root");
    if (has_root && !hex_decode(m->root, root, sizeof root))
        return err_set(e, ERR_PROTOCOL, "its root is malformed");
    if (check_root_signature(source, m, e) != 0)
        return -1;
    int verdict = has_root ? verdicts_find(file->relay->verdicts, file->address, root) : 0;
    if (verdict < 0)
        return err_set(e, ERR_CHANGED, "client %.*s signed a root that is not this content's",
                       STR_ARG(m->client_id));
    if (set_content(file, m->size, has_root ? root : NULL, e) != 0)
        return -1;
    file->is_proven = verdict > 0;
    snprintf(file->signer, sizeof file->signer, "%.*s", STR_ARG(m->client_id));
    file->teacher = source;
    return start_signer_check(source, m->client_id, e);
}

/* All that an opening brings is there, and is right. */
static void finish_opening(struct relay_source *source)
{
    source->is_open = true;
    source->file->relay->likely = source->line->daemon->number;
    add_holder(source->file, source->line->daemon->number);
    relay_line_expect(source, -1);
    if (source->file->is_trusted)
        open_relay_file(source->file);
}

static bool is_same_content(const struct relay_file *file, const struct range_message *m)
{
    unsigned char root[SHA256_SIZE] = {0};

    return file->size == m->size && file->has_root == (m->root.len > 0) &&
           (m->root.len == 0 || hex_decode(m->root, root, sizeof root)) &&
           memcmp(root, file->root, sizeof root) == 0;
}

static void on_source_opened(struct relay_source *source, const struct range_message *m)
{
    struct relay_file *file = source->file;
    struct err e = {0};

    if (source->is_answered) {
        relay_line_fail(source->line, "opened a file twice");
        return;
    }
    source->is_answered = true;
    if (file->teacher != NULL) {
        /* The file will be known by the word of another source: this one is opened again then. */
        relay_line_requeue(source->line, file);
        close_source(source);
        return;
    }
    if (file->is_known) {
        if (!is_same_content(file, m)) {
            struct relay_daemon *daemon = source->line->daemon;
            doubt_daemon(file, daemon, file->relay->options.times.keep_ms,
                         "it has another root for the hash");
            struct relay_holder *holder = find_file_holder(file, daemon->number);
            if (holder != NULL)
                holder->is_other = true;
            return;
        }
    } else if (learn_content(source, m, &e) != 0) {
        struct relay_daemon *daemon = source->line->daemon;
        const struct relay_times *times = &file->relay->options.times;
        const bool is_refused = e.code == ERR_CHANGED;
        doubt_daemon(file, daemon, is_refused ? times->keep_ms : times->doubt_ms, e.msg);
        struct relay_holder *holder = find_file_holder(file, daemon->number);
        if (holder != NULL)
            holder->is_refused = is_refused;
        return;
    }
    if (!file->has_root) {
        file->is_complete = true;
        finish_opening(source);
    }
}

static void on_source_refused(struct relay_source *source, const struct range_message *m)
{
    struct relay_file *file = source->file;
    struct relay_daemon *daemon = source->line->daemon;
    char why[RANGE_MAX_TEXT_BYTES + 1];

    if (source->is_answered) {
        relay_line_fail(source->line, "refused a file that it had opened");
        return;
    }
    snprintf(why, sizeof why, "%.*s", STR_ARG(m->text));
    if (m->state == RANGE_BUILDING && file->state != RELAY_FILE_OPEN) {
        doubt_daemon(file, daemon, BUILDING_MS, NULL);
        if (has_holder(file) || file->is_known)
            return; /* another one has it */
        file->state = RELAY_FILE_BUILDING;
        file->known_until_ms = loop_now_ms(file->relay->loop) + BUILDING_MS;
        file->size = m->size;
        file->done = m->done;
        relay_file_wake(file);
        return;
    }
    if (m->state == RANGE_NOT_FOUND && find_file_holder(file, daemon->number) == NULL) {
        relay_line_requeue(source->line, file); /* a wrong guess */
        close_source(source);
        return;
    }
    if (m->state == RANGE_CHANGED)
        lose_changed_file(file, daemon, why);
    else
        doubt_daemon(file, daemon, file->relay->options.times.doubt_ms,
                     m->state == RANGE_ERROR ? why : NULL);
}

void relay_file_on_message(struct relay_line *line, const struct range_message *m)
{
    struct relay_source *source = line->sources;

    while (source != NULL && source->number != m->file_id)
        source = source->next_of_line;
    if (source == NULL)
        return; /* closed meanwhile */
    if (m->type == RANGE_OPENED)
        on_source_opened(source, m);
    else
        on_source_refused(source, m);
}

/* ---- pages ---- */

static bool root_is_right(const struct relay_file *file)
{
    const struct str hashes = {(const char *)file->page_hashes,
                               (size_t)file->page_count * SHA256_SIZE};
    unsigned char root[SHA256_SIZE];

    manifest_root_of(file->size, file->address, hashes, root);
    return memcmp(root, file->root, sizeof root) == 0;
}

void relay_file_on_pages(struct relay_source *source, uint32_t first, struct str hashes)
{
    struct relay_file *file = source->file;
    size_t count = hashes.len / SHA256_SIZE;
    unsigned char *at;

    if (!source->is_answered || source->is_open || !file->has_root ||
        first != source->pages_got || count > file->page_count - source->pages_got) {
        relay_line_fail(source->line, "sent pages that were not asked for");
        return;
    }
    at = file->page_hashes + (size_t)first * SHA256_SIZE;
    if (!file->is_complete)
        memcpy(at, hashes.p, hashes.len);
    else if (memcmp(at, hashes.p, hashes.len) != 0) {
        relay_file_doubt(source, "its page hashes are wrong");
        return;
    }
    source->pages_got += (uint32_t)count;
    source->waiting_ms = loop_now_ms(file->relay->loop);
    if (source->pages_got < file->page_count)
        return;
    if (!file->is_complete && !root_is_right(file)) {
        relay_file_doubt(source, "its page hashes do not have the root");
        return;
    }
    file->is_complete = true;
    finish_opening(source);
}

static struct relay_page *take_leaf_page(struct relay *relay)
{
    struct relay_page *best = NULL;

    for (size_t n = 0; n < RELAY_MAX_PAGES; n++) {
        struct relay_page *page = &relay->pages[n];
        if (page->leaves == NULL)
            page->leaves = malloc(LINE_PAGE_LEAVES * SHA256_SIZE);
        if (page->leaves == NULL)
            continue;
        if (page->file == NULL) {
            best = page;
            break;
        }
        if (best == NULL || page->used < best->used)
            best = page;
    }
    if (best != NULL && best->file != NULL)
        drop_page(best);
    return best;
}

void relay_file_on_page(struct relay_source *source, uint32_t index, struct str leaves)
{
    struct relay_file *file = source->file;
    struct relay *relay = file->relay;
    unsigned char hash[SHA256_SIZE];

    if (!source->is_open || index >= file->page_count ||
        leaves.len != manifest_leaves_in_page(file->size, index) * SHA256_SIZE) {
        relay_line_fail(source->line, "sent a page that was not asked for");
        return;
    }
    if (source->expected > 0)
        relay_line_expect(source, -1);
    file->pages_asked[index] = false;
    source->line->early = 0;
    if (file->pages[index] != NULL)
        return;
    sha256_of(leaves, hash);
    if (memcmp(hash, file->page_hashes + (size_t)index * SHA256_SIZE, sizeof hash) != 0) {
        relay_file_doubt(source, "a page of leaves is wrong");
        return;
    }
    struct relay_page *page = take_leaf_page(relay);
    if (page == NULL)
        return;
    memcpy(page->leaves, leaves.p, leaves.len);
    page->file = file;
    page->index = index;
    page->used = ++relay->page_uses;
    file->pages[index] = page;
    relay_file_wake(file); /* blocks of the disk can be checked now */
    relay_pump_soon(relay);
}

void relay_file_ask_page(struct relay_source *source, uint32_t page)
{
    struct relay_file *file = source->file;
    struct range_message m = range_message(RANGE_PAGE);

    if (file->pages[page] != NULL || file->pages_asked[page])
        return;
    file->pages_asked[page] = true;
    m.file_id = source->number;
    m.page = page;
    relay_line_expect(source, 1);
    relay_line_send(source->line, &m);
}

struct relay_page *relay_file_page(struct relay_file *file, uint32_t j)
{
    struct relay_page *page = file->pages[j];

    if (page != NULL || file->object == NULL || (page = take_leaf_page(file->relay)) == NULL)
        return page;
    if (!relay_object_read_page(file, j, page->leaves))
        return NULL;
    page->file = file;
    page->index = j;
    page->used = ++file->relay->page_uses;
    file->pages[j] = page;
    return page;
}

struct str relay_file_hash(struct relay_file *file, uint32_t i)
{
    struct relay_page *page;

    if (!file->is_complete || i >= manifest_leaf_count(file->size))
        return STR("");
    if (!file->has_root)
        return (struct str){(const char *)file->address, sizeof file->address};
    page = relay_file_page(file, i / LINE_PAGE_LEAVES);
    if (page == NULL)
        return STR("");
    page->used = ++file->relay->page_uses;
    return (struct str){(const char *)page->leaves + (size_t)(i % LINE_PAGE_LEAVES) * SHA256_SIZE,
                        SHA256_SIZE};
}
