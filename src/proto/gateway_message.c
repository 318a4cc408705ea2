#include "proto/gateway_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/fs.h"
#include "proto/http_head.h"
#include "proto/url.h"

static void put_member(struct buf *out, const char *key, const char *value)
{
    if (value != NULL)
        json_put_str(out, key, str_of(value));
}

void gateway_message_put_payload(struct buf *out, const struct gateway_payload *payload,
                                 int64_t timestamp_ms)
{
    json_open(out, '{'); /* members in byte order: this is the text that signatures cover */
    put_member(out, "after", payload->after);
    put_member(out, "clientId", payload->client_id);
    if (payload->expires_ms > 0)
        json_put_int(out, "expires", payload->expires_ms);
    put_member(out, "hash", payload->hash);
    put_member(out, "hashAlg", payload->hash == NULL ? NULL : "sha1");
    put_member(out, "id", payload->id);
    put_member(out, "name", payload->name);
    put_member(out, "objectKey", payload->object_key);
    put_member(out, "resourceName", payload->resource_name);
    if (payload->size >= 0)
        json_put_int(out, "size", payload->size);
    /* Before 1970 is refused as malformed, without the Date by which a clock is corrected. */
    json_put_int(out, "timestamp", timestamp_ms < 0 ? 0 : timestamp_ms);
    put_member(out, "type", payload->type);
    put_member(out, "zone", payload->zone);
    json_close(out, '}');
}

void gateway_message_put_request(struct buf *out, struct str canonical, const char *client_id,
                                 const char *signature)
{
    json_open(out, '{');
    json_put_raw(out, "payload", canonical);
    if (*client_id != '\0') {
        json_put_str(out, "fromClientId", str_of(client_id));
        json_put_str(out, "signature", str_of(signature));
    }
    json_close(out, '}');
}

static const struct field type_fields[] = {{.name = "type", .kind = FIELD_STRING},
                                           {.kind = FIELD_OTHERS}};

struct json *gateway_message_parse(struct str text, const char *type, struct err *e)
{
    struct json *answer = json_parse(text, JSON_STRICT, e);
    struct str found;

    if (answer == NULL) {
        err_wrap(e, "not a gateway's answer");
        return NULL;
    }
    if (fields_read(type_fields, answer, &found, NULL, ERR_IGNORED) == 0 &&
        str_equal(found, str_of(type)))
        return answer;
    json_free(answer);
    err_set(e, ERR_PROTOCOL, "not a gateway's answer: want the type \"%s\"", type);
    return NULL;
}

void gateway_file_deinit(struct gateway_file *file)
{
    free(file->url);
    free(file->answer);
    *file = (struct gateway_file){.size = -1};
}

void gateway_upload_deinit(struct gateway_upload *upload)
{
    free(upload->object_key);
    free(upload->url);
    *upload = (struct gateway_upload){0};
}

void gateway_client_deinit(struct gateway_client *client)
{
    free(client->owner_id);
    free(client->label);
    *client = (struct gateway_client){0};
}

/* ---- the fields of answers ---- */

static int refuse_answer_field(const char *name, struct err *e)
{
    return err_set(e, ERR_PROTOCOL, "the gateway's answer has no proper \"%s\"", name);
}

/* Reads as fields_read does, with errors in our words: its own end with the quoted name of the
 * field. */
static int read_fields(const struct field *fields, const struct json *answer, void *out,
                       struct err *e)
{
    struct err why = {0};
    const char *name;

    if (fields_read(fields, answer, out, NULL, &why) == 0)
        return 0;
    name = strchr(why.msg, '"');
    return err_set(e, ERR_PROTOCOL, "the gateway's answer has no proper %s",
                   name == NULL ? "fields" : name);
}

