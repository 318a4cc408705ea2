#include "gateway/client_pages.h"

#include <stdlib.h>
#include <string.h>

#include "access/zone_files.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "gateway/page_token.h"
#include "http/html.h"
#include "http/own_host.h"
#include "proto/extensions.h"
#include "proto/url.h"
#include "proto/signature.h"

enum { QUOTED_BYTES = 64 }; /* of what somebody sent, in an answer */

/* The parts of a registration link. The strings are borrowed from the visit's target. */
struct registration_link {
    struct str id, signature, zone, encoded_label;
    struct buf label;
};

/* A request for one of the pages, while the bucket is asked. */
struct visit {
    const struct gateway_site *site;
    struct http_conn *conn;
    bool wants_text, knows_scheme;
    bool is_post, is_meant; /* a POST that did not come from another site's page */
    struct buf target, base_url;
    struct str zone_name; /* in the target */
    struct registration_link link;
    struct zone zone;
    struct zone_record client;
    struct zone_reading zone_file, client_file, again_file, new_file;
    struct err e; /* of these */
};

/* ---- answers ---- */

/* Tells our own client and curl from pages: without a preflight, which is refused, no page sends a
 * header of its own. */
static bool sends_header(const struct http_head *head)
{
    const struct str *value = http_head_get(head, EXTENSIONS_REGISTER_HEADER);

    return value != NULL && str_equal(*value, STR("1"));
}

/* A program, not a browser, reads the answer. */
static bool wants_text(const struct http_head *head)
{
    const struct str *accept = http_head_get(head, "Accept");

    return sends_header(head) &&
           (accept == NULL || memmem(accept->p, accept->len, "text/html", 9) == NULL);
}

/* Nothing frames, keeps, guesses at or scripts these pages, and none tells another where it came
 * from: the link is in the address. */
static void send_client_page(struct http_conn *conn, int status, const char *type,
                             const struct buf *body)
{
    const struct http_header headers[] = {
        {STR("Cache-Control"), STR("no-store")},
        {STR("Content-Security-Policy"),
         STR("default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")},
        {STR("Referrer-Policy"), STR("no-referrer")},
        {STR("X-Content-Type-Options"), STR("nosniff")},
        {STR("X-Frame-Options"), STR("DENY")},
    };

    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = type,
                                                 .made = body,
                                                 .headers = headers,
                                                 .header_count =
                                                     sizeof headers / sizeof headers[0]});
}

static void answer_page(struct http_conn *conn, bool wants_words, int status, struct str title,
                        struct str text)
{
    struct buf body = {0};

    if (wants_words) {
        buf_put(&body, text);
        buf_putc(&body, '\n');
        send_client_page(conn, status, "text/plain; charset=utf-8", &body);
    } else {
        html_put_page(&body, title, text);
        send_client_page(conn, status, "text/html; charset=utf-8", &body);
    }
    buf_free(&body);
}

/* The log has what strangers are not to know: paths, and what the disk said. */
static void answer_visit_error(const struct visit *v, int status, struct str title,
                               const struct err *e)
{
    if (status < 500) {
        answer_page(v->conn, v->wants_text, status, title, str_of(e->msg));
        return;
    }
    log_line(LOG_ERROR, "client page: %s", e->msg);
    answer_page(v->conn, v->wants_text, status, title,
                STR("The server could not read or write what it needed to: its log says why."));
}

static void answer_client(const struct visit *v)
{
    const struct zone_record *client = &v->client;
    struct buf text = {0};
    struct err e = {0};

    buf_printf(&text, "Client %.*s (%.*s) is registered in zone %.*s. Its owner is %.*s.",
               STR_ARG(client->name), STR_ARG(client->text), STR_ARG(v->zone.name),
               STR_ARG(client->owner));
    if (buf_check(&text, &e) != 0)
        answer_visit_error(v, 500, STR("Unknown"), &e);
    else
        answer_page(v->conn, v->wants_text, 200, STR("Registered client"), buf_str(&text));
    buf_free(&text);
}

