#include "proto/message.h"

#include <stddef.h>
#include <string.h>

#include "base/quote.h"

/* A message on its way in: what becomes the result, and the objects inside the document. */
struct parse {
    struct message m;
    struct str type, state;
    const struct json *request, *response, *status;
};

/* ---- fields, by table ---- */

enum kind {
    KIND_STRING,  /* struct str */
    KIND_OBJECT,  /* const struct json * */
    KIND_COUNT,   /* int64_t from 0 to 2^53 - 1; a fraction is dropped */
    KIND_TIMEOUT, /* int64_t in ms, capped */
};

/* One field of an object and where in struct parse it goes. Tables end with a row without key. */
struct field {
    const char *key;
    enum kind kind;
    bool is_optional;
    size_t offset;
};

#define TO(member) offsetof(struct parse, member)

static const struct field type_only_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {NULL, 0, false, 0},
};

static const struct field initialize_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"resourceName", KIND_STRING, false, TO(m.resource_name)},
    {"proxySecret", KIND_STRING, false, TO(m.proxy_secret)},
    {"zone", KIND_STRING, true, TO(m.zone)},
    {NULL, 0, false, 0},
};

static const struct field cancel_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"requestId", KIND_STRING, false, TO(m.request_id)},
    {NULL, 0, false, 0},
};

static const struct field request_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"resourceName", KIND_STRING, false, TO(m.resource_name)},
    {"request", KIND_OBJECT, false, TO(request)},
    {"timeoutMsec", KIND_TIMEOUT, false, TO(m.timeout_ms)},
    {"zone", KIND_STRING, true, TO(m.zone)},
    {"requestId", KIND_STRING, true, TO(m.request_id)},
    {NULL, 0, false, 0},
};

static const struct field upload_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"uri", KIND_STRING, false, TO(m.uri)},
    {"timeoutMsec", KIND_TIMEOUT, true, TO(m.request_timeout_ms)},
    {NULL, 0, false, 0},
};

static const struct field response_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"requestId", KIND_STRING, false, TO(m.request_id)},
    {"response", KIND_OBJECT, false, TO(response)},
    {"error", KIND_STRING, true, TO(m.error)},
    {NULL, 0, false, 0},
};

static const struct field answer_fields[] = {
    {"type", KIND_STRING, false, TO(type)},
    {"status", KIND_OBJECT, false, TO(status)},
    {NULL, 0, false, 0},
};

static const struct field status_fields[] = {
    {"status", KIND_STRING, false, TO(state)},
    {"size", KIND_COUNT, true, TO(m.status.size)},
    {"bytesUploaded", KIND_COUNT, true, TO(m.status.bytes_uploaded)},
    {"timestampRequested", KIND_COUNT, true, TO(m.status.requested_ms)},
    {"timestampStarted", KIND_COUNT, true, TO(m.status.started_ms)},
    {"timestampCompleted", KIND_COUNT, true, TO(m.status.completed_ms)},
    {"error", KIND_STRING, true, TO(m.status.error)},
    {NULL, 0, false, 0},
};

#undef TO

static int bad_field(struct err *e, const char *cause, struct str key)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_PROTOCOL, "invalid message: %s \"%s\"", cause, quote_str(quoted, key));
}

static bool read_count(const struct json *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number) || !(number >= 0) ||
        number > (double)JSON_MAX_SAFE_INTEGER)
        return false;
    *out = (int64_t)number;
    return true;
}

static bool read_timeout(const struct json *value, int64_t *out)
{
    double number;

    if (!json_number(value, &number))
        return false;
    *out = !(number > 0)                      ? 0
           : number >= MESSAGE_MAX_TIMEOUT_MS ? MESSAGE_MAX_TIMEOUT_MS
                                              : (int64_t)number;
    return true;
}

static bool read_value(struct parse *p, const struct field *f, const struct json *value)
{
    void *to = (char *)p + f->offset;

    switch (f->kind) {
    case KIND_STRING: return json_str(value, to);
    case KIND_COUNT: return read_count(value, to);
    case KIND_TIMEOUT: return read_timeout(value, to);
    case KIND_OBJECT:
        *(const struct json **)to = value;
        return json_type(value) == JSON_OBJECT;
    }
    return false;
}

