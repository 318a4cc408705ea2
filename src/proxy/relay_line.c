/* The hub's end of a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/stream.h"
#include "proto/manifest.h"
#include "proxy/relay_note.h"
#include "proxy/relay_state.h"

enum { UNCHECKED_MS = 10 }; /* that a leaf waits for others at most */
enum { UNSENT_BYTES = 65536, COMING_BYTES = 16384 /* of a message, that count as life */ };

/* ---- having one ---- */

void relay_line_ask(struct relay_daemon *daemon, enum range_class line_class)
{
    struct relay *relay = daemon->relay;
    struct relay_note note = relay_note(RELAY_LINE);
    int64_t now = loop_now_ms(relay->loop);

    if (daemon->lines[line_class] != NULL)
        return;
    if (daemon->missed_ms[line_class] == 0)
        daemon->missed_ms[line_class] = now;
    if (now < daemon->ask_again_ms[line_class])
        return;
    note.daemon = daemon->number;
    note.line_class = line_class;
    buf_clear(&relay->text);
    relay_note_put(&relay->text, &note);
    daemon->ask_again_ms[line_class] = now + relay->options.times.line_again_ms;
    loop_set_timer(relay->loop, &daemon->timer, daemon->ask_again_ms[line_class]);
    if (!relay->text.failed) /* a note that is not taken is sent again then */
        relay->options.send_note(relay->options.owner, 0, buf_str(&relay->text));
}

bool relay_line_is_coming(const struct relay_daemon *daemon, enum range_class line_class)
{
    const struct relay *relay = daemon->relay;

    return daemon->lines[line_class] == NULL &&
           loop_now_ms(relay->loop) - daemon->missed_ms[line_class] <
               relay->options.times.instead_ms;
}

struct relay_line *relay_line_find(struct relay_daemon *daemon, enum range_class line_class)
{
    enum range_class other = line_class == RANGE_SMALL ? RANGE_BULK : RANGE_SMALL;

    if (daemon->lines[line_class] != NULL)
        return daemon->lines[line_class];
    relay_line_ask(daemon, line_class);
    if (relay_line_is_coming(daemon, line_class))
        return NULL;
    relay_line_ask(daemon, other);
    return daemon->lines[other];
}

/* ---- its end ---- */

static bool is_expecting(const struct relay_line *line)
{
    return line->in_flight > 0 || line->expected > 0;
}

static void set_line_timer(struct relay_line *line)
{
    const struct relay_times *times = &line->relay->options.times;
    int64_t at = line->used_ms + times->idle_ms;

    if (is_expecting(line)) { /* looks come at their times, whatever comes meanwhile */
        int64_t next = loop_now_ms(line->relay->loop) + times->overdue_ms / 2;
        at = clock_earlier(loop_timer_at_ms(&line->timer), next);
    }
    loop_set_timer(line->relay->loop, &line->timer, at);
}

static size_t unchecked_of(const struct relay_line *line)
{
    size_t count = 0;

    for (size_t n = 0; n < line->relay->unchecked_count; n++)
        count += line->relay->unchecked[n].line == line;
    return count;
}

/* Leaves that came and are not looked at yet are on their way no more. */
static size_t flight_of(const struct relay_line *line)
{
    return line->in_flight - unchecked_of(line);
}

bool relay_line_has_room(const struct relay_line *line)
{
    return line->in_flight < RELAY_LINE_IN_FLIGHT &&
           (line->line_class != RANGE_BULK || flight_of(line) < pace_window(&line->pace));
}

static void forget_leaf_request(struct relay_line *line, size_t slot)
{
    struct relay_block *block = line->asked[slot];

    line->asked[slot] = NULL;
    if (--line->in_flight == 0 && line->ws != NULL)
        ws_conn_set_keep(line->ws, 0);
    block->source->in_flight--;
    block->overtaken_ms = 0;
    block->line = NULL;
    block->source = NULL;
}

