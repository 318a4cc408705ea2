/*
 * Whether a request's Host is one of this server's own, so that a web page whose name was made to
 * point here (DNS rebinding) differs from a user who typed our address.
 */
#ifndef HTTP_OWN_HOST_H
#define HTTP_OWN_HOST_H

#include <stdbool.h>

#include "base/str.h"
#include "proto/http_head.h"

/* Returns true when the host (not the port) is an address, a name without a dot, this host's own
 * name, or that of the public URL (NULL: none). False without a Host. */
bool own_host_is(const struct http_head *head, const char *public_url);

/* Judges one Host header's value in the same way; `own_name` is this host's. */
bool own_host_admits(struct str host, const char *own_name, const char *public_url);

#endif
