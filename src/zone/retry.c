#include "zone/retry.h"


#include "base/buf.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/ready.h"
#include "proto/http_head.h"

/* Doublings that matter: far beyond pause_max_ms. */
enum { MAX_DOUBLINGS = 20 };

void retry_init(struct retry *r, const struct patience *patience, const struct zone_watch *watch,
                int64_t until_ms)
{
    *r = (struct retry){.patience = patience,
                        .watch = watch,
                        .until_ms = until_ms,
                        .is_known = until_ms == CLOCK_NEVER_MS,
                        .further_ms = clock_now_ms(),
                        .after_ms = -1};
}

void retry_note_answer(struct retry *r, const struct http_head *head)
{
    r->after_ms = http_head_retry_after_ms(head, clock_wall_ms());
}

void retry_got_further(struct retry *r)
{
    r->failures = 0;
    r->further_ms = clock_now_ms();
}

int64_t retry_pause_ms(const struct retry *r, uint64_t random)
{
    int64_t doublings = r->failures - 1, pause = r->patience->pause_min_ms, after = r->after_ms;

    if (doublings > MAX_DOUBLINGS)
        doublings = MAX_DOUBLINGS;
    for (; doublings > 0 && pause < r->patience->pause_max_ms; doublings--)
        pause *= 2;
    if (pause > r->patience->pause_max_ms)
        pause = r->patience->pause_max_ms;
    /* Half of it is jitter, so that many clients do not come back at once. */
    pause = pause / 2 + (int64_t)(random % (uint64_t)(pause - pause / 2 + 1));
    if (after > r->patience->retry_after_ms)
        after = r->patience->retry_after_ms;
    return pause > after ? pause : after;
}

static bool is_watch_cancelled(const struct zone_watch *watch)
{
    return watch->is_cancelled != NULL && watch->is_cancelled(watch->ctx);
}

int retry_wait(const struct zone_watch *watch, int64_t pause_ms, struct err *e)
{
    int64_t end_ms = clock_now_ms() + pause_ms, left_ms;

    for (;;) {
        if (is_watch_cancelled(watch))
            return err_set(e, ERR_FAILED, "cancelled");
        left_ms = end_ms - clock_now_ms();
        if (left_ms <= 0)
            return 0;
        ready_sleep(left_ms < RETRY_CANCEL_POLL_MS ? left_ms : RETRY_CANCEL_POLL_MS);
    }
}

static void note_retry(const struct zone_watch *watch, const struct err *e, int64_t pause_ms)
{
    struct buf text = {0};

    if (watch->on_note == NULL)
        return;
    buf_printf(&text, "%s; again in %lld.%lld s", e->msg, (long long)pause_ms / 1000,
               (long long)pause_ms % 1000 / 100);
    watch->on_note(watch->ctx, buf_cstr(&text));
    buf_free(&text);
}

static bool may_pass(const struct retry *r, enum err_code code)
{
    return code == ERR_NETWORK || code == ERR_TIMEOUT || (code == ERR_NO_HOST && r->is_known);
}

int retry_again(struct retry *r, struct err *e)
{
    int64_t pause_ms;
    bool is_enough;

    if (!may_pass(r, e->code))
        return -1;
    r->attempts++;
    r->failures++;
    pause_ms = retry_pause_ms(r, random_below(UINT32_MAX));
    if (r->until_ms == CLOCK_NEVER_MS)
        is_enough = r->failures >= r->patience->attempts &&
                    clock_now_ms() - r->further_ms >= r->patience->lost_ms;
    else
        is_enough = r->attempts >= r->least && clock_now_ms() + pause_ms > r->until_ms;
    if (is_enough)
        return r->attempts == 1 ? -1 : err_wrap(e, "after %lld attempts", (long long)r->attempts);
    note_retry(r->watch, e, pause_ms);
    r->after_ms = -1;
    return retry_wait(r->watch, pause_ms, e);
}

/* The state that is looked at while a call runs. */
struct look {
    const struct zone_watch *watch;
    void (*on_step)(void *ctx, const struct http_call *call);
    void *ctx;
};

static int look_at_call(void *ctx, const struct http_call *call, struct err *e)
{
    const struct look *l = ctx;

    if (is_watch_cancelled(l->watch))
        return err_set(e, ERR_FAILED, "cancelled");
    if (l->on_step != NULL)
        l->on_step(l->ctx, call);
    return 0;
}

struct http_call *retry_call(struct http_client *http, const struct http_call_options *options,
                             const struct zone_watch *watch,
                             void (*on_step)(void *ctx, const struct http_call *call),
                             struct err *e)
{
    struct look l = {watch, on_step, options->ctx};
    const struct http_client_watch looking = {look_at_call, &l, RETRY_CANCEL_POLL_MS};
    bool is_needed = watch->is_cancelled != NULL || on_step != NULL;

    return http_client_perform(http, options, is_needed ? &looking : NULL, e);
}