static int status_of_error(const struct err *e)
{
    return e->code == ERR_REFUSED ? 403 : e->code == ERR_NOT_FOUND ? 404 : 500;
}

/* ---- the link ---- */

/* Returns whether a client ID follows `prefix` in the path. */
static bool client_id_of(struct str path, struct str prefix, struct str *id)
{
    *id = str_slice(path, prefix.len, path.len);
    return hex_is_lower(*id, SIGNATURE_CLIENT_ID_DIGITS);
}

static bool parse_registration_link(struct registration_link *link, struct str path,
                                    struct str query)
{
    *link =
        (struct registration_link){.signature = STR(""), .zone = STR(""), .encoded_label = STR("")};
    if (!client_id_of(path, STR("/registerClient/"), &link->id))
        return false;
    url_query_get(query, STR("signature"), &link->signature);
    url_query_get(query, STR("zone"), &link->zone);
    url_query_get(query, STR("label"), &link->encoded_label);
    url_put_decoded(&link->label, link->encoded_label);
    return true;
}

/* Of a client that is not registered yet: may it be? */
static int check_newcomer(const struct visit *v, struct err *e)
{
    const struct buf *label = &v->link.label;

    if (!v->site->is_open)
        return err_set(e, ERR_REFUSED,
                       "Registration is closed: ask who runs this gateway to start it with "
                       "--open-registration.");
    if (buf_check(label, e) != 0)
        return -1;
    if (label->len > CLIENT_PAGES_MAX_LABEL_BYTES || !str_is_utf8(buf_str(label)))
        return err_set(e, ERR_REFUSED, "The label is not UTF-8 or longer than %d bytes.",
                       CLIENT_PAGES_MAX_LABEL_BYTES);
    return 0;
}

/* ---- the page with the button ---- */

/* All that the button does follows from this. None of it can hold a line feed. */
static void put_registration_text(struct buf *out, const struct registration_link *link)
{
    buf_printf(out, "registerClient\n%.*s\n%.*s\n%.*s\n%.*s", STR_ARG(link->id),
               STR_ARG(link->signature), STR_ARG(link->zone), STR_ARG(link->encoded_label));
}

/* The link as the shell takes it: in single quotes, which a target of ours has none of. */
static void put_curl(struct buf *out, const struct visit *v)
{
    buf_puts(out, "curl -X POST -H '" EXTENSIONS_REGISTER_HEADER ": 1' '");
    buf_put_buf(out, &v->base_url);
    for (struct str rest = buf_str(&v->target); rest.len > 0;
         rest = str_slice(rest, 1, rest.len)) {
        if (*rest.p == '\'')
            buf_puts(out, "%27");
        else
            buf_putc(out, *rest.p);
    }
    buf_putc(out, '\'');
}

static void put_button(struct buf *out, const struct visit *v)
{
    struct buf about = {0};

    put_registration_text(&about, &v->link);
    buf_puts(out, "<form method=\"post\">\n<input type=\"hidden\" name=\"token\" value=\"");
    out->failed |= about.failed;
    page_token_put(out, v->site->page_key, buf_str(&about), clock_wall_ms());
    buf_puts(out, "\">\n<button type=\"submit\">Register this client</button>\n</form>\n");
    buf_free(&about);
}

static void answer_button(const struct visit *v, int status)
{
    const struct registration_link *link = &v->link;
    struct buf body = {0}, text = {0};

    html_open(&body, STR("Register a client"));
    if (status != 200)
        html_put_paragraph(&body, STR("Not registered yet: the page was open for too long, or the "
                                      "button was not pressed on it. Press it here."));
    buf_printf(&text, "Client %.*s (%.*s) asks to be registered in zone %.*s. It may then upload "
                      "what the zone's settings let it. Go on only if it is yours.",
               STR_ARG(link->id), STR_ARG(buf_str(&link->label)), STR_ARG(v->zone.name));
    html_put_paragraph(&body, buf_str(&text));
    body.failed |= text.failed;
    put_button(&body, v);
    html_put_paragraph(&body, STR("The same on a host without a browser:"));
    buf_clear(&text);
    put_curl(&text, v);
    html_put_lines(&body, buf_str(&text));
    if (!v->knows_scheme)
        html_put_paragraph(&body, STR("Write https:// there if this page's address begins so."));
    html_close(&body);
    body.failed |= text.failed;
    send_client_page(v->conn, status, "text/html; charset=utf-8", &body);
    buf_free(&body);
    buf_free(&text);
}

