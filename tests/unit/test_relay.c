/* A relay between readers and daemons that lie, are silent, late, or leave: no reader gets a wrong
 * byte, and another daemon that has the file takes over. The daemons are the other ends of sockets,
 * the clock jumps. */
#include "unit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ed25519.h"
#include "base/hex.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "http/ws_conn.h"
#include "proto/line.h"
#include "proto/manifest.h"
#include "proto/range_message.h"
#include "proto/signature.h"
#include "proxy/block_cache.h"
#include "proxy/relay.h"
#include "proxy/relay_note.h"
#include "proxy/relay_state.h"

enum { BLOCKS = 5, SIZE = 4 * BLOCK_BYTES + 100, DAEMONS = 3, MAX_NOTES = 64, MAX_HELD = 64 };

/* ---- memory that runs out ---- */

static long allocations, failing_allocation; /* 0: none fails */

static bool fails(void)
{
    return ++allocations == failing_allocation;
}

void *calloc(size_t count, size_t size)
{
    static void *(*next)(size_t, size_t);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "calloc");
    return fails() ? NULL : next(count, size);
}

void *realloc(void *old, size_t size)
{
    static void *(*next)(void *, size_t);

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "realloc");
    return fails() ? NULL : next(old, size);
}

/* ---- contents ---- */

struct content {
    char *bytes;
    int64_t size;
    unsigned char leaves[BLOCKS * SHA256_SIZE], page[SHA256_SIZE], root[SHA256_SIZE];
};

static const struct zone own_zone = {.name = {"z", 1}};
static char sha1[SHA1_HEX + 1], small_sha1[SHA1_HEX + 1];
static unsigned char address[SHA1_SIZE];
static struct content right, other; /* another content under the same hash: a false root */

static void make_content(struct content *c, unsigned seed)
{
    c->size = SIZE;
    c->bytes = malloc(SIZE);
    for (int64_t i = 0; i < SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        c->bytes[i] = (char)(seed >> 16);
    }
}

static struct str block_of(const struct content *c, uint32_t i)
{
    int64_t start = (int64_t)i * BLOCK_BYTES, end = start + BLOCK_BYTES;

    return (struct str){c->bytes + start, (size_t)((end > c->size ? c->size : end) - start)};
}

static void make_manifest(struct content *c)
{
    for (uint32_t i = 0; i < BLOCKS; i++)
        sha256_of(block_of(c, i), c->leaves + (size_t)i * SHA256_SIZE);
    sha256_of((struct str){(char *)c->leaves, sizeof c->leaves}, c->page);
    manifest_root_of(c->size, address, (struct str){(char *)c->page, SHA256_SIZE}, c->root);
}

static int set_up_all(void **state)
{
    unsigned char digest[SHA1_SIZE];

    (void)state;
    make_content(&right, 1);
    make_content(&other, 2);
    sha1_of((struct str){right.bytes, SIZE}, address);
    hex_encode(address, sizeof address, sha1);
    sha1_of((struct str){right.bytes, 1000}, digest);
    hex_encode(digest, sizeof digest, small_sha1);
    make_manifest(&right);
    make_manifest(&other);
    return 0;
}

/* ---- daemons ---- */

enum fault {
    NONE,
    WRONG_SIGNATURE,
    ANOTHERS_SIGNATURE,
    WRONG_ROOT,
    WRONG_PAGES,
    WRONG_PAGE,
    NO_PAGE,
    WRONG_BLOCK,
    SHORT_BLOCK,
    OTHER_BLOCK,
    DOUBLED_BLOCK,
    UNASKED_BLOCK,
    SIZE_OF_NOTHING,
    SIZE_OF_MORE,
    NO_ANSWER,
    NO_PAGES,
    NO_BLOCK,
    NO_LINE,
    LINE_LOST_AT_OPEN,
    LINE_LOST_AT_WANT,
    REFUSES_ABSENT,
    REFUSES_CHANGED,
    REFUSES_ERROR,
    REFUSES_BUILDING,
    OPENS_TWICE,
    OPENS_AND_REFUSES,
    PAGES_TWICE,
    TOO_MANY_PAGES,
    FAILS_CHANGED,
    FAILS_ERROR,
    FAILS_UNASKED,
    NO_MESSAGE,
    NO_TEXT,
    HUBS_MESSAGE,
    YIELDS,      /* not a fault: it closes the file, once */
    HOLDS,       /* not a fault: blocks are sent when the test says */
    LEAVES_OUT,  /* sends all blocks but number 1 */
    LEAVES_OUT_ONCE,
    NO_BULK_LINE,
    NO_SMALL_LINE,
    IS_ELSEWHERE /* has the file under another root */
};

static const char *const fault_names[] = {
    "none",           "wrong signature", "another's signature", "wrong root",
    "wrong pages",    "wrong page",      "no page",             "wrong block",
    "short block",    "other block",     "doubled block",       "unasked block",
    "size of nothing", "size of more",   "no answer",           "no pages",
    "no block",       "no line",         "line lost at open",   "line lost at want",
    "refuses: absent", "refuses: changed", "refuses: error",    "refuses: building",
    "opens twice",    "opens and refuses", "pages twice",       "too many pages",
    "fails: changed", "fails: error",    "fails unasked",       "no message",
    "no text",        "hub's message",   "yields",              "holds",
    "leaves out",     "leaves out once", "no bulk line",        "no small line",
    "is elsewhere"};

struct held {
    uint32_t request, leaf;
    int line_class;
};

struct daemon {
    int64_t number;
    bool is_here, is_absent;
    enum fault fault;
    struct ws_conn *ws[2];
    size_t opens, wants, cancels, lines;
    struct held held[MAX_HELD];
    size_t held_count;
    bool has_yielded, is_small; /* small: what it opened last */
};

static struct world {
    struct loop *loop;
    struct loop_clock clock;
    struct relay *relay;
    struct daemon daemons[DAEMONS];
    unsigned char pair[ED25519_PAIR];
    char client_id[2 * ED25519_PUBLIC + 1], folder[64];
    struct relay_note notes[MAX_NOTES]; /* of the relay, not yet answered */
    uint64_t ids[MAX_NOTES];
    char hashes[MAX_NOTES][SHA1_HEX + 1];
    size_t note_count;
    struct loop_call serve;
    int64_t away;
    bool refuses_signers, holds_checks, holds_questions;
    struct relay_check *check;
    struct loop_call checked;
} world;

static struct daemon *daemon_of(struct ws_conn *const *place, int *line_class)
{
    for (size_t n = 0; n < DAEMONS; n++)
        for (int c = 0; c < 2; c++)
            if (place == &world.daemons[n].ws[c]) {
                *line_class = c;
                return &world.daemons[n];
            }
    return NULL;
}

