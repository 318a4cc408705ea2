#include "proxy/range_judge.h"

#include <string.h>

#include "proc/hasher.h"
#include "proc/process.h"

enum { REAP_MS = 100 }; /* after which a child that was killed is gone */

static void on_reap_time(void *owner)
{
    (void)owner;
    process_reap(NULL, NULL);
}

static void drop_judge_child(struct range_judge *j)
{
    struct range_judges *all = j->all;

    if (j->hasher == NULL)
        return;
    loop_remove(all->loop, &j->answers);
    hasher_free(j->hasher);
    j->hasher = NULL;
    all->children--;
    all->reap.call = on_reap_time;
    loop_set_timer(all->loop, &all->reap, loop_now_ms(all->loop) + REAP_MS);
}

static void on_hasher_answer(void *owner)
{
    struct range_judge *j = owner;

    if (!hasher_look(j->hasher)) /* it would be reported for ever */
        loop_remove(j->all->loop, &j->answers);
    j->on_ready(j->owner);
}

void range_judge_begin(struct range_judge *j, struct range_judges *all, int64_t size,
                       void (*on_ready)(void *owner), void *owner)
{
    *j = (struct range_judge){.all = all, .on_ready = on_ready, .owner = owner};
    sha1_init(&j->hash);
    if (size < RANGE_JUDGE_MIN_CHILD_BYTES || all->children >= RANGE_JUDGE_MAX_CHILDREN)
        return;
    j->hasher = hasher_new(&j->hash, size);
    if (j->hasher == NULL)
        return;
    all->children++;
    j->answers =
        (struct loop_fd){.fd = hasher_fd(j->hasher), .call = on_hasher_answer, .owner = j};
    if (loop_add(all->loop, &j->answers, LOOP_READ, ERR_IGNORED) != 0)
        drop_judge_child(j);
}

void range_judge_end(struct range_judge *j)
{
    drop_judge_child(j);
}

size_t range_judge_room(const struct range_judge *j)
{
    return j->hasher == NULL ? SIZE_MAX : hasher_room(j->hasher);
}

/* A child that is lost shows it in the verdict. */
void range_judge_add(struct range_judge *j, struct str bytes)
{
    if (j->hasher == NULL)
        sha1_update(&j->hash, bytes.p, bytes.len);
    else
        (void)hasher_add(j->hasher, bytes);
}

enum range_verdict range_judge_decide(struct range_judge *j, const char *sha1)
{
    struct sha1 hash = j->hash;
    char digits[SHA1_HEX + 1];

    if (j->hasher != NULL && !hasher_finish(j->hasher) && hasher_look(j->hasher))
        return RANGE_JUDGE_WAIT;
    if (j->hasher != NULL && !hasher_state(j->hasher, &hash))
        return RANGE_JUDGE_LOST;
    sha1_final_hex(&hash, digits);
    return strcmp(digits, sha1) == 0 ? RANGE_JUDGE_RIGHT : RANGE_JUDGE_WRONG;
}

void range_judges_deinit(struct range_judges *all)
{
    loop_clear_timer(all->loop, &all->reap);
}
