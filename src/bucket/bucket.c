#include "bucket/bucket.h"

#include "base/clock.h"
#include "http/cors.h"
#include "proto/s3_error.h"

void bucket_answer_error(struct http_conn *conn, int status, const char *code, const char *message)
{
    struct buf body = {0};

    s3_error_put(&body, code, str_of(message));
    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = "application/xml",
                                                 .made = &body});
    buf_free(&body);
}

bool bucket_check_url(const struct site *site, struct http_conn *conn,
                      const struct http_request *request, bool is_put, struct signed_url *url,
                      struct str *hash, struct buf *decoded)
{
    switch (signed_url_check(url, request->path, request->query, is_put, site->url_key,
                             clock_wall_ms(), decoded)) {
    case SIGNED_URL_OK: break;
    case SIGNED_URL_UNKNOWN:
        bucket_answer_error(conn, 500, "InternalError", "out of memory");
        return false;
    case SIGNED_URL_EXPIRED:
        bucket_answer_error(conn, 403, "AccessDenied", "Request has expired");
        return false;
    case SIGNED_URL_BAD:
        bucket_answer_error(conn, 403, "SignatureDoesNotMatch",
                            "The request signature does not match the one of the URL.");
        return false;
    }
    if (site_is_object_key(url->object_key, hash))
        return true;
    bucket_answer_error(conn, 404, "NoSuchKey", "The specified key does not exist.");
    return false;
}

bool bucket_admits(const struct site *site, struct http_conn *conn,
                   const struct http_request *request, struct buf *client)
{
    bool is_put = str_equal(request->head->method, STR("PUT"));
    struct buf decoded = {0};
    struct signed_url url;
    struct str hash;
    bool admits = bucket_check_url(site, conn, request, is_put, &url, &hash, &decoded);

    if (admits)
        buf_put(client, url.client);
    buf_free(&decoded);
    return admits;
}

void bucket_put_routes(struct site *site, struct http_route routes[BUCKET_ROUTES])
{
    routes[0] = (struct http_route){.method = "PUT",
                                    .path = SIGNED_URL_PATH,
                                    .on_head = bucket_upload,
                                    .is_public = true,
                                    .owner = site};
    routes[1] = (struct http_route){.method = "GET",
                                    .path = SIGNED_URL_PATH,
                                    .on_head = bucket_download,
                                    .is_public = true,
                                    .owner = site};
    routes[2] = cors_route(SIGNED_URL_PATH);
}