static void send_bytes(struct daemon *d, int c, enum ws_opcode kind, struct buf *bytes)
{
    struct err e = {0};

    if (d->ws[c] != NULL && ws_conn_is_open(d->ws[c]) && !bytes->failed)
        (void)!ws_conn_send(d->ws[c], kind, buf_str(bytes), &e);
    buf_free(bytes);
}

static void send_message(struct daemon *d, int c, const struct range_message *m)
{
    struct buf text = {0};

    range_message_put(&text, m);
    send_bytes(d, c, WS_TEXT, &text);
}

static void lose_line(struct daemon *d, int c)
{
    ws_conn_free(d->ws[c]);
    d->ws[c] = NULL;
}

static void send_block(struct daemon *d, int c, uint32_t request, uint32_t leaf)
{
    const struct content *content = d->fault == IS_ELSEWHERE ? &other : &right;
    struct str bytes = block_of(content, leaf % BLOCKS);
    struct buf out = {0};

    if (d->is_small)
        bytes.len = 1000;
    if (d->fault == OTHER_BLOCK)
        leaf++;
    if (d->fault == UNASKED_BLOCK)
        request += 5000;
    if (d->fault == SHORT_BLOCK)
        bytes.len /= 2;
    line_put_data_head(&out, request, leaf);
    buf_put(&out, bytes);
    if (d->fault == WRONG_BLOCK && !out.failed)
        out.data[out.len - 1] ^= 1;
    send_bytes(d, c, WS_BINARY, &out);
}

static void send_page(struct daemon *d, int c, uint32_t file)
{
    const struct content *content = d->fault == IS_ELSEWHERE ? &other : &right;
    struct buf out = {0};

    if (d->fault == NO_PAGE)
        return;
    line_put_page(&out, file, 0, (struct str){(char *)content->leaves, sizeof content->leaves});
    if (d->fault == WRONG_PAGE && !out.failed)
        out.data[out.len - 40] ^= 1;
    send_bytes(d, c, WS_BINARY, &out);
}

static void answer_want(struct daemon *d, int c, uint32_t request, uint32_t file, uint32_t leaf)
{
    struct buf out = {0};

    d->wants++;
    switch (d->fault) {
    case NO_BLOCK: return;
    case LINE_LOST_AT_WANT: lose_line(d, c); return;
    case FAILS_CHANGED: line_put_fail(&out, request, LINE_CHANGED); break;
    case FAILS_ERROR: line_put_fail(&out, request, LINE_ERROR); break;
    case FAILS_UNASKED: line_put_fail(&out, request + 1, LINE_ERROR); break;
    case NO_MESSAGE: buf_puts(&out, "\x09 nothing"); break;
    case HUBS_MESSAGE: line_put_cancel(&out, request); break;
    case YIELDS:
        if (!d->has_yielded) {
            line_put_fail(&out, request, LINE_CLOSED);
            d->has_yielded = true;
        }
        break;
    case LEAVES_OUT:
    case LEAVES_OUT_ONCE:
        if (leaf == 1 && (d->fault == LEAVES_OUT || !d->has_yielded)) {
            d->has_yielded = true;
            return;
        }
        break;
    case HOLDS:
        if (d->held_count < MAX_HELD)
            d->held[d->held_count++] = (struct held){request, leaf, c};
        return;
    default: break;
    }
    if (out.len > 0) {
        send_bytes(d, c, WS_BINARY, &out);
        return;
    }
    (void)file;
    send_block(d, c, request, leaf);
    if (d->fault == DOUBLED_BLOCK)
        send_block(d, c, request, leaf);
}

static void put_opened(struct daemon *d, struct range_message *m, struct str hash, bool is_small,
                       char root[RANGE_ROOT_DIGITS + 1], char signature[SIGNATURE_DIGITS + 1])
{
    const struct content *content = d->fault == IS_ELSEWHERE ? &other : &right;
    unsigned char digest[SHA256_SIZE];
    struct buf text = {0};

    memcpy(digest, content->root, sizeof digest);
    digest[0] ^= d->fault == WRONG_ROOT;
    hex_encode(digest, sizeof digest, root);
    m->size = d->fault == SIZE_OF_NOTHING ? 0 : is_small ? 1000 : SIZE;
    if (d->fault == SIZE_OF_MORE)
        m->size = is_small ? 900 : m->size + 1;
    m->root = is_small || m->size == 0 ? STR("") : str_of(root);
    m->client_id = str_of(world.client_id);
    m->time_ms = 1;
    range_message_put_signed(&text, m, STR("z"),
                             d->fault == ANOTHERS_SIGNATURE ? STR("another") : STR("d"), hash);
    signature_make(world.pair, buf_str(&text), signature);
    if (d->fault == WRONG_SIGNATURE)
        signature[3] = signature[3] == '0' ? '1' : '0';
    m->signature = str_of(signature);
    buf_free(&text);
}

static bool refuse(struct daemon *d, int c, uint32_t file)
{
    struct range_message m = range_message(RANGE_REFUSED);

    m.file_id = file;
    m.text = STR("because");
    switch (d->fault) {
    case REFUSES_ABSENT: m.state = RANGE_NOT_FOUND; break;
    case REFUSES_CHANGED: m.state = RANGE_CHANGED; break;
    case REFUSES_ERROR:
    case OPENS_AND_REFUSES: m.state = RANGE_ERROR; break;
    case REFUSES_BUILDING:
        m.state = RANGE_BUILDING;
        m.size = SIZE;
        m.done = 1;
        break;
    default: return false;
    }
    send_message(d, c, &m);
    return true;
}

static void send_pages(struct daemon *d, int c, uint32_t file)
{
    const struct content *content = d->fault == IS_ELSEWHERE ? &other : &right;
    struct buf out = {0};
    char hashes[2 * SHA256_SIZE];

    memcpy(hashes, content->page, SHA256_SIZE);
    memcpy(hashes + SHA256_SIZE, content->page, SHA256_SIZE);
    hashes[0] ^= d->fault == WRONG_PAGES;
    line_put_pages(&out, file, 0,
                   (struct str){hashes, d->fault == TOO_MANY_PAGES ? sizeof hashes : SHA256_SIZE});
    send_bytes(d, c, WS_BINARY, &out);
}