/* ---- visits ---- */

static void free_visit(struct visit *v)
{
    zone_files_free_reading(&v->zone_file);
    zone_files_free_reading(&v->client_file);
    zone_files_free_reading(&v->new_file);
    zone_files_free_reading(&v->again_file);
    zone_files_free_record(&v->client);
    zone_files_free_zone(&v->zone);
    buf_free(&v->link.label);
    buf_free(&v->target);
    buf_free(&v->base_url);
    free(v);
}

static void on_visitor_gone(void *ctx)
{
    free_visit(ctx);
}

static void set_visit_callback(struct visit *v, struct zone_reading *reading,
                               void (*on_done)(void *owner))
{
    reading->file.call.on_done = on_done;
    reading->file.call.owner = v;
    reading->file.call.e = &v->e;
}

/* All that is needed of the request when the bucket has answered. */
static struct visit *make_visit(const struct gateway_site *site, struct http_conn *conn,
                                const struct http_request *request, bool is_post)
{
    struct visit *v = calloc(1, sizeof *v);

    if (v == NULL)
        return NULL;
    v->site = site;
    v->conn = conn;
    v->is_post = is_post;
    v->wants_text = wants_text(request->head);
    v->knows_scheme = own_url_knows_scheme(site->url, request->head);
    buf_put(&v->target, request->path);
    if (request->query.len > 0) {
        buf_putc(&v->target, '?');
        buf_put(&v->target, request->query);
    }
    own_url_put(site->url, request->head, &v->base_url);
    if (!v->target.failed && !v->base_url.failed)
        return v;
    free_visit(v);
    return NULL;
}

static void split_visit_target(const struct visit *v, struct str *path, struct str *query)
{
    struct str target = buf_str(&v->target);
    size_t question = str_find(target, '?');

    *path = str_slice(target, 0, question);
    *query = str_slice(target, question + 1, target.len);
}

static void answer_no_memory(struct http_conn *conn, const struct http_request *request)
{
    answer_page(conn, wants_text(request->head), 500, STR("Unknown"),
                STR("The server is out of memory."));
}

/* The zone's name is v->zone_name; then the client of that ID is looked for. True: the bucket was
 * asked. */
static bool ask_for_client(struct visit *v, struct str id, struct err *e)
{
    struct bucket *bucket = v->site->bucket;
    bool is_own = zone_files_is_own(v->site->zone, v->zone_name);

    if (!is_own && v->zone.name.len == 0)
        return zone_files_ask_zone(bucket, v->zone_name, &v->zone_file, e) == 0;
    if (is_own)
        v->zone = zone_files_own(v->site->zone);
    return zone_files_ask_client(bucket, &v->zone, id, &v->client_file, e) == 0;
}

static int take_visit_zone(struct visit *v, struct err *e)
{
    return zone_files_take_zone(&v->zone_file, v->site->zone, v->zone_name, &v->zone, e);
}

static void explain_zone(const struct visit *v, struct err *e)
{
    if (e->code == ERR_NOT_FOUND && v->zone.name.len == 0)
        err_set(e, ERR_NOT_FOUND,
                "This gateway has no zone \"%.*s\": set KACHERY_ZONE to one that it has (its own "
                "is \"%s\").",
                STR_ARG(str_cut(v->zone_name, QUOTED_BYTES)), v->site->zone);
}

/* ---- the link's page ---- */

