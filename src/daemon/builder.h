/*
 * Makes the manifests of files that are shared without one, when somebody wants to read a part of
 * them: one at a time, in a child that steps back behind what else the host does. The child reads
 * the file and writes below the store's manifests/. Its messages:
 *     progress {bytes}
 *     built {}
 *     failed {text}
 */
#ifndef DAEMON_BUILDER_H
#define DAEMON_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/config.h"
#include "loop/loop.h"

enum {
    BUILDER_MAX_QUEUED = 64,
    BUILDER_NICENESS = 10,
    BUILDER_FORGET_MS = 600000 /* a file that could not be read is not tried again before */
};

struct builder;

struct builder_options {
    struct loop *loop;           /* borrowed, like config */
    const struct config *config;
    int64_t stopped_ms;          /* a child that is stopped by a signal for so long is replaced */
    void (*on_change)(void *owner); /* the progress, or what is built */
    void *owner;
};

/* Makes a builder without a process; the options are copied. NULL with ERR_FAILED without
 * memory. */
struct builder *builder_new(const struct builder_options *options, struct err *e);
void builder_free(struct builder *builder); /* NULL-safe */

/* Wishes for the manifest of that hash. A manifest that is being made, or that failed lately, is
 * not begun again; beyond the limit the wish is forgotten: the next reader asks again. */
void builder_want(struct builder *builder, struct str hash);

/* Returns true when making that manifest failed lately. */
bool builder_has_failed(const struct builder *builder, struct str hash);

/* Returns the bytes that were read for that manifest: 0 if it waits or was not wished for. */
int64_t builder_done(const struct builder *builder, struct str hash);

#endif