/* NULL for none. */
static int copy_text(struct str text, char **out, struct err *e)
{
    *out = NULL;
    if (text.p == NULL)
        return 0;
    *out = strndup(text.p, text.len);
    return *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

#define OTHERS                                                                                     \
    {                                                                                              \
        .kind = FIELD_OTHERS                                                         \
    }
#define MAY(text, kind_, type, member)                                                             \
    {                                                                                              \
        .name = text, .kind = kind_, .at = offsetof(type, member), .is_optional = true,            \
        .may_be_null = true                                                                        \
    }
#define MUST(text, type, member)                                                                   \
    {                                                                                              \
        .name = text, .kind = FIELD_STRING, .at = offsetof(type, member), .min = 1                 \
    }

struct file_answer {
    bool is_found;
    int64_t size;
    struct str url;
};

static const struct field file_fields[] = {
    {.name = "found", .kind = FIELD_BOOL, .at = offsetof(struct file_answer, is_found)},
    MAY("size", FIELD_INT, struct file_answer, size),
    MAY("url", FIELD_STRING, struct file_answer, url),
    OTHERS,
};

static const struct field upload_fields[] = {
    MAY("alreadyExists", FIELD_BOOL, struct gateway_upload, already_exists),
    MAY("alreadyPending", FIELD_BOOL, struct gateway_upload, already_pending),
    OTHERS,
};

struct target {
    struct str object_key, url;
};

static const struct field target_fields[] = {
    MUST("objectKey", struct target, object_key),
    MUST("signedUploadUrl", struct target, url),
    OTHERS,
};

/* A client or resource, or that there is none. */
struct info_answer {
    bool is_found;
    const struct json *record;
};

static const struct field client_info_fields[] = {
    {.name = "found", .kind = FIELD_BOOL, .at = offsetof(struct info_answer, is_found)},
    MAY("client", FIELD_OBJECT, struct info_answer, record),
    OTHERS,
};

static const struct field resource_info_fields[] = {
    {.name = "found", .kind = FIELD_BOOL, .at = offsetof(struct info_answer, is_found)},
    MAY("resource", FIELD_OBJECT, struct info_answer, record),
    OTHERS,
};

struct client_record {
    struct str owner_id, label;
};

static const struct field client_fields[] = {
    MAY("ownerId", FIELD_STRING, struct client_record, owner_id),
    MAY("label", FIELD_STRING, struct client_record, label),
    OTHERS,
};

struct resource_record {
    struct str proxy_url;
};

static const struct field resource_fields[] = {
    MUST("proxyUrl", struct resource_record, proxy_url),
    OTHERS,
};

struct links_answer {
    struct str url, next;
    const struct json *links;
    int64_t revoked;
};

static const struct field link_fields[] = {
    MUST("url", struct links_answer, url),
    OTHERS,
};

static const struct field links_fields[] = {
    {.name = "links", .kind = FIELD_ARRAY, .at = offsetof(struct links_answer, links)},
    MAY("next", FIELD_STRING, struct links_answer, next),
    OTHERS,
};

static const struct field revoked_fields[] = {
    {.name = "revoked", .kind = FIELD_INT, .at = offsetof(struct links_answer, revoked)},
    OTHERS,
};

static const struct field listed_fields[] = {
    MUST("id", struct gateway_link, id),
    MUST("hash", struct gateway_link, hash),
    MUST("name", struct gateway_link, name),
    MUST("clientId", struct gateway_link, client_id),
    {.name = "timestampCreated",
     .kind = FIELD_INT,
     .at = offsetof(struct gateway_link, created_ms)},
    {.name = "expires", .kind = FIELD_INT, .at = offsetof(struct gateway_link, expires_ms)},
    OTHERS,
};

/* ---- reading answers ---- */

/* A malformed value of a gateway must not be reported as if the user had written it. */
static bool is_url(const char *text)
{
    struct url url;

    return url_parse(&url, str_of(text), ERR_IGNORED) == 0;
}

/* The answer without `url`: it is signed, and nobody should use it directly. */
static char *without_url(const struct json *answer)
{
    struct buf out = {0};

    json_open(&out, '{');
    for (const struct json *member = json_first(answer); member; member = json_next(member)) {
        struct str key = json_key(member);
        char name[64];
        if (str_equal(key, STR("url")) || key.len >= sizeof name)
            continue;
        memcpy(name, key.p, key.len);
        name[key.len] = '\0';
        json_put_value(&out, name, member);
    }
    json_close(&out, '}');
    return buf_take(&out);
}

int gateway_message_read_file(const struct json *answer, struct gateway_file *out, struct err *e)
{
    struct file_answer read = {.size = -1};
    struct gateway_file file = {.size = -1};

    if (read_fields(file_fields, answer, &read, e) != 0 || copy_text(read.url, &file.url, e) != 0)
        return -1;
    file.is_found = read.is_found;
    file.has_key = json_get(answer, "objectKey") != NULL;
    file.size = read.size;
    if (file.url != NULL && !is_url(file.url)) {
        gateway_file_deinit(&file);
        return refuse_answer_field("url", e);
    }
    file.answer = without_url(answer);
    if (file.answer == NULL) {
        gateway_file_deinit(&file);
        return err_set(e, ERR_FAILED, "out of memory");
    }
    *out = file;
    return 0;
}

/* A text that we sign and send back must be ASCII: no two programs agree on the text of anything
 * else. */
static bool is_object_key(const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < len; i++)
        if (key[i] < 0x20 || key[i] > 0x7e)
            return false;
    return len <= GATEWAY_MAX_KEY_BYTES;
}