static void refuse_registration(struct visit *v, struct err *e)
{
    explain_zone(v, e);
    answer_visit_error(v, status_of_error(e), STR("Not registered"), e);
    free_visit(v);
}

/* It was registered, by us or by another at the same moment. */
static void on_client_added(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (zone_files_take_client(&v->again_file, &v->client, &e) != 0) {
        answer_visit_error(v, 500, STR("Not registered"), &e);
    } else {
        log_line(LOG_INFO, "registered client=%.*s label=%.*s zone=%.*s", STR_ARG(v->link.id),
                 STR_ARG(v->client.text), STR_ARG(v->zone.name));
        answer_client(v);
    }
    free_visit(v);
}

static void on_client_written(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (zone_files_take_written(&v->new_file, &e) == 0 &&
        zone_files_ask_client(v->site->bucket, &v->zone, v->link.id, &v->again_file, &e) == 0)
        return;
    answer_visit_error(v, 500, STR("Not registered"), &e);
    free_visit(v);
}

static void register_client(struct visit *v)
{
    const struct zone_record fresh = {.name = v->link.id,
                                      .owner = STR("local"),
                                      .text = buf_str(&v->link.label),
                                      .created_ms = clock_wall_ms()};
    struct err e = {0};

    if (zone_files_add_client(v->site->bucket, &v->zone, &fresh, &v->new_file, &e) == 0)
        return;
    answer_visit_error(v, 500, STR("Not registered"), &e);
    free_visit(v);
}

static void on_registering_client(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (zone_files_take_client(&v->client_file, &v->client, &e) == 0) {
        answer_client(v);
    } else if (e.code != ERR_NOT_FOUND || check_newcomer(v, &e) != 0) {
        answer_visit_error(v, status_of_error(&e), STR("Not registered"), &e);
    } else if (v->is_post && v->is_meant) {
        register_client(v);
        return;
    } else {
        answer_button(v, v->is_post ? 403 : 200);
    }
    free_visit(v);
}

static void on_registration_zone(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (take_visit_zone(v, &e) != 0 || !ask_for_client(v, v->link.id, &e))
        refuse_registration(v, &e);
}

static bool check_host(struct http_conn *conn, const struct http_request *request,
                       const struct gateway_site *site)
{
    if (own_host_is(request->head, site->url->public_url))
        return true;
    answer_page(conn, wants_text(request->head), 421, STR("Not here"),
                STR("This server does not know the name under which it was asked. If it is one of "
                    "its own, it has to be started with --public-url; else use its address."));
    return false;
}

/* 1 or 0; -1 without memory. */
static int is_registration_meant(const struct http_request *request, const struct visit *v,
                                 struct err *e)
{
    struct str token = STR("");
    struct buf about = {0};
    int is_valid;

    if (sends_header(request->head))
        return 1;
    url_query_get(request->body, STR("token"), &token);
    put_registration_text(&about, &v->link);
    is_valid = about.failed ? -1
                            : page_token_check(token, v->site->page_key, buf_str(&about),
                                               clock_wall_ms());
    if (is_valid < 0)
        err_set(e, ERR_FAILED, "out of memory");
    buf_free(&about);
    return is_valid;
}

/* Checks from the request alone that the client made the link. */
static int check_registration_link(struct visit *v, const struct http_request *request,
                                   struct err *e)
{
    struct str path, query;
    int meant = 0;

    split_visit_target(v, &path, &query);
    if (!parse_registration_link(&v->link, path, query))
        return err_set(e, ERR_NOT_FOUND, "The link has no client ID.");
    v->zone_name = v->link.zone;
    if (!signature_is_right(v->link.id, STR("{\"type\":\"addClient\"}"), v->link.signature))
        return err_set(e, ERR_REFUSED, "The signature in the link is not right.");
    if (v->is_post)
        meant = is_registration_meant(request, v, e);
    v->is_meant = meant > 0;
    return meant < 0 ? -1 : 0;
}

