/*
 * A relay: a process of the hub that reads files which were never uploaded from the daemons that
 * have them, block by block, and keeps what it read (EXTENSIONS.md §3). It connects to nothing:
 * daemons' lines come to it through the hub; it writes below its cache folder. Its readers know
 * nothing of lines, and it knows nothing of HTTP.
 */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "proxy/relay_options.h"
#include "proxy/relay_reader.h"

struct relay;

/* Returns the intervals of a relay outside of tests. */
struct relay_times relay_default_times(void);

/* Returns a relay that knows no file yet. The options are copied, `cache_dir` too. NULL and *e
 * without memory, and if its cache cannot be opened. */
struct relay *relay_new(const struct relay_options *options, struct err *e);
void relay_free(struct relay *relay); /* NULL-safe; no reader may be left */

/* Takes a note of the hub; the relay owns `fd` (-1: none). A malformed note is logged and
 * ignored. */
void relay_on_note(struct relay *relay, uint64_t id, struct str bytes, int fd);

/* Returns the bytes of all blocks that came over lines. */
int64_t relay_bytes_fetched(const struct relay *relay);

#endif