int gateway_message_read_upload(const struct json *answer, struct gateway_upload *out,
                                struct err *e)
{
    struct gateway_upload upload = {.object_key = NULL};
    struct target target = {.url = {NULL, 0}};

    if (read_fields(upload_fields, answer, &upload, e) != 0)
        return -1;
    if (upload.already_exists || upload.already_pending) {
        *out = upload;
        return 0;
    }
    if (read_fields(target_fields, answer, &target, e) != 0 ||
        copy_text(target.object_key, &upload.object_key, e) != 0 ||
        copy_text(target.url, &upload.url, e) != 0) {
        gateway_upload_deinit(&upload);
        return -1;
    }
    const char *bad = !is_object_key(upload.object_key) ? "objectKey"
                      : !is_url(upload.url)             ? "signedUploadUrl"
                                                        : NULL;
    if (bad != NULL) {
        gateway_upload_deinit(&upload);
        return refuse_answer_field(bad, e);
    }
    *out = upload;
    return 0;
}

int gateway_message_read_client(const struct json *answer, struct gateway_client *out,
                                struct err *e)
{
    struct info_answer info = {.record = NULL};
    struct client_record client = {.label = {NULL, 0}};
    struct gateway_client found = {.label = NULL};

    if (read_fields(client_info_fields, answer, &info, e) != 0 ||
        (info.is_found && info.record != NULL &&
         read_fields(client_fields, info.record, &client, e) != 0))
        return -1;
    found.is_found = info.is_found;
    if (copy_text(client.owner_id, &found.owner_id, e) != 0 ||
        copy_text(client.label, &found.label, e) != 0) {
        gateway_client_deinit(&found);
        return -1;
    }
    *out = found;
    return 0;
}

