/*
 * A connected byte stream: a socket now, TLS over a socket in the same shape (the one place where
 * tls.c comes in). Non-blocking.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/io.h"
#include "base/str.h"
#include "proc/pollset.h"

struct stream;

/* Takes ownership of `fd`. NULL only without memory (fd is then closed). */
struct stream *stream_new(int fd);

/* Closes the socket. NULL-safe. */
void stream_free(struct stream *s);

/* Reads up to `size` bytes. IO_DONE: 1 to size bytes in *n. IO_WANT_READ, IO_WANT_WRITE (TLS),
 * IO_EOF: orderly end. IO_ERR: ERR_NETWORK. */
enum io stream_read(struct stream *s, void *data, size_t size, size_t *n, struct err *e);

/* Writes some of `data`. IO_DONE: 1 to data.len bytes taken in *n. Two parts in one system call:
 * stream_write2 (either may be empty). */
enum io stream_write(struct stream *s, struct str data, size_t *n, struct err *e);
enum io stream_write2(struct stream *s, struct str first, struct str second, size_t *n,
                      struct err *e);

/* Says that no more will be written (FIN; close_notify). */
enum io stream_shutdown(struct stream *s, struct err *e);

/* True when the peer has closed or sent something while nothing is expected: not reusable. */
bool stream_is_stale(struct stream *s);

int stream_fd(const struct stream *s);

/* Adds the descriptor with what the last IO_WANT_… of the given kinds needs. */
void stream_poll(const struct stream *s, bool wants_read, bool wants_write, struct pollset *set);

#endif
