/*
 * A look at the records of the local store for a bounded time: how many are as they should be, and
 * which file is the largest. They are listed by hash, so that those that come first are a fair
 * sample. Reads names, sizes and times alone.
 */
#ifndef DOCTOR_SAMPLE_H
#define DOCTOR_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "doctor/probe.h"

struct sample {
    size_t looked_at, changed, gone, unreadable, without_manifest, damaged_manifests;
    bool is_whole;           /* there are no more */
    struct buf first_bad;    /* the path of the first one that is changed, gone or unreadable */
    int64_t largest_bytes;   /* -1: there is no file */
    struct buf largest;      /* its path */
    struct err failure;      /* of the first record that cannot be read; ERR_NONE: none */
};

/* Looks until `until_ms` (clock_now_ms()); the parent of `p` knows at which file. -1 when the store
 * itself cannot be read. */
int sample_take(struct probe *p, struct sample *s, int64_t until_ms, struct err *e) ERR_CHECKED;
void sample_free(struct sample *s);

#endif
