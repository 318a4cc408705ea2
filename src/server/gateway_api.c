#include "server/gateway_api.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "proto/url.h"
#include "server/cors.h"
#include "server/gateway_calls.h"
#include "server/gateway_request.h"
#include "server/html.h"
#include "server/zone_files.h"
#include "zone/identity.h"

enum { MAX_LABEL_BYTES = 200 };

/* ---- POST /api/gateway ---- */

static int run(const struct site *site, const struct gateway_request *r, const struct str *host,
               int64_t wall_ms, struct buf *body, struct err *e)
{
    struct buf base = {0};
    struct gateway_context ctx = {.site = site, .wall_ms = wall_ms};
    int result = gateway_request_verify(r, wall_ms, e);

    site_put_base_url(site, host, &base);
    ctx.base_url = buf_str(&base);
    if (result == 0)
        result = site_check(site, e);
    if (result == 0)
        result = gateway_calls_run(&ctx, r, body, e);
    buf_free(&base);
    return result;
}

/* What one request comes to: status 200 and JSON, or 400 or 500 and text, in *body (appended).
 * `host` is the Host header's value or NULL. */
static int perform(const struct site *site, struct str request, const struct str *host,
                   int64_t wall_ms, struct buf *body)
{
    struct gateway_request r;
    struct err e = {0};
    int status = 200;

    if (gateway_request_parse(&r, request, body) != 0)
        return 400;
    if (run(site, &r, host, wall_ms, body, &e) != 0) {
        buf_clear(body);
        buf_printf(body, "Error: %s", e.msg);
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
        status = perform(owner, request->body, http_head_get(request->head, "Host"),
                         clock_wall_ms(), &body);
    else
        buf_puts(&body, "Invalid request: want Content-Type: application/json");
    http_conn_answer(conn, &(struct http_answer){
                               .status = status,
                               .content_type = status == 200 ? "application/json; charset=utf-8"
                                                             : "text/plain; charset=utf-8",
                               .body = buf_str(&body)});
    buf_free(&body);
}

/* ---- registration in the browser ---- */

static void answer_page(struct http_conn *conn, int status, struct str title, struct str text)
{
    struct buf body = {0};

    html_put_page(&body, title, text);
    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = "text/html; charset=utf-8",
                                                 .body = buf_str(&body)});
    buf_free(&body);
}

static void answer_client(struct http_conn *conn, const struct site_zone *zone,
                          const struct zone_record *client)
{
    struct buf text = {0};

    buf_printf(&text, "Client %.*s (%.*s) is registered in zone %.*s. Its owner is %.*s.",
               STR_ARG(client->name), STR_ARG(client->text), STR_ARG(zone->name),
               STR_ARG(client->owner));
    answer_page(conn, 200, STR("Registered client"), buf_str(&text));
    buf_free(&text);
}

/* What follows `prefix` in the path, if it is a client ID. */
static bool client_id_of(struct str path, struct str prefix, struct str *id)
{
    *id = str_slice(path, prefix.len, path.len);
    return hex_is_lower(*id, IDENTITY_CLIENT_ID_DIGITS);
}

static int find_zone(const struct site *site, struct str query, struct site_zone *zone,
                     struct err *e)
{
    struct str name = STR("");

    url_query_get(query, STR("zone"), &name);
    return zone_files_zone(site, name, zone, e);
}

static void on_client(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct site *site = owner;
    struct zone_record client;
    struct site_zone zone = {0};
    struct err e = {0};
    struct str id;

    if (client_id_of(request->path, STR("/client/"), &id) &&
        find_zone(site, request->query, &zone, &e) == 0 &&
        zone_files_client(site, &zone, id, &client, &e) == 0) {
        answer_client(conn, &zone, &client);
        zone_files_record_deinit(&client);
    } else {
        answer_page(conn, 404, STR("Unknown client"), STR("No such client is registered here."));
    }
    zone_files_zone_deinit(&zone);
}

static int register_client(const struct site *site, const struct http_request *request,
                           struct str id, struct site_zone *zone, struct str label, struct err *e)
{
    struct str signature = STR("");
    struct zone_record client = {
        .name = id, .owner = STR("local"), .text = label, .created_ms = clock_wall_ms()};

    url_query_get(request->query, STR("signature"), &signature);
    if (!identity_verify(id, STR("{\"type\":\"addClient\"}"), signature))
        return err_set(e, ERR_REFUSED, "The signature in the link is not right.");
    if (!site->is_open)
        return err_set(e, ERR_REFUSED, "Registration is closed: ask who runs this gateway.");
    if (find_zone(site, request->query, zone, e) != 0)
        return -1;
    if (label.len > MAX_LABEL_BYTES || !str_is_utf8(label))
        return err_set(e, ERR_REFUSED, "The label is not UTF-8 or longer than %d bytes.",
                       MAX_LABEL_BYTES);
    return zone_files_add_client(site, zone, &client, e);
}

static void on_register(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct site *site = owner;
    struct buf label = {0};
    struct zone_record client;
    struct site_zone zone = {0};
    struct err e = {0};
    struct str id, encoded = STR("");

    if (!client_id_of(request->path, STR("/registerClient/"), &id)) {
        answer_page(conn, 404, STR("Not registered"), STR("The link has no client ID."));
        return;
    }
    url_query_get(request->query, STR("label"), &encoded);
    url_put_decoded(&label, encoded);
    if (register_client(site, request, id, &zone, buf_str(&label), &e) == 0 &&
        zone_files_client(site, &zone, id, &client, &e) == 0) {
        log_line(LOG_INFO, "registered client=%.*s label=%.*s", STR_ARG(id), STR_ARG(client.text));
        answer_client(conn, &zone, &client);
        zone_files_record_deinit(&client);
    } else {
        answer_page(conn,
                    e.code == ERR_REFUSED     ? 403
                    : e.code == ERR_NOT_FOUND ? 404
                                              : 500,
                    STR("Not registered"), str_of(e.msg));
    }
    zone_files_zone_deinit(&zone);
    buf_free(&label);
}

void gateway_api_put_routes(struct site *site, struct http_route routes[GATEWAY_API_ROUTES])
{
    routes[0] = (struct http_route){.method = "POST",
                                    .path = "/api/gateway",
                                    .max_body_bytes = GATEWAY_REQUEST_MAX_BYTES,
                                    .on_request = on_call,
                                    .is_public = true,
                                    .owner = site};
    routes[1] = (struct http_route){
        .method = "GET", .path = "/registerClient/", .on_request = on_register, .owner = site};
    routes[2] = (struct http_route){
        .method = "GET", .path = "/client/", .on_request = on_client, .owner = site};
    routes[3] = cors_route("/api/gateway");
}
