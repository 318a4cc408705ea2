#include "net/stream_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/stream_transport.h"

struct memory_end {
    struct stream base;       /* first: a stream is an end */
    struct memory_end *other; /* NULL: freed */
    struct buf in;            /* sent to this end */
    size_t in_read;           /* of it */
    bool is_in_ended, is_reset, drops_unsent;
    struct loop_call look; /* at what is ready */
    struct stream_memory_limits limits;
    struct addr peer;
};

static struct memory_end *end_of(const struct stream *s)
{
    return (struct memory_end *)(uintptr_t)s;
}

static size_t at_most(size_t size, size_t limit)
{
    return limit > 0 && size > limit ? limit : size;
}

static size_t unread_bytes(const struct memory_end *m)
{
    return m->in.len - m->in_read;
}

/* Bytes are not moved with each read: by single ones that would take for ever. */
static void take_read(struct memory_end *m, size_t n)
{
    m->in_read += n;
    if (m->in_read < m->in.len && m->in_read < STREAM_MEMORY_CAPACITY)
        return;
    buf_consume(&m->in, m->in_read);
    m->in_read = 0;
}

/* Returns how many more bytes may be sent to this end. */
static size_t room_of(const struct memory_end *m)
{
    size_t capacity = m->limits.capacity > 0 ? m->limits.capacity : STREAM_MEMORY_CAPACITY;

    return unread_bytes(m) < capacity ? capacity - unread_bytes(m) : 0;
}

static unsigned ready_of_memory(const struct memory_end *m)
{
    bool is_gone = m->is_reset || m->other == NULL;
    unsigned ready = 0;

    if (unread_bytes(m) > 0 || m->is_in_ended || m->is_reset)
        ready |= LOOP_READ;
    if (is_gone || m->base.is_ended || room_of(m->other) > 0)
        ready |= LOOP_WRITE;
    if (m->is_reset || (m->is_in_ended && m->base.is_ended))
        ready |= LOOP_HANGUP;
    return ready;
}

static void look_later(struct memory_end *m)
{
    if (m != NULL)
        loop_defer(m->base.wake.loop, &m->look);
}

static void on_look(void *owner)
{
    struct memory_end *m = owner;
    unsigned ready = ready_of_memory(m);

    if ((ready & LOOP_HANGUP) != 0 && m->base.expects_loss)
        look_later(m); /* reported until the owner has acted on it */
    stream_wake_owner(&m->base, ready);
}

static int watch_memory(struct stream *s, struct err *e)
{
    (void)e;
    look_later(end_of(s));
    return 0;
}

static void unwatch_memory(struct stream *s)
{
    loop_undefer(s->wake.loop, &end_of(s)->look);
}

static enum io read_memory(struct stream *s, void *data, size_t size, size_t *n, struct err *e)
{
    struct memory_end *m = end_of(s);

    if (m->is_reset) {
        err_errno(e, ERR_NETWORK, ECONNRESET, "cannot receive");
        return IO_ERR;
    }
    if (unread_bytes(m) == 0)
        return m->is_in_ended ? IO_EOF : stream_wait(s, IO_WANT_READ, e);
    *n = at_most(at_most(size, unread_bytes(m)), m->limits.read_bytes);
    memcpy(data, m->in.data + m->in_read, *n);
    take_read(m, *n);
    look_later(m->other);
    return IO_DONE;
}

static size_t put_part(struct memory_end *from, struct str part, size_t room)
{
    part = str_slice(part, 0, room);
    buf_put(&from->other->in, part);
    return part.len;
}

static enum io write_memory(struct stream *s, struct str first, struct str second, bool is_more,
                            size_t *n, struct err *e)
{
    struct memory_end *m = end_of(s);
    size_t room;

    (void)is_more;
    if (m->is_reset || m->other == NULL || s->is_ended) {
        err_errno(e, ERR_NETWORK, m->is_reset ? ECONNRESET : EPIPE, "cannot send");
        return IO_ERR;
    }
    room = at_most(room_of(m->other), m->limits.write_bytes);
    if (room == 0)
        return stream_wait(s, IO_WANT_WRITE, e);
    *n = put_part(m, first, room);
    *n += put_part(m, second, room - *n);
    look_later(m->other);
    return buf_check(&m->other->in, e) == 0 ? IO_DONE : IO_ERR;
}

static enum io look_at_memory(const struct stream *s)
{
    const struct memory_end *m = end_of(s);

    if (m->is_reset)
        return IO_ERR;
    if (unread_bytes(m) > 0)
        return IO_DONE;
    return m->is_in_ended ? IO_EOF : IO_WANT_READ;
}

static bool peer_of_memory(const struct stream *s, struct addr *out)
{
    *out = end_of(s)->peer;
    return out->len > 0;
}

static size_t unacknowledged_in_memory(const struct stream *s)
{
    const struct memory_end *m = end_of(s);

    return m->other == NULL ? 0 : unread_bytes(m->other);
}

static void end_memory(struct stream *s)
{
    struct memory_end *m = end_of(s);

    look_later(m);
    look_later(m->other);
    if (m->other != NULL)
        m->other->is_in_ended = true;
}

static void reset_memory(struct memory_end *m)
{
    if (m == NULL)
        return;
    m->is_reset = true;
    buf_free(&m->in);
    m->in_read = 0;
    look_later(m);
}

void stream_memory_reset(struct stream *end)
{
    reset_memory(end_of(end));
    reset_memory(end_of(end)->other);
}

static void drop_unsent_in_memory(struct stream *s)
{
    end_of(s)->drops_unsent = true;
}

static void close_memory(struct stream *s)
{
    struct memory_end *m = end_of(s);

    if (m->drops_unsent || (unread_bytes(m) > 0 && !s->is_ended))
        reset_memory(m->other);
    else
        end_memory(s);
    if (m->other != NULL)
        m->other->other = NULL;
    loop_undefer(s->wake.loop, &m->look);
    buf_free(&m->in);
    free(m);
}

static const struct stream_transport memory_transport = {.read = read_memory,
                                                         .write = write_memory,
                                                         .watch = watch_memory,
                                                         .look = look_at_memory,
                                                         .peer = peer_of_memory,
                                                         .unacknowledged = unacknowledged_in_memory,
                                                         .end = end_memory,
                                                         .drop_unsent = drop_unsent_in_memory,
                                                         .unwatch = unwatch_memory,
                                                         .close = close_memory};

int stream_memory_pair(struct stream *ends[2], const struct loop_wake wakes[2], struct err *e)
{
    struct memory_end *pair[2] = {calloc(1, sizeof *pair[0]), calloc(1, sizeof *pair[1])};

    if (pair[0] == NULL || pair[1] == NULL) {
        free(pair[0]);
        free(pair[1]);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    for (int i = 0; i < 2; i++) {
        stream_init(&pair[i]->base, &memory_transport, &wakes[i]);
        pair[i]->other = pair[1 - i];
        pair[i]->look = (struct loop_call){.call = on_look, .owner = pair[i]};
        ends[i] = &pair[i]->base;
    }
    return 0;
}

void stream_memory_limit(struct stream *end, const struct stream_memory_limits *limits)
{
    struct memory_end *m = end_of(end);

    m->limits = *limits;
    look_later(m->other);
}

void stream_memory_set_peer(struct stream *end, const struct addr *peer)
{
    end_of(end)->peer = *peer;
}