/* Its leaf may be on its way. */
static void note_cancelled(struct relay_line *line, uint32_t request)
{
    line->cancelled[request % RELAY_REQUESTS / 8] |= (unsigned char)(1u << request % 8);
}

/* Whether it was cancelled; once. */
static bool forget_cancelled(struct relay_line *line, uint32_t request)
{
    unsigned char *byte = &line->cancelled[request % RELAY_REQUESTS / 8];
    unsigned char bit = (unsigned char)(1u << request % 8);
    bool was_cancelled = (*byte & bit) != 0 && line->last_request - request < RELAY_REQUESTS;

    *byte = (unsigned char)(*byte & ~bit);
    return was_cancelled;
}

void relay_line_requeue(struct relay_line *line, const struct relay_file *file)
{
    for (size_t n = 0; n < RELAY_LINE_IN_FLIGHT; n++) {
        struct relay_block *block = line->asked[n];
        if (block == NULL || (file != NULL && block->file != file))
            continue;
        forget_leaf_request(line, n);
        note_cancelled(line, block->request);
        relay_block_requeue(block);
    }
}

static void drop_line(struct relay_line *line)
{

    struct relay *relay = line->relay;
    struct relay_daemon *daemon = line->daemon;

    daemon->lines[line->line_class] = NULL; /* nothing is asked of it any more */
    line->ws = NULL;                        /* it is freed */
    for (size_t n = 0; n < RELAY_UNCHECKED; n++)
        if (relay->unchecked[n].line == line)
            relay->unchecked[n].line = NULL;
    relay_line_requeue(line, NULL);
    while (line->sources != NULL) {
        struct relay_file *file = line->sources->file;
        relay_source_free(line->sources);
        if (file->readers != NULL)
            relay_file_seek(file);
    }
    loop_clear_timer(relay->loop, &line->timer);
    loop_undefer(relay->loop, &line->end);
    free(line);
    relay_pump_soon(relay);
}

void relay_line_end(struct relay_line *line, const char *why)
{
    if (why != NULL)
        log_line(LOG_WARN, "a line of daemon %s ended: %s", line->daemon->name, why);
    ws_conn_free(line->ws);
    drop_line(line);
}

static void on_relay_line_end(void *owner)
{
    struct relay_line *line = owner;

    relay_line_end(line, line->why);
}

void relay_line_fail(struct relay_line *line, const char *why)
{
    if (line->why[0] != '\0')
        return;
    snprintf(line->why, sizeof line->why, "%s", why);
    loop_defer(line->relay->loop, &line->end);
}

static void check_leaves(void *owner);

static void on_relay_line_closed(void *owner, const struct ws_end *end)
{
    struct relay_line *line = owner;

    if (end->is_failure)
        log_line(LOG_WARN, "a line of daemon %s ended: %s", line->daemon->name, end->why.msg);
    check_leaves(line->relay); /* its last ones are good */
    line->ws = NULL;
    drop_line(line);
}

/* It is silent: what it was asked for is asked of other daemons first. */
static void give_up_line(struct relay_line *line)
{
    struct relay_source *source = line->sources;

    while (source != NULL) {
        if (source->in_flight + source->expected > 0) {
            relay_file_doubt(source, NULL);
            source = line->sources; /* it is gone, and others may be */
        } else {
            source = source->next_of_line;
        }
    }
    relay_line_end(line, "nothing came while blocks were wanted");
}

/* A message that comes slowly is life, too. */
static bool is_silent(struct relay_line *line, int64_t now_ms)
{
    size_t coming = ws_conn_coming(line->ws);

    if (now_ms < line->heard_ms + line->relay->options.times.silent_ms)
        return false;
    bool is_alive = coming >= line->coming_bytes + COMING_BYTES;
    line->coming_bytes = coming;
    if (is_alive)
        line->heard_ms = now_ms;
    return !is_alive;
}

