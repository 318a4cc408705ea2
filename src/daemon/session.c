#include "daemon/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/random.h"
#include "daemon/name_question.h"
#include "daemon/presence.h"
#include "http/ws_conn.h"
#include "http/ws_dial.h"
#include "proto/extensions.h"

enum { MAX_DOUBLINGS = 20 };

enum state { WAITING, ASKING, DIALLING, GREETING, READY, CLOSING, CLOSED };

struct session {
    struct session_options options;
    struct loop_timer alarm; /* for until_ms */
    bool has_ended;          /* options.on_end was called: nothing follows */
    bool is_paused;          /* WAITING, but for session_resume */
    bool was_acknowledged;   /* in this holding of the lease */
    enum state state;
    struct name_question *question; /* while ASKING */
    bool asks_generation1;          /* ... it is the first generation's */
    struct ws_dial *dial; /* while DIALLING; kept for its words until the line is gone */
    struct ws_conn *line; /* from then on; NULL when WAITING or CLOSED */
    int64_t until_ms;         /* WAITING: dial then; GREETING: patience; CLOSING: likewise */
    int64_t ready_ms, since_wall_ms;
    int64_t lost_wall_ms, next_wall_ms; /* of session_view: out_since_ms, next_try_ms */
    int64_t dialled_ms;   /* when the latest attempt began */
    int64_t out_since_ms; /* the proxy is out of reach since then; 0: it is not */
    int64_t retry_after_ms; /* the pause that this attempt's refusal asked for; <= 0: none */
    unsigned failures;  /* in a row, for the pause */
    unsigned forgotten; /* times in a row that the proxy forgot us, for the pause then */
    bool is_generation2, was_generation2; /* of this attempt; of what worked before */
    bool is_marked; /* the proxy of this line knows both generations */
    bool is_choked; /* it does not read what we send */
    bool has_ranges; /* it announced them on this line, and we did */
    struct presence *presence;
    struct err failure;
    int64_t failure_logged_ms;
    int64_t refused_wall_ms;
    int refused_code; /* the last attempt was refused by a WebSocket close or an HTTP status; 0 */
    struct buf out;
};

static void take_session_turn(void *owner);
static void set_session_alarm(struct session *s);

struct session *session_new(const struct session_options *options)
{
    struct session *s = calloc(1, sizeof *s);
    const struct loop_wake wake = {options->loop, take_session_turn, s};

    if (s == NULL)
        return NULL;
    s->options = *options;
    s->alarm = (struct loop_timer){.call = take_session_turn, .owner = s};
    loop_set_timer(options->loop, &s->alarm, 0);
    s->since_wall_ms = clock_wall_ms();
    s->is_generation2 = s->was_generation2 = true;
    s->presence = presence_new(options->config, options->intervals, &wake);
    if (s->presence != NULL)
        return s;
    session_free(s);
    return NULL;
}

/* Ends the line, and the attempt at one. */
static void hang_line_up(struct session *s)
{
    name_question_free(s->question);
    s->question = NULL;
    ws_dial_free(s->dial);
    s->dial = NULL;
    ws_conn_free(s->line);
    s->line = NULL;
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    loop_clear_timer(s->options.loop, &s->alarm);
    hang_line_up(s);
    presence_free(s->presence);
    buf_wipe(&s->out);
    free(s);
}

static void enter_session_state(struct session *s, enum state state)
{
    s->state = state;
    s->since_wall_ms = clock_wall_ms();
    s->options.on_change(s->options.owner);
}

static const char *config_value_of_session(const struct session *s, enum config_key key)
{
    return s->options.config->values[key];
}

/* 1 s, 2 s, 4 s … 30 s, each up to half as much longer or, at the end, a quarter shorter: many
 * daemons that lose one proxy must not return in the same instant. */
static int64_t next_pause_ms(const struct session *s, unsigned *doublings, int64_t max_ms)
{
    int64_t pause_ms = s->options.intervals->retry_min_ms;

    for (unsigned i = 0; i < *doublings && pause_ms < max_ms; i++)
        pause_ms *= 2;
    if (pause_ms > max_ms)
        pause_ms = max_ms;
    int64_t jitter_ms = (int64_t)random_below((uint64_t)pause_ms / 2 + 1);
    if (*doublings < MAX_DOUBLINGS)
        ++*doublings;
    return pause_ms + jitter_ms > max_ms ? max_ms - jitter_ms / 2 : pause_ms + jitter_ms;
}

