#include "proto/gateway_request.h"

#include "base/hex.h"
#include "base/sha1.h"
#include "proto/signature.h"

enum { MAX_FIELDS = 8, MAX_SHOWN_BYTES = 8192 };

enum field_kind { TEXT, NUMBER, HASH_ALGORITHM, HASH, CLIENT_ID, END };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset; /* in struct gateway_request */
    bool is_optional;
};

#define FIELD(name, kind, member)                                                                  \
    {                                                                                              \
        name, kind, offsetof(struct gateway_request, member), false                                \
    }
#define TYPE      FIELD("type", TEXT, type)
#define TIMESTAMP FIELD("timestamp", NUMBER, timestamp_ms)
#define ALGORITHM FIELD("hashAlg", HASH_ALGORITHM, hash)
#define FILE_HASH FIELD("hash", HASH, hash)
#define SIZE      FIELD("size", NUMBER, size)
#define ZONE                                                                                       \
    {                                                                                              \
        "zone", TEXT, offsetof(struct gateway_request, zone), true                                 \
    }
#define NO_MORE                                                                                    \
    {                                                                                              \
        NULL, END, 0, false                                                                        \
    }

static const struct {
    const char *type;
    enum gateway_call call;
    struct field fields[MAX_FIELDS];
} calls[] = {
    {"findFile", GATEWAY_FIND_FILE, {TYPE, TIMESTAMP, ALGORITHM, FILE_HASH, ZONE, NO_MORE}},
    {"initiateFileUpload",
     GATEWAY_INITIATE_UPLOAD,
     {TYPE, TIMESTAMP, SIZE, ALGORITHM, FILE_HASH, ZONE, NO_MORE}},
    {"finalizeFileUpload",
     GATEWAY_FINALIZE_UPLOAD,
     {TYPE, TIMESTAMP, FIELD("objectKey", TEXT, object_key), ALGORITHM, FILE_HASH, SIZE, ZONE,
      NO_MORE}},
    {"deleteFile", GATEWAY_DELETE_FILE, {TYPE, TIMESTAMP, ALGORITHM, FILE_HASH, ZONE, NO_MORE}},
    {"getClientInfo",
     GATEWAY_CLIENT_INFO,
     {TYPE, TIMESTAMP, FIELD("clientId", CLIENT_ID, client_id), ZONE, NO_MORE}},
    {"getResourceInfo",
     GATEWAY_RESOURCE_INFO,
     {TYPE, TIMESTAMP, FIELD("resourceName", TEXT, resource_name), ZONE, NO_MORE}},
    {"getZoneInfo",
     GATEWAY_ZONE_INFO,
     {TYPE, TIMESTAMP, FIELD("zoneName", TEXT, zone_name), NO_MORE}},
};

enum { CALL_COUNT = sizeof calls / sizeof calls[0] };

static bool read_field(struct gateway_request *r, const struct field *field,
                       const struct json *value)
{
    struct str *text = (struct str *)((char *)r + field->offset);
    int64_t *number = (int64_t *)((char *)r + field->offset);
    struct str algorithm;

    switch (field->kind) {
    case TEXT: return json_str(value, text);
    case NUMBER: return json_int(value, number) && *number >= 0;
    case HASH_ALGORITHM: return json_str(value, &algorithm) && str_equal(algorithm, STR("sha1"));
    case HASH: return json_str(value, text) && hex_is_lower(*text, SHA1_HEX);
    case CLIENT_ID: return json_str(value, text) && hex_is_lower(*text, SIGNATURE_CLIENT_ID_DIGITS);
    case END: break;
    }
    return false;
}

/* Exactly these fields: every member is one of them, and none is missing. */
static bool read_fields(struct gateway_request *r, const struct field *fields,
                        const struct json *payload)
{
    size_t found = 0;

    for (const struct field *f = fields; f->kind != END; f++) {
        const struct json *value = json_get(payload, f->name);
        if (value == NULL && f->is_optional)
            continue;
        if (value == NULL || !read_field(r, f, value))
            return false;
        found++;
    }
    return found == json_count(payload);
}

static bool read_payload(struct gateway_request *r, const struct json *payload)
{
    struct str type;

    if (!json_str(json_get(payload, "type"), &type))
        return false;
    for (size_t i = 0; i < CALL_COUNT; i++)
        if (str_equal(type, str_of(calls[i].type))) {
            r->call = calls[i].call;
            return read_fields(r, calls[i].fields, payload);
        }
    return false;
}