/* Leaves that it left out are asked for again, of another daemon if there is one. */
static void drop_overdue_blocks(struct relay_line *line, int64_t now_ms)
{
    for (size_t n = 0; n < RELAY_LINE_IN_FLIGHT; n++) {
        struct relay_block *block = line->asked[n];
        if (block == NULL || block->overtaken_ms == 0 ||
            now_ms < block->overtaken_ms + line->relay->options.times.overdue_ms)
            continue;
        relay_line_cancel(block);
        block->avoided = line->daemon->number;
        relay_block_requeue(block);
        relay_file_widen(block->file);
    }
}

static void drop_overdue_sources(struct relay_line *line, int64_t now_ms)
{
    struct relay_source *source = line->sources;

    while (source != NULL) {
        struct relay_source *next = source->next_of_line;
        if (source->expected > 0 &&
            now_ms >= source->waiting_ms + line->relay->options.times.overdue_ms)
            relay_file_overdue(source); /* this one is gone, at most */
        source = next;
    }
}

static void on_line_time(void *owner)
{
    struct relay_line *line = owner;
    const struct relay_times *times = &line->relay->options.times;
    int64_t now = loop_now_ms(line->relay->loop);

    if (is_expecting(line) && is_silent(line, now)) {
        give_up_line(line);
    } else if (!is_expecting(line) && now >= line->used_ms + times->idle_ms) {
        relay_line_end(line, NULL);
    } else {
        drop_overdue_blocks(line, now);
        drop_overdue_sources(line, now);
        set_line_timer(line);
    }
}

/* ---- what it brings ---- */

static void note_life(struct relay_line *line)
{
    line->heard_ms = loop_now_ms(line->relay->loop);
    line->coming_bytes = 0;
}

/* Leaves that were asked for before this one have been left out, or come late. */
static void note_overtaken(struct relay_line *line, uint32_t request)
{
    for (size_t n = 0; n < RELAY_LINE_IN_FLIGHT; n++) {
        struct relay_block *block = line->asked[n];
        if (block != NULL && block->overtaken_ms == 0 &&
            request - block->request < RELAY_REQUESTS)
            block->overtaken_ms = loop_now_ms(line->relay->loop);
    }
}

/* The block of a request, which is asked of nobody then. NULL: there is none. */
static struct relay_block *take_block(struct relay_line *line, uint32_t request,
                                      struct relay_source **source)
{
    for (size_t n = 0; n < RELAY_LINE_IN_FLIGHT; n++) {
        struct relay_block *block = line->asked[n];
        if (block == NULL || block->request != request)
            continue;
        *source = block->source;
        forget_leaf_request(line, n);
        note_life(line);
        return block;
    }
    if (forget_cancelled(line, request))
        note_life(line);
    else
        relay_line_fail(line, "answered what was not asked");
    return NULL;
}

/* `known` is the SHA-256 of the bytes, or NULL. */
static bool leaf_is_right(struct str bytes, struct str hash, const unsigned char *known)
{
    if (known != NULL && hash.len == SHA256_SIZE)
        return memcmp(known, hash.p, SHA256_SIZE) == 0;
    return block_cache_has_hash(bytes, hash);
}

/* The bytes are those of `aside`, or NULL: the message's. */
static bool keep_leaf(struct relay_block *block, struct str bytes, struct relay_unchecked *aside)
{
    const struct relay_file *file = block->file;
    struct block_cache *cache = file->relay->cache;

    return aside == NULL
               ? block_cache_put(cache, file->cached, block->i, bytes)
               : block_cache_exchange(cache, file->cached, block->i, &aside->bytes, aside->len);
}

/* `known` is the SHA-256 of the bytes, if they were put aside. */
static void take_leaf(struct relay_line *line, const struct line_message *m,
                      struct relay_unchecked *aside, const unsigned char *known)
{
    struct relay_source *source;
    struct relay_block *block = take_block(line, m->request, &source);

