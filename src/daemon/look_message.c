#include "daemon/look_message.h"

#include <stddef.h>
#include <stdio.h>

#include "base/fields.h"

/* --- the question --- */

#define AT(member) offsetof(struct status_question, member)
static const struct field question_fields[] = {
    {.name = "pauseMs", .kind = FIELD_INT, .at = AT(pause_ms)},
    {.name = "watchMs", .kind = FIELD_INT, .at = AT(watch_ms)},
    {.name = "isStop", .kind = FIELD_BOOL, .at = AT(is_stop)},
    {.kind = FIELD_END},
};
#undef AT

void look_message_put_question(struct buf *out, const struct status_question *question)
{
    fields_put(out, question_fields, question);
}

int look_message_read_question(struct status_question *out, struct str text, struct err *e)
{
    struct json *root = json_parse(text, JSON_STRICT, e);
    int result = root == NULL ? -1 : fields_read(question_fields, root, out, NULL, e);

    json_free(root);
    return result;
}

/* --- the answer --- */

struct look_answer {
    struct str failed; /* why nothing was found; "" */
    bool is_nowhere;   /* that is as there is nothing */
    int64_t verdict, age_ms, stale_ms;
    struct str reason, trouble;
    bool has_record, is_same_host;
    struct str resource, host;
    int64_t pid, since_ms;
    char token[LEASE_TOKEN_DIGITS + 1];
    struct str cron_host, cron_outcome;
    int64_t cron_ms;
    const struct json *status;
};

#define AT(member) offsetof(struct look_answer, member)
#define TEXT(name_, member) {.name = name_, .kind = FIELD_STRING, .at = AT(member)}
#define FLAG(name_, member) {.name = name_, .kind = FIELD_BOOL, .at = AT(member)}
#define NUMBER(name_, member)                                                                      \
    {.name = name_, .kind = FIELD_INT, .at = AT(member), .min = -1}
static const struct field answer_fields[] = {
    TEXT("failed", failed),
    FLAG("isNowhere", is_nowhere),
    NUMBER("verdict", verdict),
    NUMBER("ageMs", age_ms),
    NUMBER("staleMs", stale_ms),
    TEXT("reason", reason),
    TEXT("trouble", trouble),
    FLAG("hasRecord", has_record),
    FLAG("isSameHost", is_same_host),
    TEXT("resource", resource),
    TEXT("host", host),
    NUMBER("pid", pid),
    NUMBER("sinceMs", since_ms),
    {.name = "token", .kind = FIELD_CHARS, .at = AT(token), .max = LEASE_TOKEN_DIGITS},
    TEXT("cronHost", cron_host),
    TEXT("cronOutcome", cron_outcome),
    NUMBER("cronMs", cron_ms),
    {.name = "status", .kind = FIELD_OBJECT, .at = AT(status), .is_optional = true},
    {.kind = FIELD_END},
};
#undef NUMBER
#undef FLAG
#undef TEXT
#undef AT

void look_message_put_answer(struct buf *out, const struct status_found *f,
                             const struct err *failure)
{
    const struct lease_record *record = &f->life.record;
    struct look_answer a = {.failed = str_of(failure->msg),
                            .is_nowhere = failure->code == ERR_NOT_FOUND,
                            .verdict = (int64_t)f->life.verdict,
                            .age_ms = f->life.age_ms,
                            .stale_ms = f->life.stale_ms,
                            .reason = str_of(f->life.reason),
                            .trouble = str_of(f->trouble),
                            .has_record = f->life.has_record,
                            .is_same_host = f->is_same_host,
                            .resource = str_of(record->resource),
                            .host = str_of(record->host),
                            .pid = record->pid,
                            .since_ms = record->since_ms,
                            .cron_host = str_of(f->cron.host),
                            .cron_outcome = str_of(f->cron.outcome),
                            .cron_ms = f->cron.at_ms};

    snprintf(a.token, sizeof a.token, "%s", record->token);
    buf_clear(out);
    json_open(out, '{');
    fields_put_members(out, answer_fields, &a);
    if (f->status != NULL)
        json_put_value(out, "status", f->status);
    json_close(out, '}');
}

static void copy_look_text(char *out, size_t size, struct str text)
{
    snprintf(out, size, "%.*s", STR_ARG(text));
}

static void take_look_answer(struct status_found *out, const struct look_answer *a)
{
    struct lease_record *record = &out->life.record;

    out->life.verdict = (enum liveness_verdict)a->verdict;
    out->life.age_ms = a->age_ms;
    out->life.stale_ms = a->stale_ms;
    out->life.has_record = a->has_record;
    copy_look_text(out->life.reason, sizeof out->life.reason, a->reason);
    copy_look_text(record->resource, sizeof record->resource, a->resource);
    copy_look_text(record->host, sizeof record->host, a->host);
    copy_look_text(record->token, sizeof record->token, str_of(a->token));
    record->pid = a->pid;
    record->since_ms = a->since_ms;
    out->is_same_host = a->is_same_host;
    copy_look_text(out->trouble, sizeof out->trouble, a->trouble);
    copy_look_text(out->cron.host, sizeof out->cron.host, a->cron_host);
    copy_look_text(out->cron.outcome, sizeof out->cron.outcome, a->cron_outcome);
    out->cron.at_ms = a->cron_ms;
    out->status = a->status;
}

int look_message_read_answer(struct status_found *out, struct str answer, struct err *e)
{
    struct json *document = json_parse(answer, JSON_STRICT, e);
    struct look_answer a = {.verdict = 0};
    int result = document == NULL ? -1 : fields_read(answer_fields, document, &a, NULL, e);

    *out = (struct status_found){.document = NULL};
    if (result == 0 && a.failed.len > 0)
        result = err_set(e, a.is_nowhere ? ERR_NOT_FOUND : ERR_FAILED, "%.*s", STR_ARG(a.failed));
    if (result != 0) {
        json_free(document);
        return -1;
    }
    take_look_answer(out, &a);
    out->document = document;
    return 0;
}

void status_found_deinit(struct status_found *found)
{
    json_free(found->document);
    *found = (struct status_found){.document = NULL};
}