static bool read_optional(const struct json *value, struct str *out)
{
    return value == NULL || json_str(value, out);
}

static bool read_envelope(struct gateway_request *r)
{
    static const char *const keys[] = {"payload",      "fromClientId",      "signature",
                                       "githubUserId", "githubAccessToken", NULL};
    struct str ignored;

    return json_type(r->doc) == JSON_OBJECT && json_only_keys(r->doc, keys, NULL) &&
           read_optional(json_get(r->doc, "fromClientId"), &r->from_client_id) &&
           read_optional(json_get(r->doc, "signature"), &r->signature) &&
           read_optional(json_get(r->doc, "githubUserId"), &ignored) &&
           read_optional(json_get(r->doc, "githubAccessToken"), &ignored) &&
           (r->from_client_id.len == 0 ||
            hex_is_lower(r->from_client_id, SIGNATURE_CLIENT_ID_DIGITS)) &&
           (r->signature.len == 0 || r->signature.len == SIGNATURE_DIGITS) &&
           read_payload(r, json_get(r->doc, "payload"));
}

/* The request as it was understood, as deployed. Writing a large one costs more than reading it. */
static void put_invalid(struct buf *refusal, const struct json *doc, size_t bytes)
{
    buf_puts(refusal, "Invalid request: ");
    if (bytes <= MAX_SHOWN_BYTES)
        json_put_value(refusal, NULL, doc);
    else
        buf_printf(refusal, "%zu bytes, which are no call of a gateway", bytes);
}

int gateway_request_parse(struct gateway_request *r, struct str text, struct buf *refusal)
{
    struct gateway_request parsed = {0};
    struct err e = {0};

    parsed.doc = json_parse(text, JSON_STRICT, &e);
    if (parsed.doc == NULL && e.code != ERR_PROTOCOL) { /* the request may well be right */
        refusal->failed = true;
        return -1;
    }
    if (parsed.doc == NULL) {
        buf_printf(refusal, "Invalid request: %s", e.msg);
        return -1;
    }
    if (!read_envelope(&parsed)) {
        put_invalid(refusal, parsed.doc, text.len);
        json_free(parsed.doc);
        return -1;
    }
    *r = parsed;
    return 0;
}

void gateway_request_deinit(struct gateway_request *r)
{
    json_free(r->doc);
    *r = (struct gateway_request){0};
}

static bool is_near(int64_t elapsed, int64_t of)
{
    return elapsed >= of - GATEWAY_REQUEST_WINDOW_MS && elapsed <= of + GATEWAY_REQUEST_WINDOW_MS;
}

/* 1 or 0; -1 without memory. */
static int is_signature_right(const struct gateway_request *r, bool is_ascii, struct err *e)
{
    struct buf canonical = {0};
    int is_right;

    json_put_canonical(&canonical, json_get(r->doc, "payload"), is_ascii);
    is_right = buf_check(&canonical, e);
    if (is_right == 0)
        is_right = signature_is_right(r->from_client_id, buf_str(&canonical), r->signature);
    buf_free(&canonical);
    return is_right;
}

int gateway_request_verify(const struct gateway_request *r, int64_t wall_ms, struct err *e)
{
    int64_t elapsed = wall_ms - r->timestamp_ms;

    if (!is_near(elapsed, 0) && !is_near(elapsed, GATEWAY_REQUEST_DAY_MS) &&
        !is_near(elapsed, -GATEWAY_REQUEST_DAY_MS))
        return err_set(e, ERR_REFUSED, "Invalid timestamp. %lld %lld %lld",
                       (long long)r->timestamp_ms, (long long)wall_ms, (long long)elapsed);
    if (r->from_client_id.len == 0)
        return 0;
    if (r->signature.len == 0)
        return err_set(e, ERR_REFUSED, "No signature provided with fromClientId");
    int is_right = is_signature_right(r, false, e);
    if (is_right == 0)
        is_right = is_signature_right(r, true, e);
    if (is_right == 0)
        return err_set(e, ERR_REFUSED, "Invalid signature");
    return is_right < 0 ? -1 : 0;
}