    if (block == NULL)
        return;
    struct relay_file *file = block->file;
    struct str hash = relay_file_hash(file, block->i);
    note_overtaken(line, m->request);
    line->relay->bytes_fetched += (int64_t)m->bytes.len;
    if (m->first != block->i) {
        relay_block_requeue(block);
        relay_line_fail(line, "sent another block than was asked for");
    } else if (hash.len == 0) {
        relay_block_requeue(block); /* its page of leaves was pushed out of memory */
        if (++line->early > RELAY_LINE_IN_FLIGHT)
            relay_line_fail(line, "sends blocks without their hashes");
    } else if (m->bytes.len != manifest_block_bytes(file->size, block->i) ||
               !leaf_is_right(m->bytes, hash, known)) {
        relay_block_requeue(block);
        relay_file_doubt_block(source);
        relay_line_fail(line, "sent a wrong block");
    } else if (!keep_leaf(block, m->bytes, aside)) {
        relay_block_requeue(block);
        relay_line_fail(line, "out of memory");
    } else {
        relay_block_arrived(block);
    }
}

/* Looks at the leaves that came meanwhile: as many hashes take little longer than one. */
static void check_leaves(void *owner)
{
    struct relay *relay = owner;
    struct str bytes[RELAY_UNCHECKED] = {{NULL, 0}};
    unsigned char digests[RELAY_UNCHECKED][SHA256_SIZE];
    size_t count = relay->unchecked_count;

    for (size_t n = 0; n < count; n++)
        bytes[n] = (struct str){(const char *)relay->unchecked[n].bytes, relay->unchecked[n].len};
    sha256_of_many(bytes, count, digests);
    relay->unchecked_count = 0;
    loop_clear_timer(relay->loop, &relay->unchecked_timer);
    for (size_t n = 0; n < count; n++) {
        struct relay_unchecked *u = &relay->unchecked[n];
        if (u->line == NULL || u->line->why[0] != '\0')
            continue;
        take_leaf(u->line,
                  &(struct line_message){.kind = LINE_DATA,
                                         .request = u->request,
                                         .first = u->first,
                                         .bytes = bytes[n]},
                  u, digests[n]);
    }
}

/* Leaves of bulk lines wait for a few others, unless none is to come. False without memory. */
static bool put_aside(struct relay_line *line, const struct line_message *m)
{
    struct relay *relay = line->relay;
    struct relay_unchecked *u = &relay->unchecked[relay->unchecked_count];

    if (u->bytes == NULL && (u->bytes = block_cache_new_memory()) == NULL)
        return false;
    memcpy(u->bytes, m->bytes.p, m->bytes.len);
    u->line = line;
    u->request = m->request;
    u->first = m->first;
    u->len = m->bytes.len;
    relay->unchecked_count++;
    note_life(line);
    if (relay->unchecked_count == RELAY_UNCHECKED || unchecked_of(line) >= line->in_flight) {
        check_leaves(relay);
    } else if (relay->unchecked_count == 1) {
        relay->unchecked_timer.call = check_leaves;
        relay->unchecked_timer.owner = relay;
        loop_set_timer(relay->loop, &relay->unchecked_timer,
                       loop_now_ms(relay->loop) + UNCHECKED_MS);
    }
    return true;
}

static void note_pace(struct relay_line *line, uint32_t request)
{
    const int64_t now = loop_now_ms(line->relay->loop);
    const bool is_full = flight_of(line) >= pace_window(&line->pace);

    for (size_t n = 0; n < RELAY_LINE_IN_FLIGHT; n++)
        if (line->asked[n] != NULL && line->asked[n]->request == request)
            pace_came(&line->pace, now, now - line->asked_ms[n], is_full);
}

