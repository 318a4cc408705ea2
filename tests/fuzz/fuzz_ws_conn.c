/* An open WebSocket in either role, over memory: the first byte says the role and how much the
 * memory takes at once; then each byte is a deed of the other side, of the owner or of time. It
 * sends frames, passes on what RFC 6455 allows, and ends when it has to. */
#include "fuzz.h"
#include "http/ws_conn.h"
#include "net/stream_memory.h"
#include "proto/utf8.h"

enum { MAX_MESSAGE = 2000, MAX_QUEUED = 5000, PING_MS = 1000, DEAD_MS = 5000, ROUNDS = 64 };

struct world {
    struct loop *loop;
    struct loop_clock clock;
    struct stream *wire;  /* NULL: freed */
    struct ws_conn *conn; /* NULL: it has ended */
    enum ws_role role;
    struct ws_reader reader; /* of the wire */
    bool is_paused, pauses, is_cut;
    int64_t closing_since_ms; /* 0: it is open */
    size_t drained;
};

static void on_message(void *owner, enum ws_opcode kind, struct str message)
{
    struct world *w = owner;
    struct err e = {0};

    require(!w->is_paused);
    require(kind == WS_TEXT || kind == WS_BINARY);
    require(message.len <= MAX_MESSAGE);
    require(kind == WS_BINARY || str_is_utf8(message));
    require(ws_conn_is_open(w->conn));
    if (ws_conn_send(w->conn, kind, message, &e) != 0)
        require(e.code == ERR_TOO_LARGE);
    if (w->pauses) {
        ws_conn_pause(w->conn);
        w->is_paused = true;
    }
}

static void on_pong(void *owner, struct str payload)
{
    require(payload.len <= WS_MAX_CONTROL_BYTES && !((struct world *)owner)->is_paused);
}

static void on_drained(void *owner)
{
    ((struct world *)owner)->drained++;
}

static void on_closed(void *owner, const struct ws_end *end)
{
    struct world *w = owner;

    require(w->conn != NULL && end->why.msg[0] != '\0');
    require(str_is_utf8(end->reason));
    require(end->code == WS_CLOSE_ABNORMAL || end->code == WS_CLOSE_NO_CODE ||
            (end->code >= 1000 && end->code < 5000));
    w->conn = NULL;
}

static void do_nothing(void *owner)
{
    (void)owner;
}

static void open_world(struct world *w, unsigned first)
{
    const struct ws_conn_options options = {.role = w->role,
                                            .loop = w->loop,
                                            .ping_interval_ms = PING_MS,
                                            .dead_after_ms = DEAD_MS,
                                            .max_message_bytes = MAX_MESSAGE,
                                            .max_queued_bytes = MAX_QUEUED,
                                            .drained_bytes = 100,
                                            .on_message = on_message,
                                            .on_pong = on_pong,
                                            .on_drained = on_drained,
                                            .on_closed = on_closed,
                                            .owner = w};
    const struct stream_memory_limits limits = {(first & 2) != 0 ? 1 : 0, (first & 4) != 0 ? 3 : 0,
                                                (first & 8) != 0 ? 50 : 0};
    const struct loop_wake wakes[2] = {{w->loop, do_nothing, w}, {w->loop, do_nothing, w}};
    struct stream *pair[2];
    struct err e = {0};

    require(stream_memory_pair(pair, wakes, &e) == 0);
    w->wire = pair[0];
    stream_memory_limit(pair[0], &limits);
    stream_memory_limit(pair[1], &limits);
    ws_reader_init(&w->reader, w->role == WS_CLIENT ? WS_SERVER : WS_CLIENT, 1 << 20);
    w->conn = ws_conn_new(&options, pair[1], STR(""), STR(""), &e);
    require(w->conn != NULL);
}

/* It ends within its time once it is closing. */
static void look(struct world *w)
{
    if (w->conn == NULL || ws_conn_is_open(w->conn))
        return;
    if (w->closing_since_ms == 0)
        w->closing_since_ms = w->clock.now_ms;
    require(w->clock.now_ms - w->closing_since_ms <= WS_CONN_CLOSE_MS);
}

static void on_far(void *owner)
{
    *(bool *)owner = true;
}

static bool is_over(void *owner)
{
    unsigned *left = owner;

    return (*left)-- == 0;
}

/* One round, without waiting. Returns true if there was nothing to do for an hour. */
static bool run_round(struct world *w)
{
    bool is_far = false;
    struct loop_timer far = {.call = on_far, .owner = &is_far};
    unsigned left = 1;
    struct err e = {0};

    loop_set_timer(w->loop, &far, w->clock.now_ms + 3600000);
    require(loop_run_until(w->loop, is_over, &left, &e) == 0);
    loop_clear_timer(w->loop, &far);
    return is_far;
}

