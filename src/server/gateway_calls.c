#include "server/gateway_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/sha1.h"
#include "server/gateway_api.h"
#include "server/zone_files.h"

enum { CHUNK_BYTES = 65536 };

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
        result = zone_files_authorization(ctx->site, zone, &settings, e);
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
static int object_size(const struct gateway_context *ctx, struct str key, int64_t *size,
                       struct err *e)
{
    struct buf path = {0};
    struct stat st;
    int result = 1;

    site_put_object_path(ctx->site, key, &path);
    if (lstat(buf_cstr(&path), &st) != 0)
        result = errno == ENOENT || errno == ENOTDIR
                     ? 0
                     : err_errno(e, ERR_FAILED, errno, "cannot look at an object");
    else if (!S_ISREG(st.st_mode))
        result = 0;
    else
        *size = (int64_t)st.st_size;
    buf_free(&path);
    return result;
}

/*
 * An object whose size is not the one that a client claims: is it the object that is wrong (a disk
 * lost its end, say) or the claim? Objects too large to be hashed in passing count as right. *seen
 * tells which file it was: meanwhile an upload may have replaced it.
 */
static bool is_damaged(const struct gateway_context *ctx, struct str key, struct str hash,
                       struct stat *seen)
{
    char chunk[CHUNK_BYTES], digits[SHA1_HEX + 1];
    struct buf path = {0};
    struct sha1 sha1;
    int64_t total = 0;
    ssize_t n = -1;
    int fd;

    site_put_object_path(ctx->site, key, &path);
    fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && fstat(fd, seen) != 0) {
        close(fd);
        fd = -1;
    }
    sha1_init(&sha1);
    while (fd >= 0 && total <= GATEWAY_API_MAX_CHECKED_BYTES &&
           (n = read(fd, chunk, sizeof chunk)) > 0) {
        sha1_update(&sha1, chunk, (size_t)n);
        total += n;
    }
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    sha1_final_hex(&sha1, digits);
    if (n != 0 || str_equal(str_of(digits), hash))
        return false;
    log_line(LOG_WARN, "damaged object sha1=%.*s bytes=%lld", STR_ARG(hash), (long long)total);
    return true;
}

static void put_key(const struct site_zone *zone, struct str hash, struct buf *key)
{
    char digits[SHA1_HEX + 1] = {0};

    memcpy(digits, hash.p, SHA1_HEX);
    site_put_object_key(zone, digits, key);
}

static void put_url(const struct gateway_context *ctx, const char *member, bool is_put,
                    struct str key, int64_t size, struct buf *answer)
{
    struct signed_url signed_url = {.is_put = is_put,
                                    .object_key = key,
                                    .size = is_put ? size : 0,
                                    .expires_ms = ctx->wall_ms +
                                                  (is_put ? SIGNED_URL_PUT_MS : SIGNED_URL_GET_MS)};
    struct buf url = {0};

    signed_url_put(&url, ctx->base_url, ctx->site->url_key, &signed_url);
    json_put_str(answer, member, buf_str(&url));
    buf_free(&url);
}

static void open_answer(const struct gateway_request *r, struct buf *answer)
{
    json_open(answer, '{');
    json_put_str(answer, "type", r->type);
}

/* ---- calls ---- */

static void put_found(const struct gateway_context *ctx, struct str key, int64_t size,
                      struct buf *answer)
{
    struct buf bucket = {0};

    buf_put(&bucket, ctx->base_url);
    buf_puts(&bucket, "/bucket");
    json_put_bool(answer, "found", true);
    json_put_int(answer, "size", size);
    json_put_str(answer, "bucketUri", buf_str(&bucket));
    json_put_str(answer, "objectKey", key);
    put_url(ctx, "url", false, key, size, answer);
    json_put_bool(answer, "cacheHit", false);
    buf_free(&bucket);
}