static void on_leaf_data(struct relay_line *line, const struct line_message *m)
{
    bool may_wait = line->line_class == RANGE_BULK && sha256_lanes() > 1 &&
                    m->bytes.len <= LINE_LEAF_BYTES;

    note_pace(line, m->request);
    if (!may_wait || !put_aside(line, m))
        take_leaf(line, m, NULL, NULL);
    relay_pump_soon(line->relay);
}

static void on_leaf_failure(struct relay_line *line, const struct line_message *m)
{
    struct relay_source *source;
    struct relay_block *block = take_block(line, m->request, &source);

    if (block == NULL)
        return;
    if (relay_block_is_beyond(block)) {
        relay_block_arrived(block); /* it was wanted before the size was known */
        return;
    }
    relay_block_requeue(block);
    if (m->reason == LINE_CLOSED) {
        relay_line_requeue(line, source->file); /* it yielded to another file: it is opened again */
        relay_source_free(source);
    } else if (m->reason == LINE_CHANGED) {
        relay_file_changed(source, "it changed");
    } else {
        relay_file_doubt(source, "it cannot be read");
    }
}

static struct relay_source *find_source(struct relay_line *line, uint32_t number)
{
    struct relay_source *source = line->sources;

    while (source != NULL && source->number != number)
        source = source->next_of_line;
    return source;
}

static void on_relay_line_binary(struct relay_line *line, struct str bytes)
{
    struct line_message m;
    struct relay_source *source;

    if (!line_parse(bytes, &m)) {
        relay_line_fail(line, "sent what is no message");
        return;
    }
    if (m.kind != LINE_DATA)
        check_leaves(line->relay); /* earlier blocks count before it */
    switch (m.kind) {
    case LINE_DATA: on_leaf_data(line, &m); return;
    case LINE_FAIL: on_leaf_failure(line, &m); return;
    case LINE_PAGES:
    case LINE_PAGE:
        source = find_source(line, m.file);
        if (source == NULL)
            return; /* closed meanwhile */
        if (m.kind == LINE_PAGES)
            relay_file_on_pages(source, m.first, m.bytes);
        else
            relay_file_on_page(source, m.first, m.bytes);
        return;
    default: relay_line_fail(line, "sent what is the hub's to send");
    }
}

static void on_relay_line_text(struct relay_line *line, struct str text)
{
    struct range_message m;
    struct err e = {0};

    if (range_message_parse(&m, text, &e) != 0) {
        relay_line_fail(line, e.msg);
        return;
    }
    check_leaves(line->relay);
    if (m.type == RANGE_OPENED || m.type == RANGE_REFUSED)
        relay_file_on_message(line, &m);
    else
        relay_line_fail(line, "sent a message of another kind");
    range_message_deinit(&m);
}

static void on_relay_line_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct relay_line *line = owner;

    if (line->why[0] != '\0')
        return;
    if (kind == WS_BINARY)
        on_relay_line_binary(line, message);
    else
        on_relay_line_text(line, message);
    set_line_timer(line);
}

/* ---- what it is asked for ---- */

void relay_line_send(struct relay_line *line, const struct range_message *m)
{
    struct buf *text = &line->relay->text;
    struct err e = {0};

    buf_clear(text);
    range_message_put(text, m);
    if (buf_check(text, &e) != 0 || ws_conn_send(line->ws, WS_TEXT, buf_str(text), &e) != 0)
        relay_line_fail(line, e.msg);
}

static void send_line_binary(struct relay_line *line)
{
    struct buf *bytes = &line->relay->text;
    struct err e = {0};

    if (buf_check(bytes, &e) != 0 || ws_conn_send(line->ws, WS_BINARY, buf_str(bytes), &e) != 0)
        relay_line_fail(line, e.msg);
}

void relay_line_expect(struct relay_source *source, int change)
{
    struct relay_line *line = source->line;

    if (change < 0 || !is_expecting(line))
        note_life(line);
    if (change < 0 || source->expected == 0)
        source->waiting_ms = loop_now_ms(line->relay->loop);
    source->expected += (size_t)change;
    line->expected += (size_t)change;
    set_line_timer(line);
}