static void answer_open(struct daemon *d, int c, const struct range_message *m)
{
    struct range_message opened = range_message(RANGE_OPENED);
    char root[RANGE_ROOT_DIGITS + 1], signature[SIGNATURE_DIGITS + 1];
    bool is_small = str_equal(m->sha1, str_of(small_sha1));
    uint32_t file = (uint32_t)m->file_id;

    d->opens++;
    d->is_small = is_small;
    if (d->fault == LINE_LOST_AT_OPEN)
        lose_line(d, c);
    if (d->fault == NO_ANSWER || d->fault == LINE_LOST_AT_OPEN ||
        (d->fault != OPENS_AND_REFUSES && refuse(d, c, file)))
        return;
    opened.file_id = m->file_id;
    put_opened(d, &opened, m->sha1, is_small, root, signature);
    for (int n = 0; n < 1 + (d->fault == OPENS_TWICE); n++)
        send_message(d, c, &opened);
    if (d->fault == OPENS_AND_REFUSES)
        refuse(d, c, file);
    if (d->fault == NO_PAGES)
        return;
    for (int n = 0; n < 1 + (d->fault == PAGES_TWICE) && !is_small; n++)
        send_pages(d, c, file);
    if (m->first < 0)
        return;
    if (!is_small)
        send_page(d, c, file);
    answer_want(d, c, (uint32_t)m->request, file, (uint32_t)m->first);
    for (size_t n = 0; n < m->also_count; n++)
        answer_want(d, c, (uint32_t)m->request + 1 + (uint32_t)n, file, m->also[n]);
}

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    int c = 0;
    struct daemon *d = daemon_of(owner, &c);
    struct range_message m;
    struct line_message binary;
    struct err e = {0};

    if (kind == WS_BINARY) {
        assert_true(line_parse(message, &binary));
        if (binary.kind == LINE_CANCEL)
            d->cancels++;
        for (uint32_t n = 0; binary.kind == LINE_WANT && n < binary.count && d->ws[c] != NULL; n++)
            answer_want(d, c, binary.request + n, binary.file, binary.first + n);
        return;
    }
    assert_int_equal(range_message_parse(&m, message, &e), 0);
    if (m.type == RANGE_OPEN)
        answer_open(d, c, &m);
    else if (m.type == RANGE_PAGE)
        send_page(d, c, (uint32_t)m.file_id);
    range_message_deinit(&m);
}

static void on_closed(void *owner, const struct ws_end *end)
{
    (void)end;
    *(struct ws_conn **)owner = NULL;
}

/* ---- the hub's main process ---- */

static void tell_relay(uint64_t id, const struct relay_note *note, int fd)
{
    struct buf text = {0};

    relay_note_put(&text, note);
    if (!text.failed)
        relay_on_note(world.relay, id, buf_str(&text), fd);
    else if (fd >= 0)
        close(fd);
    buf_free(&text);
}

static void answer_question(uint64_t id)
{
    struct relay_note asked = relay_note(RELAY_ASKED), is = relay_note(RELAY_IS);

    for (size_t n = 0; n < DAEMONS; n++)
        asked.asked += world.daemons[n].is_here;
    asked.away = world.away;
    tell_relay(id, &asked, -1);
    for (size_t n = 0; n < DAEMONS; n++) {
        is.daemon = world.daemons[n].number;
        is.state = world.daemons[n].is_absent ? RANGE_NOT_FOUND : RANGE_FOUND;
        if (world.daemons[n].is_here)
            tell_relay(id, &is, -1);
    }
}

static void make_line(struct daemon *d, enum range_class line_class)
{
    struct relay_note note = relay_note(RELAY_LINE);
    const struct ws_conn_options options = {.role = WS_CLIENT,
                                            .loop = world.loop,
                                            .max_message_bytes = LINE_MAX_TEXT_BYTES,
                                            .on_message = on_message,
                                            .on_closed = on_closed,
                                            .owner = &d->ws[line_class]};
    const struct loop_wake no_wake = {.loop = world.loop};
    struct err e = {0};
    int ends[2];

    if (!d->is_here || d->fault == NO_LINE || d->ws[line_class] != NULL ||
        d->fault == (line_class == RANGE_BULK ? NO_BULK_LINE : NO_SMALL_LINE))
        return;
    d->lines++;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    struct stream *stream = stream_new(ends[0], &no_wake);
    d->ws[line_class] = stream == NULL ? NULL : ws_conn_new(&options, stream, STR(""), STR(""), &e);
    note.daemon = d->number;
    note.line_class = line_class;
    note.name = STR("d");
    note.zone = STR("z");
    if (d->fault == NO_TEXT && d->ws[line_class] != NULL)
        (void)!ws_conn_send(d->ws[line_class], WS_TEXT, STR("no JSON"), &e);
    tell_relay(0, &note, ends[1]);
}

static void serve_notes(void *owner)
{
    struct relay_note notes[MAX_NOTES];
    uint64_t ids[MAX_NOTES];
    size_t count = world.note_count;

    (void)owner;
    memcpy(notes, world.notes, sizeof notes);
    memcpy(ids, world.ids, sizeof ids);
    world.note_count = 0;
    for (size_t n = 0; n < count; n++)
        if (notes[n].type == RELAY_ASK && !world.holds_questions)
            answer_question(ids[n]);
        else if (notes[n].type != RELAY_ASK)
            for (size_t k = 0; k < DAEMONS; k++)
                if (world.daemons[k].number == notes[n].daemon)
                    make_line(&world.daemons[k], notes[n].line_class);
}

static int send_note(void *owner, uint64_t id, struct str bytes)
{
    struct relay_note note;
    struct err e = {0};

    (void)owner;
    if (world.note_count == MAX_NOTES || relay_note_parse(&note, bytes, &e) != 0)
        return -1;
    world.notes[world.note_count] = note;
    world.ids[world.note_count++] = id;
    relay_note_deinit(&note);
    loop_defer(world.loop, &world.serve);
    return 0;
}

static void on_checked(void *owner)
{
    struct relay_check *check = world.check;
    struct err e = {0};

    (void)owner;
    err_set(&e, ERR_REFUSED, "not registered");
    world.check = NULL;
    if (check == NULL)
        return;
    check->state = NULL;
    check->on_done(check, world.refuses_signers ? -1 : 0, &e);
}

static void check_signer(void *owner, const struct zone *zone, struct str client_id,
                         struct relay_check *check)
{
    (void)owner;
    assert_true(str_equal(zone->name, STR("z")));
    (void)client_id;
    if (world.check != NULL) {
        check->state = NULL;
        return;
    }
    world.check = check;
    check->state = &world;
    if (!world.holds_checks)
        loop_defer(world.loop, &world.checked);
}

static void cancel_check(void *owner, struct relay_check *check)
{
    (void)owner;
    check->state = NULL;
    world.check = NULL;
}

