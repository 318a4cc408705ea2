#include "doctor/greeting.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "http/ws_conn.h"
#include "http/ws_dial.h"
#include "proto/message.h"

enum { NAME_DIGITS = 8, NAME_MAX_BYTES = 200 };

#define INSERTED ".doctor-"

/* One connection. */
struct greeting_attempt {
    const struct probe *probe;
    struct greeting *greeting;
    struct loop *loop;
    struct loop_timer alarm;
    bool is_generation2, is_over;
    struct ws_dial *dial;
    struct ws_conn *line;
};

static void end_greeting(struct greeting_attempt *a)
{
    a->is_over = true;
}

static bool is_attempt_over(void *owner)
{
    const struct greeting_attempt *a = owner;

    return a->is_over;
}

static void make_name(const char *name, char out[GREETING_NAME_BYTES])
{
    char digits[NAME_DIGITS + 1];
    size_t room = NAME_MAX_BYTES - (sizeof INSERTED - 1) - NAME_DIGITS;

    random_hex(digits, NAME_DIGITS);
    struct str kept = str_slice(str_of(name), 0, room);
    snprintf(out, GREETING_NAME_BYTES, "%.*s" INSERTED "%s", STR_ARG(kept), digits);
}

static void on_greeting_message(void *owner, enum ws_opcode kind, struct str text)
{
    struct greeting_attempt *a = owner;
    struct message m;

    (void)kind; /* deployed programs take either */
    if (a->is_over || message_parse(&m, text, ERR_IGNORED) != 0)
        return;
    if (m.type == MESSAGE_ACKNOWLEDGE) {
        a->greeting->is_acknowledged = true;
        end_greeting(a);
    }
    message_deinit(&m);
}

static void on_greeting_closed(void *owner, const struct ws_end *end)
{
    struct greeting_attempt *a = owner;
    struct greeting *g = a->greeting;

    a->line = NULL;
    if (a->is_over)
        return;
    g->is_wrong_secret = end->code == WS_CLOSE_WRONG_SECRET;
    err_set(&g->failure, ERR_REFUSED, "it closed without an acknowledge: %s", end->why.msg);
    end_greeting(a);
}

static void on_greeting_late(void *owner)
{
    struct greeting_attempt *a = owner;

    a->greeting->is_silent = true;
    err_set(&a->greeting->failure, ERR_TIMEOUT, "no acknowledge within %.1f s",
            (double)a->probe->options->times.answer_ms / 1000);
    end_greeting(a);
}

static void fail_attempt(struct greeting_attempt *a, const struct err *e)
{
    err_copy(&a->greeting->failure, e);
    end_greeting(a);
}

static void send_initialize(struct greeting_attempt *a)
{
    const struct config *c = &a->probe->config;
    struct str zone = str_of(c->values[CONFIG_ZONE]);
    struct buf out = {0};
    struct err e = {0};

    message_put_initialize(&out, str_of(a->greeting->name), a->is_generation2 ? &zone : NULL,
                           str_of(c->values[CONFIG_SECRET]));
    if (buf_check(&out, &e) != 0 || ws_conn_send(a->line, WS_TEXT, buf_str(&out), &e) != 0)
        fail_attempt(a, &e);
    buf_wipe(&out);
    a->alarm = (struct loop_timer){.call = on_greeting_late, .owner = a};
    loop_set_timer(a->loop, &a->alarm, probe_answer_deadline_ms(a->probe));
}

static void open_line(struct greeting_attempt *a, struct stream *stream, struct str early)
{
    const struct ws_conn_options options = {.role = WS_CLIENT,
                                            .loop = a->loop,
                                            .on_message = on_greeting_message,
                                            .on_closed = on_greeting_closed,
                                            .owner = a};
    struct err e = {0};

    a->greeting->is_open = true;
    a->greeting->is_marked = ws_dial_is_marked(a->dial);
    a->line = ws_conn_new(&options, stream, STR(""), early, &e);
    if (a->line == NULL)
        fail_attempt(a, &e);
    else
        send_initialize(a);
}

static void step_greeting_dial(void *owner)
{
    struct greeting_attempt *a = owner;
    struct stream *stream = NULL;
    struct buf early = {0};
    struct err e = {0};

    if (a->is_over || a->line != NULL)
        return;
    enum io io = ws_dial_step(a->dial, clock_now_ms(), &stream, &early, &e);
    if (io == IO_DONE)
        open_line(a, stream, buf_str(&early));
    else if (io == IO_ERR)
        fail_attempt(a, &e);
    buf_free(&early);
}

static void try_generation(const struct probe *p, struct loop *loop, bool is_generation2,
                           struct greeting *g)
{
    struct greeting_attempt a = {
        .probe = p, .greeting = g, .loop = loop, .is_generation2 = is_generation2};
    int64_t now_ms = clock_now_ms();
    const struct ws_dial_options options = {
        .url = str_of(p->config.values[CONFIG_PROXY]),
        .patience_ms = probe_answer_deadline_ms(p) - now_ms,
        .mark = MESSAGE_GENERATIONS_HEADER,
        .wake = {loop, step_greeting_dial, &a}};
    struct err e = {0};

    a.dial = ws_dial_new(&options, now_ms, &e);
    if (a.dial == NULL || loop_run_until(loop, is_attempt_over, &a, &e) != 0)
        fail_attempt(&a, &e);
    loop_clear_timer(loop, &a.alarm);
    ws_conn_free(a.line);
    ws_dial_free(a.dial);
}

void greeting_try(const struct probe *p, struct loop *loop, struct greeting *out)
{
    struct greeting first = {.is_open = false}, second;

    make_name(p->config.values[CONFIG_NAME], first.name);
    second = first;
    try_generation(p, loop, true, &first);
    *out = first;
    if (!first.is_open || first.is_marked || first.is_acknowledged || first.is_wrong_secret ||
        first.is_silent)
        return;
    try_generation(p, loop, false, &second);
    if (second.is_acknowledged)
        *out = second;
}
