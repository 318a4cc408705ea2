/*
 * The extensions of the deployed protocol that our programs announce (EXTENSIONS.md §1): a server
 * names them in a header of every answer, a client uses only those that it has seen there. Pure.
 */
#ifndef PROTO_EXTENSIONS_H
#define PROTO_EXTENSIONS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/http_head.h"

#define EXTENSIONS_HEADER "Kachery-Extensions"

/* A registration link may be POSTed, with the header Kachery-Register: 1. */
#define EXTENSIONS_REGISTER "register"
#define EXTENSIONS_REGISTER_HEADER "Kachery-Register"

/* The calls on share links are understood (EXTENSIONS.md §4). */
#define EXTENSIONS_LINKS "links"

/* The manifest of a file below /f/ may be asked for (§3 "Manifests for readers"). */
#define EXTENSIONS_MANIFESTS "manifests"

/* The address by which one client may read one file may be asked for (§3 "Passes"). */
#define EXTENSIONS_PASSES "passes"

/* Requests to a daemon, and openings of files, have the address of who asks (§1 "asker"). Announced
 * by the daemon, in the request of its handshake. */
#define EXTENSIONS_ASKER "asker"

/* The zone of a file below /f/, with every answer that has one (§3). */
#define EXTENSIONS_ZONE_HEADER "Kachery-Zone"

/* Replaces *names by those that the head announces ("" when it announces none). Returns false when
 * the head has no such header; *names is then as it was. */
bool extensions_read(const struct http_head *head, struct buf *names);

/* Returns true when the list that extensions_read made has the name (any case). */
bool extensions_has(struct str names, const char *name);

#endif