static void on_registration_page(struct http_conn *conn, const struct http_request *request,
                                 const struct gateway_site *site, bool is_post)
{
    struct visit *v;
    struct err e = {0};

    if (!check_host(conn, request, site))
        return;
    v = make_visit(site, conn, request, is_post);
    if (v == NULL) {
        answer_no_memory(conn, request);
        return;
    }
    set_visit_callback(v, &v->zone_file, on_registration_zone);
    set_visit_callback(v, &v->client_file, on_registering_client);
    set_visit_callback(v, &v->new_file, on_client_written);
    set_visit_callback(v, &v->again_file, on_client_added);
    if (check_registration_link(v, request, &e) != 0) {
        answer_visit_error(v, status_of_error(&e), STR("Not registered"), &e);
        free_visit(v);
    } else if (!ask_for_client(v, v->link.id, &e)) {
        refuse_registration(v, &e);
    } else {
        http_conn_wait(conn, on_visitor_gone, v);
    }
}

static void on_register_get(struct http_conn *conn, const struct http_request *request,
                            void *owner)
{
    on_registration_page(conn, request, owner, false);
}

static void on_register_post(struct http_conn *conn, const struct http_request *request,
                             void *owner)
{
    on_registration_page(conn, request, owner, true);
}

/* No preflight is granted: a page of another origin sends neither the header nor a method that it
 * would need one for. */
static void on_preflight(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)owner;
    answer_page(conn, wants_text(request->head), 403, STR("Not allowed"),
                STR("Web pages of other origins have no access to registration."));
}

/* ---- a client's page ---- */

static void refuse_client(struct visit *v, struct err *e)
{
    explain_zone(v, e);
    if (e->code != ERR_NOT_FOUND)
        answer_visit_error(v, 500, STR("Unknown"), e);
    else
        answer_page(v->conn, v->wants_text, 404, STR("Unknown client"),
                    STR("No such client is registered here."));
    free_visit(v);
}

static void on_known_client(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (zone_files_take_client(&v->client_file, &v->client, &e) != 0) {
        refuse_client(v, &e);
        return;
    }
    answer_client(v);
    free_visit(v);
}

static void on_client_zone(void *owner)
{
    struct visit *v = owner;
    struct err e = {0};

    if (take_visit_zone(v, &e) != 0 || !ask_for_client(v, v->link.id, &e))
        refuse_client(v, &e);
}

static void on_client_page(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct visit *v = make_visit(owner, conn, request, false);
    struct str path, query;
    struct err e = {0};

    if (v == NULL) {
        answer_no_memory(conn, request);
        return;
    }
    set_visit_callback(v, &v->zone_file, on_client_zone);
    set_visit_callback(v, &v->client_file, on_known_client);
    split_visit_target(v, &path, &query);
    v->zone_name = STR("");
    url_query_get(query, STR("zone"), &v->zone_name);
    bool is_id = client_id_of(path, STR("/client/"), &v->link.id);
    if (!is_id)
        err_set(&e, ERR_NOT_FOUND, "no client ID");
    if (is_id && ask_for_client(v, v->link.id, &e))
        http_conn_wait(conn, on_visitor_gone, v);
    else
        refuse_client(v, &e);
}

void client_pages_put_routes(struct gateway_site *site,
                             struct http_route routes[CLIENT_PAGES_ROUTES])
{
    routes[0] = (struct http_route){.method = "GET",
                                    .path = "/registerClient/",
                                    .on_request = on_register_get,
                                    .owner = site};
    routes[1] = (struct http_route){.method = "POST",
                                    .path = "/registerClient/",
                                    .max_body_bytes = CLIENT_PAGES_MAX_FORM_BYTES,
                                    .on_request = on_register_post,
                                    .owner = site};
    routes[2] = (struct http_route){.method = "OPTIONS",
                                    .path = "/registerClient/",
                                    .on_request = on_preflight,
                                    .owner = site};
    routes[3] = (struct http_route){
        .method = "GET", .path = "/client/", .on_request = on_client_page, .owner = site};
}
