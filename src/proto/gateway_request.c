#include "proto/gateway_request.h"

#include "base/fields.h"
#include "base/hex.h"
#include "base/sha1.h"
#include "proto/signature.h"

enum { MAX_SHOWN_BYTES = 8192, LINK_ID_DIGITS = 72, LINK_NAME_BYTES = 1024 };

/* ---- tables ---- */

#define AT(member) offsetof(struct gateway_request, member)
#define WORD(text)                                                                                 \
    {                                                                                              \
        .name = "type", .kind = FIELD_WORD, .word = text                                           \
    }
#define TIMESTAMP                                                                                  \
    {                                                                                              \
        .name = "timestamp", .kind = FIELD_INT, .at = AT(timestamp_ms)                             \
    }
#define ALGORITHM                                                                                  \
    {                                                                                              \
        .name = "hashAlg", .kind = FIELD_WORD, .word = "sha1"                                      \
    }
#define FILE_HASH                                                                                  \
    {                                                                                              \
        .name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX                         \
    }
#define SIZE                                                                                       \
    {                                                                                              \
        .name = "size", .kind = FIELD_INT, .at = AT(size)                                          \
    }
#define ZONE                                                                                       \
    {                                                                                              \
        .name = "zone", .kind = FIELD_STRING, .at = AT(zone), .is_optional = true                  \
    }
#define NO_MORE                                                                                    \
    {                                                                                              \
        .kind = FIELD_END                                                                          \
    }

static const struct field find_file[] = {WORD("findFile"), TIMESTAMP, ALGORITHM,
                                         FILE_HASH,        ZONE,      NO_MORE};
static const struct field initiate_upload[] = {
    WORD("initiateFileUpload"), TIMESTAMP, SIZE, ALGORITHM, FILE_HASH, ZONE, NO_MORE};
static const struct field finalize_upload[] = {
    WORD("finalizeFileUpload"),
    TIMESTAMP,
    {.name = "objectKey", .kind = FIELD_STRING, .at = AT(object_key)},
    ALGORITHM,
    FILE_HASH,
    SIZE,
    ZONE,
    NO_MORE};
static const struct field delete_file[] = {WORD("deleteFile"), TIMESTAMP, ALGORITHM,
                                           FILE_HASH,          ZONE,      NO_MORE};
static const struct field client_info[] = {
    WORD("getClientInfo"),
    TIMESTAMP,
    {.name = "clientId",
     .kind = FIELD_HEX,
     .at = AT(client_id),
     .max = SIGNATURE_CLIENT_ID_DIGITS},
    ZONE,
    NO_MORE};
static const struct field resource_info[] = {
    WORD("getResourceInfo"),
    TIMESTAMP,
    {.name = "resourceName", .kind = FIELD_STRING, .at = AT(resource_name)},
    ZONE,
    NO_MORE};
static const struct field zone_info[] = {
    WORD("getZoneInfo"),
    TIMESTAMP,
    {.name = "zoneName", .kind = FIELD_STRING, .at = AT(zone_name)},
    NO_MORE};

static const struct field create_link[] = {
    WORD("createLink"),
    TIMESTAMP,
    {.name = "hashAlg", .kind = FIELD_WORD, .word = "sha1", .is_optional = true},
    FILE_HASH,
    {.name = "name", .kind = FIELD_STRING, .at = AT(name), .min = 1, .max = LINK_NAME_BYTES},
    {.name = "expires", .kind = FIELD_INT, .at = AT(expires_ms)},
    ZONE,
    NO_MORE};
static const struct field list_links[] = {
    WORD("listLinks"),
    TIMESTAMP,
    {.name = "after",
     .kind = FIELD_HEX,
     .at = AT(after),
     .max = LINK_ID_DIGITS,
     .is_optional = true},
    ZONE,
    NO_MORE};
static const struct field revoke_link[] = {
    WORD("revokeLink"),
    TIMESTAMP,
    {.name = "hashAlg", .kind = FIELD_WORD, .word = "sha1", .is_optional = true},
    {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX, .is_optional = true},
    {.name = "id", .kind = FIELD_HEX, .at = AT(id), .max = LINK_ID_DIGITS, .is_optional = true},
    ZONE,
    NO_MORE};

static const struct field read_file[] = {WORD("readFile"), TIMESTAMP, ALGORITHM,
                                         FILE_HASH,        ZONE,      NO_MORE};

/* Each at the index of its enum gateway_call. */
static const struct field *const calls[] = {
    [GATEWAY_FIND_FILE] = find_file,
    [GATEWAY_INITIATE_UPLOAD] = initiate_upload,
    [GATEWAY_FINALIZE_UPLOAD] = finalize_upload,
    [GATEWAY_DELETE_FILE] = delete_file,
    [GATEWAY_CLIENT_INFO] = client_info,
    [GATEWAY_RESOURCE_INFO] = resource_info,
    [GATEWAY_ZONE_INFO] = zone_info,
    [GATEWAY_CREATE_LINK] = create_link,
    [GATEWAY_LIST_LINKS] = list_links,
    [GATEWAY_REVOKE_LINK] = revoke_link,
    [GATEWAY_READ_FILE] = read_file,
    [GATEWAY_CALLS] = NULL,
};

/* An empty client ID or signature is as good as none. */
static bool is_client_id(const void *member)
{
    const struct str *id = member;

    return id->len == 0 || hex_is_lower(*id, SIGNATURE_CLIENT_ID_DIGITS);
}

static bool is_signature(const void *member)
{
    const struct str *signature = member;

    return signature->len == 0 || signature->len == SIGNATURE_DIGITS;
}

/* Members of a log-in at GitHub, which browsers may send, are passed over. */
struct envelope {
    const struct json *payload;
    struct str from_client_id, signature, github;
};

static const struct field envelope[] = {
    {.name = "payload", .kind = FIELD_OBJECT, .at = offsetof(struct envelope, payload)},
    {.name = "fromClientId",
     .kind = FIELD_STRING,
     .at = offsetof(struct envelope, from_client_id),
     .is_good = is_client_id,
     .is_optional = true},
    {.name = "signature",
     .kind = FIELD_STRING,
     .at = offsetof(struct envelope, signature),
     .is_good = is_signature,
     .is_optional = true},
    {.name = "githubUserId",
     .kind = FIELD_STRING,
     .at = offsetof(struct envelope, github),
     .is_optional = true},
    {.name = "githubAccessToken",
     .kind = FIELD_STRING,
     .at = offsetof(struct envelope, github),
     .is_optional = true},
    NO_MORE,
};

/* ---- reading ---- */

static bool read_request(struct gateway_request *r)
{
    struct envelope read = {.payload = NULL};
    int call;

    if (fields_read(envelope, r->doc, &read, NULL, ERR_IGNORED) != 0)
        return false;
    call = fields_read_one_of(calls, read.payload, r, ERR_IGNORED);
    if (call < 0)
        return false;
    r->call = (enum gateway_call)call;
    if (r->call == GATEWAY_REVOKE_LINK && (r->hash.len > 0) == (r->id.len > 0))
        return false; /* one of the two */
    r->type = str_of(calls[call][0].word);
    r->payload = read.payload;
    r->from_client_id = read.from_client_id;
    r->signature = read.signature;
    return true;
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
    if (!read_request(&parsed)) {
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

    json_put_canonical(&canonical, r->payload, is_ascii);
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