static void turn(struct world *w, size_t rounds)
{
    for (size_t i = 0; i < rounds && w->conn != NULL; i++) {
        run_round(w);
        look(w);
    }
}

static void wire_writes(struct world *w, struct str bytes)
{
    struct err e = {0};
    size_t n;

    while (w->wire != NULL && bytes.len > 0 && stream_write(w->wire, bytes, &n, &e) == IO_DONE)
        bytes = str_slice(bytes, n, bytes.len);
}

static void wire_writes_frame(struct world *w, unsigned opcode, struct str payload)
{
    static const unsigned char mask[4] = {1, 2, 3, 4};
    bool is_control = (opcode & 8) != 0;
    struct buf frame = {0};

    if (is_control)
        payload = str_slice(payload, 0, WS_MAX_CONTROL_BYTES);
    ws_frame_put_fragment(&frame, (enum ws_opcode)(opcode & 15), is_control || (opcode & 16) == 0,
                          payload, w->role == WS_SERVER ? mask : NULL);
    wire_writes(w, buf_str(&frame));
    buf_free(&frame);
}

/* All of it are frames. */
static void wire_reads(struct world *w)
{
    char data[4096];
    struct ws_event event;
    struct err e = {0};
    unsigned code;
    size_t n, used;

    while (w->wire != NULL && stream_read(w->wire, data, sizeof data, &n, &e) == IO_DONE) {
        struct str input = {data, n};
        enum io io;
        while ((io = ws_frame_read(&w->reader, input, &used, &event, &code, &e)) == IO_DONE)
            input = str_slice(input, used, input.len);
        require(io == IO_WANT_READ);
    }
}

static void own(struct world *w, unsigned deed, struct str bytes)
{
    struct err e = {0};

    if (w->conn == NULL)
        return;
    if (deed == 4) {
        if (ws_conn_send(w->conn, WS_BINARY, bytes, &e) == 0)
            require(ws_conn_queued(w->conn) <= MAX_QUEUED);
    } else if (deed == 5) {
        w->is_paused = false;
        ws_conn_resume(w->conn);
    } else if (deed == 6) {
        ws_conn_ping(w->conn, bytes);
    } else if (deed == 7) {
        ws_conn_close(w->conn, WS_CLOSE_NORMAL, bytes);
    } else if (deed == 8) {
        w->pauses = !w->pauses;
    }
}

static void act(struct world *w, struct str *input)
{
    unsigned deed = fuzz_take(input) % 13;
    unsigned more = fuzz_take(input);
    struct str bytes = str_slice(*input, 0, more);

    switch (deed) {
    case 0:
    case 1:
        *input = str_slice(*input, bytes.len, input->len);
        wire_writes(w, bytes);
        break;
    case 2: wire_writes_frame(w, more, str_slice(*input, 0, more >> 1)); break;
    case 3: wire_reads(w); break;
    case 9: turn(w, more % ROUNDS); break;
    case 10: w->clock.now_ms += more; break;
    case 11:
        if (w->wire != NULL)
            more % 2 == 0 ? stream_end(w->wire) : stream_memory_reset(w->wire);
        break;
    case 12:
        stream_free(more % 2 == 0 ? w->wire : NULL);
        w->wire = more % 2 == 0 ? NULL : w->wire;
        break;
    default: own(w, deed, bytes); break;
    }
    turn(w, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    struct world w = {.clock = {.jumps = true, .now_ms = 1000000}};
    struct err e = {0};

    w.loop = loop_new(&w.clock, &e);
    require(w.loop != NULL);
    unsigned first = fuzz_take(&input);
    w.role = (first & 1) != 0 ? WS_CLIENT : WS_SERVER;
    open_world(&w, first);
    while (input.len > 0)
        act(&w, &input);
    stream_free(w.wire);
    if ((first & 16) == 0) {
        own(&w, 5, STR(""));
        turn(&w, ROUNDS);
        if (w.conn != NULL)
            ws_conn_close(w.conn, WS_CLOSE_NORMAL, STR(""));
        turn(&w, 200 * size + ROUNDS); /* a byte a round, and what has to happen then */
        require(w.conn == NULL);
    }
    ws_conn_free(w.conn);
    ws_reader_deinit(&w.reader);
    require(run_round(&w));
    loop_free(w.loop);
    return 0;
}
