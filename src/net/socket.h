/* Listening sockets, and how a connection is dropped. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/err.h"
#include "base/str.h"
#include "proto/addr.h"

/* Opens a listening, non-blocking, close-on-exec TCP socket with SO_REUSEADDR; *bound gets the real
 * port. The host may be a name (blocking look-up: servers do this before they serve). */
int socket_listen(struct str listen, int *fd, struct addr *bound, struct err *e);

/* For a peer that is given up: close(2) then drops what is not sent. The kernel would keep it for
 * minutes. */
void socket_drop_unsent(int fd);

#endif