static int set_up(void **state)
{
    const unsigned char seed[ED25519_SEED] = {7};
    struct err e = {0};
    char dir[96];

    (void)state;
    world = (struct world){.clock = {.jumps = true, .now_ms = 1000},
                           .serve = {.call = serve_notes},
                           .checked = {.call = on_checked}};
    strcpy(world.folder, "/tmp/test_relay.XXXXXX");
    if (mkdtemp(world.folder) == NULL || (world.loop = loop_new(&world.clock, &e)) == NULL)
        return -1;
    snprintf(dir, sizeof dir, "%s/blocks", world.folder);
    const struct relay_options options = {.loop = world.loop,
                                          .times = relay_default_times(),
                                          .cache_dir = dir,
                                          .cache_bytes = 64 << 20,
                                          .send_note = send_note,
                                          .check_signer = check_signer,
                                          .cancel_check = cancel_check};
    ed25519_pair(seed, world.pair);
    hex_encode(world.pair + ED25519_SEED, ED25519_PUBLIC, world.client_id);
    for (size_t n = 0; n < DAEMONS; n++)
        world.daemons[n].number = (int64_t)n + 1;
    world.daemons[0].is_here = world.daemons[1].is_here = true;
    world.relay = relay_new(&options, &e);
    return world.relay == NULL;
}

static int tear_down(void **state)
{
    char command[96];

    (void)state;
    failing_allocation = 0;
    relay_free(world.relay);
    for (size_t n = 0; n < DAEMONS; n++)
        for (int c = 0; c < 2; c++)
            ws_conn_free(world.daemons[n].ws[c]);
    loop_undefer(world.loop, &world.serve);
    loop_undefer(world.loop, &world.checked);
    loop_free(world.loop);
    snprintf(command, sizeof command, "rm -rf '%s'", world.folder);
    return system(command);
}

static void renew(void **state)
{
    tear_down(state);
    assert_int_equal(set_up(state), 0);
}

/* ---- readers ---- */

struct read {
    struct relay_reader reader;
    const struct content *content; /* that it must be */
    struct str expected;           /* the block that it must be */
    uint32_t next;                 /* block; all below came and were right */
    enum relay_answer answer;
    bool is_over, has_news; /* news: it is worth another look */
    struct relay_info info;
    struct loop_timer timer;
};

static void on_change(void *owner)
{
    ((struct read *)owner)->has_news = true;
}

static void on_time(void *owner)
{
    ((struct read *)owner)->is_over = true;
}

static void start(struct read *r, const char *hash, enum range_class read_class)
{
    *r = (struct read){.reader = {.on_change = on_change, .owner = r, .read_class = read_class},
                       .content = &right,
                       .timer = {.call = on_time, .owner = r}};
    assert_true(relay_reader_start(world.relay, &r->reader, &own_zone, str_of(hash)));
}

static bool has_info(void *owner)
{
    struct read *r = owner;

    if (!r->has_news)
        return r->is_over;
    r->has_news = false;
    r->answer = relay_reader_info(&r->reader, &r->info);
    return r->answer != RELAY_WAIT || r->is_over;
}

/* Whether the next block is there; then it is right. */
static bool has_block(void *owner)
{
    struct read *r = owner;
    struct str bytes;

    if (!r->has_news)
        return r->is_over;
    r->has_news = false;
    r->answer = relay_reader_block(&r->reader, r->next, &bytes);
    if (r->answer == RELAY_READY)
        assert_true(str_equal(bytes, r->expected));
    return r->answer == RELAY_READY || r->answer == RELAY_ABSENT || r->is_over;
}

static bool run(struct read *r, bool (*is_done)(void *owner), int64_t patience_ms)
{
    struct err e = {0};

    r->is_over = false;
    r->has_news = true;
    loop_set_timer(world.loop, &r->timer, loop_now_ms(world.loop) + patience_ms);
    assert_int_equal(loop_run_until(world.loop, is_done, r, &e), 0);
    loop_clear_timer(world.loop, &r->timer);
    return !r->is_over;
}

/* Reads all of the file: false if it does not come. */
static bool read_all(struct read *r, int64_t patience_ms)
{
    if (!run(r, has_info, patience_ms) || r->answer != RELAY_READY)
        return false;
    for (; r->next < BLOCKS; r->next++) {
        r->expected = block_of(r->content, r->next);
        if (!run(r, has_block, patience_ms) || r->answer != RELAY_READY)
            return false;
    }
    return true;
}

static void stop(struct read *r)
{
    relay_reader_stop(&r->reader);
}

static bool is_over(void *owner)
{
    return ((const struct read *)owner)->is_over;
}

static void pass(int64_t ms)
{
    struct read r = {.timer = {.call = on_time, .owner = &r}};
    struct err e = {0};

    loop_set_timer(world.loop, &r.timer, loop_now_ms(world.loop) + ms);
    assert_int_equal(loop_run_until(world.loop, is_over, &r, &e), 0);
}

/* ---- tests ---- */

static bool is_fault(enum fault fault)
{
    return fault != NONE && (fault < YIELDS || fault == LEAVES_OUT);
}

static void test_another_daemon_takes_over(void **state)
{
    struct read r;

    for (enum fault fault = NONE; fault <= IS_ELSEWHERE; fault++)
        for (int late = 0; late < 2; late++) {
            if (!is_fault(fault) && fault != YIELDS)
                continue;
            renew(state);
            world.daemons[0].fault = late ? NONE : fault;
            start(&r, sha1, RANGE_BULK);
            if (late) { /* in mid-answer */
                r.expected = block_of(&right, 0);
                unit_true(fault_names[fault], run(&r, has_info, 1000) && run(&r, has_block, 1000));
                world.daemons[0].fault = fault;
                world.daemons[1].is_here = true;
                if (fault == NO_LINE)
                    lose_line(&world.daemons[0], RANGE_BULK);
            }
            unit_true(fault_names[fault], read_all(&r, 30000));
            unit_true(fault_names[fault], world.daemons[0].lines > 0 || fault == NO_LINE);
            stop(&r);
        }
}

static void test_alone_nothing_wrong_comes(void **state)
{
    struct read r;

    for (enum fault fault = NONE; fault <= IS_ELSEWHERE; fault++) {
        if (!is_fault(fault))
            continue;
        renew(state);
        world.daemons[0].fault = fault;
        world.daemons[1].is_here = false;
        start(&r, sha1, RANGE_BULK);
        bool is_whole = read_all(&r, 45000);
        /* Some faults come behind all that is wanted, or are no harm. */
        unit_true(fault_names[fault], !is_whole || fault == DOUBLED_BLOCK || fault == OPENS_TWICE ||
                                          fault == PAGES_TWICE || fault == OPENS_AND_REFUSES);
        unit_true(fault_names[fault], world.daemons[0].wants < 2000 && world.daemons[0].lines < 60);
        stop(&r);
    }
}

