#include "daemon/range_worker.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "daemon/bulk_flight.h"
#include "daemon/range_file.h"
#include "http/ws_conn.h"
#include "http/ws_dial.h"
#include "loop/loop.h"
#include "net/meter.h"
#include "net/stream.h"
#include "proc/cpu_budget.h"
#include "proc/frame.h"
#include "proto/line.h"
#include "proto/message.h"
#include "proto/range_message.h"
#include "proto/signature.h"
#include "store/store.h"
#include "zone/identity.h"

#define AT(member) offsetof(struct range_worker_message, member)
#define WORD(type) {.name = "type", .kind = FIELD_WORD, .word = type}
#define HASH {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX}
#define END {.kind = FIELD_END}

static const struct field line_fields[] = {
    WORD("line"),
    {.name = "url", .kind = FIELD_STRING, .at = AT(url), .min = 1},
    {.name = "ticket", .kind = FIELD_HEX, .at = AT(ticket), .max = RANGE_TICKET_DIGITS},
    {.name = "class", .kind = FIELD_INT, .at = AT(line_class), .max = RANGE_SMALL},
    END};

static const struct field counts_fields[] = {WORD("counts"),
                                             {.name = "lines", .kind = FIELD_INT, .at = AT(lines)},
                                             {.name = "files", .kind = FIELD_INT, .at = AT(files)},
                                             {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
                                             {.name = "isSpent", .kind = FIELD_BOOL,
                                              .at = AT(is_spent)},
                                             END};

static const struct field missing_fields[] = {
    WORD("missing"), HASH, {.name = "size", .kind = FIELD_INT, .at = AT(size)}, END};

static const struct field note_fields[] = {
    WORD("note"), HASH, {.name = "text", .kind = FIELD_STRING, .at = AT(text)}, END};

static const struct field asks_fields[] = {WORD("asks"), END};

static const struct field credit_fields[] = {
    WORD("credit"),
    {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
    {.name = "unsent", .kind = FIELD_INT, .at = AT(unsent)},
    END};

static const struct field opened_fields[] = {
    WORD("opened"),
    HASH,
    {.name = "path", .kind = FIELD_PATH, .at = AT(path), .is_optional = true},
    {.name = "size", .kind = FIELD_INT, .at = AT(size)},
    {.name = "asker", .kind = FIELD_STRING, .at = AT(asker), .is_optional = true},
    {.name = "ms", .kind = FIELD_INT, .at = AT(ms)},
    END};

const struct field *const range_worker_messages[] = {
    line_fields, counts_fields, missing_fields, note_fields,
    asks_fields, credit_fields, opened_fields,  NULL};

enum { COUNTS_MS = 1000, TURN_MS = 2000, MAX_SERVED = 1024, MAX_WAITING = 256 };
enum { SPENT_MS = 10000 }; /* a line that always has wants is ended so long after the others */
enum { AHEAD_LEAVES = 16 };
enum { LEAF_SLOT_BYTES = LINE_MAX_HEAD_BYTES + LINE_LEAF_BYTES };
enum { KEEP_BYTES = 1 << 20 }; /* of a line, while leaves follow each other */
enum {
    PASS_MS = 5,              /* a look that often, while small reads are being sent */
    FAR_US = 2000,            /* bytes that take less have no queue in front of them */
    CONTESTED_BYTES = 65536   /* of a line that others shall pass: unsent in the kernel, and queued
                                 before the next block */
};

/* A file that is open, for all lines. */
struct open_file {
    struct open_file *next;
    struct range_file file;
    size_t served, wanted; /* by how many lines; leaves of it that are to be sent */
    uint64_t used;
    int64_t opened_ms;
    bool is_noted; /* the log has why it cannot be read */
};

/* A file as the hub knows it on a line. */
struct served {
    struct served *next;
    uint32_t number; /* the hub's fileId */
    struct open_file *open; /* NULL: it yielded to another file */
    char hash[SHA1_HEX + 1];
    unsigned char root[SHA256_SIZE]; /* zeros for one block */
    int64_t size;
};

/* An `open` that waits until another file yields. */
struct waiting {
    struct waiting *next;
    struct range_line *line;
    char hash[SHA1_HEX + 1];
    struct range_message m; /* without what it was parsed from */
    uint32_t also[RANGE_MAX_ALSO];
    char asker[MESSAGE_MAX_ASKER_BYTES + 1];
};

/* A leaf that is to be sent. */
struct want {
    struct want *next;
    uint32_t request, file, leaf;
};

struct range_line {
    struct range_worker *worker;
    struct range_line *next;
    struct ws_dial *dial;
    struct ws_conn *ws;
    struct stream *stream; /* the one of `ws` */
    int unsent_bytes;      /* the kernel takes so many; 0: as many as it likes */
    char ticket[RANGE_TICKET_DIGITS + 1];
    struct served *served;
    struct want *first, *last;
    size_t want_count, served_count;
    struct loop_call pump, end;
    struct loop_timer timer; /* idle */
    char why[ERR_MESSAGE_SIZE];
};

/* Leaves that were read and checked together, for those who want one after the other. */
struct read_ahead {
    const struct open_file *open; /* NULL: none */
    uint32_t first;
    size_t count;
    unsigned char *data; /* AHEAD_LEAVES of them, once there were any */
};

struct range_worker {
    const struct range_worker_options *options;
    struct loop *loop;
    struct loop_fd supervisor;
    struct store store;
    struct vouchers vouchers;
    struct identity identity;
    struct range_line *lines;
    struct open_file *files;
    struct waiting *waiting; /* in turn */
    struct loop_timer turn;
    struct loop_call room;
    size_t line_count, file_count, waiting_count;
    uint64_t uses;
    int64_t bytes;
    struct loop_timer counts;
    int64_t spent_ms; /* its processor time was over at this time; 0: it is not */
    struct meter meter;
    struct buf in, text;
    unsigned char leaf[LINE_LEAF_BYTES];
    struct read_ahead ahead;
    struct bulk_flight flight;
    int64_t handed, sent_ms; /* of bulk: bytes that lines took, since any time; the last block */
    struct loop_timer pass; /* small: more is to be sent; bulk: it may go on */
};

/* ---- to the supervisor ---- */

static void send_to_supervisor(struct range_worker *w, int type,
                               const struct range_worker_message *m)
{
    buf_clear(&w->text);
    fields_put(&w->text, range_worker_messages[type], m);
    if (!w->text.failed)
        frame_send(w->supervisor.fd, buf_str(&w->text), -1, ERR_IGNORED);
}

static void send_counts(struct range_worker *w)
{
    send_to_supervisor(w, RANGE_WORKER_COUNTS,
                       &(struct range_worker_message){.lines = (int64_t)w->line_count,
                                                      .files = (int64_t)w->file_count,
                                                      .bytes = w->bytes,
                                                      .is_spent = w->spent_ms != 0});
}

static void note_counts(struct range_worker *w)
{
    if (loop_timer_at_ms(&w->counts) == CLOCK_NEVER_MS)
        loop_set_timer(w->loop, &w->counts, loop_now_ms(w->loop) + COUNTS_MS);
}

static void send_file_note(struct range_worker *w, const char *hash, const char *text)
{
    send_to_supervisor(w, RANGE_WORKER_NOTE,
                       &(struct range_worker_message){.hash = str_of(hash), .text = str_of(text)});
}

/* ---- files ---- */

static void look_for_room(struct range_worker *w)
{
    if (w->waiting != NULL)
        loop_defer(w->loop, &w->room);
}

static void close_file(struct range_worker *w, struct open_file *open)
{
    struct open_file **link = &w->files;

    while (*link != open)
        link = &(*link)->next;
    *link = open->next;
    if (w->ahead.open == open)
        w->ahead.open = NULL;
    range_file_close(&open->file);
    free(open);
    w->file_count--;
    note_counts(w);
    look_for_room(w);
}

static void release_file(struct range_worker *w, struct open_file *open)
{
    if (--open->served == 0)
        close_file(w, open);
}

static void forget_served(struct range_line *line, struct served **link)
{
    struct served *served = *link;

    *link = served->next;
    line->served_count--;
    free(served);
}

/* A file that is wanted again is opened again (serve_again). */
static void take_from_lines(struct range_worker *w, struct open_file *open)
{
    for (struct range_line *line = w->lines; line != NULL; line = line->next)
        for (struct served *served = line->served; served != NULL; served = served->next)
            if (served->open == open)
                served->open = NULL;
    close_file(w, open);
}

/* One more file may be open: an idle one yields, that was not used for longest; else the one that
 * had its turn for longest. */
static bool make_room_for_file(struct range_worker *w)
{
    struct open_file *idle = NULL, *oldest = NULL;

    if ((int64_t)w->file_count < w->options->max_files)
        return true;
    for (struct open_file *open = w->files; open != NULL; open = open->next) {
        if (open->wanted == 0 && (idle == NULL || open->used < idle->used))
            idle = open;
        if (oldest == NULL || open->opened_ms < oldest->opened_ms)
            oldest = open;
    }
    if (idle == NULL && oldest != NULL && loop_now_ms(w->loop) - oldest->opened_ms >= TURN_MS)
        idle = oldest;
    if (idle != NULL)
        take_from_lines(w, idle);
    return idle != NULL;
}

static struct open_file *find_open_file(const struct range_worker *w, struct str hash)
{
    struct open_file *open = w->files;

    while (open != NULL && !str_equal(str_of(open->file.hash), hash))
        open = open->next;
    return open;
}

/* NULL: *state has the reason. There is room for one more. */
static struct open_file *get_open_file(struct range_worker *w, struct str hash,
                                       enum range_state *state, int64_t *size, struct err *e)
{
    struct open_file *open = find_open_file(w, hash);
    char digits[SHA1_HEX + 1];

    *state = RANGE_FOUND;
    if (open != NULL)
        return open;
    snprintf(digits, sizeof digits, "%.*s", STR_ARG(hash));
    open = calloc(1, sizeof *open);
    if (open == NULL) {
        *state = RANGE_ERROR;
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    if (range_file_open(&w->store, digits, &open->file, state, size, e) != 0) {
        free(open);
        return NULL;
    }
    open->opened_ms = loop_now_ms(w->loop);
    open->next = w->files;
    w->files = open;
    w->file_count++;
    note_counts(w);
    return open;
}

/* ---- lines ---- */

/* NULL also for a file that yielded. */
static struct served *find_served_file(const struct range_line *line, uint32_t number)
{
    struct served *served = line->served;

    while (served != NULL && served->number != number)
        served = served->next;
    return served != NULL && served->open != NULL ? served : NULL;
}

static bool has_number(const struct range_line *line, uint32_t number)
{
    const struct served *served = line->served;

    while (served != NULL && served->number != number)
        served = served->next;
    return served != NULL;
}

/* Makes room in the table of a line: of a file that yielded, and was opened first. */
static bool forget_yielded(struct range_line *line)
{
    struct served **oldest = NULL;

    for (struct served **link = &line->served; *link != NULL; link = &(*link)->next)
        if ((*link)->open == NULL)
            oldest = link;
    if (oldest != NULL)
        forget_served(line, oldest);
    return oldest != NULL;
}

static void serve_open_file(struct range_line *line, struct served *served, struct open_file *open)
{
    const struct want *want = line->first;

    served->open = open;
    open->served++;
    for (; want != NULL; want = want->next)
        open->wanted += want->file == served->number;
}

static bool is_file_as_served(const struct served *served, const struct open_file *open)
{
    static const unsigned char none[SHA256_SIZE];

    return open->file.opened.st_size == served->size &&
           memcmp(open->file.has_manifest ? open->file.manifest.head.root : none, served->root,
                  SHA256_SIZE) == 0;
}

/* As find_served_file, but a file that yielded is opened again if nobody waits for the room, and it
 * is the same still. If not, the hub is to open it again. */
static struct served *serve_again(struct range_line *line, uint32_t number)
{
    struct range_worker *w = line->worker;
    struct served **link = &line->served;
    enum range_state state;
    int64_t size;

    while (*link != NULL && (*link)->number != number)
        link = &(*link)->next;
    if (*link == NULL || (*link)->open != NULL)
        return *link;
    const struct str hash = str_of((*link)->hash);
    bool has_room = find_open_file(w, hash) != NULL ||
                    (w->waiting == NULL && make_room_for_file(w));
    struct open_file *open =
        has_room ? get_open_file(w, hash, &state, &size, ERR_IGNORED) : NULL;
    if (open != NULL && is_file_as_served(*link, open)) {
        serve_open_file(line, *link, open);
        return *link;
    }
    if (open != NULL && open->served == 0)
        close_file(w, open);
    forget_served(line, link);
    return NULL;
}

static void drop_wanted_block(struct range_line *line, struct want **link)
{
    struct want *want = *link;
    struct served *served = find_served_file(line, want->file);

    *link = want->next;
    if (line->last == want) {
        line->last = line->first;
        while (line->last != NULL && line->last->next != NULL)
            line->last = line->last->next;
    }
    if (served != NULL && served->open->wanted > 0 && --served->open->wanted == 0)
        look_for_room(line->worker);
    line->want_count--;
    free(want);
}

/* The opens of that number, or all of the line, are not waited for any more. */
static void drop_waiting(struct range_line *line, int64_t number)
{
    struct waiting **link = &line->worker->waiting;

    while (*link != NULL) {
        struct waiting *waiting = *link;
        if (waiting->line != line || (number >= 0 && waiting->m.file_id != number)) {
            link = &waiting->next;
            continue;
        }
        *link = waiting->next;
        line->worker->waiting_count--;
        free(waiting);
    }
}

static void free_line(struct range_line *line)
{
    struct range_worker *w = line->worker;
    struct range_line **link = &w->lines;

    while (line->first != NULL)
        drop_wanted_block(line, &line->first);
    drop_waiting(line, -1);
    while (line->served != NULL) {
        struct open_file *open = line->served->open;
        forget_served(line, &line->served);
        if (open != NULL)
            release_file(w, open);
    }
    ws_dial_free(line->dial);
    ws_conn_free(line->ws);
    bulk_flight_skip(&w->flight);
    loop_undefer(w->loop, &line->pump);
    loop_undefer(w->loop, &line->end);
    loop_clear_timer(w->loop, &line->timer);
    while (*link != line)
        link = &(*link)->next;
    *link = line->next;
    w->line_count--;
    explicit_bzero(line->ticket, sizeof line->ticket);
    free(line);
    note_counts(w);
}

static void on_range_line_end(void *owner)
{
    struct range_line *line = owner;

    if (line->why[0] != '\0')
        log_line(LOG_WARN, "a line to the hub ended: %s", line->why);
    free_line(line);
}

/* Ends the line in the same round, for callers inside of its callbacks. `why` "": in order. */
static void end_line_soon(struct range_line *line, const char *why)
{
    if (line->why[0] == '\0')
        snprintf(line->why, sizeof line->why, "%s", why);
    loop_defer(line->worker->loop, &line->end);
}

static void on_range_line_idle(void *owner)
{
    struct range_line *line = owner;

    if (line->ws != NULL)
        ws_conn_close(line->ws, WS_CLOSE_NORMAL, STR("idle"));
}

static void note_line_used(struct range_line *line)
{
    loop_set_timer(line->worker->loop, &line->timer,
                   loop_now_ms(line->worker->loop) + line->worker->options->idle_ms);
}

static void send_text(struct range_line *line, const struct range_message *m)
{
    struct buf *text = &line->worker->text;
    struct err e = {0};

    buf_clear(text);
    range_message_put(text, m);
    if (buf_check(text, &e) != 0 || ws_conn_send(line->ws, WS_TEXT, buf_str(text), &e) != 0)
        end_line_soon(line, e.msg);
}

/* Sends a binary message: what is in the worker's `text`, and then `rest`. */
static void send_line_parts(struct range_line *line, struct str rest)
{
    struct buf *bytes = &line->worker->text;
    struct err e = {0};

    if (buf_check(bytes, &e) != 0 ||
        ws_conn_send2(line->ws, WS_BINARY, buf_str(bytes), rest, &e) != 0)
        end_line_soon(line, e.msg);
}

static void send_line_message(struct range_line *line)
{
    send_line_parts(line, STR(""));
}

static void send_fail(struct range_line *line, uint32_t request, enum line_reason reason)
{
    buf_clear(&line->worker->text);
    line_put_fail(&line->worker->text, request, reason);
    send_line_message(line);
}

/* ---- blocks ---- */

/* How many leaves of that file, from this one on, the line wants next. */
static size_t count_in_a_row(const struct range_line *line, const struct want *want)
{
    const struct want *next = line->first;
    size_t count = 0, most = sha256_lanes() < AHEAD_LEAVES ? sha256_lanes() : AHEAD_LEAVES;

    while (count < most && next != NULL && next->file == want->file &&
           next->leaf == want->leaf + count) {
        next = next->next;
        count++;
    }
    return count;
}

/* Reads it, and those that are wanted behind it. Returns its bytes; NULL: *e. */
static const unsigned char *read_leaf(struct range_line *line, struct open_file *open,
                                      const struct want *want, size_t *len, struct err *e)
{
    struct range_worker *w = line->worker;
    struct read_ahead *ahead = &w->ahead;

    *len = manifest_block_bytes((int64_t)open->file.opened.st_size, want->leaf);
    if (ahead->open == open && want->leaf - ahead->first < ahead->count)
        return ahead->data + (size_t)(want->leaf - ahead->first) * LINE_LEAF_BYTES;
    size_t count = open->file.has_manifest ? count_in_a_row(line, want) : 0;
    if (count > 1 && ahead->data == NULL)
        ahead->data = malloc((size_t)AHEAD_LEAVES * LINE_LEAF_BYTES);
    ahead->open = NULL;
    if (count > 1 && ahead->data != NULL &&
        range_file_read_many(&open->file, want->leaf, count, ahead->data, e) == 0) {
        *ahead = (struct read_ahead){open, want->leaf, count, ahead->data};
        return ahead->data;
    }
    return range_file_read(&open->file, want->leaf, w->leaf, len, e) == 0 ? w->leaf : NULL;
}

static bool has_block(const struct served *served, uint64_t i)
{
    return manifest_block_bytes((int64_t)served->open->file.opened.st_size, i) > 0;
}

static void send_leaf(struct range_line *line, const struct want *want)
{
    struct range_worker *w = line->worker;
    struct served *served = serve_again(line, want->file);
    struct err e = {0};
    size_t len;

    if (served == NULL || !has_block(served, want->leaf)) {
        send_fail(line, want->request, served == NULL ? LINE_CLOSED : LINE_ERROR);
        return;
    }
    served->open->used = ++w->uses;
    const unsigned char *leaf = read_leaf(line, served->open, want, &len, &e);
    if (leaf == NULL) {
        if (!served->open->is_noted)
            send_file_note(w, served->open->file.hash, e.msg);
        served->open->is_noted = true;
        send_fail(line, want->request, e.code == ERR_CHANGED ? LINE_CHANGED : LINE_ERROR);
        return;
    }
    buf_clear(&w->text);
    line_put_data_head(&w->text, want->request, want->leaf);
    send_line_parts(line, (struct str){(const char *)leaf, len});
    w->handed += (int64_t)(w->text.len + len);
    w->bytes += (int64_t)len;
    note_counts(w);
}

/* ---- the right of way ---- */

static void look_again_in(struct range_worker *w, int64_t ms)
{
    loop_set_timer(w->loop, &w->pass,
                   clock_earlier(loop_timer_at_ms(&w->pass), loop_now_ms(w->loop) + ms));
}

static void limit_line(struct range_line *line, int unsent_bytes)
{
    if (line->unsent_bytes != unsent_bytes)
        stream_limit_unsent(line->stream, unsent_bytes);
    line->unsent_bytes = unsent_bytes;
}

/* Small reads have the right of way from now on until their bytes have left. */
static void take_way(struct range_line *line)
{
    struct range_worker *w = line->worker;

    if (w->options->is_bulk)
        return;
    limit_line(line, CONTESTED_BYTES);
    right_of_way_take(w->options->way, loop_now_ms(w->loop));
    look_again_in(w, PASS_MS);
}

/* The bytes of all lines that the other side has not acknowledged. */
static int64_t bytes_on_way(const struct range_worker *w)
{
    size_t bytes = 0;

    for (const struct range_line *line = w->lines; line != NULL; line = line->next)
        if (line->ws != NULL)
            bytes += ws_conn_queued(line->ws) + stream_unacknowledged(line->stream);
    return (int64_t)bytes;
}

static bool is_one_line_busy(const struct range_worker *w)
{
    size_t count = 0;

    for (const struct range_line *line = w->lines; line != NULL; line = line->next)
        count += line->ws != NULL && (line->first != NULL || ws_conn_queued(line->ws) > 0);
    return count < 2;
}

/* For how many ms the next block of bulk is to wait: for small reads, or since the link is full.
 * One line alone is paced by the hub (proxy/pace.h): it would take a wait here for a full link. */
static int64_t wait_of_bulk(struct range_worker *w, int64_t least_us, bool is_contested)
{
    const int64_t now = loop_now_ms(w->loop), on_way = bytes_on_way(w);
    const int64_t wait_ms = right_of_way_wait_ms(w->options->way, w->sent_ms, now);

    bulk_flight_note(&w->flight, w->handed - on_way, least_us, now);
    if (wait_ms > 0)
        return wait_ms;
    if (!is_contested && is_one_line_busy(w))
        return 0;
    return on_way > 0 && on_way + LINE_LEAF_BYTES / 2 >
                             bulk_flight_bytes(&w->flight, least_us, is_contested)
               ? PASS_MS
               : 0;
}

/* Whether the next block of this line is to wait. */
static bool gives_way(struct range_line *line)
{
    struct range_worker *w = line->worker;
    const int64_t now = loop_now_ms(w->loop);
    bool is_contested = right_of_way_is_contested(w->options->way, now);
    struct stream_trip trip = {0, 0};
    int64_t wait_ms;

    if (!w->options->is_bulk || !stream_trip(line->stream, &trip) || trip.least_us < FAR_US)
        return false;
    limit_line(line, is_contested ? CONTESTED_BYTES : 0);
    wait_ms = is_contested && ws_conn_queued(line->ws) >= CONTESTED_BYTES
                  ? PASS_MS
                  : wait_of_bulk(w, trip.least_us, is_contested);
    if (wait_ms > 0)
        look_again_in(w, wait_ms);
    else
        w->sent_ms = now;
    return wait_ms > 0;
}

static void on_pass_time(void *owner)
{
    struct range_worker *w = owner;

    for (struct range_line *line = w->lines; line != NULL; line = line->next)
        if (line->ws == NULL)
            continue;
        else if (w->options->is_bulk && line->first != NULL)
            loop_defer(w->loop, &line->pump);
        else if (line->first != NULL || ws_conn_queued(line->ws) > 0)
            take_way(line);
}

/* One block a turn, so that every line has its own. */
static void send_next_block(void *owner)
{
    struct range_line *line = owner;

    if (line->first == NULL || line->ws == NULL || line->why[0] != '\0' ||
        ws_conn_queued(line->ws) >= RANGE_WORKER_UNSENT_BYTES || gives_way(line))
        return;
    const struct want want = *line->first;
    take_way(line);
    note_line_used(line);
    send_leaf(line, &want);
    drop_wanted_block(line, &line->first); /* behind it: a file that is read is not idle */
    if (line->first != NULL)
        loop_defer(line->worker->loop, &line->pump);
}

static void on_drained(void *owner)
{
    struct range_line *line = owner;

    loop_defer(line->worker->loop, &line->pump);
}

static void add_want(struct range_line *line, uint32_t request, uint32_t file, uint32_t leaf)
{
    struct served *served = find_served_file(line, file);
    struct want *want = NULL;

    if (line->want_count < RANGE_WORKER_MAX_WANTS)
        want = calloc(1, sizeof *want);
    if (want == NULL) {
        end_line_soon(line, "too many blocks are wanted");
        return;
    }
    *want = (struct want){.request = request, .file = file, .leaf = leaf};
    *(line->last != NULL ? &line->last->next : &line->first) = want;
    line->last = want;
    line->want_count++;
    if (served != NULL)
        served->open->wanted++;
    take_way(line);
    loop_defer(line->worker->loop, &line->pump);
}

static void cancel_want(struct range_line *line, uint32_t request)
{
    struct want **link = &line->first;

    while (*link != NULL && (*link)->request != request)
        link = &(*link)->next;
    if (*link != NULL)
        drop_wanted_block(line, link);
}

static void on_line_binary(struct range_line *line, struct str bytes)
{
    struct line_message m;

    if (!line_parse(bytes, &m) || (m.kind != LINE_WANT && m.kind != LINE_CANCEL)) {
        end_line_soon(line, "the hub sent what is not its to send");
        return;
    }
    if (m.kind == LINE_CANCEL)
        cancel_want(line, m.request);
    const struct served *served = m.kind == LINE_WANT ? find_served_file(line, m.file) : NULL;
    if (served != NULL && !has_block(served, (uint64_t)m.first + m.count - 1)) {
        end_line_soon(line, "the hub wants a block beyond the end of a file");
        return;
    }
    for (uint32_t n = 0; m.kind == LINE_WANT && n < m.count; n++)
        add_want(line, m.request + n, m.file, m.first + n);
}

/* ---- opening ---- */

/* The hub's words name no path of this host. */
static const char *refusal_of(enum range_state state, const struct err *e)
{
    switch (state) {
    case RANGE_CHANGED: return "the file is not what it was when it was linked";
    case RANGE_NOT_FOUND: return "it is not here";
    case RANGE_BUILDING: return "its manifest is being made";
    default: return e->code == ERR_FAILED ? "it cannot be read; the host's log has the reason" : "";
    }
}

static void refuse_range_file(struct range_line *line, int64_t number, enum range_state state,
                              int64_t size, const char *text)
{
    struct range_message m = range_message(RANGE_REFUSED);

    m.file_id = number;
    m.state = state;
    m.size = size;
    m.text = str_cut(str_of(text), RANGE_MAX_TEXT_BYTES);
    send_text(line, &m);
}

static void send_opened(struct range_line *line, const struct served *served)
{
    struct range_worker *w = line->worker;
    const struct config *config = w->options->config;
    const struct range_file *file = &served->open->file;
    struct range_message m = range_message(RANGE_OPENED);
    char root[RANGE_ROOT_DIGITS + 1] = "", signature[SIGNATURE_DIGITS + 1];

    if (file->has_manifest)
        hex_encode(file->manifest.head.root, SHA256_SIZE, root);
    m.file_id = served->number;
    m.size = (int64_t)file->opened.st_size;
    m.root = str_of(root);
    m.client_id = str_of(w->identity.client_id);
    m.time_ms = clock_wall_ms();
    buf_clear(&w->text);
    range_message_put_signed(&w->text, &m, str_of(config->values[CONFIG_ZONE]),
                             str_of(config->values[CONFIG_NAME]), str_of(file->hash));
    signature_make(w->identity.pair, buf_str(&w->text), signature);
    m.signature = str_of(signature);
    if (w->text.failed)
        end_line_soon(line, "out of memory");
    else
        send_text(line, &m);
}

static void report_opened(struct range_worker *w, const struct open_file *open, struct str asker,
                          int64_t ms)
{
    if (!w->options->reports_opened)
        return;
    send_to_supervisor(w, RANGE_WORKER_OPENED,
                       &(struct range_worker_message){.hash = str_of(open->file.hash),
                                                      .path = str_of(open->file.path),
                                                      .size = (int64_t)open->file.opened.st_size,
                                                      .asker = asker,
                                                      .ms = ms});
}

static void send_range_page(struct range_line *line, struct served *served, uint32_t j)
{
    struct range_worker *w = line->worker;
    struct str leaves;
    struct err e = {0};

    if (range_file_page(&served->open->file, j, &leaves, &e) != 0) {
        send_file_note(w, served->open->file.hash, e.msg);
        end_line_soon(line, e.msg);
        return;
    }
    buf_clear(&w->text);
    line_put_page(&w->text, served->number, j, leaves);
    send_line_message(line);
}

static void send_pages(struct range_line *line, const struct served *served)
{
    struct range_worker *w = line->worker;
    struct str hashes = buf_str(&served->open->file.manifest.page_hashes);

    for (uint32_t first = 0; hashes.len > 0; first += LINE_MAX_PAGES) {
        buf_clear(&w->text);
        line_put_pages(&w->text, served->number, first,
                       str_cut(hashes, (size_t)LINE_MAX_PAGES * LINE_HASH_BYTES));
        send_line_message(line);
        hashes = str_slice(hashes, (size_t)LINE_MAX_PAGES * LINE_HASH_BYTES, hashes.len);
    }
}

/* The leaves that an `open` names, behind the pages that they are in. */
static void send_named(struct range_line *line, struct served *served,
                       const struct range_message *m)
{
    uint32_t page = UINT32_MAX;

    if (m->first < 0 || m->request == 0)
        return;
    for (size_t n = 0; n <= m->also_count; n++) {
        uint32_t leaf = n == 0 ? (uint32_t)m->first : m->also[n - 1];
        if (served->open->file.has_manifest && leaf / MANIFEST_PAGE_LEAVES != page &&
            manifest_leaves_in_page((int64_t)served->open->file.opened.st_size,
                                    leaf / MANIFEST_PAGE_LEAVES) > 0) {
            page = leaf / MANIFEST_PAGE_LEAVES;
            send_range_page(line, served, page);
        }
        if (has_block(served, leaf))
            add_want(line, (uint32_t)m->request + (uint32_t)n, served->number, leaf);
        else
            send_fail(line, (uint32_t)m->request + (uint32_t)n, LINE_ERROR);
    }
}

static void wait_for_room(struct range_line *line, const struct range_message *m)
{
    struct range_worker *w = line->worker;
    struct waiting **link = &w->waiting;
    struct waiting *waiting = w->waiting_count < MAX_WAITING ? calloc(1, sizeof *waiting) : NULL;

    if (waiting == NULL) {
        refuse_range_file(line, m->file_id, RANGE_ERROR, -1, "too many files are being read");
        return;
    }
    waiting->line = line;
    waiting->m = range_message(RANGE_OPEN);
    snprintf(waiting->hash, sizeof waiting->hash, "%.*s", STR_ARG(m->sha1));
    for (size_t n = 0; n < m->also_count; n++)
        waiting->also[n] = m->also[n];
    waiting->m.file_id = m->file_id;
    waiting->m.sha1 = str_of(waiting->hash);
    waiting->m.first = m->first;
    waiting->m.request = m->request;
    waiting->m.also = waiting->also;
    waiting->m.also_count = m->also_count;
    snprintf(waiting->asker, sizeof waiting->asker, "%.*s", STR_ARG(m->asker));
    waiting->m.asker = str_of(waiting->asker);
    while (*link != NULL)
        link = &(*link)->next;
    *link = waiting;
    w->waiting_count++;
    if (loop_timer_at_ms(&w->turn) == CLOCK_NEVER_MS)
        loop_set_timer(w->loop, &w->turn, loop_now_ms(w->loop) + TURN_MS);
}

static void on_open_request(struct range_line *line, const struct range_message *m);

/* A file became idle, or had its turn: the next one is opened. */
static void on_file_room(void *owner)
{
    struct range_worker *w = owner;

    while (w->waiting != NULL &&
           (find_open_file(w, w->waiting->m.sha1) != NULL || make_room_for_file(w))) {
        struct waiting *waiting = w->waiting;
        w->waiting = waiting->next;
        w->waiting_count--;
        if (waiting->line->ws != NULL && waiting->line->why[0] == '\0')
            on_open_request(waiting->line, &waiting->m);
        free(waiting);
    }
    if (w->waiting != NULL)
        loop_set_timer(w->loop, &w->turn, loop_now_ms(w->loop) + TURN_MS);
}

static void on_open_request(struct range_line *line, const struct range_message *m)
{
    struct range_worker *w = line->worker;
    struct err e = {0};
    enum range_state state;
    int64_t size = -1, started_ms = clock_now_ms();

    if (has_number(line, (uint32_t)m->file_id)) {
        end_line_soon(line, "the hub opened a file twice under one number");
        return;
    }
    if (line->served_count >= MAX_SERVED && !forget_yielded(line)) {
        end_line_soon(line, "the hub opened too many files");
        return;
    }
    if (find_open_file(w, m->sha1) == NULL && !make_room_for_file(w)) {
        wait_for_room(line, m);
        return;
    }
    struct open_file *open = get_open_file(w, m->sha1, &state, &size, &e);
    struct served *served = open == NULL ? NULL : calloc(1, sizeof *served);
    if (served == NULL) {
        if (state == RANGE_BUILDING)
            send_to_supervisor(w, RANGE_WORKER_MISSING,
                               &(struct range_worker_message){.hash = m->sha1, .size = size});
        if (state == RANGE_CHANGED || state == RANGE_ERROR)
            send_to_supervisor(
                w, RANGE_WORKER_NOTE,
                &(struct range_worker_message){.hash = m->sha1, .text = str_of(e.msg)});
        refuse_range_file(line, m->file_id, state == RANGE_FOUND ? RANGE_ERROR : state, size,
                          refusal_of(state, &e));
        if (open != NULL && open->served == 0)
            close_file(w, open);
        return;
    }
    *served = (struct served){.next = line->served,
                              .number = (uint32_t)m->file_id,
                              .size = open->file.opened.st_size};
    memcpy(served->hash, open->file.hash, sizeof served->hash);
    if (open->file.has_manifest)
        memcpy(served->root, open->file.manifest.head.root, sizeof served->root);
    line->served = served;
    line->served_count++;
    serve_open_file(line, served, open);
    open->used = ++w->uses;
    send_opened(line, served);
    report_opened(w, open, m->asker, clock_now_ms() - started_ms);
    if (open->file.has_manifest)
        send_pages(line, served);
    send_named(line, served, m);
}

static void on_close_request(struct range_line *line, uint32_t number)
{
    struct served **link = &line->served;
    struct want **want = &line->first;

    while (*want != NULL)
        if ((*want)->file == number)
            drop_wanted_block(line, want);
        else
            want = &(*want)->next;
    drop_waiting(line, number);
    while (*link != NULL && (*link)->number != number)
        link = &(*link)->next;
    if (*link == NULL)
        return;
    struct open_file *open = (*link)->open;
    forget_served(line, link);
    if (open != NULL)
        release_file(line->worker, open);
}

static void on_line_text(struct range_line *line, struct str text)
{
    struct range_message m;
    struct served *served;
    struct err e = {0};

    if (range_message_parse(&m, text, &e) != 0) {
        end_line_soon(line, e.msg);
        return;
    }
    served = m.type == RANGE_PAGES || m.type == RANGE_PAGE
                 ? serve_again(line, (uint32_t)m.file_id)
                 : NULL;
    switch (m.type) {
    case RANGE_OPEN: on_open_request(line, &m); break;
    case RANGE_CLOSE: on_close_request(line, (uint32_t)m.file_id); break;
    case RANGE_PAGES:
        if (served != NULL && served->open->file.has_manifest)
            send_pages(line, served);
        break;
    case RANGE_PAGE:
        if (served != NULL && m.page <= UINT32_MAX)
            send_range_page(line, served, (uint32_t)m.page);
        break;
    default: end_line_soon(line, "the hub sent a message of another kind");
    }
    range_message_deinit(&m);
}

static void on_range_line_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct range_line *line = owner;

    if (line->why[0] != '\0')
        return;
    note_line_used(line);
    if (kind == WS_BINARY)
        on_line_binary(line, message);
    else
        on_line_text(line, message);
}

static void on_range_line_closed(void *owner, const struct ws_end *end)
{
    struct range_line *line = owner;

    line->ws = NULL;
    end_line_soon(line, end->is_failure ? end->why.msg : "");
}

/* ---- dialling ---- */

static void start_line(struct range_line *line, struct stream *stream, struct str early,
                       bool is_ticket_taken)
{
    const struct range_worker_options *options = line->worker->options;
    const struct ws_conn_options ws = {.role = WS_CLIENT,
                                       .loop = line->worker->loop,
                                       .ping_interval_ms = options->ping_ms,
                                       .dead_after_ms = options->dead_ms,
                                       .max_message_bytes = LINE_MAX_TEXT_BYTES,
                                       .drained_bytes = RANGE_WORKER_UNSENT_BYTES,
                                       .on_message = on_range_line_message,
                                       .on_drained = on_drained,
                                       .on_closed = on_range_line_closed,
                                       .owner = line};
    struct range_message m = range_message(RANGE_LINE);
    struct err e = {0};

    line->ws = ws_conn_new(&ws, stream, STR(""), early, &e);
    if (line->ws == NULL) {
        end_line_soon(line, e.msg);
        return;
    }
    line->stream = stream;
    ws_conn_set_keep(line->ws, KEEP_BYTES);
    m.ticket = str_of(line->ticket);
    if (!is_ticket_taken)
        send_text(line, &m);
    note_line_used(line);
}

static void on_dial(void *owner)
{
    struct range_line *line = owner;
    struct stream *stream = NULL;
    struct buf early = {0};
    struct err e = {0};
    enum io io = ws_dial_step(line->dial, loop_now_ms(line->worker->loop), &stream, &early, &e);

    if (io == IO_DONE) {
        bool is_ticket_taken = ws_dial_is_marked(line->dial);
        ws_dial_free(line->dial);
        line->dial = NULL;
        start_line(line, stream, buf_str(&early), is_ticket_taken);
    } else if (io == IO_ERR) {
        end_line_soon(line, e.msg);
    }
    buf_free(&early);
}

static void dial_hub(struct range_worker *w, const struct range_worker_message *m)
{
    struct range_line *line =
        w->line_count >= RANGE_WORKER_MAX_LINES ? NULL : calloc(1, sizeof *line);
    struct err e = {0};

    if (line == NULL) {
        log_line(LOG_WARN, "no further line to the hub: there are %zu", w->line_count);
        return;
    }
    *line = (struct range_line){.worker = w,
                                .next = w->lines,
                                .pump = {.call = send_next_block, .owner = line},
                                .end = {.call = on_range_line_end, .owner = line},
                                .timer = {.call = on_range_line_idle, .owner = line}};
    snprintf(line->ticket, sizeof line->ticket, "%.*s", STR_ARG(m->ticket));
    w->lines = line;
    w->line_count++;
    const struct http_header ticket = {STR(RANGE_LINE_HEADER), str_of(line->ticket)};
    line->dial = ws_dial_new(
        &(struct ws_dial_options){.url = m->url,
                                  .more = &ticket,
                                  .mark = RANGE_LINE_HEADER,
                                  .patience_ms = w->options->connect_ms,
                                  .wake = {.loop = w->loop, .call = on_dial, .owner = line}},
        loop_now_ms(w->loop), &e);
    if (line->dial == NULL)
        end_line_soon(line, e.msg);
    note_counts(w);
}

/* ---- the process ---- */

/* Ends the lines between two blocks: the hub opens others, at another process. */
static void leave_spent(struct range_worker *w)
{
    int64_t now_ms = loop_now_ms(w->loop);

    if (w->spent_ms == 0)
        w->spent_ms = now_ms;
    for (struct range_line *line = w->lines; line != NULL; line = line->next)
        if (line->want_count == 0 || now_ms - w->spent_ms >= SPENT_MS)
            end_line_soon(line, "");
    if (w->line_count == 0)
        loop_stop(w->loop);
    else
        note_counts(w);
}

static void on_counts_time(void *owner)
{
    struct range_worker *w = owner;

    if (w->spent_ms != 0 || cpu_budget_is_spent(w->options->max_cpu_ms))
        leave_spent(w);
    send_counts(w);
}

static void ask_for_line_credit(void *owner)
{
    send_to_supervisor(owner, RANGE_WORKER_ASKS, &(struct range_worker_message){.bytes = 0});
}

static void take_supervisor_message(struct range_worker *w, int type,
                                    const struct range_worker_message *m)
{
    if (type == RANGE_WORKER_LINE && w->spent_ms == 0) {
        dial_hub(w, m);
    } else if (type == RANGE_WORKER_CREDIT && w->options->is_metered) {
        w->meter.unsent_bytes = m->unsent < INT32_MAX ? (int)m->unsent : INT32_MAX;
        stream_give_bytes(m->bytes);
    } else if (type != RANGE_WORKER_LINE) {
        loop_stop(w->loop);
    }
}

static void on_supervisor(void *owner)
{
    struct range_worker *w = owner;
    struct range_worker_message m = {0};
    struct err e = {0};

    switch (frame_receive(w->supervisor.fd, &w->in, NULL, &e)) {
    case IO_WANT_READ: return;
    case IO_DONE: break;
    default: loop_stop(w->loop); return;
    }
    struct json *doc = json_parse(buf_str(&w->in), JSON_STRICT, &e);
    take_supervisor_message(w, fields_read_one_of(range_worker_messages, doc, &m, &e), &m);
    json_free(doc);
}

static int open_range_worker(struct range_worker *w, const struct range_worker_options *options,
                             struct err *e)
{
    w->options = options;
    w->vouchers = config_vouchers(options->config);
    if (store_init(&w->store, e) != 0)
        return -1;
    w->store.vouchers = &w->vouchers;
    if (identity_load(&w->identity, w->store.key_dir, e) != 0 ||
        (w->loop = loop_new(NULL, e)) == NULL)
        return -1;
    w->meter =
        (struct meter){.loop = w->loop, .on_empty = ask_for_line_credit, .owner = w};
    if (options->is_metered)
        meter_use(&w->meter);
    return loop_add(w->loop, &w->supervisor, LOOP_READ, e);
}

int range_worker_run(int fd, void *ctx)
{
    struct range_worker *w = calloc(1, sizeof *w);
    struct err e = {0};
    int status = 1;

    if (w == NULL)
        return 1;
    w->supervisor = (struct loop_fd){.fd = fd, .call = on_supervisor, .owner = w};
    w->counts = (struct loop_timer){.call = on_counts_time, .owner = w};
    w->turn = (struct loop_timer){.call = on_file_room, .owner = w};
    w->room = (struct loop_call){.call = on_file_room, .owner = w};
    w->pass = (struct loop_timer){.call = on_pass_time, .owner = w};
    if (open_range_worker(w, ctx, &e) == 0 && loop_run(w->loop, &e) == 0)
        status = 0;
    if (status != 0)
        log_line(LOG_ERROR, "range worker: %s", e.msg);
    while (w->lines != NULL)
        free_line(w->lines);
    while (w->files != NULL)
        close_file(w, w->files);
    identity_wipe(&w->identity);
    loop_free(w->loop);
    store_deinit(&w->store);
    buf_free(&w->in);
    buf_free(&w->text);
    free(w->ahead.data);
    free(w);
    return status;
}
