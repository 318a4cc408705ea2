/*
 * Messages between processes: SOCK_SEQPACKET, one JSON object of at most FRAME_MAX_BYTES, with an
 * optional descriptor (SCM_RIGHTS).
 */
#ifndef PROC_FRAME_H
#define PROC_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"

enum { FRAME_MAX_BYTES = 65536 };

/* Sends one frame; `pass_fd` is -1 or a descriptor to hand over (the caller closes its own copy).
 * IO_DONE, IO_WANT_WRITE (non-blocking and full), IO_EOF (the other side is gone), IO_ERR. */
enum io frame_send(int fd, struct str message, int pass_fd, struct err *e);

/* Receives one frame into *out (replaced). *passed_fd gets a descriptor (close-on-exec) or -1, also
 * when there was one and this process has no room for more; may be NULL: one that comes is closed.
 * IO_DONE, IO_WANT_READ, IO_EOF, IO_ERR. Sets *e also with IO_WANT_READ if a frame is there that
 * waits until the kernel has memory for it. */
enum io frame_receive(int fd, struct buf *out, int *passed_fd, struct err *e);

#endif