static void test_small_files_are_proven_by_their_hash(void **state)
{
    static const enum fault faults[] = {NONE,         WRONG_BLOCK,     SHORT_BLOCK, SIZE_OF_NOTHING,
                                        SIZE_OF_MORE, WRONG_SIGNATURE, NO_ANSWER,   FAILS_CHANGED};
    struct read r;

    for (size_t n = 0; n < UNIT_COUNT(faults); n++) {
        const char *name = fault_names[faults[n]];
        renew(state);
        world.daemons[0].fault = faults[n];
        start(&r, small_sha1, RANGE_SMALL);
        r.expected = (struct str){right.bytes, 1000};
        unit_true(name, run(&r, has_info, 30000) && r.answer == RELAY_READY);
        unit_true(name, run(&r, has_block, 30000) && r.answer == RELAY_READY);
        unit_true(name, run(&r, has_info, 30000) && r.info.size == 1000);
        stop(&r);
    }
}

/* A second file is opened at the daemon that had the first before it was asked; where that has not
 * the file, or is wrong in another way, it is found as ever. */
static void test_the_daemon_that_had_the_last_file_is_guessed(void **state)
{
    static const enum fault faults[] = {NONE,         REFUSES_ABSENT, REFUSES_ERROR,
                                        NO_ANSWER,    WRONG_ROOT,     REFUSES_BUILDING,
                                        REFUSES_CHANGED, LINE_LOST_AT_OPEN};
    struct read r;

    for (size_t n = 0; n < UNIT_COUNT(faults); n++) {
        const char *name = fault_names[faults[n]];
        renew(state);
        world.daemons[1].is_absent = true;
        start(&r, small_sha1, RANGE_SMALL);
        r.expected = (struct str){right.bytes, 1000};
        unit_true(name, run(&r, has_info, 1000) && run(&r, has_block, 1000));
        stop(&r);
        world.daemons[0].fault = faults[n];
        world.daemons[0].opens = 0;
        world.daemons[0].is_absent = faults[n] != NONE;
        world.daemons[1].is_absent = false;
        world.holds_questions = faults[n] == NONE;
        start(&r, sha1, RANGE_SMALL);
        r.expected = block_of(&right, 0);
        unit_true(name, run(&r, has_block, 30000) && r.answer == RELAY_READY);
        unit_true(name, world.daemons[0].opens == 1);
        stop(&r);
    }
}

static void test_an_absent_file_is_absent_at_once(void **state)
{
    struct read r;
    int64_t before = loop_now_ms(world.loop);

    (void)state;
    world.daemons[0].is_absent = world.daemons[1].is_absent = true;
    start(&r, sha1, RANGE_SMALL);
    assert_true(run(&r, has_info, 45000));
    assert_int_equal(r.answer, RELAY_ABSENT);
    assert_true(loop_now_ms(world.loop) - before < 100);
    stop(&r);
}

static void test_a_daemon_that_is_away_is_waited_for(void **state)
{
    struct read r;

    (void)state;
    world.daemons[0].is_here = world.daemons[1].is_here = false;
    world.away = 1;
    start(&r, sha1, RANGE_SMALL);
    assert_false(run(&r, has_info, 45000));
    world.daemons[1].is_here = true;
    assert_true(read_all(&r, 5000));
    stop(&r);
}

static void test_one_that_is_doubted_is_not_absent(void **state)
{
    struct read r;

    (void)state;
    world.daemons[0].fault = REFUSES_ERROR;
    world.daemons[1].is_absent = true;
    start(&r, sha1, RANGE_SMALL);
    assert_false(run(&r, has_info, 45000));
    world.daemons[0].fault = NONE;
    assert_true(read_all(&r, 15000));
    stop(&r);
}

/* What changed at all hosts is not there: nobody waits for it, and after a while it is asked for
 * again. */
static void test_a_changed_file_is_absent_at_once(void **state)
{
    static const enum fault faults[] = {REFUSES_CHANGED, FAILS_CHANGED};
    struct read r;

    for (size_t n = 0; n < UNIT_COUNT(faults); n++) {
        const char *name = fault_names[faults[n]];
        renew(state);
        world.daemons[0].fault = faults[n];
        world.daemons[1].is_absent = true;
        for (int again = 0; again < 3; again++) {
            start(&r, sha1, RANGE_SMALL);
            r.expected = block_of(&right, 0);
            unit_true(name, run(&r, has_info, 100));
            if (r.answer == RELAY_READY)
                unit_true(name, run(&r, has_block, 100));
            unit_true(name, r.answer == RELAY_ABSENT);
            stop(&r);
        }
        world.daemons[0].fault = NONE;
        pass(15000);
        start(&r, sha1, RANGE_SMALL);
        unit_true(name, read_all(&r, 1000));
        stop(&r);
    }
}

static void test_a_file_that_all_have_lost_is_not_waited_for(void **state)
{
    struct read r;

    (void)state;
    start(&r, sha1, RANGE_SMALL);
    r.expected = block_of(&right, 0);
    assert_true(run(&r, has_info, 1000) && run(&r, has_block, 1000));
    for (size_t n = 0; n < 2; n++) {
        world.daemons[n].is_absent = true;
        world.daemons[n].fault = REFUSES_ABSENT;
        for (int c = 0; c < 2; c++)
            lose_line(&world.daemons[n], c);
    }
    r.next = 3;
    assert_true(run(&r, has_block, 30000));
    assert_int_equal(r.answer, RELAY_ABSENT);
    world.daemons[0].is_absent = false;
    world.daemons[0].fault = NONE;
    pass(15000);
    assert_true(read_all(&r, 30000));
    stop(&r);
}

/* Two roots are two files: what was begun with one is never ended with the other. */
static void test_two_roots_are_never_mixed(void **state)
{
    struct read r;

    (void)state;
    for (int first = 0; first < 2; first++) {
        renew(state);
        world.daemons[0].fault = first == 0 ? IS_ELSEWHERE : NONE;
        world.daemons[1].fault = first == 0 ? NONE : IS_ELSEWHERE;
        world.daemons[1].is_here = false;
        start(&r, sha1, RANGE_BULK);
        r.content = first == 0 ? &other : &right;
        r.expected = block_of(r.content, 0);
        assert_true(run(&r, has_info, 1000) && run(&r, has_block, 1000));
        world.daemons[1].is_here = true;
        for (int c = 0; c < 2; c++)
            lose_line(&world.daemons[0], c);
        const struct relay_note gone = {.type = RELAY_GONE, .daemon = 1};
        world.daemons[0].is_here = false;
        tell_relay(0, &gone, -1);
        r.next = 1;
        r.expected = block_of(r.content, 1);
        assert_false(run(&r, has_block, 45000));
        assert_true(world.daemons[1].opens > 0);
        stop(&r);
    }
}

