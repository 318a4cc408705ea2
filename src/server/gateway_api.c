#include "server/gateway_api.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/client_pages.h"
#include "server/cors.h"
#include "server/gateway_calls.h"
#include "server/gateway_request.h"

/* ---- POST /api/gateway ---- */

static int run(const struct site *site, const struct gateway_request *r,
               const struct http_head *head, int64_t wall_ms, struct buf *body, struct err *e)
{
    struct buf base = {0};
    struct gateway_context ctx = {.site = site, .wall_ms = wall_ms};
    int result = gateway_request_verify(r, wall_ms, e);

    site_put_base_url(site, head, &base);
    ctx.base_url = buf_str(&base);
    if (result == 0)
        result = site_check(site, e);
    if (result == 0)
        result = gateway_calls_run(&ctx, r, body, e);
    buf_free(&base);
    return result;
}

/* What one request comes to: status 200 and JSON, or 400 or 500 and text, in *body (appended). */
static int perform(const struct site *site, const struct http_request *request, int64_t wall_ms,
                   struct buf *body)
{
    struct gateway_request r;
    struct err e = {0};
    int status = 200;

    if (gateway_request_parse(&r, request->body, body) != 0)
        return 400;
    if (run(site, &r, request->head, wall_ms, body, &e) != 0) {
        buf_clear(body);
        buf_puts(body, "Error: ");
        site_put_public_error(site, &e, body);
        log_line(LOG_INFO, "refused %.*s client=%.*s: %s", STR_ARG(r.type),
                 STR_ARG(r.from_client_id), e.msg);
        status = 500;
    }
    gateway_request_deinit(&r);
    return status;
}

static void on_call(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf body = {0};
    int status = 400;

    if (http_head_is_content_type(request->head, "application/json"))
        status = perform(owner, request, clock_wall_ms(), &body);
    else
        buf_puts(&body, "Invalid request: want Content-Type: application/json");
    http_conn_answer(conn, &(struct http_answer){
                               .status = status,
                               .content_type = status == 200 ? "application/json; charset=utf-8"
                                                             : "text/plain; charset=utf-8",
                               .body = buf_str(&body)});
    buf_free(&body);
}

void gateway_api_put_routes(struct site *site, struct http_route routes[GATEWAY_API_ROUTES])
{
    routes[0] = (struct http_route){.method = "POST",
                                    .path = "/api/gateway",
                                    .max_body_bytes = GATEWAY_REQUEST_MAX_BYTES,
                                    .on_request = on_call,
                                    .is_public = true,
                                    .owner = site};
    routes[1] = cors_route("/api/gateway");
    client_pages_put_routes(site, routes + 2);
}
