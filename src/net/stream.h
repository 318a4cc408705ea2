/*
 * A connected byte stream: a socket that was dialed or accepted, TLS over one, or in memory
 * (stream_memory.h). Non-blocking: an IO_WANT_… of any function here is its registration in the
 * loop, `wake` comes when it is worth another try. Its owner never sees a descriptor: it moves a
 * connection to another owner as a stream (stream_set_wake), and to another process by
 * stream_take_fd, which not every stream allows.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/tls.h"
#include "proto/addr.h"

struct stream;

/* Takes ownership of `fd`. NULL only without memory (fd is then closed). */
struct stream *stream_new(int fd, const struct loop_wake *wake);

/* Makes one of an accepted socket, of which the kernel takes at most `unsent_bytes` beyond what is
 * on its way. */
struct stream *stream_new_accepted(int fd, int unsent_bytes, const struct loop_wake *wake);

/* Gives the stream to another owner. The events that the former owner waited for are forgotten; for
 * bytes inside of TLS the new owner is woken as by stream_yield. */
void stream_set_wake(struct stream *s, const struct loop_wake *wake);

/* Wakes the owner at the end of the round, or of the next if this one's end has come: for a step
 * that stops before it has to wait, so that others have their turn. */
void stream_yield(struct stream *s);

/* Wakes the owner when there is something to read, or the end. -1 as loop_add. */
int stream_expect(struct stream *s, struct err *e);

/* Wakes the owner from now on, whatever it waits for, while the connection is lost: reset, or ended
 * in both directions (what came before may still be read). The owner is then to read, or to free
 * the stream. -1 as loop_add. */
int stream_expect_loss(struct stream *s, struct err *e);
bool stream_is_lost(const struct stream *s);

/* Puts TLS over the stream; `options->transport` is filled in here. Then stream_handshake. */
int stream_start_tls(struct stream *s, struct tls_options options, struct err *e);

/* Shakes hands: IO_DONE at once without TLS, else as tls_handshake. */
enum io stream_handshake(struct stream *s, struct err *e);

/* Returns the TLS layer, or NULL: for tls_wants_older_suites and the like. */
const struct tls *stream_tls(const struct stream *s);

/* Ends our side at once: a close_notify where TLS is open, then FIN. Input that still comes is
 * dropped when the stream is freed. */
void stream_end(struct stream *s);

/* Makes stream_free drop unsent bytes, for a peer that is given up, which sees a reset. The kernel
 * would keep the bytes for minutes. */
void stream_drop_unsent(struct stream *s);

/* Closes the socket, with a close_notify before when TLS is open. NULL-safe. */
void stream_free(struct stream *s);

/* Takes the descriptor out of a plain stream, which is freed; the caller owns it. -1, and the
 * stream stays as it is, when there is more to it than a descriptor: TLS, memory. */
int stream_take_fd(struct stream *s);
bool stream_has_fd(const struct stream *s);

/* Reads up to `size` bytes. IO_DONE: 1 to size bytes in *n. IO_WANT_READ, IO_WANT_WRITE (TLS),
 * IO_EOF: orderly end. IO_ERR: ERR_NETWORK; ERR_FAILED when the loop cannot watch it. */
enum io stream_read(struct stream *s, void *data, size_t size, size_t *n, struct err *e);

/* Writes some of `data`. IO_DONE: 1 to data.len bytes taken in *n. Two parts in one system call:
 * stream_write2 (either may be empty). More follows at once, to go with it: stream_write_more. */
enum io stream_write(struct stream *s, struct str data, size_t *n, struct err *e);
enum io stream_write2(struct stream *s, struct str first, struct str second, size_t *n,
                      struct err *e);
enum io stream_write_more(struct stream *s, struct str data, size_t *n, struct err *e);

/* Writes some of the `size` (> 0) bytes at `offset` of a regular file: by sendfile(2) where there
 * is such a thing, else by way of our memory. As stream_write. IO_EOF: the file has no such bytes.
 * IO_ERR is ERR_FAILED when the file cannot be read. */
enum io stream_send_file(struct stream *s, int file_fd, int64_t offset, size_t size, size_t *n,
                         struct err *e);

/* Gives bytes to the sockets that wait for their process's meter (meter.h), which there is. */
void stream_give_bytes(int64_t bytes);

/* Returns true when bytes can be read at once. */
bool stream_has_input(const struct stream *s);

/* Returns true when the peer has closed or sent something while nothing is expected: not
 * reusable. */
bool stream_is_stale(const struct stream *s);

/* Sets *out to the peer's address. Returns false when that is not known (any more). */
bool stream_peer(const struct stream *s, struct addr *out);

/* Returns the bytes that were written and that the peer's host has not acknowledged yet: staged by
 * TLS, or in the kernel. With TLS they are ciphertext, so rather too many. 0 where the kernel
 * does not know. */
size_t stream_unacknowledged(const struct stream *s);

/* Lets the kernel take so many bytes at most beyond what is on its way, 0: as many as it likes.
 * Nothing happens where a meter of the process limits that (meter.h), and without a socket. */
void stream_limit_unsent(struct stream *s, int unsent_bytes);

/* How long bytes take to the peer and their acknowledgement back: of late, and at the least. */
struct stream_trip {
    int64_t now_us, least_us;
};

/* Returns false, and nothing in *out, where the kernel does not know. */
bool stream_trip(const struct stream *s, struct stream_trip *out);

#endif
