#include "proto/message.h"

#include <stddef.h>
#include <string.h>

#include "base/fields.h"
#include "base/quote.h"

/* A message on its way in: what becomes the result, and the objects inside the document. */
struct message_parse {
    struct message m;
    struct str kind, state; /* of the request or answer inside; of its upload */
    const struct json *request, *response, *status;
};

/* ---- fields ---- */

#define AT(member) offsetof(struct message_parse, member)
#define WORD(text)                                                                                 \
    {                                                                                              \
        .name = "type", .kind = FIELD_WORD, .word = text                                           \
    }
#define STRING(key, member)                                                                        \
    {                                                                                              \
        .name = key, .kind = FIELD_STRING, .at = AT(member)                                      \
    }
#define OBJECT(key, member)                                                                        \
    {                                                                                              \
        .name = key, .kind = FIELD_OBJECT, .at = AT(member)                                      \
    }
#define MAYBE_STRING(key, member)                                                                  \
    {                                                                                              \
        .name = key, .kind = FIELD_STRING, .at = AT(member), .is_optional = true                 \
    }
#define MAYBE_COUNT(key, member)                                                                   \
    {                                                                                              \
        .name = key, .kind = FIELD_WHOLE, .at = AT(member), .is_optional = true                  \
    }
#define TIMEOUT(member, optional)                                                                  \
    {                                                                                              \
        .name = "timeoutMsec", .kind = FIELD_CLAMPED, .at = AT(member),                            \
        .max = MESSAGE_MAX_TIMEOUT_MS, .is_optional = (optional)                                   \
    }
#define END                                                                                        \
    {                                                                                              \
        .kind = FIELD_END                                                                          \
    }

static const struct field acknowledge_fields[] = {WORD("acknowledge"), END};

static const struct field ping_fields[] = {WORD("ping"), END};

static const struct field initialize_fields[] = {
    WORD("initialize"), STRING("resourceName", m.resource_name),
    STRING("proxySecret", m.proxy_secret), MAYBE_STRING("zone", m.zone), END};

static const struct field cancel_fields[] = {WORD("cancelRequestFromClient"),
                                             STRING("requestId", m.request_id), END};

static const struct field request_fields[] = {WORD("requestFromClient"),
                                              STRING("resourceName", m.resource_name),
                                              OBJECT("request", request),
                                              TIMEOUT(m.timeout_ms, false),
                                              MAYBE_STRING("zone", m.zone),
                                              MAYBE_STRING("requestId", m.request_id),
                                              {.name = "asker",
                                               .kind = FIELD_STRING,
                                               .at = AT(m.asker),
                                               .max = MESSAGE_MAX_ASKER_BYTES,
                                               .is_optional = true},
                                              END};

static const struct field upload_fields[] = {STRING("type", kind), STRING("uri", m.uri),
                                             TIMEOUT(m.request_timeout_ms, true), END};

static const struct field response_fields[] = {
    WORD("responseToClient"), STRING("requestId", m.request_id), OBJECT("response", response),
    MAYBE_STRING("error", m.error), END};

static const struct field answer_fields[] = {STRING("type", kind), OBJECT("status", status), END};

static const struct field status_fields[] = {
    STRING("status", state),
    MAYBE_COUNT("size", m.status.size),
    MAYBE_COUNT("bytesUploaded", m.status.bytes_uploaded),
    MAYBE_COUNT("timestampRequested", m.status.requested_ms),
    MAYBE_COUNT("timestampStarted", m.status.started_ms),
    MAYBE_COUNT("timestampCompleted", m.status.completed_ms),
    MAYBE_STRING("error", m.status.error),
    END};

static int refuse_message_field(struct err *e, const char *cause, struct str key)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_PROTOCOL, "%s \"%s\"", cause, quote_str(quoted, key));
}

/* ---- messages in ---- */

static const char *const state_names[] = {
    [UPLOAD_NOT_FOUND] = "not-found", [UPLOAD_QUEUED] = "queued", [UPLOAD_RUNNING] = "running",
    [UPLOAD_COMPLETED] = "completed", [UPLOAD_ERROR] = "error",
};

const char *message_state_name(enum upload_state state)
{
    return state_names[state];
}

void message_make_question(char *hash)
{
    memcpy(hash, MESSAGE_QUESTION_DIGITS, sizeof MESSAGE_QUESTION_DIGITS - 1);
}

bool message_is_question(const char *hash)
{
    return strncmp(hash, MESSAGE_QUESTION_DIGITS, sizeof MESSAGE_QUESTION_DIGITS - 1) == 0;
}

