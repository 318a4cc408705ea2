/*
 * The SHA-1 of a whole file while it is sent to a reader (EXTENSIONS.md §2): hashed here, or, of a
 * large file, in a child of this process (proc/hasher.h), which is then never waited for: its
 * answers come by the loop.
 */
#ifndef PROXY_RANGE_JUDGE_H
#define PROXY_RANGE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sha1.h"
#include "base/str.h"
#include "loop/loop.h"

enum {
    RANGE_JUDGE_MAX_CHILDREN = 1,          /* of a process; the other files are hashed in it */
    RANGE_JUDGE_MIN_CHILD_BYTES = 32 << 20 /* a child costs as much as hashing a part of that */
};

/* The files that a process judges. */
struct range_judges {
    struct loop *loop;
    size_t children;
    struct loop_timer reap;
};

/* All zeros judges nothing. */
struct range_judge {
    struct range_judges *all;
    struct sha1 hash; /* of what came, unless the hasher has it */
    struct hasher *hasher;
    struct loop_fd answers;
    void (*on_ready)(void *owner);
    void *owner;
};

enum range_verdict { RANGE_JUDGE_WAIT, RANGE_JUDGE_RIGHT, RANGE_JUDGE_WRONG, RANGE_JUDGE_LOST };

/* Begins a file of `size` bytes. `on_ready` follows whenever there may be room or a verdict. */
void range_judge_begin(struct range_judge *j, struct range_judges *all, int64_t size,
                       void (*on_ready)(void *owner), void *owner);
void range_judge_end(struct range_judge *j);

/* Returns how many bytes it takes now. */
size_t range_judge_room(const struct range_judge *j);

/* Takes the next bytes, no more than it has room for. */
void range_judge_add(struct range_judge *j, struct str bytes);

/* Returns whether all bytes, which were added, have this SHA-1 (40 digits). LOST: the child died,
 * and that is not known any more. */
enum range_verdict range_judge_decide(struct range_judge *j, const char *sha1);

/* Forgets the judges, which have all ended. */
void range_judges_deinit(struct range_judges *all);

#endif
