#include "hub/origin.h"

#include <stdlib.h>

#include "hub/tally.h"

/* A tag is a place of the tally; with one of these bits, the place changes with each request: to
 * that of the forwarded address, or to that of the socket's. */
#define FORWARDED (UINT64_C(1) << 63)
#define CHANGES   (UINT64_C(1) << 62)
#define FLAGS     (FORWARDED | CHANGES)

struct origins {
    const struct trusted *trusted;
    struct tally *tally;
};

struct origins *origins_new(size_t max_each, const struct trusted *trusted, struct err *e)
{
    struct origins *o = calloc(1, sizeof *o);

    if (o == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    o->trusted = trusted;
    o->tally = tally_new(max_each, e);
    if (o->tally != NULL)
        return o;
    free(o);
    return NULL;
}

void origins_free(struct origins *o)
{
    if (o == NULL)
        return;
    tally_free(o->tally);
    free(o);
}

bool origins_accepted(struct origins *o, const struct addr *peer, uint64_t *tag)
{
    *tag = trusted_has(o->trusted, peer) ? FORWARDED : tally_enter(o->tally, peer);
    return *tag != 0;
}

void origins_answered(struct origins *o, uint64_t *tag)
{
    if ((*tag & FLAGS) == 0)
        return;
    tally_leave(o->tally, origins_place(*tag));
    *tag &= FLAGS;
}

bool origins_head(struct origins *o, const struct http_conn *conn, const struct http_head *head,
                  uint64_t *tag)
{
    struct addr client;
    uint64_t place;

    origins_answered(o, tag);
    if ((*tag & FLAGS) == 0 || !http_conn_peer(conn, &client))
        return true;
    if ((*tag & FORWARDED) != 0)
        trusted_find_client(o->trusted, head, &client);
    place = tally_enter(o->tally, &client);
    *tag |= place;
    return place != 0;
}

bool origins_put_peer(const struct origins *o, uint64_t tag, struct buf *out)
{
    if ((tag & FORWARDED) == 0 || (tag & CHANGES) != 0 || origins_place(tag) == 0)
        return false;
    tally_put_address(o->tally, origins_place(tag), out);
    return true;
}

void origins_put_address(const struct origins *o, uint64_t tag, struct buf *out)
{
    if (origins_place(tag) != 0)
        tally_put_address(o->tally, origins_place(tag), out);
}

uint64_t origins_place(uint64_t tag)
{
    return tag & ~FLAGS;
}

uint64_t origins_above_part(const struct origins *o, uint64_t tag, size_t places)
{
    size_t holders = tally_holders(o->tally);
    size_t part = holders == 0 ? places : places / holders;
    uint64_t largest;

    if (tally_count(o->tally, origins_place(tag)) > (part == 0 ? 1 : part))
        return 0;
    largest = tally_largest(o->tally);
    return tally_count(o->tally, largest) > part ? largest : 0;
}

void origins_release(struct origins *o, uint64_t *tag)
{
    tally_leave(o->tally, origins_place(*tag));
    *tag &= FLAGS;
}

void origins_user(struct origins *o, uint64_t *tag, struct str user)
{
    uint64_t place = tally_enter_user(o->tally, user);

    if (place == 0)
        return;
    tally_leave(o->tally, origins_place(*tag));
    *tag = (*tag & FORWARDED) | CHANGES | place;
}

void origins_closed(struct origins *o, uint64_t tag)
{
    tally_leave(o->tally, origins_place(tag));
}