struct upload_status message_status(enum upload_state state)
{
    return (struct upload_status){.state = state,
                                  .size = MESSAGE_ABSENT,
                                  .bytes_uploaded = MESSAGE_ABSENT,
                                  .requested_ms = MESSAGE_ABSENT,
                                  .started_ms = MESSAGE_ABSENT,
                                  .completed_ms = MESSAGE_ABSENT};
}

static int check_is_upload(const struct message_parse *p, struct err *e)
{
    if (!str_equal(p->kind, STR("fileUpload")))
        return refuse_message_field(e, "want type \"fileUpload\", not", p->kind);
    return 0;
}

/* {"type":"fileUpload","status":{…}} */
static int parse_answer(struct message_parse *p, const struct json *answer, struct err *e)
{
    uint32_t seen;

    if (fields_read(answer_fields, answer, p, &seen, e) != 0 || check_is_upload(p, e) != 0 ||
        fields_read(status_fields, p->status, p, &seen, e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (str_equal(p->state, str_of(state_names[i]))) {
            p->m.status.state = (enum upload_state)i;
            p->m.has_status = true;
            return 0;
        }
    return refuse_message_field(e, "unknown status", p->state);
}

static int check_message_id(const struct message_parse *p, struct err *e)
{
    if (p->m.request_id.len > MESSAGE_MAX_ID_BYTES)
        return refuse_message_field(e, "too long requestId", p->m.request_id);
    return 0;
}

static int parse_response(struct message_parse *p, const struct json *root, struct err *e)
{
    uint32_t seen;

    if (fields_read(response_fields, root, p, &seen, e) != 0 || check_message_id(p, e) != 0)
        return -1;
    p->m.has_request_id = true;
    p->m.has_error = fields_has(response_fields, seen, "error");
    return json_first(p->response) == NULL ? 0 : parse_answer(p, p->response, e);
}

static int parse_request(struct message_parse *p, const struct json *root, struct err *e)
{
    uint32_t seen;

    if (fields_read(request_fields, root, p, &seen, e) != 0 || check_message_id(p, e) != 0)
        return -1;
    p->m.has_zone = fields_has(request_fields, seen, "zone");
    p->m.has_request_id = fields_has(request_fields, seen, "requestId");
    p->m.has_asker = fields_has(request_fields, seen, "asker");
    if (fields_read(upload_fields, p->request, p, &seen, e) != 0 || check_is_upload(p, e) != 0)
        return -1;
    p->m.has_request_timeout = fields_has(upload_fields, seen, "timeoutMsec");
    /* One generation has both, the other neither. */
    if (p->m.has_zone != p->m.has_request_timeout)
        return refuse_message_field(e, "no field",
                                    p->m.has_zone ? STR("request.timeoutMsec") : STR("zone"));
    return 0;
}

static int parse_initialize(struct message_parse *p, const struct json *root, struct err *e)
{
    uint32_t seen;

    if (fields_read(initialize_fields, root, p, &seen, e) != 0)
        return -1;
    p->m.has_zone = fields_has(initialize_fields, seen, "zone");
    return 0;
}

static int parse_cancel(struct message_parse *p, const struct json *root, struct err *e)
{
    uint32_t seen;

    p->m.has_request_id = true;
    return fields_read(cancel_fields, root, p, &seen, e) != 0 ? -1 : check_message_id(p, e);
}

static int parse_acknowledge(struct message_parse *p, const struct json *root, struct err *e)
{
    return fields_read(acknowledge_fields, root, p, NULL, e);
}

static int parse_ping(struct message_parse *p, const struct json *root, struct err *e)
{
    return fields_read(ping_fields, root, p, NULL, e);
}

static const struct field *const messages[] = {
    request_fields,     response_fields, cancel_fields, initialize_fields,
    acknowledge_fields, ping_fields,     NULL};

/* In the order of `messages`. */
static const struct {
    enum message_type type;
    int (*parse)(struct message_parse *p, const struct json *root, struct err *e);
} types[] = {
    {MESSAGE_REQUEST, parse_request},         {MESSAGE_RESPONSE, parse_response},
    {MESSAGE_CANCEL, parse_cancel},           {MESSAGE_INITIALIZE, parse_initialize},
    {MESSAGE_ACKNOWLEDGE, parse_acknowledge}, {MESSAGE_PING, parse_ping},
};

static int parse_root(struct message_parse *p, const struct json *root, struct err *e)
{
    struct str type;
    int which = fields_find(messages, root);

    if (which >= 0) {
        p->m.type = types[which].type;
        return types[which].parse(p, root, e);
    }
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "want an object");
    if (!json_str(json_get(root, "type"), &type))
        return refuse_message_field(e, "no string field", STR("type"));
    return 0;
}

/* The proxy's answer: the envelope, only X, or {}. */
static int parse_answer_root(struct message_parse *p, const struct json *root, struct err *e)
{
    struct str type;

    p->m.type = MESSAGE_RESPONSE;
    if (json_type(root) == JSON_OBJECT && json_first(root) == NULL)
        return 0;
    if (json_str(json_get(root, "type"), &type) && str_equal(type, STR("responseToClient")))
        return parse_response(p, root, e);
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "want an object");
    return parse_answer(p, root, e);
}

