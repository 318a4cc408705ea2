/*
 * The transport that a stream runs over. For stream.c and for the files of other transports alone:
 * an owner of a stream knows net/stream.h only.
 */
#ifndef NET_STREAM_TRANSPORT_H
#define NET_STREAM_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/meter.h"
#include "net/tls.h"
#include "proto/addr.h"

struct stream;

/* The plain bytes below TLS. An IO_WANT_… of `read` and `write` goes through stream_wait. */
struct stream_transport {
    enum io (*read)(struct stream *s, void *data, size_t size, size_t *n, struct err *e);
    /* `is_more`: more is written at once, so that a part of a packet may wait for it. */
    enum io (*write)(struct stream *s, struct str first, struct str second, bool is_more, size_t *n,
                     struct err *e);
    /* As stream_send_file. NULL: by way of our memory. */
    enum io (*send_file)(struct stream *s, int file_fd, int64_t offset, size_t size, size_t *n,
                         struct err *e);
    /* `wanted` has got more bits: stream_wake_owner is called when one of them is ready. */
    int (*watch)(struct stream *s, struct err *e);
    /* Returns the result that `read` would have, and reads nothing. */
    enum io (*look)(const struct stream *s);
    bool (*peer)(const struct stream *s, struct addr *out);
    size_t (*unacknowledged)(const struct stream *s);
    void (*end)(struct stream *s);         /* our side */
    void (*drop_unsent)(struct stream *s); /* when it is closed */
    void (*unwatch)(struct stream *s);     /* it leaves its loop */
    void (*close)(struct stream *s);       /* and frees what is its own, `s` too */
};

struct stream {
    const struct stream_transport *transport;
    struct tls *tls; /* NULL: plain */
    struct loop_wake wake;
    struct loop_call turn;
    struct loop_fd source; /* of a socket; added with the first IO_WANT_… */
    unsigned wanted;       /* awaited events; the loop may be asked for more */
    bool is_ended;         /* our side */
    bool expects_loss, is_lost;
    struct meter_place meter; /* of a socket in a process whose sending is limited */
};

/* Sets the members that all transports have. */
void stream_init(struct stream *s, const struct stream_transport *transport,
                 const struct loop_wake *wake);

/* Returns `io`, or IO_ERR: as transport->watch. */
enum io stream_wait(struct stream *s, enum io io, struct err *e);

/* Wakes the owner if it waits for anything that is ready, also by LOOP_HANGUP: `s` may then be
 * freed. False: nobody waits. */
bool stream_wake_owner(struct stream *s, unsigned ready);

#endif