static int find_file(const struct gateway_context *ctx, const struct site_zone *zone,
                     const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct authorization settings;
    struct buf key = {0};
    int64_t size = 0;
    int found;

    /* Who asks matters only where downloads are not public: an unregistered client may download. */
    if (zone_files_authorization(ctx->site, zone, &settings, e) != 0)
        return -1;
    found =
        settings.allow_public_download ? 0 : authorize(ctx, zone, r, authorization_may_download, e);
    authorization_deinit(&settings);
    if (found != 0)
        return -1;
    put_key(zone, r->hash, &key);
    found = object_size(ctx, buf_str(&key), &size, e);
    if (found >= 0) {
        open_answer(r, answer);
        if (found == 1)
            put_found(ctx, buf_str(&key), size, answer);
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
    if (r->size > GATEWAY_API_MAX_FILE_BYTES)
        return err_set(e, ERR_REFUSED, "File too large: %lld > %lld", (long long)r->size,
                       (long long)GATEWAY_API_MAX_FILE_BYTES);
    return authorize(ctx, zone, r, authorization_may_upload, e);
}

static int initiate(const struct gateway_context *ctx, const struct site_zone *zone,
                    const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct buf key = {0};
    struct stat seen;
    int64_t size = 0;
    int found;

    if (check_upload(ctx, zone, r, e) != 0)
        return -1;
    put_key(zone, r->hash, &key);
    found = object_size(ctx, buf_str(&key), &size, e);
    if (found == 1 && size != r->size && is_damaged(ctx, buf_str(&key), r->hash, &seen))
        found = 0; /* the upload will replace it */
    if (found >= 0) {
        open_answer(r, answer);
        json_put_bool(answer, "alreadyExists", found == 1);
        if (found == 0) {
            json_put_str(answer, "objectKey", buf_str(&key));
            put_url(ctx, "signedUploadUrl", true, buf_str(&key), r->size, answer);
        }
        json_close(answer, '}');
    }
    buf_free(&key);
    return found < 0 ? -1 : 0;
}

/* The words of the deployed gateway, which also deletes the object: ours does so only when it is
 * the object that is wrong, or any uploader could delete what others uploaded. */
static int refuse_size(const struct gateway_context *ctx, struct str key, int64_t size,
                       const struct gateway_request *r, struct err *e)
{
    struct buf path = {0};
    struct stat seen, now;

    if (is_damaged(ctx, key, r->hash, &seen)) {
        site_put_object_path(ctx->site, key, &path);
        if (lstat(buf_cstr(&path), &now) == 0 && now.st_ino == seen.st_ino &&
            now.st_dev == seen.st_dev)
            unlink(buf_cstr(&path));
        buf_free(&path);
    }
    return err_set(e, ERR_REFUSED, "Unexpected object size: %lld <> %lld", (long long)size,
                   (long long)r->size);
}

static int finalize(const struct gateway_context *ctx, const struct site_zone *zone,
                    const struct gateway_request *r, struct buf *answer, struct err *e)
{
    struct buf key = {0};
    int64_t size = 0;
    int result, found;

    if (check_upload(ctx, zone, r, e) != 0)
        return -1;
    put_key(zone, r->hash, &key);
    if (!str_equal(buf_str(&key), r->object_key))
        result = err_set(e, ERR_REFUSED, "Unexpected object key: %.*s", STR_ARG(r->object_key));
    else if ((found = object_size(ctx, buf_str(&key), &size, e)) <= 0)
        result =
            found < 0 ? -1 : err_set(e, ERR_REFUSED, "Error getting metadata for object: null");
    else
        result = size == r->size ? 0 : refuse_size(ctx, buf_str(&key), size, r, e);
    buf_free(&key);
    if (result != 0)
        return -1;
    open_answer(r, answer);
    json_close(answer, '}');
    log_line(LOG_INFO, "uploaded sha1=%.*s bytes=%lld client=%.*s", STR_ARG(r->hash),
             (long long)size, STR_ARG(r->from_client_id));
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
    put_key(zone, r->hash, &key);
    site_put_object_path(ctx->site, buf_str(&key), &path);
    if (unlink(buf_cstr(&path)) != 0) {
        is_missing = errno == ENOENT || errno == ENOTDIR;
        if (!is_missing)
            result = err_errno(e, ERR_FAILED, errno, "cannot delete the object");
    } else if (fs_sync_parent(buf_cstr(&path), e) != 0) {
        result = -1;
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

static int get_info(const struct gateway_context *ctx, const struct gateway_request *r,
                    struct buf *answer, struct err *e)
{
    bool is_client = r->call == GATEWAY_CLIENT_INFO;
    struct zone_record record = {0};
    struct site_zone zone = {0};
    int result = zone_files_zone(ctx->site, r->zone, &zone, e);

    if (result == 0)
        result = is_client ? zone_files_client(ctx->site, &zone, r->client_id, &record, e)
                           : zone_files_resource(ctx->site, &zone, r->resource_name, &record, e);
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

int gateway_calls_run(const struct gateway_context *ctx, const struct gateway_request *r,
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