/* A proxy that is away for a night must not fill the log with one sentence. */
static void log_failure(struct session *s, const struct err *failure, int64_t now_ms,
                        int64_t pause_ms)
{
    bool is_repeated = strcmp(failure->msg, s->failure.msg) == 0 &&
                       now_ms - s->failure_logged_ms < s->options.intervals->repeat_log_ms;

    char asked[64] = "";

    if (s->retry_after_ms > 0)
        snprintf(asked, sizeof asked, ", as it asks for %.0f s (Retry-After)",
                 (double)s->retry_after_ms / 1000);
    log_line(is_repeated ? LOG_DEBUG : LOG_WARN, "proxy: %s; trying again in %.1f s%s",
             failure->msg, (double)pause_ms / 1000, asked);
    if (!is_repeated)
        s->failure_logged_ms = now_ms;
    err_copy(&s->failure, failure);
}

/* Ends the line; the next attempt comes after pause_ms. */
static void drop_proxy_line(struct session *s, int64_t now_ms, int64_t pause_ms)
{
    bool was_ready = s->state == READY, was_closing = s->state == CLOSING;

    hang_line_up(s);
    presence_stop(s->presence);
    s->is_choked = false;
    s->until_ms = now_ms + pause_ms;
    s->next_wall_ms = clock_wall_ms() + pause_ms;
    if (was_ready)
        s->lost_wall_ms = clock_wall_ms();
    enter_session_state(s, was_closing ? CLOSED : WAITING);
    if (was_ready)
        s->options.on_lost(s->options.owner, s->failure.msg);
}

/* Most outages are restarts: attempts stay close together while one may be. */
static bool is_short_outage(const struct session *s, int64_t now_ms)
{
    return s->out_since_ms == 0 ||
           now_ms - s->out_since_ms < s->options.intervals->short_outage_ms;
}

