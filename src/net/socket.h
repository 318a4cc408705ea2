/* Listening sockets, and how a connection is dropped. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include "base/err.h"
#include "base/str.h"
#include "proto/addr.h"

/* Opens a listening, non-blocking, close-on-exec TCP socket with SO_REUSEADDR; *bound gets the real
 * port. The host may be a name (blocking look-up: servers do this before they serve). */
int socket_listen(struct str listen, int *fd, struct addr *bound, struct err *e);

/* Makes close(2) drop unsent bytes, for a peer that is given up. The kernel would keep them for
 * minutes. */
void socket_drop_unsent(int fd);

#endif