/* A daemon with another root serves those that come when the first one is gone, or lies; a reader
 * that has a byte of the first root gets none of the other. */
static void test_another_root_is_not_waited_for(void **state)
{
    static const enum fault faults[] = {NO_LINE, WRONG_BLOCK, REFUSES_CHANGED, NO_BLOCK};

    for (size_t n = 0; n < UNIT_COUNT(faults); n++) {
        const char *name = fault_names[faults[n]];
        struct read begun, waits, comes;
        renew(state);
        world.daemons[0].fault = IS_ELSEWHERE;
        world.daemons[1].is_here = false;
        start(&begun, sha1, RANGE_BULK);
        begun.content = &other;
        begun.expected = block_of(&other, 0);
        unit_true(name, run(&begun, has_info, 1000) && run(&begun, has_block, 1000));
        world.daemons[1].is_here = true;
        world.daemons[0].fault = faults[n];
        for (int c = 0; c < 2; c++)
            lose_line(&world.daemons[0], c);
        if (faults[n] == NO_LINE) {
            const struct relay_note gone = {.type = RELAY_GONE, .daemon = 1};
            world.daemons[0].is_here = false;
            tell_relay(0, &gone, -1);
        }
        start(&waits, sha1, RANGE_BULK);
        waits.next = 1;
        waits.expected = block_of(&right, 1);
        unit_true(name, run(&waits, has_info, 1000) && run(&waits, has_block, 40000));
        start(&comes, sha1, RANGE_SMALL);
        unit_true(name, read_all(&comes, 20000));
        begun.next = 2;
        begun.expected = block_of(&other, 2);
        unit_true(name, !run(&begun, has_block, 20000) || begun.answer == RELAY_ABSENT);
        stop(&begun);
        stop(&waits);
        stop(&comes);
    }
}

static void begin_with(struct read *r, const struct content *content)
{
    start(r, sha1, RANGE_BULK);
    r->content = content;
    r->expected = block_of(content, 0);
    assert_true(run(r, has_info, 1000) && run(r, has_block, 1000));
}

/* A root whose content was read whole and has another hash: its readers end, others get what an
 * honest daemon has, and the daemon is not believed again. */
static void test_a_refuted_root(void **state)
{
    struct read begun, comes;

    (void)state;
    world.daemons[0].fault = IS_ELSEWHERE;
    world.daemons[1].is_here = false;
    begin_with(&begun, &other);
    relay_reader_judge(&begun.reader, false);
    assert_true(run(&begun, has_block, 100));
    assert_int_equal(begun.answer, RELAY_ABSENT);
    start(&comes, sha1, RANGE_BULK);
    assert_true(run(&comes, has_info, 45000)); /* its daemon counts as one without the file */
    assert_int_equal(comes.answer, RELAY_ABSENT);
    stop(&comes);
    world.daemons[1].is_here = true;
    pass(11000); /* so long an absence is remembered */
    start(&comes, sha1, RANGE_BULK);
    assert_true(read_all(&comes, 20000));
    stop(&comes);
    stop(&begun);
    assert_true(world.daemons[0].wants <= 2 && world.daemons[0].opens < 10);
}

/* A proven root beats another one, whether that one is read or comes later. */
static void test_a_proven_root(void **state)
{
    for (int is_first = 0; is_first < 2; is_first++) {
        struct read begun, comes;
        renew(state);
        world.daemons[1].is_here = false;
        begin_with(&begun, &right);
        if (is_first) {
            relay_reader_judge(&begun.reader, true);
            assert_true(run(&begun, has_info, 1000) && begun.info.is_proven);
        }
        for (int c = 0; c < 2; c++)
            lose_line(&world.daemons[0], c);
        world.daemons[0].is_here = false;
        const struct relay_note gone = {.type = RELAY_GONE, .daemon = 1};
        tell_relay(0, &gone, -1);
        world.daemons[1].is_here = true;
        world.daemons[1].fault = IS_ELSEWHERE;
        start(&comes, sha1, RANGE_BULK);
        comes.content = &other;
        comes.next = 1;
        comes.expected = block_of(&other, 1);
        bool is_read = run(&comes, has_info, 1000) && run(&comes, has_block, 30000);
        assert_true(is_read == !is_first);
        if (!is_first)
            relay_reader_judge(&begun.reader, true);
        comes.next = 2;
        comes.expected = block_of(&other, 2);
        assert_true(!run(&comes, has_block, 30000) || comes.answer == RELAY_ABSENT);
        stop(&comes);
        stop(&begun);
    }
}

/* A source that told another size goes on with its page hashes when a second one has told. */
static void test_two_sources_of_an_opening(void **state)
{
    struct range_message opened = range_message(RANGE_OPENED);
    struct daemon *slow = &world.daemons[1];
    char root[RANGE_ROOT_DIGITS + 1] = "", signature[SIGNATURE_DIGITS + 1];
    static char hashes[100 * SHA256_SIZE];
    struct buf text = {0}, pages = {0};
    struct read r;

    (void)state;
    world.daemons[0].fault = LINE_LOST_AT_OPEN;
    slow->fault = NO_ANSWER;
    start(&r, sha1, RANGE_SMALL);
    while (slow->opens == 0)
        assert_false(run(&r, has_info, 100));
    memset(root, 'a', RANGE_ROOT_DIGITS);
    opened.file_id = 1;
    opened.size = (int64_t)300 * 1024 * BLOCK_BYTES;
    opened.root = str_of(root);
    opened.client_id = str_of(world.client_id);
    opened.time_ms = 1;
    range_message_put_signed(&text, &opened, STR("z"), STR("d"), str_of(sha1));
    signature_make(world.pair, buf_str(&text), signature);
    opened.signature = str_of(signature);
    buf_free(&text);
    send_message(slow, RANGE_SMALL, &opened);
    line_put_pages(&pages, 1, 0, (struct str){hashes, sizeof hashes});
    send_bytes(slow, RANGE_SMALL, WS_BINARY, &pages);
    world.daemons[0].fault = NONE; /* its line comes again, and it tells what is right */
    assert_false(run(&r, has_info, 5000));
    pages = (struct buf){0};
    line_put_pages(&pages, 1, 100, (struct str){hashes, sizeof hashes});
    send_bytes(slow, RANGE_SMALL, WS_BINARY, &pages);
    assert_true(read_all(&r, 45000));
    stop(&r);
}

