#include "gateway/gateway_api.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "bucket/check_asker.h"
#include "gateway/client_pages.h"
#include "gateway/gateway_calls.h"
#include "proto/gateway_request.h"
#include "http/cors.h"

/* ---- POST /api/gateway ---- */

/* Calls with more than this, which no client needs, do not wait: all that wait are kept. */
enum { MAX_WAITING_BYTES = 4096 };

/* A call whose answer waits until an object was checked; then it is run again. */
struct waiting_call {
    struct check_wait wait;
    struct http_conn *conn;
    const struct site *site;
    struct buf request, base_url;
};

static int run(const struct site *site, const struct gateway_request *r, struct str base_url,
               struct gateway_check *check, struct buf *body, struct err *e)
{
    const struct gateway_context ctx = {
        .site = site, .base_url = base_url, .wall_ms = clock_wall_ms(), .check = check};
    int result = gateway_request_verify(r, ctx.wall_ms, e);

    if (result == 0)
        result = site_check(site, e);
    return result == 0 ? gateway_calls_run(&ctx, r, body, e) : result;
}

/* Asks for the check that the call waits for. */
static int ask_for_check(struct waiting_call *call, const struct gateway_request *r,
                         const struct gateway_check *check)
{
    const struct check_request request = {r->from_client_id, check->size_bytes,
                                          buf_str(&check->key)};

    return check_asker_ask(call->site->asker, &request, &call->wait);
}

/* What one request comes to: status 200 and JSON, or 400 or 500 and text, in *body (appended).
 * 0: `call` (NULL: never) waits for a check. */
static int perform(const struct site *site, struct str request, struct str base_url,
                   struct waiting_call *call, struct buf *body)
{
    struct gateway_check check = {.size_bytes = 0};
    struct gateway_request r;
    struct err e = {0};
    int result, status = 200;

    if (gateway_request_parse(&r, request, body) != 0)
        return body->failed ? 500 : 400;
    result = run(site, &r, base_url, call == NULL ? NULL : &check, body, &e);
    if (result == GATEWAY_CALLS_WAIT && ask_for_check(call, &r, &check) == 0)
        status = 0;
    else if (result == GATEWAY_CALLS_WAIT)
        result = run(site, &r, base_url, NULL, body, &e); /* nobody is there to check it */
    if (result < 0) {
        buf_clear(body);
        buf_puts(body, "Error: ");
        site_put_public_error(site, &e, body);
        log_line(LOG_INFO, "refused %.*s client=%.*s: %s", STR_ARG(r.type),
                 STR_ARG(r.from_client_id), e.msg);
        status = 500;
    }
    buf_free(&check.key);
    gateway_request_deinit(&r);
    return status;
}

static void answer_call(struct http_conn *conn, int status, const struct buf *body)
{
    http_conn_answer(conn, &(struct http_answer){
                               .status = status,
                               .content_type = status == 200 ? "application/json; charset=utf-8"
                                                             : "text/plain; charset=utf-8",
                               .made = body});
}

static void free_call(struct waiting_call *call)
{
    buf_free(&call->request);
    buf_free(&call->base_url);
    free(call);
}

/* wait is the call's first member. */
static void on_checked(struct check_wait *wait)
{
    struct waiting_call *call = (struct waiting_call *)wait;
    struct buf body = {0};
    int status =
        perform(call->site, buf_str(&call->request), buf_str(&call->base_url), NULL, &body);

    answer_call(call->conn, status, &body);
    buf_free(&body);
    free_call(call);
}

static void on_caller_gone(void *ctx)
{
    struct waiting_call *call = ctx;

    check_asker_forget(call->site->asker, &call->wait);
    free_call(call);
}

static struct waiting_call *make_call(const struct site *site, struct http_conn *conn,
                                      const struct http_request *request)
{
    struct waiting_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    *call = (struct waiting_call){.wait = {.on_checked = on_checked},
                                  .conn = conn,
                                  .site = site};
    buf_put(&call->request, request->body);
    site_put_base_url(site, request->head, &call->base_url);
    if (!call->request.failed && !call->base_url.failed)
        return call;
    free_call(call);
    return NULL;
}

static void on_call(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct waiting_call *call = NULL;
    struct buf body = {0};
    int status = 400;

    if (!http_head_is_content_type(request->head, "application/json")) {
        buf_puts(&body, "Invalid request: want Content-Type: application/json");
    } else if ((call = make_call(owner, conn, request)) == NULL) {
        buf_puts(&body, "Error: out of memory");
        status = 500;
    } else {
        status = perform(owner, request->body, buf_str(&call->base_url),
                         request->body.len <= MAX_WAITING_BYTES ? call : NULL, &body);
    }
    if (status == 0) {
        http_conn_wait(conn, on_caller_gone, call);
    } else {
        answer_call(conn, status, &body);
        if (call != NULL)
            free_call(call);
    }
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
