#include "gateway/gateway_calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/authorization.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sha1.h"
#include "bucket/check_asker.h"
#include "bucket/check_queue.h"
#include "bucket/object.h"
#include "bucket/zone_files.h"
#include "gateway/gateway_api.h"
#include "gateway/roster.h"

enum { CLIENT_DIGITS = 16 }; /* of a client ID, in a signed URL */

/* ---- who asks ---- */

/* The owner of the client that signed, or NULL in *user (caller frees) when nobody did. */
static int find_user(const struct gateway_context *ctx, const struct site_zone *zone,
                     const struct gateway_request *r, char **user, struct err *e)
{
    struct zone_record client;

    *user = NULL;
    if (r->from_client_id.len == 0)
        return 0;
    if (zone_files_client(ctx->site, zone, r->from_client_id, &client, e) != 0) {
        if (e->code == ERR_NOT_FOUND)
            err_set(e, ERR_REFUSED,
                    "Client not registered. Use kachery-cloud-init to register "
                    "this kachery-cloud client.");
        return -1;
    }
    *user = strndup(client.owner.p, client.owner.len);
    zone_files_record_deinit(&client);
    return *user == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

typedef int authorization_check(const struct authorization *a, const char *user, struct err *e);

static int authorize(const struct gateway_context *ctx, const struct site_zone *zone,
                     const struct gateway_request *r, authorization_check *check, struct err *e)
{
    struct authorization settings;
    char *user;
    int result = find_user(ctx, zone, r, &user, e);

    if (result == 0)
        result = authorization_read(&settings, ctx->site, zone, e);
    if (result == 0) {
        result = check(&settings, user, e);
        authorization_deinit(&settings);
    }
    free(user);
    return result;
}

/* ---- objects ---- */

/* 1 and the size, 0 when there is no such object, -1. A symbolic link is none: the bucket does not
 * follow it either, and an upload replaces it. */
static int look_at_object(const struct gateway_context *ctx, struct str key, struct stat *st,
                          struct err *e)
{
    struct buf path = {0};
    const char *name;
    int result = 1;

    site_put_object_path(ctx->site, key, &path);
    name = buf_path(&path, e);
    if (name == NULL)
        result = -1;
    else if (lstat(name, st) != 0)
        result = errno == ENOENT || errno == ENOTDIR
                     ? 0
                     : err_errno(e, ERR_FAILED, errno, "cannot look at an object");
    else if (!S_ISREG(st->st_mode))
        result = 0;
    buf_free(&path);
    return result;
}

enum upload_case {
    UPLOAD_FAILED = -1, /* *e says why */
    UPLOAD_ABSENT,
    UPLOAD_DAMAGED, /* there, but known not to have its hash */
    UPLOAD_THERE,   /* of the size that the client claims */
    UPLOAD_OTHER_SIZE,
    UPLOAD_WAIT /* to be asked again when it was checked */
};

/*
 * An object that nobody has checked as it is now may be damaged: a small one is checked before the
 * client is answered, a large one counts as good and is checked meanwhile. Nothing is read here.
 */
static bool waits_for_check(const struct gateway_context *ctx, const struct gateway_request *r,
                            struct str key, int64_t size)
{
    const struct check_request request = {r->from_client_id, size, key};

    if (ctx->check == NULL || ctx->site->asker == NULL)
        return false;
    if (size >= CHECK_LARGE_BYTES) {
        check_asker_ask(ctx->site->asker, &request, NULL);
        return false;
    }
    buf_put(&ctx->check->key, key);
    ctx->check->size_bytes = size;
    return true;
}

static enum upload_case judge_upload(const struct gateway_context *ctx,
                                     const struct gateway_request *r, struct str key,
                                     int64_t *size, struct err *e)
{
    struct stat st;
    int found = look_at_object(ctx, key, &st, e);

    if (found <= 0)
        return found < 0 ? UPLOAD_FAILED : UPLOAD_ABSENT;
    *size = (int64_t)st.st_size;
    switch (checked_get(ctx->site, key, &st, NULL, e)) {
    case CHECKED_FAILED: return UPLOAD_FAILED;
    case CHECKED_DAMAGED: return UPLOAD_DAMAGED;
    case CHECKED_UNKNOWN:
        if (waits_for_check(ctx, r, key, *size))
            return UPLOAD_WAIT;
        break;
    case CHECKED_GOOD: break;
    }
    return *size == r->size ? UPLOAD_THERE : UPLOAD_OTHER_SIZE;
}

static int put_key(const struct site_zone *zone, struct str hash, struct buf *key, struct err *e)
{
    char digits[SHA1_HEX + 1] = {0};

    memcpy(digits, hash.p, SHA1_HEX);
    site_put_object_key(zone, digits, key);
    return buf_check(key, e);
}

/* One to PUT names its client, so that what many use at once is told from what one uses. */
static void put_url(const struct gateway_context *ctx, const char *member,
                    const struct gateway_request *r, struct str key, struct buf *answer)
{
    bool is_put = r->call == GATEWAY_INITIATE_UPLOAD;
    struct signed_url signed_url = {.is_put = is_put,
                                    .object_key = key,
                                    .size = is_put ? r->size : 0,
                                    .client = str_slice(r->from_client_id, 0,
                                                        is_put ? CLIENT_DIGITS : 0),
                                    .expires_ms = ctx->wall_ms +
                                                  (is_put ? SIGNED_URL_PUT_MS : SIGNED_URL_GET_MS)};
    struct buf url = {0};

    signed_url_put(&url, ctx->base_url, ctx->site->url_key, &signed_url);
    json_put_buf(answer, member, &url);
    buf_free(&url);
}

static void open_answer(const struct gateway_request *r, struct buf *answer)
{
    json_open(answer, '{');
    json_put_str(answer, "type", r->type);
}

/* ---- calls ---- */

static void put_found(const struct gateway_context *ctx, const struct gateway_request *r,
                      struct str key, int64_t size, struct buf *answer)
{
    struct buf bucket = {0};

    buf_put(&bucket, ctx->base_url);
    buf_puts(&bucket, "/bucket");
    json_put_bool(answer, "found", true);
    json_put_int(answer, "size", size);
    json_put_buf(answer, "bucketUri", &bucket);
    json_put_str(answer, "objectKey", key);
    put_url(ctx, "url", r, key, answer);
    json_put_bool(answer, "cacheHit", false);
    buf_free(&bucket);
}

static int find_file(const struct gateway_context *ctx, const struct site_zone *zone,
                     const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct authorization settings;
    struct buf key = {0};
    struct stat st;
    int found;

    /* Who asks matters only where downloads are not public: an unregistered client may download. */
    if (authorization_read(&settings, ctx->site, zone, e) != 0)
        return -1;
    found =
        settings.allow_public_download ? 0 : authorize(ctx, zone, r, authorization_may_download, e);
    authorization_deinit(&settings);
    if (found != 0)
        return -1;
    found = put_key(zone, r->hash, &key, e);
    if (found == 0)
        found = look_at_object(ctx, buf_str(&key), &st, e);
    if (found == 1) {
        int is_damaged = checked_is_damaged(ctx->site, buf_str(&key), &st, e);
        /* It would only fail there: as it is, the zone does not have it. */
        found = is_damaged < 0 ? -1 : !is_damaged;
    }
    if (found >= 0) {
        open_answer(r, answer);
        if (found == 1)
            put_found(ctx, r, buf_str(&key), (int64_t)st.st_size, answer);
        else
            json_put_bool(answer, "found", false);
        json_close(answer, '}');
    }
    buf_free(&key);
    return found < 0 ? -1 : 0;
}

/* The checks of both ends of an upload, in the deployed gateway's order. */
static int check_upload(const struct gateway_context *ctx, const struct site_zone *zone,
                        const struct gateway_request *r, struct err *e)
{
    if (r->from_client_id.len == 0)
        return err_set(e, ERR_REFUSED, "No verified client ID or user ID");
    return authorize(ctx, zone, r, authorization_may_upload, e);
}

/* The words of the deployed gateway, which also deletes the object: then any uploader could delete
 * what others uploaded. */
static int refuse_size(const struct gateway_request *r, int64_t size, struct err *e)
{
    return err_set(e, ERR_REFUSED, "Unexpected object size: %lld <> %lld", (long long)size,
                   (long long)r->size);
}

static void put_initiated(const struct gateway_context *ctx, const struct gateway_request *r,
                          struct str key, bool exists, struct buf *answer)
{
    open_answer(r, answer);
    json_put_bool(answer, "alreadyExists", exists);
    if (!exists) {
        json_put_str(answer, "objectKey", key);
        put_url(ctx, "signedUploadUrl", r, key, answer);
    }
    json_close(answer, '}');
}

static int initiate(const struct gateway_context *ctx, const struct site_zone *zone,
                    const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct buf key = {0};
    int64_t size = 0;
    int result = 0;

    if (check_upload(ctx, zone, r, e) != 0)
        return -1;
    if (put_key(zone, r->hash, &key, e) != 0) {
        buf_free(&key);
        return -1;
    }
    switch (judge_upload(ctx, r, buf_str(&key), &size, e)) {
    case UPLOAD_FAILED: result = -1; break;
    case UPLOAD_WAIT: result = GATEWAY_CALLS_WAIT; break;
    case UPLOAD_ABSENT:
    case UPLOAD_DAMAGED: put_initiated(ctx, r, buf_str(&key), false, answer); break;
    case UPLOAD_THERE: put_initiated(ctx, r, buf_str(&key), true, answer); break;
    case UPLOAD_OTHER_SIZE: result = refuse_size(r, size, e); break;
    }
    buf_free(&key);
    return result;
}

static int judge_finalize(const struct gateway_context *ctx, const struct gateway_request *r,
                          struct str key, struct err *e)
{
    int64_t size = 0, removed;
    bool is_kept;

    if (!str_equal(key, r->object_key))
        return err_set(e, ERR_REFUSED, "Unexpected object key: %.*s", STR_ARG(r->object_key));
    switch (judge_upload(ctx, r, key, &size, e)) {
    case UPLOAD_FAILED: return -1;
    case UPLOAD_WAIT: return GATEWAY_CALLS_WAIT;
    case UPLOAD_ABSENT:
        return err_set(e, ERR_REFUSED, "Error getting metadata for object: null");
    case UPLOAD_DAMAGED:
        if (size == r->size)
            return err_set(e, ERR_REFUSED, "The object is damaged: upload it again");
        /* As deployed, the object goes; a good one that comes in its place now stays. */
        object_remove(ctx->site, key, &removed, &is_kept, NULL);
        return refuse_size(r, size, e);
    case UPLOAD_OTHER_SIZE: return refuse_size(r, size, e);
    case UPLOAD_THERE: break;
    }
    return 0;
}

static int finalize(const struct gateway_context *ctx, const struct site_zone *zone,
                    const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct buf key = {0};
    int result;

    if (check_upload(ctx, zone, r, e) != 0)
        return -1;
    result = put_key(zone, r->hash, &key, e);
    if (result == 0)
        result = judge_finalize(ctx, r, buf_str(&key), e);
    buf_free(&key);
    if (result != 0)
        return result;
    open_answer(r, answer);
    json_close(answer, '}');
    log_line(LOG_INFO, "uploaded sha1=%.*s bytes=%lld client=%.*s", STR_ARG(r->hash),
             (long long)r->size, STR_ARG(r->from_client_id));
    return 0;
}

static int delete_file(const struct gateway_context *ctx, const struct site_zone *zone,
                       const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct buf key = {0}, path = {0};
    int result = 0;
    bool is_missing = false;

    if (authorize(ctx, zone, r, authorization_may_administer, e) != 0)
        return -1;
    if (put_key(zone, r->hash, &key, e) == 0)
        site_put_object_path(ctx->site, buf_str(&key), &path);
    const char *name = key.failed ? NULL : buf_path(&path, e);
    if (name == NULL) {
        result = -1;
    } else if (unlink(name) != 0) {
        is_missing = errno == ENOENT || errno == ENOTDIR;
        if (!is_missing)
            result = err_errno(e, ERR_FAILED, errno, "cannot delete the object");
    } else {
        checked_forget(ctx->site, buf_str(&key));
        result = fs_sync_parent(name, e);
    }
    buf_free(&key);
    buf_free(&path);
    if (result != 0)
        return -1;
    open_answer(r, answer);
    json_put_bool(answer, "success", !is_missing);
    if (is_missing)
        json_put_str(answer, "error", STR("file not found"));
    json_close(answer, '}');
    log_line(LOG_INFO, "deleted sha1=%.*s client=%.*s", STR_ARG(r->hash),
             STR_ARG(r->from_client_id));
    return 0;
}

/* The four fields of a client or resource, under the call's own names. */
static void put_record(const char *member, const char *name_key, const char *text_key,
                       const struct zone_record *record, struct buf *answer)
{
    json_put_bool(answer, "found", true);
    json_open_member(answer, member, '{');
    json_put_str(answer, name_key, record->name);
    json_put_str(answer, "ownerId", record->owner);
    json_put_int(answer, "timestampCreated", record->created_ms);
    json_put_str(answer, text_key, record->text);
    json_close(answer, '}');
}

/* A registered record wins; else a daemon that is connected to this server under the name. */
static int find_resource(const struct gateway_context *ctx, const struct site_zone *zone,
                         struct str name, struct zone_record *record, struct err *e)
{
    bool is_own = str_equal(zone->name, str_of(ctx->site->zone));

    if (zone_files_resource(ctx->site, zone, name, record, e) == 0)
        return 0;
    if (e->code != ERR_NOT_FOUND || ctx->site->online == NULL ||
        !roster_find(ctx->site->online, name, zone->name, is_own, &record->created_ms))
        return -1;
    record->name = name;
    record->owner = STR("local");
    record->text = ctx->base_url;
    return 0;
}

static int get_info(const struct gateway_context *ctx, const struct gateway_request *r,
                    struct buf *answer, struct err *e)
{
    bool is_client = r->call == GATEWAY_CLIENT_INFO;
    struct zone_record record = {0};
    struct site_zone zone = {0};
    int result = zone_files_zone(ctx->site, r->zone, &zone, e);

    if (result == 0)
        result = is_client ? zone_files_client(ctx->site, &zone, r->client_id, &record, e)
                           : find_resource(ctx, &zone, r->resource_name, &record, e);
    if (result == 0 || e->code == ERR_NOT_FOUND) {
        open_answer(r, answer);
        if (result != 0)
            json_put_bool(answer, "found", false);
        else if (is_client)
            put_record("client", "clientId", "label", &record, answer);
        else
            put_record("resource", "resourceName", "proxyUrl", &record, answer);
        json_close(answer, '}');
        result = 0;
    }
    zone_files_record_deinit(&record);
    zone_files_zone_deinit(&zone);
    return result;
}

static int get_zone_info(const struct gateway_context *ctx, const struct gateway_request *r,
                         struct buf *answer, struct err *e)
{
    struct site_zone zone = {0};
    bool is_found = zone_files_zone(ctx->site, r->zone_name, &zone, e) == 0;

    zone_files_zone_deinit(&zone);
    if (!is_found && e->code != ERR_NOT_FOUND)
        return -1;
    open_answer(r, answer);
    json_put_bool(answer, "found", is_found);
    if (is_found)
        json_put_str(answer, "kacheryGatewayUrl", ctx->base_url);
    json_close(answer, '}');
    return 0;
}

static int run(const struct gateway_context *ctx, const struct gateway_request *r,
               struct buf *answer, struct err *e)
{
    struct site_zone zone;
    int result;

    if (r->call == GATEWAY_ZONE_INFO)
        return get_zone_info(ctx, r, answer, e);
    if (r->call == GATEWAY_CLIENT_INFO || r->call == GATEWAY_RESOURCE_INFO)
        return get_info(ctx, r, answer, e);
    if (zone_files_zone(ctx->site, r->zone, &zone, e) != 0)
        return -1;
    switch (r->call) {
    case GATEWAY_FIND_FILE: result = find_file(ctx, &zone, r, answer, e); break;
    case GATEWAY_INITIATE_UPLOAD: result = initiate(ctx, &zone, r, answer, e); break;
    case GATEWAY_FINALIZE_UPLOAD: result = finalize(ctx, &zone, r, answer, e); break;
    default: result = delete_file(ctx, &zone, r, answer, e);
    }
    zone_files_zone_deinit(&zone);
    return result;
}

int gateway_calls_run(const struct gateway_context *ctx, const struct gateway_request *r,
                      struct buf *answer, struct err *e)
{
    int result = run(ctx, r, answer, e);

    return result == 0 ? buf_check(answer, e) : result;
}