static int parse_text(struct message *m, struct str text,
                      int (*parse)(struct message_parse *, const struct json *, struct err *),
                      struct err *e)
{
    struct message_parse p = {.m = {.type = MESSAGE_UNKNOWN,
                                    .status = message_status(UPLOAD_ERROR),
                                    .request_timeout_ms = MESSAGE_DEFAULT_TIMEOUT_MS}};

    p.m.doc = json_parse(text, JSON_STRICT, e);
    if (p.m.doc == NULL)
        return -1;
    if (parse(&p, p.m.doc, e) != 0) {
        json_free(p.m.doc);
        return err_wrap(e, "invalid message");
    }
    *m = p.m;
    return 0;
}

int message_parse(struct message *m, struct str text, struct err *e)
{
    return parse_text(m, text, parse_root, e);
}

int message_parse_answer(struct message *m, struct str text, struct err *e)
{
    return parse_text(m, text, parse_answer_root, e);
}

bool message_read_refusal(const struct json *doc, struct str *text)
{
    static const struct field refusal_fields[] = {{.name = "message", .kind = FIELD_STRING},
                                                  {.kind = FIELD_OTHERS}};

    return fields_read(refusal_fields, doc, text, NULL, ERR_IGNORED) == 0;
}

void message_deinit(struct message *m)
{
    json_free(m->doc);
    *m = (struct message){0};
}

int64_t message_patience_ms(const struct message *m)
{
    int64_t limit_ms = m->timeout_ms > 2 * MESSAGE_ANSWER_MARGIN_MS
                           ? m->timeout_ms - MESSAGE_ANSWER_MARGIN_MS
                           : m->timeout_ms / 2;

    return m->request_timeout_ms < limit_ms ? m->request_timeout_ms : limit_ms;
}

/* ---- messages out ---- */

static void open_message(struct buf *out, const char *type)
{
    json_open(out, '{');
    json_put_str(out, "type", str_of(type));
}

void message_put_initialize(struct buf *out, struct str resource_name, const struct str *zone,
                            struct str proxy_secret)
{
    open_message(out, "initialize");
    json_put_str(out, "resourceName", resource_name);
    if (zone != NULL)
        json_put_str(out, "zone", *zone);
    json_put_str(out, "proxySecret", proxy_secret);
    json_close(out, '}');
}

void message_put_acknowledge(struct buf *out)
{
    open_message(out, "acknowledge");
    json_close(out, '}');
}

void message_put_request(struct buf *out, const struct message_request *r)
{
    open_message(out, "requestFromClient");
    if (r->request_id.len > 0)
        json_put_str(out, "requestId", r->request_id);
    json_put_str(out, "resourceName", r->resource_name);
    if (r->is_generation2)
        json_put_str(out, "zone", r->zone);
    if (r->asker.len > 0)
        json_put_str(out, "asker", r->asker);
    json_open_member(out, "request", '{');
    json_put_str(out, "type", STR("fileUpload"));
    json_put_str(out, "uri", r->uri);
    if (r->is_generation2)
        json_put_int(out, "timeoutMsec", r->request_timeout_ms);
    json_close(out, '}');
    json_put_int(out, "timeoutMsec", r->timeout_ms);
    json_close(out, '}');
}

/* The members of X, which is {"type":"fileUpload","status":{…}}. Left out: numbers that are absent,
 * and the time of a clock that stands before 1970, which every reader refuses. */
static void put_status_members(struct buf *out, const struct upload_status *status)
{
    struct message_parse p = {.m.status = *status,
                              .state = str_of(message_state_name(status->state))};

    json_put_str(out, "type", STR("fileUpload"));
    json_open_member(out, "status", '{');
    fields_put_members(out, status_fields, &p);
    json_close(out, '}');
}

void message_put_response(struct buf *out, struct str request_id,
                          const struct upload_status *status, struct str error)
{
    open_message(out, "responseToClient");
    json_put_str(out, "requestId", request_id);
    json_open_member(out, "response", '{');
    if (error.len == 0)
        put_status_members(out, status);
    json_close(out, '}');
    if (error.len > 0)
        json_put_str(out, "error", error);
    json_close(out, '}');
}
