/*
 * A file as a hub reads it below /f/ (EXTENSIONS.md §3): from its bucket, or block by block from a
 * connected host. Looks only; the bytes are read by object_get and bucket_range_get.
 */
#ifndef ZONE_HUB_FILE_H
#define ZONE_HUB_FILE_H

#include "zone/gateway.h"

enum { HUB_FILE_LOOK_MS = 3000, HUB_FILE_FIRST_PAUSE_MS = 250, HUB_FILE_ROOT_BYTES = 8 };

enum hub_file_state {
    HUB_FILE_ABSENT,   /* or not for everybody to read: the two look the same */
    HUB_FILE_BUILDING, /* a host prepares it, and is at `done` of `size` bytes */
    HUB_FILE_READABLE
};

struct hub_file {
    enum hub_file_state state;
    int64_t size, done; /* -1: unknown */
    char root[2 * HUB_FILE_ROOT_BYTES + 1]; /* the first digits of its manifest's; "": none named */
};

/* Returns true when the gateway announced that it is such a hub, with an answer that came
 * already. */
bool hub_file_is_served(const struct gateway *g);

/* Returns true when the answer of such a hub finds a file that a host has and the bucket does
 * not. */
bool hub_file_is_at_host(const struct gateway *g, const struct gateway_file *answer);

/* Returns true when each block of that file, which is HUB_FILE_READABLE, can be proven: it is one
 * block, or the hub has its manifest and sends it (hub_manifest.h). */
bool hub_file_is_provable(const struct gateway *g, const struct hub_file *file);

/* Returns true for the URL of a file with a pass (EXTENSIONS.md §3 "findFile"), which expires: it
 * is then answered 404. */
bool hub_file_has_pass(struct str url);

/* Appends the URL of the file for this client: with the gateway's user and password, if it has
 * them. */
void hub_file_put_url(const struct gateway *g, const char *hash, struct buf *out);

/* Asks once, for how it is now: a hub of ours does not wait for hosts that are away. ERR_TIMEOUT
 * after HUB_FILE_LOOK_MS, or after patience.waiting_ms if that is less. */
int hub_file_look(const struct gateway *g, const struct zone_watch *watch, struct str url,
                  struct hub_file *out, struct err *e) ERR_CHECKED;

/* Returns true when a hub took so long (since clock_now_ms() was `since_ms`) for no answer that it
 * has given up its hosts: it waits for them itself, and asking again would not help. */
bool hub_file_has_given_up(const struct gateway *g, int64_t since_ms);

struct hub_file_wait {
    int64_t every_ms; /* how often it is asked, once it is known to take longer */
    void (*on_building)(void *ctx, int64_t done, int64_t size);
    void (*on_away)(void *ctx); /* a host is waited for that may have it; NULL: it is not waited
                                 * for longer than hub_file_look does */
    void *ctx;
};

/* Asks as hub_file_look, for patience.waiting_ms more while a host is away (which, once it was in
 * vain, is not repeated before a host was there), and again and again while a host prepares the
 * file: *out is never HUB_FILE_BUILDING. */
int hub_file_wait(struct gateway *g, const struct zone_watch *watch, struct str url,
                  const struct hub_file_wait *wait, struct hub_file *out,
                  struct err *e) ERR_CHECKED;

#endif