int gateway_message_read_resource(const struct json *answer, char **proxy_url, struct err *e)
{
    struct info_answer info = {.record = NULL};
    struct resource_record resource = {.proxy_url = {NULL, 0}};
    char *url;

    if (read_fields(resource_info_fields, answer, &info, e) != 0)
        return -1;
    if (!info.is_found)
        return err_set(e, ERR_NOT_FOUND, "no such resource");
    if (info.record == NULL)
        return refuse_answer_field("resource", e);
    if (read_fields(resource_fields, info.record, &resource, e) != 0 ||
        copy_text(resource.proxy_url, &url, e) != 0)
        return -1;
    if (!is_url(url)) {
        free(url);
        return refuse_answer_field("proxyUrl", e);
    }
    for (size_t len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
        url[len - 1] = '\0';
    *proxy_url = url;
    return 0;
}

int gateway_message_read_link(const struct json *answer, char **url, struct err *e)
{
    struct links_answer read = {.links = NULL};
    char *copy;

    if (read_fields(link_fields, answer, &read, e) != 0 || copy_text(read.url, &copy, e) != 0)
        return -1;
    if (!is_url(copy)) {
        free(copy);
        return refuse_answer_field("url", e);
    }
    *url = copy;
    return 0;
}

int gateway_message_read_revoked(const struct json *answer, int64_t *count, struct err *e)
{
    struct links_answer read = {.links = NULL};

    if (read_fields(revoked_fields, answer, &read, e) != 0)
        return -1;
    *count = read.revoked;
    return 0;
}

int gateway_message_read_links(const struct json *answer, const struct json **links,
                               struct str *next, struct err *e)
{
    struct links_answer read = {.next = {"", 0}};

    if (read_fields(links_fields, answer, &read, e) != 0)
        return -1;
    *links = read.links;
    *next = read.next;
    return 0;
}

int gateway_message_read_listed(const struct json *item, struct gateway_link *out, struct err *e)
{
    return read_fields(listed_fields, item, out, e);
}

static bool has_words(struct str text, const char *words)
{
    return text.len > 0 && memmem(text.p, text.len, words, strlen(words)) != NULL;
}

bool gateway_message_is_about_client(struct str reason)
{
    static const char *const words[] = {"not registered", "authorized", "No verified client",
                                        "Invalid signature"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (has_words(reason, words[i]))
            return true;
    return false;
}

void gateway_message_put_advice(struct buf *out, struct str reason, bool is_elsewhere)
{
    if (has_words(reason, "kachery-cloud-init") && !has_words(reason, "kachery-resource register"))
        buf_puts(out, is_elsewhere ? " (on the host that shares the file; or there: "
                                     "kachery-resource register)"
                                   : " (or: kachery-resource register)");
    else if (str_starts_with(reason, STR("Zone not found:")))
        buf_puts(out, " (see KACHERY_ZONE; for share, kacheryZone in its config)");
}

/* Appends the first line of a text answer, fit for a message; nothing of an HTML page. */
static void put_text_reason(struct buf *out, struct str text)
{
    if (str_starts_with(text, STR("Error: ")))
        text = str_slice(text, 7, text.len);
    text = str_trim(str_slice(text, 0, str_find(text, '\n')));
    /* "Invalid request: {…}" repeats all of our request, with its signature. */
    if (str_starts_with(text, STR("Invalid request:")) && memchr(text.p, '{', text.len) != NULL)
        text = STR("Invalid request");
    if (text.len == 0 || text.p[0] == '<' || text.p[0] == '{' || !str_is_utf8(text))
        return;
    fs_put_printable(out, str_cut(text, GATEWAY_MAX_REASON_BYTES));
    gateway_message_put_advice(out, text, false);
}

int gateway_message_refusal(int status, struct str text, struct err *e)
{
    struct buf reason = {0};
    bool may_pass;

    put_text_reason(&reason, text);
    buf_cstr(&reason); /* its NUL may be what fails */
    may_pass = status == 408 || status == 429 || status > 500 ||
               (status == 500 && (reason.len == 0 || !str_starts_with(text, STR("Error: "))));
    if (reason.failed)
        err_set(e, ERR_FAILED, "out of memory for the reason of a refusal");
    else if (gateway_message_is_refusal(status, text) && reason.len > 0)
        err_set(e, may_pass ? ERR_NETWORK : ERR_REFUSED, "%s", buf_cstr(&reason));
    else
        err_set(e, may_pass ? ERR_NETWORK : ERR_REFUSED, "%d %s%s%s", status,
                http_head_reason(status), reason.len > 0 ? ": " : "", buf_cstr(&reason));
    buf_free(&reason);
    return -1;
}

bool gateway_message_is_refusal(int status, struct str text)
{
    return (status == 500 && str_starts_with(text, STR("Error: "))) ||
           (status == 400 && str_starts_with(text, STR("Invalid request")));
}

bool gateway_message_put_secure_url(struct str url, struct str gateway_url, struct buf *out)
{
    struct url given, gateway;

    if (url_parse(&given, url, ERR_IGNORED) != 0 ||
        url_parse(&gateway, gateway_url, ERR_IGNORED) != 0 || url_is_tls(&given) ||
        url_is_websocket(&given) || !url_is_tls(&gateway) ||
        !str_equal_nocase(given.host, gateway.host) || given.userinfo.len > 0 ||
        (given.has_port && given.port != gateway.port))
        return false;
    buf_puts(out, "https://");
    url_put_host(out, &gateway);
    buf_put(out, given.target);
    return true;
}

int64_t gateway_message_skew(int64_t date_ms, int64_t now_ms)
{
    int64_t skew = date_ms - now_ms;

    if (date_ms < 0 || (skew <= GATEWAY_MAX_SKEW_MS && skew >= -GATEWAY_MAX_SKEW_MS))
        return 0;
    return skew;
}