static void test_a_signer_that_may_not_is_not_believed(void **state)
{
    struct read r;

    (void)state;
    world.refuses_signers = true;
    start(&r, sha1, RANGE_SMALL);
    assert_false(run(&r, has_info, 45000));
    world.refuses_signers = false;
    assert_true(read_all(&r, 30000));
    stop(&r);
}

static void test_the_teacher_leaves_while_it_is_checked(void **state)
{
    struct read r;

    (void)state;
    world.holds_checks = true;
    start(&r, sha1, RANGE_SMALL);
    assert_false(run(&r, has_info, 1000));
    assert_non_null(world.check);
    world.holds_checks = false;
    lose_line(&world.daemons[0], RANGE_SMALL);
    world.daemons[0].fault = NO_LINE;
    assert_true(read_all(&r, 30000));
    stop(&r);
}

static void send_held(struct daemon *d)
{
    for (size_t n = 0; n < d->held_count; n++)
        send_block(d, d->held[n].line_class, d->held[n].request, d->held[n].leaf);
    d->held_count = 0;
}

/* More readers leave than there are leaves in flight; their leaves come after all. */
static void test_cancels_cross_data(void **state)
{
    struct daemon *d = &world.daemons[0];
    struct read r;

    (void)state;
    d->fault = HOLDS;
    world.daemons[1].is_here = false;
    for (int round = 0; round < 60; round++) {
        start(&r, sha1, RANGE_BULK);
        assert_true(run(&r, has_info, 5000) && r.answer == RELAY_READY);
        for (uint32_t i = 1; i < BLOCKS; i++)
            relay_reader_prefetch(&r.reader, i);
        run(&r, has_block, 50);
        stop(&r);
        if (d->held_count + BLOCKS > MAX_HELD)
            break;
    }
    pass(10);
    assert_true(d->held_count > 40 && d->cancels > 40);
    size_t lines = d->lines;
    send_held(d);
    d->fault = NONE;
    start(&r, sha1, RANGE_BULK);
    assert_true(read_all(&r, 5000));
    assert_int_equal(d->lines, lines);
    stop(&r);
}

static void test_silence_ends_a_line(void **state)
{
    struct read r;
    int64_t before;

    (void)state;
    world.daemons[0].fault = NO_BLOCK;
    start(&r, sha1, RANGE_BULK);
    assert_true(run(&r, has_info, 1000));
    before = loop_now_ms(world.loop);
    assert_true(read_all(&r, 30000));
    assert_true(loop_now_ms(world.loop) - before >= 10000);
    assert_true(loop_now_ms(world.loop) - before < 30000);
    stop(&r);
}

/* All blocks but one come: that one is asked of another daemon, or again, and the line stays. */
static void test_a_block_that_is_left_out(void **state)
{
    static const enum fault faults[] = {LEAVES_OUT, LEAVES_OUT_ONCE};

    for (size_t n = 0; n < UNIT_COUNT(faults); n++) {
        const char *name = fault_names[faults[n]];
        struct daemon *d = &world.daemons[0];
        struct read r;
        renew(state);
        d->fault = faults[n];
        world.daemons[1].is_here = false;
        start(&r, sha1, RANGE_BULK);
        unit_true(name, run(&r, has_info, 1000));
        world.daemons[1].is_here = faults[n] == LEAVES_OUT;
        for (uint32_t i = 0; i < BLOCKS; i++)
            relay_reader_prefetch(&r.reader, i);
        pass(100);
        size_t lines = d->lines;
        unit_true(name, read_all(&r, 9500));
        unit_true(name, d->lines == lines);
        stop(&r);
    }
}

/* A read is served by the line of the other class if it has none of its own. */
static void test_a_line_of_one_class_cannot_be_had(void **state)
{
    static const enum fault faults[] = {NO_BULK_LINE, NO_SMALL_LINE};

    for (size_t n = 0; n < UNIT_COUNT(faults); n++)
        for (int c = RANGE_BULK; c <= RANGE_SMALL; c++) {
            struct read r;
            renew(state);
            world.daemons[0].fault = faults[n];
            world.daemons[1].is_here = false;
            start(&r, sha1, (enum range_class)c);
            unit_true(fault_names[faults[n]], read_all(&r, 6000));
            stop(&r);
        }
}

/* Hashes that strangers ask for cost bounded memory; a file that is read stays. */
static void test_many_hashes_are_forgotten(void **state)
{
    char hash[SHA1_HEX + 1];
    struct read r, keeps;

    (void)state;
    world.daemons[0].is_here = world.daemons[1].is_here = false;
    start(&keeps, sha1, RANGE_SMALL);
    for (unsigned n = 0; n < RELAY_MAX_FILES + 1000; n++) {
        snprintf(hash, sizeof hash, "%08x%08x%024x", n * 2654435761u, n, n);
        start(&r, hash, RANGE_SMALL);
        has_info(&r);
        stop(&r);
        world.note_count = 0;
    }
    world.daemons[0].is_here = true;
    assert_true(read_all(&keeps, 30000));
    stop(&keeps);
}

/* ---- objects of the bucket ---- */

/* An open file with these parts. */
static int file_of(const char *name, struct str first, struct str second, struct str third)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", world.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(first.p, 1, first.len, file);
    fwrite(second.p, 1, second.len, file);
    fwrite(third.p, 1, third.len, file);
    fclose(file);
    return open(path, O_RDWR | O_CLOEXEC);
}

