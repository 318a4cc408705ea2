#include "daemon/presence.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/name_question.h"

enum { QUESTION_MS = 30000, ENOUGH = 2 };

struct presence {
    const struct config *config;
    const struct intervals *intervals;
    struct loop_wake wake;
    struct loop_timer alarm;
    bool is_generation2;
    int64_t next_ms;         /* the alarm's; CLOCK_NEVER_MS: not started, or a question is */
    unsigned denials;
    enum presence_state state;
    struct name_question *question; /* under way */
};

struct presence *presence_new(const struct config *config, const struct intervals *intervals,
                              const struct loop_wake *wake)
{
    struct presence *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    *p = (struct presence){
        .config = config, .intervals = intervals, .wake = *wake, .next_ms = CLOCK_NEVER_MS};
    p->alarm = (struct loop_timer){.call = wake->call, .owner = wake->owner};
    return p;
}

static void set_presence_alarm(struct presence *p, int64_t at_ms)
{
    p->next_ms = at_ms;
    loop_set_timer(p->wake.loop, &p->alarm, at_ms);
}

static void end_question(struct presence *p)
{
    name_question_free(p->question);
    p->question = NULL;
}

void presence_free(struct presence *p)
{
    if (p == NULL)
        return;
    end_question(p);
    set_presence_alarm(p, CLOCK_NEVER_MS);
    free(p);
}

void presence_start(struct presence *p, bool is_generation2, int64_t now_ms)
{
    presence_stop(p);
    p->is_generation2 = is_generation2;
    set_presence_alarm(p, now_ms + p->intervals->presence_first_ms);
}

void presence_stop(struct presence *p)
{
    end_question(p);
    set_presence_alarm(p, CLOCK_NEVER_MS);
    p->denials = 0;
    p->state = PRESENCE_UNKNOWN;
}

static void take_presence_answer(struct presence *p, const struct name_answer *answer)
{
    if (answer->is_denial)
        p->denials++;
    else
        p->denials = 0;
    if (p->denials >= ENOUGH)
        p->state = PRESENCE_FORGOTTEN;
    else if (answer->status == 200)
        p->state = PRESENCE_KNOWN;
    else
        log_line(LOG_DEBUG, "asked the proxy for this resource: status %d", answer->status);
}

enum presence_state presence_step(struct presence *p, int64_t now_ms)
{
    struct name_answer answer;
    struct err e = {0};
    enum io io = IO_ERR;

    if (p->next_ms != CLOCK_NEVER_MS && now_ms >= p->next_ms) {
        set_presence_alarm(p, CLOCK_NEVER_MS);
        p->question = name_question_new(p->config, p->is_generation2, now_ms + QUESTION_MS,
                                        &p->wake, &e);
    } else if (p->question == NULL) {
        return p->state;
    }
    if (p->question != NULL)
        io = name_question_step(p->question, now_ms, &answer, &e);
    if (io == IO_WANT_READ || io == IO_WANT_WRITE)
        return p->state;
    if (io == IO_DONE)
        take_presence_answer(p, &answer);
    else
        log_line(LOG_DEBUG, "cannot ask the proxy for this resource: %s", e.msg);
    end_question(p);
    set_presence_alarm(
        p, now_ms + (p->denials > 0 ? p->intervals->presence_first_ms : p->intervals->presence_ms));
    return p->state;
}
