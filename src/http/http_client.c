#include "http/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/http_idle.h"

struct http_client *http_client_new(struct loop *loop, struct err *e)
{
    struct http_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        err_set(e, ERR_FAILED, "out of memory");
    else
        client->loop = loop;
    return client;
}

/* Takes a connection out; its stream is the caller's then. */
static struct stream *take_idle(struct http_client *client, size_t i)
{
    struct http_idle *idle = client->idle[i];
    struct stream *stream = idle->stream;

    client->count--;
    memmove(&client->idle[i], &client->idle[i + 1], (client->count - i) * sizeof client->idle[0]);
    buf_free(&idle->origin);
    free(idle);
    return stream;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (client->count > 0)
        stream_free(take_idle(client, 0));
    free(client->read_buffer);
    free(client);
}

struct stream *http_idle_take(struct http_client *client, struct str origin, int64_t now_ms,
                              int64_t max_idle_ms)
{
    for (size_t i = client->count; i-- > 0;) {
        const struct http_idle *idle = client->idle[i];
        int64_t age_ms = now_ms - idle->since_ms;
        if (age_ms >= HTTP_CLIENT_IDLE_MS || stream_is_stale(idle->stream))
            stream_free(take_idle(client, i));
        else if (age_ms < max_idle_ms && str_equal(buf_str(&idle->origin), origin))
            return take_idle(client, i);
    }
    return NULL;
}

/* Closes an idle connection when something came, or its end. */
static void on_idle_stream(void *owner)
{
    const struct http_idle *idle = owner;
    struct http_client *client = idle->client;
    size_t i = 0;

    if (!stream_is_stale(idle->stream) && stream_expect(idle->stream, ERR_IGNORED) == 0)
        return;
    while (client->idle[i] != idle)
        i++;
    stream_free(take_idle(client, i));
}

void http_idle_give(struct http_client *client, struct str origin, struct stream *stream,
                    int64_t now_ms)
{
    struct http_idle *idle = calloc(1, sizeof *idle);
    const struct loop_wake wake = {client->loop, on_idle_stream, idle};

    if (idle == NULL) {
        stream_free(stream);
        return;
    }
    *idle = (struct http_idle){.client = client, .stream = stream, .since_ms = now_ms};
    buf_put(&idle->origin, origin);
    stream_set_wake(stream, &wake);
    if (client->count == HTTP_IDLE_MAX)
        stream_free(take_idle(client, 0));
    client->idle[client->count++] = idle;
    if (idle->origin.failed || stream_expect(stream, ERR_IGNORED) != 0)
        stream_free(take_idle(client, client->count - 1));
}

char *http_idle_take_buffer(struct http_client *client)
{
    char *buffer = client->read_buffer;

    client->read_buffer = NULL;
    return buffer != NULL ? buffer : malloc(HTTP_IDLE_BUFFER_BYTES);
}

void http_idle_give_buffer(struct http_client *client, char *buffer)
{
    if (client->read_buffer == NULL)
        client->read_buffer = buffer;
    else
        free(buffer);
}

/* A call that somebody waits for. */
struct performance {
    struct loop *loop;
    struct http_call *call;
    const struct http_client_watch *watch;
    struct loop_timer look;
    enum io io;
    struct err *e;
};

static bool is_performed(void *owner)
{
    const struct performance *p = owner;

    return p->io == IO_DONE || p->io == IO_ERR;
}

/* One look and one step. */
static void advance_performance(void *owner)
{
    struct performance *p = owner;
    const struct http_client_watch *watch = p->watch;

    if (is_performed(p))
        return;
    p->io = IO_ERR;
    if (watch == NULL || watch->look(watch->ctx, p->call, p->e) == 0)
        p->io = http_call_step(p->call, clock_now_ms(), p->e);
    if (watch != NULL && !is_performed(p))
        loop_set_timer(p->loop, &p->look, clock_now_ms() + watch->every_ms);
}

struct http_call *http_client_perform(struct http_client *client,
                                      const struct http_call_options *options,
                                      const struct http_client_watch *watch, struct err *e)
{
    struct performance p = {.loop = client->loop, .watch = watch, .io = IO_WANT_WRITE, .e = e};

    p.look = (struct loop_timer){.call = advance_performance, .owner = &p};
    p.call = http_call_new(client, options, advance_performance, &p, e);
    if (p.call == NULL)
        return NULL;
    if (loop_run_until(client->loop, is_performed, &p, e) != 0)
        p.io = IO_ERR;
    loop_clear_timer(client->loop, &p.look);
    if (p.io == IO_DONE)
        return p.call;
    http_call_free(p.call);
    return NULL;
}
