#include "client/http_client.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/http_call.h"
#include "client/http_idle.h"

struct http_client *http_client_new(void)
{
    return calloc(1, sizeof(struct http_client));
}

static void remove_idle(struct http_client *client, size_t i)
{
    buf_free(&client->idle[i].origin);
    client->count--;
    memmove(&client->idle[i], &client->idle[i + 1], (client->count - i) * sizeof client->idle[0]);
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (client->count > 0) {
        stream_free(client->idle[0].stream);
        remove_idle(client, 0);
    }
    free(client->read_buffer);
    free(client);
}

struct stream *http_idle_take(struct http_client *client, struct str origin, int64_t now_ms,
                              int64_t max_idle_ms)
{
    for (size_t i = client->count; i-- > 0;) {
        const struct http_idle *idle = &client->idle[i];
        struct stream *stream = idle->stream;
        int64_t age_ms = now_ms - idle->since_ms;
        if (age_ms >= HTTP_CLIENT_IDLE_MS || stream_is_stale(stream)) {
            stream_free(stream);
            remove_idle(client, i);
        } else if (age_ms < max_idle_ms && str_equal(buf_str(&idle->origin), origin)) {
            remove_idle(client, i);
            return stream;
        }
    }
    return NULL;
}

void http_idle_give(struct http_client *client, struct str origin, struct stream *stream,
                    int64_t now_ms)
{
    struct http_idle idle = {.stream = stream, .since_ms = now_ms};

    buf_put(&idle.origin, origin);
    if (idle.origin.failed) {
        stream_free(stream);
        return;
    }
    if (client->count == HTTP_CLIENT_MAX_IDLE) {
        stream_free(client->idle[0].stream);
        remove_idle(client, 0);
    }
    client->idle[client->count++] = idle;
}

char *http_idle_take_buffer(struct http_client *client)
{
    char *buffer = client->read_buffer;

    client->read_buffer = NULL;
    return buffer != NULL ? buffer : malloc(HTTP_CALL_READ_BYTES);
}

void http_idle_give_buffer(struct http_client *client, char *buffer)
{
    if (client->read_buffer == NULL)
        client->read_buffer = buffer;
    else
        free(buffer);
}

/* One look and one step; waits when there is nothing else to do. IO_DONE: the call is complete. */
static enum io advance(struct http_call *call, const struct http_client_watch *watch,
                       struct pollset *set, struct err *e)
{
    enum io io = IO_ERR;

    if (watch == NULL || watch->look(watch->ctx, call, e) == 0)
        io = http_call_step(call, clock_now_ms(), e);
    if (io == IO_DONE || io == IO_ERR)
        return io;
    pollset_clear(set);
    http_call_poll(call, set);
    if (watch != NULL)
        pollset_wake_at(set, clock_now_ms() + watch->every_ms);
    return pollset_wait(set, e) < 0 ? IO_ERR : io;
}

struct http_call *http_client_perform(struct http_client *client,
                                      const struct http_call_options *options,
                                      const struct http_client_watch *watch, struct err *e)
{
    struct http_call *call = http_call_new(client, options, e);
    struct pollset set = {0};
    enum io io = call == NULL ? IO_ERR : IO_WANT_WRITE;

    while (io != IO_DONE && io != IO_ERR)
        io = advance(call, watch, &set, e);
    pollset_free(&set);
    if (io == IO_DONE)
        return call;
    http_call_free(call);
    return NULL;
}
