#include "gateway/gateway_api.h"

#include <stdlib.h>

#include "gateway/gateway_calls.h"
#include "http/cors.h"
#include "proto/gateway_request.h"

/* A client that waits for the answer to its call. */
struct caller {
    struct http_conn *conn;
    struct gateway_run *run;
};

static void answer_call(struct http_conn *conn, int status, const struct buf *body)
{
    http_conn_answer(conn, &(struct http_answer){
                               .status = status,
                               .content_type = status == 200 ? "application/json; charset=utf-8"
                                                             : "text/plain; charset=utf-8",
                               .made = body});
}

static void on_call_done(void *owner, int status, const struct buf *answer)
{
    struct caller *caller = owner;

    answer_call(caller->conn, status, answer);
    free(caller);
}

static void on_caller_gone(void *ctx)
{
    struct caller *caller = ctx;

    gateway_calls_cancel(caller->run);
    free(caller);
}

/* The status of an answer in *answer; 0: the caller waits. */
static int start_call(struct http_conn *conn, const struct http_request *request,
                      const struct gateway_site *site, struct buf *answer)
{
    struct caller *caller = calloc(1, sizeof *caller);
    struct buf base_url = {0};
    int status = 500;

    own_url_put(site->url, request->head, &base_url);
    if (caller == NULL || base_url.failed) {
        buf_puts(answer, "Error: out of memory");
    } else {
        const struct gateway_start start = {.site = site,
                                            .request = request->body,
                                            .base_url = buf_str(&base_url),
                                            .on_done = on_call_done,
                                            .owner = caller};
        caller->conn = conn;
        status = gateway_calls_start(&start, &caller->run, answer);
    }
    buf_free(&base_url);
    if (status == 0)
        http_conn_wait(conn, on_caller_gone, caller);
    else
        free(caller);
    return status;
}

static void on_gateway_call(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct buf body = {0};
    int status = 400;

    if (http_head_is_content_type(request->head, "application/json"))
        status = start_call(conn, request, owner, &body);
    else
        buf_puts(&body, "Invalid request: want Content-Type: application/json");
    if (status != 0)
        answer_call(conn, status, &body);
    buf_free(&body);
}

void gateway_api_put_routes(struct gateway_site *site,
                            struct http_route routes[GATEWAY_API_ROUTES])
{
    routes[0] = (struct http_route){.method = "POST",
                                    .path = "/api/gateway",
                                    .max_body_bytes = GATEWAY_REQUEST_MAX_BYTES,
                                    .on_request = on_gateway_call,
                                    .is_public = true,
                                    .owner = site};
    routes[1] = cors_route("/api/gateway");
    client_pages_put_routes(site, routes + 2);
}
