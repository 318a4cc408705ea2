/*
 * TLS 1.2 (RFC 5246), client side, on BearSSL's engine, over any byte transport: resumable at any
 * byte, no descriptors here. One loop moves records; both directions are staged so that many
 * records go with one system call.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "x509/trust.h"

/* Staged ciphertext per direction: what one system call moves at most. */
enum { TLS_STAGE_BYTES = 131072, TLS_MAX_SESSIONS = 16 };

/* Where records go to and come from: as stream_read and stream_write. IO_EOF from `read` means that
 * the peer is gone. */
struct tls_transport {
    void *ctx;
    enum io (*read)(void *ctx, void *data, size_t size, size_t *n, struct err *e);
    enum io (*write)(void *ctx, struct str data, size_t *n, struct err *e);
};

struct tls_options {
    struct str host;           /* for SNI and the certificate check; a name or an address literal */
    uint16_t port;             /* with host: the key of the session cache */
    const struct trust *trust; /* borrowed for the life of the connection */
    int64_t now_s;             /* wall time for the certificate check */
    bool offers_sha1_cbc;      /* the suites of last resort: for a second try only */
    struct tls_transport transport;
};

struct tls;

/* Makes a connection that has not begun. A session with the same host and port is resumed when one
 * is known to this process. NULL: out of memory. */
struct tls *tls_new(const struct tls_options *options, struct err *e);

/* Frees the connection and wipes its keys; the transport is the caller's. NULL-safe. */
void tls_free(struct tls *t);

/* Goes on with the handshake. IO_DONE when it is complete and the peer's certificate was accepted.
 * IO_ERR: ERR_REFUSED with the precise cause (certificate, protocol version, alert), ERR_NETWORK
 * when the peer went away. */
enum io tls_handshake(struct tls *t, struct err *e);

/* Returns whether, after a failed handshake, the peer found no common cipher suite (RFC 5246 alert
 * 40 or 71), so that a new connection with offers_sha1_cbc may succeed. */
bool tls_wants_older_suites(const struct tls *t);

/* Returns whether, after a failed handshake, a session was to be resumed and the peer refused it.
 * The session is forgotten: a new connection may succeed. */
bool tls_refused_session(const struct tls *t);

/* Read and write as stream_read and stream_write. IO_EOF only after the peer's close_notify: a
 * connection that ends without one was cut, and that is ERR_NETWORK. */
enum io tls_read(struct tls *t, void *data, size_t size, size_t *n, struct err *e);

/* Takes plain bytes; IO_DONE with 1 to data.len of them in *n. They stay staged until the stage is
 * full or tls_flush is called. */
enum io tls_write(struct tls *t, struct str data, size_t *n, struct err *e);

/* Hands everything staged to the transport. */
enum io tls_flush(struct tls *t, struct err *e);

/* Sends close_notify (once); does not wait for the peer's. */
enum io tls_close(struct tls *t, struct err *e);

/* Return whether ciphertext waits for the transport, how many bytes of it, and whether plain bytes
 * can be read without the transport. */
bool tls_has_output(const struct tls *t);
size_t tls_output_bytes(const struct tls *t);
bool tls_has_input(const struct tls *t);

/* Returns when the peer's certificate expires, in seconds since the epoch; 0 when it has shown none
 * (yet): a session that was resumed. */
int64_t tls_expires_s(const struct tls *t);

/* Returns whether the session was resumed, for tests. */
bool tls_is_resumed(const struct tls *t);

#endif
