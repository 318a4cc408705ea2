/*
 * Reverse proxies that are believed when they say for whom they ask (X-Forwarded-For). Only the
 * addresses that are named here are believed: else each client could have any address.
 */
#ifndef HUB_TRUSTED_H
#define HUB_TRUSTED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"
#include "proto/addr.h"
#include "proto/http_head.h"

enum { TRUSTED_MAX = 16 };

struct trusted_net {
    unsigned char address[ADDR_V6_BYTES]; /* IPv4 mapped */
    unsigned bits;                        /* of it that count */
};

struct trusted {
    struct trusted_net nets[TRUSTED_MAX];
    size_t count;
};

/* Parses "ADDRESS[/BITS],…", literals only. ERR_USAGE quotes the item that is wrong. */
int trusted_parse(struct trusted *t, struct str text, struct err *e) ERR_CHECKED;

/* Returns whether an address is one of them. */
bool trusted_has(const struct trusted *t, const struct addr *a);

/* Replaces *client, the trusted address that a request came from, by the client that
 * X-Forwarded-For names. Each reverse proxy adds at the right the address that it was asked from;
 * therefore the client is the right-most address that is not trusted. If a text there is no
 * address, the client is the proxy that passed it on. */
void trusted_find_client(const struct trusted *t, const struct http_head *head,
                         struct addr *client);

#endif
