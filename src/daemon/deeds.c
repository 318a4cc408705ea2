#include "daemon/deeds.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/quote.h"

void deeds_deinit(struct deeds *d)
{
    buf_free(&d->line);
}

void deeds_note(struct deeds *d, const struct audit_event *event)
{
    if (!d->has_audit)
        return;
    buf_clear(&d->line);
    audit_put(&d->line, clock_wall_ms(), event);
    keeper_audit(d->keeper, &d->line);
}

static void log_answer(const struct audit_event *event)
{
    char quoted[QUOTE_SIZE];

    log_line(LOG_INFO, "answered sha1=%.*s outcome=%.*s ms=%lld asker=%s",
             STR_ARG(event->hash.len > 0 ? event->hash : STR("-")), STR_ARG(event->outcome),
             (long long)event->ms,
             event->asker.len > 0 ? quote_str(quoted, event->asker) : "-");
}

/* A daemon's or doctor's, which is answered and no deed. A file is one, whatever its hash. */
static bool is_question_answer(const char *hash, enum upload_state state)
{
    return hash != NULL && message_is_question(hash) &&
           (state == UPLOAD_NOT_FOUND || state == UPLOAD_ERROR);
}

void deeds_answered(struct deeds *d, const struct jobs_answer *answer)
{
    const struct upload_status *status = answer->status;
    const struct audit_event event = {.event = "request",
                                      .hash = str_of(answer->hash),
                                      .path = answer->path,
                                      .outcome = str_of(message_state_name(status->state)),
                                      .reason = status->error,
                                      .asker = answer->asker,
                                      .size = status->size,
                                      .bytes = status->bytes_uploaded,
                                      .ms = answer->waited_ms};

    if (is_question_answer(answer->hash, status->state))
        return;
    log_answer(&event);
    deeds_note(d, &event);
}

void deeds_refused(struct deeds *d, const char *hash, struct str asker, const char *reason)
{
    const struct audit_event event = {.event = "request",
                                      .hash = str_of(hash),
                                      .outcome = str_of(message_state_name(UPLOAD_ERROR)),
                                      .reason = str_of(reason),
                                      .asker = asker,
                                      .size = AUDIT_UNKNOWN,
                                      .bytes = AUDIT_UNKNOWN};

    if (is_question_answer(hash, UPLOAD_ERROR))
        return;
    log_answer(&event);
    deeds_note(d, &event);
}
