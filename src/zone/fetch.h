/* Gets a file's bytes from the first place that has them: local store → zone → a host, through a
 * hub that reads from it → ask the resource → download. */
#ifndef ZONE_FETCH_H
#define ZONE_FETCH_H

#include "base/err.h"
#include "store/store.h"
#include "zone/gateway.h"
#include "zone/transfer.h"

/*
 * Sets *path (caller frees) to the copy, the linked file, or transfer->to_file; to NULL when
 * transfer->range took the bytes. ERR_NOT_FOUND names the places when the file is in none of them.
 */
int fetch_file(struct gateway *g, const struct zone_call *how, const struct store *s,
               const struct transfer *transfer, char **path, struct err *e) ERR_CHECKED;

#endif
