#include "bucket/bucket_routes.h"

#include "base/clock.h"
#include "http/cors.h"
#include "proto/kachery_uri.h"
#include "proto/s3_error.h"

void bucket_routes_answer_error(struct http_conn *conn, int status, const char *code,
                                struct str message)
{
    struct buf body = {0};

    s3_error_put(&body, code, message);
    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = "application/xml",
                                                 .made = &body});
    buf_free(&body);
}

bool bucket_routes_check_url(const unsigned char *url_key, struct http_conn *conn,
                             const struct http_request *request, bool is_put,
                             struct signed_url *url, struct buf *decoded)
{
    struct str hash;

    switch (signed_url_check(url, request->path, request->query, is_put, url_key, clock_wall_ms(),
                             decoded)) {
    case SIGNED_URL_OK: break;
    case SIGNED_URL_UNKNOWN:
        bucket_routes_answer_error(conn, 500, "InternalError", STR("out of memory"));
        return false;
    case SIGNED_URL_EXPIRED:
        bucket_routes_answer_error(conn, 403, "AccessDenied", STR("Request has expired"));
        return false;
    case SIGNED_URL_BAD:
        bucket_routes_answer_error(
            conn, 403, "SignatureDoesNotMatch",
            STR("The request signature does not match the one of the URL."));
        return false;
    }
    if (kachery_uri_is_object_key(url->object_key, &hash))
        return true;
    bucket_routes_answer_error(conn, 404, "NoSuchKey", STR("The specified key does not exist."));
    return false;
}

bool bucket_routes_admits(const unsigned char *url_key, struct http_conn *conn,
                          const struct http_request *request, struct buf *client)
{
    bool is_put = str_equal(request->head->method, STR("PUT"));
    struct buf decoded = {0};
    struct signed_url url;
    bool admits = bucket_routes_check_url(url_key, conn, request, is_put, &url, &decoded);

    if (admits)
        buf_put(client, url.client);
    buf_free(&decoded);
    return admits;
}

void bucket_routes_put(struct bucket_routes *b, struct http_route routes[BUCKET_ROUTES])
{
    routes[0] = (struct http_route){.method = "PUT",
                                    .path = SIGNED_URL_PATH,
                                    .on_head = bucket_routes_upload,
                                    .is_public = true,
                                    .owner = b};
    routes[1] = (struct http_route){.method = "GET",
                                    .path = SIGNED_URL_PATH,
                                    .on_head = bucket_routes_download,
                                    .is_public = true,
                                    .owner = b};
    routes[2] = cors_route(SIGNED_URL_PATH);
}