static const struct field *find_field(const struct field *fields, struct str key)
{
    while (fields->key != NULL && !str_equal(str_of(fields->key), key))
        fields++;
    return fields;
}

/* Reads all members of `object`, which are to be just those of the table. *seen gets one bit per
 * row that was there. */
static int read_fields(struct parse *p, const struct field *fields, const struct json *object,
                       unsigned *seen, struct err *e)
{
    *seen = 0;
    for (const struct json *v = json_first(object); v != NULL; v = json_next(v)) {
        const struct field *f = find_field(fields, json_key(v));
        if (f->key == NULL)
            return bad_field(e, "unknown field", json_key(v));
        if (!read_value(p, f, v))
            return bad_field(e, "bad value of", json_key(v));
        *seen |= 1u << (f - fields);
    }
    for (const struct field *f = fields; f->key != NULL; f++)
        if (!f->is_optional && (*seen & 1u << (f - fields)) == 0)
            return bad_field(e, "no field", str_of(f->key));
    return 0;
}

/* The bit of `key` in what read_fields saw. */
static bool has_seen(const struct field *fields, unsigned seen, const char *key)
{
    return (seen & 1u << (find_field(fields, str_of(key)) - fields)) != 0;
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

struct upload_status message_status(enum upload_state state)
{
    return (struct upload_status){.state = state,
                                  .size = MESSAGE_ABSENT,
                                  .bytes_uploaded = MESSAGE_ABSENT,
                                  .requested_ms = MESSAGE_ABSENT,
                                  .started_ms = MESSAGE_ABSENT,
                                  .completed_ms = MESSAGE_ABSENT};
}

static int check_is_upload(const struct parse *p, struct err *e)
{
    if (!str_equal(p->type, STR("fileUpload")))
        return bad_field(e, "want type \"fileUpload\", not", p->type);
    return 0;
}

/* {"type":"fileUpload","status":{…}} */
static int parse_answer(struct parse *p, const struct json *answer, struct err *e)
{
    unsigned seen;

    if (read_fields(p, answer_fields, answer, &seen, e) != 0 || check_is_upload(p, e) != 0 ||
        read_fields(p, status_fields, p->status, &seen, e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (str_equal(p->state, str_of(state_names[i]))) {
            p->m.status.state = (enum upload_state)i;
            p->m.has_status = true;
            return 0;
        }
    return bad_field(e, "unknown status", p->state);
}

static int check_id(const struct parse *p, struct err *e)
{
    if (p->m.request_id.len > MESSAGE_MAX_ID_BYTES)
        return bad_field(e, "too long requestId", p->m.request_id);
    return 0;
}

static int parse_response(struct parse *p, const struct json *root, struct err *e)
{
    unsigned seen;

    if (read_fields(p, response_fields, root, &seen, e) != 0 || check_id(p, e) != 0)
        return -1;
    p->m.has_request_id = true;
    p->m.has_error = has_seen(response_fields, seen, "error");
    return json_first(p->response) == NULL ? 0 : parse_answer(p, p->response, e);
}

static int parse_request(struct parse *p, const struct json *root, struct err *e)
{
    unsigned seen;

    if (read_fields(p, request_fields, root, &seen, e) != 0 || check_id(p, e) != 0)
        return -1;
    p->m.has_zone = has_seen(request_fields, seen, "zone");
    p->m.has_request_id = has_seen(request_fields, seen, "requestId");
    if (read_fields(p, upload_fields, p->request, &seen, e) != 0 || check_is_upload(p, e) != 0)
        return -1;
    p->m.has_request_timeout = has_seen(upload_fields, seen, "timeoutMsec");
    /* One generation has both, the other neither. */
    if (p->m.has_zone != p->m.has_request_timeout)
        return bad_field(e, "no field", p->m.has_zone ? STR("request.timeoutMsec") : STR("zone"));
    return 0;
}

static int parse_initialize(struct parse *p, const struct json *root, struct err *e)
{
    unsigned seen;

    if (read_fields(p, initialize_fields, root, &seen, e) != 0)
        return -1;
    p->m.has_zone = has_seen(initialize_fields, seen, "zone");
    return 0;
}

static int parse_cancel(struct parse *p, const struct json *root, struct err *e)
{
    unsigned seen;

    p->m.has_request_id = true;
    return read_fields(p, cancel_fields, root, &seen, e) != 0 ? -1 : check_id(p, e);
}

static int parse_type_only(struct parse *p, const struct json *root, struct err *e)
{
    unsigned seen;

    return read_fields(p, type_only_fields, root, &seen, e);
}

static const struct {
    const char *name;
    enum message_type type;
    int (*parse)(struct parse *p, const struct json *root, struct err *e);
} types[] = {
    {"requestFromClient", MESSAGE_REQUEST, parse_request},
    {"responseToClient", MESSAGE_RESPONSE, parse_response},
    {"cancelRequestFromClient", MESSAGE_CANCEL, parse_cancel},
    {"initialize", MESSAGE_INITIALIZE, parse_initialize},
    {"acknowledge", MESSAGE_ACKNOWLEDGE, parse_type_only},
    {"ping", MESSAGE_PING, parse_type_only},
};

static int parse_root(struct parse *p, const struct json *root, struct err *e)
{
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "invalid message: want an object");
    if (!json_str(json_get(root, "type"), &p->type))
        return bad_field(e, "no string field", STR("type"));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_equal(p->type, str_of(types[i].name))) {
            p->m.type = types[i].type;
            return types[i].parse(p, root, e);
        }
    return 0;
}

/* The proxy's answer: the envelope, only X, or {}. */
static int parse_answer_root(struct parse *p, const struct json *root, struct err *e)
{
    struct str type;

    p->m.type = MESSAGE_RESPONSE;
    if (json_type(root) == JSON_OBJECT && json_first(root) == NULL)
        return 0;
    if (json_str(json_get(root, "type"), &type) && str_equal(type, STR("responseToClient")))
        return parse_response(p, root, e);
    if (json_type(root) != JSON_OBJECT)
        return err_set(e, ERR_PROTOCOL, "invalid message: want an object");
    return parse_answer(p, root, e);
}

static int parse_text(struct message *m, struct str text,
                      int (*parse)(struct parse *, const struct json *, struct err *),
                      struct err *e)
{
    struct parse p = {.m = {.type = MESSAGE_UNKNOWN,
                            .status = message_status(UPLOAD_ERROR),
                            .request_timeout_ms = MESSAGE_DEFAULT_TIMEOUT_MS}};

    p.m.doc = json_parse(text, JSON_STRICT, e);
    if (p.m.doc == NULL)
        return -1;
    if (parse(&p, p.m.doc, e) != 0) {
        json_free(p.m.doc);
        return -1;
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
    json_open_member(out, "request", '{');
    json_put_str(out, "type", STR("fileUpload"));
    json_put_str(out, "uri", r->uri);
    if (r->is_generation2)
        json_put_int(out, "timeoutMsec", r->request_timeout_ms);
    json_close(out, '}');
    json_put_int(out, "timeoutMsec", r->timeout_ms);
    json_close(out, '}');
}

/* Absent, or the time of a clock that stands before 1970, which every reader refuses. */
static void put_count(struct buf *out, const char *key, int64_t count)
{
    if (count >= 0)
        json_put_int(out, key, count);
}

/* The members of X, which is {"type":"fileUpload","status":{…}}. */
static void put_status_members(struct buf *out, const struct upload_status *status)
{
    json_put_str(out, "type", STR("fileUpload"));
    json_open_member(out, "status", '{');
    json_put_str(out, "status", str_of(message_state_name(status->state)));
    put_count(out, "size", status->size);
    put_count(out, "bytesUploaded", status->bytes_uploaded);
    put_count(out, "timestampRequested", status->requested_ms);
    put_count(out, "timestampStarted", status->started_ms);
    put_count(out, "timestampCompleted", status->completed_ms);
    if (status->error.len > 0)
        json_put_str(out, "error", status->error);
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