uint32_t relay_line_register(struct relay_line *line, struct relay_source *source,
                             struct relay_block *block)
{
    size_t slot = 0;

    while (slot < RELAY_LINE_IN_FLIGHT && line->asked[slot] != NULL)
        slot++;
    if (slot == RELAY_LINE_IN_FLIGHT)
        return 0;
    if (!is_expecting(line))
        note_life(line);
    if (++line->last_request == 0)
        ++line->last_request;
    forget_cancelled(line, line->last_request); /* of a number that was used long ago */
    block->line = line;
    block->source = source;
    block->request = line->last_request;
    if (block->avoided == line->daemon->number) /* it left it out before */
        block->overtaken_ms = loop_now_ms(line->relay->loop);
    if (flight_of(line) == 0)
        pace_begin(&line->pace, loop_now_ms(line->relay->loop));
    line->asked[slot] = block;
    line->asked_ms[slot] = loop_now_ms(line->relay->loop);
    if (line->in_flight++ == 1) /* leaves follow each other */
        ws_conn_set_keep(line->ws, (size_t)2 * LINE_MAX_MESSAGE_BYTES);
    source->in_flight++;
    line->used_ms = loop_now_ms(line->relay->loop);
    set_line_timer(line);
    return block->request;
}

void relay_line_want(struct relay_line *line, struct relay_source *source,
                     struct relay_block *block)
{
    if (relay_line_register(line, source, block) == 0)
        return;
    buf_clear(&line->relay->text);
    line_put_want(&line->relay->text, block->request, source->number, block->i, 1);
    send_line_binary(line);
}

void relay_line_cancel(struct relay_block *block)
{
    struct relay_line *line = block->line;
    size_t slot = 0;

    while (line->asked[slot] != block)
        slot++;
    forget_leaf_request(line, slot);
    note_cancelled(line, block->request);
    buf_clear(&line->relay->text);
    line_put_cancel(&line->relay->text, block->request);
    send_line_binary(line);
    set_line_timer(line);
}

void relay_line_start(struct relay *relay, struct relay_daemon *daemon, enum range_class line_class,
                      int fd, struct str early)
{
    const struct loop_wake no_wake = {.loop = relay->loop};
    struct relay_line *line = calloc(1, sizeof *line);
    struct err e = {0};

    if (line == NULL || daemon->lines[line_class] != NULL) {
        free(line);
        close(fd);
        return;
    }
    *line = (struct relay_line){.relay = relay,
                                .daemon = daemon,
                                .line_class = line_class,
                                .timer = {.call = on_line_time, .owner = line},
                                .end = {.call = on_relay_line_end, .owner = line},
                                .used_ms = loop_now_ms(relay->loop),
                                .heard_ms = loop_now_ms(relay->loop)};
    pace_init(&line->pace);
    const struct ws_conn_options options = {.role = WS_SERVER,
                                            .loop = relay->loop,
                                            .ping_interval_ms = relay->options.times.ping_ms,
                                            .dead_after_ms = 3 * relay->options.times.ping_ms,
                                            .max_message_bytes = LINE_MAX_MESSAGE_BYTES,
                                            .on_message = on_relay_line_message,
                                            .on_closed = on_relay_line_closed,
                                            .owner = line};
    struct stream *stream = stream_new_accepted(fd, UNSENT_BYTES, &no_wake);
    if (stream != NULL)
        line->ws = ws_conn_new(&options, stream, STR(""), early, &e);
    if (line->ws == NULL) {
        log_line(LOG_WARN, "a line of daemon %s was lost: %s", daemon->name, e.msg);
        free(line);
        return;
    }
    daemon->lines[line_class] = line;
    daemon->missed_ms[line_class] = 0;
    set_line_timer(line);
    relay_pump_soon(relay);
    relay_retry(relay);
}