static int open_again(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", world.folder, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The bucket's object, and the manifest that it made of it. */
static struct relay_object_file open_object(void)
{
    unsigned char head[MANIFEST_HEAD_BYTES];
    struct manifest_head h = {.size = SIZE};

    memcpy(h.sha1, address, sizeof h.sha1);
    memcpy(h.root, right.root, sizeof h.root);
    manifest_put_head(&h, head);
    return (struct relay_object_file){
        file_of("object", (struct str){right.bytes, SIZE}, STR(""), STR("")),
        file_of("manifest", (struct str){(char *)head, sizeof head},
                (struct str){(char *)right.page, SHA256_SIZE},
                (struct str){(char *)right.leaves, sizeof right.leaves})};
}

static enum relay_answer start_object(struct read *r, struct relay_object_file *object)
{
    *r = (struct read){
        .reader = {.on_change = on_change, .owner = r, .read_class = RANGE_BULK},
        .content = &right,
        .timer = {.call = on_time, .owner = r}};
    return relay_reader_start_object(world.relay, &r->reader, &own_zone, str_of(sha1), object);
}

static void close_object(const struct relay_object_file *object)
{
    close(object->fd);
    close(object->manifest_fd);
}

static void test_an_object_is_read_without_a_host(void **state)
{
    struct relay_object_file object;
    struct read r;

    (void)state;
    for (int again = 0; again < 2; again++) { /* the second one finds it open */
        object = open_object();
        assert_int_equal(start_object(&r, &object), RELAY_READY);
        assert_int_equal(object.fd, -1);
        assert_int_equal(object.manifest_fd, -1);
        assert_true(read_all(&r, 1000));
        assert_true(r.info.is_proven);
        stop(&r);
    }
    assert_int_equal(world.note_count, 0);
}

static void test_a_removed_object_is_not_there(void **state)
{
    struct relay_object_file object = open_object();
    struct read before, after;

    (void)state;
    world.daemons[0].is_absent = world.daemons[1].is_absent = true;
    assert_int_equal(start_object(&before, &object), RELAY_READY);
    assert_true(run(&before, has_info, 1000));
    before.expected = block_of(&right, 0);
    assert_true(run(&before, has_block, 1000));
    start(&after, sha1, RANGE_SMALL); /* the bucket has it no more */
    assert_true(run(&after, has_info, 1000));
    assert_int_equal(after.answer, RELAY_ABSENT);
    assert_true(read_all(&before, 1000));
    stop(&before);
    stop(&after);
}

/* Of a wrong block nothing is sent: a host is asked; the object is not read again. */
static void test_a_wrong_object_is_read_from_hosts(void **state)
{
    struct relay_object_file object = open_object();
    struct read r;

    (void)state;
    assert_int_equal(pwrite(object.fd, "?", 1, 3 * BLOCK_BYTES + 5), 1);
    assert_int_equal(start_object(&r, &object), RELAY_READY);
    assert_true(read_all(&r, 30000));
    assert_int_equal(world.daemons[0].wants + world.daemons[1].wants, 2); /* 0 to 2 were right */
    stop(&r);
    object = (struct relay_object_file){open_again("object"), open_again("manifest")};
    assert_int_equal(start_object(&r, &object), RELAY_ABSENT);
    close_object(&object);
}

static void test_a_wrong_manifest_of_an_object_proves_nothing(void **state)
{
    static const struct {
        const char *name;
        off_t at;
        bool is_seen_at_start;
    } cases[] = {{"head", 3, true},
                 {"root", 40, true},
                 {"page hash", MANIFEST_HEAD_BYTES + 2, true},
                 {"leaf", MANIFEST_HEAD_BYTES + SHA256_SIZE + 2, false}};
    struct relay_object_file object;
    struct read r;

    for (size_t n = 0; n < UNIT_COUNT(cases); n++) {
        renew(state);
        object = open_object();
        assert_int_equal(pwrite(object.manifest_fd, "?", 1, cases[n].at), 1);
        bool is_started = start_object(&r, &object) == RELAY_READY;
        unit_true(cases[n].name, is_started != cases[n].is_seen_at_start);
        if (is_started)
            unit_true(cases[n].name, read_all(&r, 30000)); /* from a host */
        stop(&r);
        if (is_started)
            object = (struct relay_object_file){open_again("object"), open_again("manifest")};
        if (is_started)
            unit_true(cases[n].name, start_object(&r, &object) == RELAY_BUILDING);
        close_object(&object);
    }
}

/* A root that the hub has proven beats a host's. */
static void test_an_object_beats_a_false_root(void **state)
{
    struct relay_object_file object;
    struct read deceived, r;

    (void)state;
    world.daemons[0].fault = world.daemons[1].fault = IS_ELSEWHERE;
    start(&deceived, sha1, RANGE_BULK);
    deceived.content = &other;
    deceived.expected = block_of(&other, 0);
    assert_true(run(&deceived, has_info, 1000) && run(&deceived, has_block, 1000));
    object = open_object();
    assert_int_equal(start_object(&r, &object), RELAY_READY);
    assert_true(read_all(&r, 1000));
    deceived.next = 1;
    assert_true(run(&deceived, has_block, 1000));
    assert_int_equal(deceived.answer, RELAY_ABSENT);
    stop(&deceived);
    stop(&r);
}

static void test_memory_runs_out(void **state)
{
    struct read r;
    long count;

    allocations = 0;
    start(&r, sha1, RANGE_BULK);
    r.next = 3; /* more blocks are more of the same */
    assert_true(read_all(&r, 30000));
    count = allocations;
    stop(&r);
    assert_true(count > 20);
    for (long n = 1; n <= count; n++) {
        renew(state);
        world.daemons[1].fault = IS_ELSEWHERE; /* never read */
        world.daemons[1].is_absent = true;
        allocations = 0;
        r = (struct read){.reader = {.on_change = on_change, .owner = &r, .read_class = RANGE_BULK},
                          .content = &right,
                          .next = 3,
                          .timer = {.call = on_time, .owner = &r}};
        failing_allocation = n;
        if (!relay_reader_start(world.relay, &r.reader, &own_zone, str_of(sha1)))
            continue;
        bool is_whole = read_all(&r, 60000);
        failing_allocation = 0;
        for (int again = 0; !is_whole && again < 5; again++)
            is_whole = read_all(&r, 60000);
        if (!is_whole)
            print_error("allocation %ld of %ld\n", n, count);
        assert_true(is_whole);
        stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        ROW(test_another_daemon_takes_over),
        ROW(test_alone_nothing_wrong_comes),
        ROW(test_small_files_are_proven_by_their_hash),
        ROW(test_the_daemon_that_had_the_last_file_is_guessed),
        ROW(test_an_absent_file_is_absent_at_once),
        ROW(test_a_daemon_that_is_away_is_waited_for),
        ROW(test_one_that_is_doubted_is_not_absent),
        ROW(test_a_changed_file_is_absent_at_once),
        ROW(test_a_file_that_all_have_lost_is_not_waited_for),
        ROW(test_two_roots_are_never_mixed),
        ROW(test_another_root_is_not_waited_for),
        ROW(test_a_refuted_root),
        ROW(test_a_proven_root),
        ROW(test_two_sources_of_an_opening),
        ROW(test_a_signer_that_may_not_is_not_believed),
        ROW(test_the_teacher_leaves_while_it_is_checked),
        ROW(test_cancels_cross_data),
        ROW(test_silence_ends_a_line),
        ROW(test_a_block_that_is_left_out),
        ROW(test_a_line_of_one_class_cannot_be_had),
        ROW(test_many_hashes_are_forgotten),
        ROW(test_an_object_is_read_without_a_host),
        ROW(test_a_removed_object_is_not_there),
        ROW(test_a_wrong_object_is_read_from_hosts),
        ROW(test_a_wrong_manifest_of_an_object_proves_nothing),
        ROW(test_an_object_beats_a_false_root),
        ROW(test_memory_runs_out),
#undef ROW
    };

    return cmocka_run_group_tests(tests, set_up_all, NULL);
}