static int64_t smaller_ms(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The pause that a busy server asked for, within reason, and a tenth more at most: not all daemons
 * of a proxy shall be back in one instant. */
static int64_t asked_pause_ms(const struct session *s)
{
    int64_t pause_ms = smaller_ms(s->retry_after_ms, s->options.intervals->retry_after_max_ms);

    return pause_ms <= 0 ? 0 : pause_ms + (int64_t)random_below((uint64_t)pause_ms / 10 + 1);
}

/* The pause before the next attempt counts from the start of the one that failed: one that waited
 * for an answer has waited. */
static int64_t pause_after_failure_ms(struct session *s, int64_t now_ms)
{
    const struct intervals *t = s->options.intervals;
    int64_t max_ms = is_short_outage(s, now_ms) ? smaller_ms(t->retry_short_ms, t->retry_max_ms)
                                                : t->retry_max_ms;
    int64_t pause_ms = next_pause_ms(s, &s->failures, max_ms);
    bool was_trying = s->state == ASKING || s->state == DIALLING || s->state == GREETING;
    int64_t spent_ms = was_trying ? now_ms - s->dialled_ms : 0;
    int64_t least_ms = smaller_ms(t->retry_min_ms, pause_ms);

    int64_t asked_ms = asked_pause_ms(s);
    if (least_ms < asked_ms)
        least_ms = asked_ms;
    return pause_ms - spent_ms > least_ms ? pause_ms - spent_ms : least_ms;
}

/* Ends the line for any failure, and plans the next attempt. */
static void lose_line(struct session *s, int64_t now_ms, const struct err *failure)
{
    s->refused_code = 0;
    if (s->state == READY && now_ms - s->ready_ms >= s->options.intervals->stable_ms) {
        s->failures = 0;
        s->out_since_ms = 0;
    }
    if (s->out_since_ms == 0)
        s->out_since_ms = now_ms;
    int64_t pause_ms = pause_after_failure_ms(s, now_ms);
    if (s->state != CLOSING)
        log_failure(s, failure, now_ms, pause_ms);
    drop_proxy_line(s, now_ms, pause_ms);
}

/* Ends the attempt as a daemon elsewhere has the name. `code` is the proxy's, of WebSocket or
 * HTTP. Before the name was ever this daemon's, one that yields ends. */
static void lose_refused_line(struct session *s, int64_t now_ms, int code,
                              const struct err *failure)
{
    struct err reason;

    if (s->refused_code == 0)
        s->refused_wall_ms = clock_wall_ms();
    if (!s->options.yields || s->was_acknowledged) {
        lose_line(s, now_ms, failure);
        s->refused_code = code;
        return;
    }
    s->refused_code = code;
    err_copy(&s->failure, failure);
    drop_proxy_line(s, now_ms, 0);
    s->has_ended = true;
    err_set(&reason, ERR_TAKEN, "%s", failure->msg);
    s->options.on_end(s->options.owner, &reason);
}

/* Closed without a word instead of acknowledged: once with the other generation's greeting, before
 * that counts as a failure. */
static void lose_unacknowledged(struct session *s, int64_t now_ms, const struct err *failure)
{
    bool is_first = s->is_generation2 == s->was_generation2;

    s->is_generation2 = !s->is_generation2;
    if (!is_first) {
        lose_line(s, now_ms, failure);
        return;
    }
    log_line(LOG_DEBUG, "proxy: %s; trying as generation %d", failure->msg,
             s->is_generation2 ? 2 : 1);
    drop_proxy_line(s, now_ms, s->options.intervals->retry_min_ms);
}

/* Two daemons of one name make a deployed proxy forget them in turn: each pause is longer. */
static void lose_forgotten(struct session *s, int64_t now_ms)
{
    int64_t pause_ms = next_pause_ms(s, &s->forgotten, s->options.intervals->redial_max_ms);

    err_set(&s->failure, ERR_NETWORK,
            "it has forgotten resource %s (does another host or program share it?)",
            config_value_of_session(s, CONFIG_NAME));
    log_line(LOG_WARN, "proxy: %s; dialling again in %.1f s", s->failure.msg,
             (double)pause_ms / 1000);
    drop_proxy_line(s, now_ms, pause_ms);
}

static void dial_proxy(struct session *s, int64_t now_ms)
{
    const struct intervals *t = s->options.intervals;
    /* SYNs to a host that is being started are lost, and the kernel repeats them ever later. */
    bool is_hasty = s->ready_ms != 0 && s->out_since_ms != 0 && is_short_outage(s, now_ms);
    const struct http_header names = {STR(EXTENSIONS_HEADER), STR(EXTENSIONS_ASKER)};
    struct err e = {0};
    const struct ws_dial_options options = {
        .url = str_of(config_value_of_session(s, CONFIG_PROXY)),
        .patience_ms = is_hasty ? smaller_ms(t->connect_short_ms, t->connect_ms) : t->connect_ms,
        .more = &names,
        .mark = MESSAGE_GENERATIONS_HEADER,
        .wake = {s->options.loop, take_session_turn, s}};

    enter_session_state(s, DIALLING);
    s->has_ranges = false;
    s->dial = ws_dial_new(&options, now_ms, &e);
    if (s->dial == NULL)
        lose_line(s, now_ms, &e);
}

/* --- is the name free? --- */

/* A deployed proxy drops the daemon that has the name when another one dials. */
static void ask_for_name(struct session *s, int64_t now_ms, bool as_generation1)
{
    const struct loop_wake wake = {s->options.loop, take_session_turn, s};
    struct err e = {0};

    enter_session_state(s, ASKING);
    s->asks_generation1 = as_generation1;
    s->question =
        name_question_new(s->options.config, !as_generation1,
                          now_ms + s->options.intervals->connect_ms, &wake, &e);
    if (s->question == NULL) {
        log_line(LOG_DEBUG, "cannot ask whether the name is free: %s", e.msg);
        dial_proxy(s, now_ms);
    }
}

static void begin_proxy_attempt(struct session *s, int64_t now_ms)
{
    s->dialled_ms = now_ms;
    s->retry_after_ms = 0;
    if (s->was_acknowledged)
        dial_proxy(s, now_ms);
    else
        ask_for_name(s, now_ms, false);
}

static void lose_taken_name(struct session *s, int64_t now_ms, int status)
{
    const char *name = config_value_of_session(s, CONFIG_NAME);
    struct err failure;

    if (status == 200)
        err_set(&failure, ERR_NETWORK,
                "resource %s is already connected, and answers: does another host or program share "
                "it?",
                name);
    else
        err_set(&failure, ERR_NETWORK,
                "resource %s may be connected already: %s answers the question for it with %d",
                name, config_value_of_session(s, CONFIG_PROXY), status);
    lose_refused_line(s, now_ms, status, &failure);
}

/* Any answer but 404 counts as a refusal. A server that does not answer has not refused. Of the
 * first generation's address, which may be another service's, only an answer to a request
 * counts. */
static void take_name_answer(struct session *s, int64_t now_ms, const struct name_answer *answer)
{
    bool is_first_generation = s->asks_generation1;

    if (answer->status == 404 && !answer->is_denial && !is_first_generation)
        ask_for_name(s, now_ms, true);
    else if (answer->status == 404 || answer->is_unheard ||
             (is_first_generation && !answer->is_response))
        dial_proxy(s, now_ms);
    else
        lose_taken_name(s, now_ms, answer->status);
}

static void step_name_question(struct session *s, int64_t now_ms)
{
    struct name_answer answer;
    struct err e = {0};
    enum io io = name_question_step(s->question, now_ms, &answer, &e);

    if (io == IO_WANT_READ || io == IO_WANT_WRITE)
        return;
    name_question_free(s->question);
    s->question = NULL;
    if (io == IO_DONE) {
        s->retry_after_ms = answer.is_unheard ? 0 : answer.retry_after_ms;
        take_name_answer(s, now_ms, &answer);
        return;
    }
    log_line(LOG_DEBUG, "cannot ask whether the name is free: %s", e.msg);
    dial_proxy(s, now_ms);
}

/* --- greeting --- */

/* The first generation's `initialize` has no zone. A proxy that knows both is never taken for the
 * first, not even after it was restarted while it was being greeted. */
static void greet_proxy(struct session *s, int64_t now_ms)
{
    struct str zone = str_of(config_value_of_session(s, CONFIG_ZONE));
    struct err e = {0};

    s->is_generation2 = s->is_generation2 || s->is_marked;
    buf_clear(&s->out);
    message_put_initialize(&s->out, str_of(config_value_of_session(s, CONFIG_NAME)),
                           s->is_generation2 ? &zone : NULL,
                           str_of(config_value_of_session(s, CONFIG_SECRET)));
    enter_session_state(s, GREETING);
    s->until_ms = now_ms + s->options.intervals->acknowledge_ms;
    if (buf_check(&s->out, &e) != 0 || ws_conn_send(s->line, WS_TEXT, buf_str(&s->out), &e) != 0)
        lose_line(s, now_ms, &e);
    buf_wipe(&s->out);
}

static void take_acknowledgement(struct session *s, int64_t now_ms)
{
    enter_session_state(s, READY);
    s->ready_ms = now_ms;
    s->was_generation2 = s->is_generation2;
    s->failure = (struct err){0};
    s->lost_wall_ms = 0;
    presence_start(s->presence, s->is_generation2, now_ms);
    s->was_acknowledged = true;
    s->refused_code = 0;
    if (s->options.on_ready != NULL)
        s->options.on_ready(s->options.owner);
    log_line(LOG_INFO, "acknowledged by the proxy resource=%s zone=%s proxy=%s generation=%d",
             config_value_of_session(s, CONFIG_NAME), config_value_of_session(s, CONFIG_ZONE),
             config_value_of_session(s, CONFIG_PROXY), s->is_generation2 ? 2 : 1);
}

/* A request that cannot be understood is answered if it can be seen whose it is. */
static void answer_malformed(struct session *s, struct str text, const struct err *cause)
{
    struct json *doc = json_parse(text, JSON_STRICT, ERR_IGNORED);
    static const struct field request_fields[] = {
        {.name = "type", .kind = FIELD_WORD, .word = "requestFromClient"},
        {.name = "requestId", .kind = FIELD_STRING, .max = MESSAGE_MAX_ID_BYTES},
        {.kind = FIELD_OTHERS},
    };
    struct str request_id;

    if (fields_read(request_fields, doc, &request_id, NULL, ERR_IGNORED) == 0)
        session_respond(s, request_id, NULL, str_of(cause->msg));
    json_free(doc);
}

static void send_range_message(struct session *s, const struct range_message *m)
{
    struct err e = {0};

    buf_clear(&s->out);
    range_message_put(&s->out, m);
    if (s->line == NULL || buf_check(&s->out, &e) != 0 ||
        ws_conn_send(s->line, WS_TEXT, buf_str(&s->out), &e) != 0)
        log_line(LOG_DEBUG, "a message about ranges was not sent: %s", e.msg);
}

void session_answer_file(struct session *s, const struct range_message *file_is)
{
    if (s->state == READY && s->has_ranges)
        send_range_message(s, file_is);
}

/* Takes a message on ranges; none is sent to a proxy, or taken from one, that has not announced
 * them. */
static void take_session_range_message(struct session *s, struct str text)
{
    const struct range_message ours = range_message(RANGE_EXTENSIONS);
    struct range_message m;
    struct err e = {0};

    if (range_message_parse(&m, text, &e) != 0) {
        log_line(LOG_DEBUG, "malformed message from the proxy: %s", e.msg);
        return;
    }
    if (m.type == RANGE_EXTENSIONS && !s->has_ranges && range_message_has(&m, RANGE_EXTENSION)) {
        s->has_ranges = true;
        send_range_message(s, &ours);
    } else if (m.type == RANGE_OPEN_LINE && s->has_ranges) {
        s->options.on_open_line(s->options.owner, str_of(config_value_of_session(s, CONFIG_PROXY)),
                                &m);
    } else if (m.type == RANGE_ASK_FILE && s->has_ranges) {
        s->options.on_ask_file(s->options.owner, &m);
    }
    range_message_deinit(&m);
}

static void take_session_message(struct session *s, struct str text, int64_t now_ms)
{
    struct message m;
    struct err e = {0};

    if (message_parse(&m, text, &e) != 0) {
        log_line(LOG_DEBUG, "malformed message from the proxy: %s", e.msg);
        if (s->state == READY)
            answer_malformed(s, text, &e);
        return;
    }
    if (m.type == MESSAGE_ACKNOWLEDGE && s->state == GREETING)
        take_acknowledgement(s, now_ms);
    else if (m.type == MESSAGE_REQUEST && s->state == READY && m.has_request_id)
        s->options.on_request(s->options.owner, &m);
    else if (m.type == MESSAGE_UNKNOWN && s->state == READY && s->is_generation2 &&
             s->options.on_ask_file != NULL)
        take_session_range_message(s, text);
    message_deinit(&m);
}

static void describe_close(const struct session *s, const struct ws_end *end, struct err *e)
{
    unsigned code = end->code;

    if (code == WS_CLOSE_TAKEN)
        err_set(e, ERR_NETWORK,
                "resource %s is already connected: does another host or program share it?",
                config_value_of_session(s, CONFIG_NAME));
    else if (s->state != READY && end->reason.len == 0)
        err_set(e, ERR_NETWORK,
                "closed without acknowledging resource %s: proxySecret may be "
                "wrong, or the resource connected elsewhere",
                config_value_of_session(s, CONFIG_NAME));
    else if ((code == WS_CLOSE_NO_CODE || code == WS_CLOSE_ABNORMAL) && end->reason.len == 0)
        err_set(e, ERR_NETWORK, "the connection was closed");
    else
        err_set(e, ERR_NETWORK, "the connection was closed: %u%s%.*s", code,
                end->reason.len > 0 ? " " : "", STR_ARG(end->reason));
}

/* The proxy closed. -1 when that is for good. */
static int end_closed_line(struct session *s, int64_t now_ms, const struct ws_end *end,
                           struct err *e)
{
    struct err failure = {0};

    if (s->state != CLOSING && end->code == WS_CLOSE_WRONG_SECRET)
        return err_set(
            e, ERR_REFUSED, "wrong secret: %s does not accept this proxySecret for resource %s",
            config_value_of_session(s, CONFIG_PROXY), config_value_of_session(s, CONFIG_NAME));
    describe_close(s, end, &failure);
    if (s->state != CLOSING && end->code == WS_CLOSE_TAKEN)
        lose_refused_line(s, now_ms, WS_CLOSE_TAKEN, &failure);
    else if (s->state == GREETING && end->reason.len == 0 && end->code < WS_CLOSE_WRONG_SECRET &&
        !s->is_marked)
        lose_unacknowledged(s, now_ms, &failure);
    else
        lose_line(s, now_ms, &failure);
    return 0;
}

static void on_line_message(void *owner, enum ws_opcode kind, struct str text)
{
    struct session *s = owner;

    (void)kind; /* deployed programs take either, so do we */
    if (!s->has_ended && s->state != CLOSING)
        take_session_message(s, text, loop_now_ms(s->options.loop));
    set_session_alarm(s);
}

static void on_line_closed(void *owner, const struct ws_end *end)
{
    struct session *s = owner;
    int64_t now_ms = loop_now_ms(s->options.loop);
    struct err failure = end->why, reason = {0};
    bool is_over = false;

    s->line = NULL;
    if (end->is_failure) {
        err_wrap(&failure, "%s", ws_dial_label(s->dial));
        lose_line(s, now_ms, &failure);
    } else {
        is_over = end_closed_line(s, now_ms, end, &reason) != 0;
    }
    set_session_alarm(s);
    if (is_over) {
        s->has_ended = true;
        s->options.on_end(s->options.owner, &reason);
    }
}

/* The proxy answered the handshake. */
static void open_session_line(struct session *s, struct stream *stream, struct str early,
                              int64_t now_ms)
{
    const struct ws_conn_options options = {.role = WS_CLIENT,
                                            .loop = s->options.loop,
                                            .ping_interval_ms = s->options.intervals->ping_ms,
                                            .dead_after_ms = s->options.intervals->dead_ms,
                                            .on_message = on_line_message,
                                            .on_closed = on_line_closed,
                                            .owner = s};
    struct err e = {0};

    s->is_marked = ws_dial_is_marked(s->dial);
    s->line = ws_conn_new(&options, stream, STR(""), early, &e);
    if (s->line != NULL)
        greet_proxy(s, now_ms);
    else
        lose_line(s, now_ms, &e);
}

static void step_proxy_dial(struct session *s, int64_t now_ms)
{
    struct stream *stream;
    struct buf early = {0};
    struct err e = {0};
    enum io io = ws_dial_step(s->dial, now_ms, &stream, &early, &e);

    if (io == IO_DONE && buf_check(&early, &e) != 0) {
        stream_free(stream);
        io = IO_ERR;
    }
    if (io == IO_DONE || io == IO_ERR)
        s->retry_after_ms = ws_dial_retry_after_ms(s->dial);
    if (io == IO_DONE)
        open_session_line(s, stream, buf_str(&early), now_ms);
    else if (io == IO_ERR)
        lose_line(s, now_ms, &e);
    buf_free(&early);
}

static void check_deadlines(struct session *s, int64_t now_ms)
{
    struct err failure = {0};

    if (s->is_choked)
        err_set(&failure, ERR_NETWORK, "it does not read the answers: the line is dropped");
    else if (s->state == GREETING && now_ms >= s->until_ms)
        err_set(&failure, ERR_TIMEOUT, "no acknowledgement within %d s",
                (int)(s->options.intervals->acknowledge_ms / 1000));
    else if (s->state == CLOSING && now_ms >= s->until_ms)
        err_set(&failure, ERR_TIMEOUT, "closed without an answer");
    if (failure.code != ERR_NONE)
        lose_line(s, now_ms, &failure);
}

static void check_presence(struct session *s, int64_t now_ms)
{
    switch (presence_step(s->presence, now_ms)) {
    case PRESENCE_FORGOTTEN: lose_forgotten(s, now_ms); break;
    case PRESENCE_KNOWN:
        if (now_ms - s->ready_ms >= s->options.intervals->presence_ms)
            s->forgotten = 0;
        break;
    case PRESENCE_UNKNOWN: break;
    }
}

/* Does all that is due; the line calls for itself. */
static void do_due_steps(struct session *s, int64_t now_ms)
{
    if (s->state == WAITING && !s->is_paused && now_ms >= s->until_ms)
        begin_proxy_attempt(s, now_ms);
    if (s->state == ASKING)
        step_name_question(s, now_ms);
    if (s->state == DIALLING)
        step_proxy_dial(s, now_ms);
    if (s->line != NULL)
        check_deadlines(s, now_ms);
    if (s->state == READY)
        check_presence(s, now_ms);
}

static void set_session_alarm(struct session *s)
{
    bool is_timed = (s->state == WAITING && !s->is_paused) || s->state == GREETING ||
                    s->state == CLOSING;
    int64_t at_ms = is_timed ? s->until_ms : CLOCK_NEVER_MS;

    loop_set_timer(s->options.loop, &s->alarm, s->is_choked ? 0 : at_ms);
}

static void take_session_turn(void *owner)
{
    struct session *s = owner;

    if (s->has_ended)
        return;
    do_due_steps(s, loop_now_ms(s->options.loop));
    set_session_alarm(s);
}

void session_respond(struct session *s, struct str request_id, const struct upload_status *status,
                     struct str error)
{
    if (s->state != READY || s->is_choked || !ws_conn_is_open(s->line))
        return;
    buf_clear(&s->out);
    message_put_response(&s->out, request_id, status, error);
    s->is_choked =
        s->out.failed || ws_conn_send(s->line, WS_TEXT, buf_str(&s->out), ERR_IGNORED) != 0;
    if (s->is_choked)
        set_session_alarm(s); /* the line is dropped then */
    else
        ws_conn_write_above(s->line, WS_CONN_BATCH_BYTES);
}

void session_pause(struct session *s, const char *why)
{
    if (s->has_ended || s->is_paused || s->state == CLOSING || s->state == CLOSED)
        return;
    s->is_paused = true;
    err_set(&s->failure, ERR_FAILED, "%s", why);
    drop_proxy_line(s, loop_now_ms(s->options.loop), 0);
    set_session_alarm(s);
}

void session_resume(struct session *s, bool is_new_holding)
{
    if (!s->is_paused)
        return;
    s->is_paused = false;
    s->was_acknowledged = s->was_acknowledged && !is_new_holding;
    s->failures = 0;
    set_session_alarm(s); /* dials in this round */
}

void session_close(struct session *s)
{
    if (s->state == CLOSING || s->state == CLOSED)
        return;
    presence_stop(s->presence);
    if (s->line != NULL)
        ws_conn_close(s->line, WS_CLOSE_GOING_AWAY, STR("the daemon is being stopped"));
    else
        hang_line_up(s);
    s->until_ms = loop_now_ms(s->options.loop) + s->options.intervals->close_ms;
    enter_session_state(s, s->line == NULL ? CLOSED : CLOSING);
    set_session_alarm(s);
}

bool session_is_closed(const struct session *s)
{
    return s->state == CLOSED;
}

struct session_view session_describe(const struct session *s)
{
    static const char *const names[] = {[WAITING] = "waiting",    [ASKING] = "connecting",
                                        [DIALLING] = "connecting", [GREETING] = "connecting",
                                        [READY] = "connected",     [CLOSING] = "closing",
                                        [CLOSED] = "closing"};

    return (struct session_view){
        .state = names[s->state],
        .since_ms = s->since_wall_ms,
        .out_since_ms = s->lost_wall_ms,
        .next_try_ms = s->state == WAITING && !s->is_paused ? s->next_wall_ms : 0,
        .retry_after_ms = s->state == WAITING ? s->retry_after_ms : 0,
        .failure = s->failure.msg,
        .refused_code = s->refused_code,
        .refused_ms = s->refused_code == 0 ? 0 : s->refused_wall_ms};
}
