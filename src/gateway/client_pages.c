#include "gateway/client_pages.h"

#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "bucket/zone_files.h"
#include "gateway/page_token.h"
#include "http/html.h"
#include "http/own_host.h"
#include "proto/extensions.h"
#include "proto/url.h"
#include "proto/signature.h"

enum { QUOTED_BYTES = 64 }; /* of what somebody sent, in an answer */

/* What a registration link says. The strings are borrowed from the request. */
struct link {
    struct str id, signature, zone, encoded_label;
    struct buf label;
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
static void answer(struct http_conn *conn, int status, const char *type, const struct buf *body)
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

static void answer_page(struct http_conn *conn, const struct http_request *request, int status,
                        struct str title, struct str text)
{
    struct buf body = {0};

    if (wants_text(request->head)) {
        buf_put(&body, text);
        buf_putc(&body, '\n');
        answer(conn, status, "text/plain; charset=utf-8", &body);
    } else {
        html_put_page(&body, title, text);
        answer(conn, status, "text/html; charset=utf-8", &body);
    }
    buf_free(&body);
}

/* The log has what strangers are not to know: paths, and what the disk said. */
static void answer_error(struct http_conn *conn, const struct http_request *request, int status,
                         struct str title, const struct err *e)
{
    if (status < 500) {
        answer_page(conn, request, status, title, str_of(e->msg));
        return;
    }
    log_line(LOG_ERROR, "client page: %s", e->msg);
    answer_page(conn, request, status, title,
                STR("The server could not read or write what it needed to: its log says why."));
}

static void answer_client(struct http_conn *conn, const struct http_request *request,
                          const struct site_zone *zone, const struct zone_record *client)
{
    struct buf text = {0};
    struct err e = {0};

    buf_printf(&text, "Client %.*s (%.*s) is registered in zone %.*s. Its owner is %.*s.",
               STR_ARG(client->name), STR_ARG(client->text), STR_ARG(zone->name),
               STR_ARG(client->owner));
    if (buf_check(&text, &e) != 0)
        answer_error(conn, request, 500, STR("Unknown"), &e);
    else
        answer_page(conn, request, 200, STR("Registered client"), buf_str(&text));
    buf_free(&text);
}

static int status_of(const struct err *e)
{
    return e->code == ERR_REFUSED ? 403 : e->code == ERR_NOT_FOUND ? 404 : 500;
}

/* ---- the link ---- */

/* What follows `prefix` in the path, if it is a client ID. */
static bool client_id_of(struct str path, struct str prefix, struct str *id)
{
    *id = str_slice(path, prefix.len, path.len);
    return hex_is_lower(*id, SIGNATURE_CLIENT_ID_DIGITS);
}

static bool link_parse(struct link *link, const struct http_request *request)
{
    *link = (struct link){.signature = STR(""), .zone = STR(""), .encoded_label = STR("")};
    if (!client_id_of(request->path, STR("/registerClient/"), &link->id))
        return false;
    url_query_get(request->query, STR("signature"), &link->signature);
    url_query_get(request->query, STR("zone"), &link->zone);
    url_query_get(request->query, STR("label"), &link->encoded_label);
    url_put_decoded(&link->label, link->encoded_label);
    return true;
}

static int find_zone(const struct site *site, struct str name, struct site_zone *zone,
                     struct err *e)
{
    if (zone_files_zone(site, name, zone, e) == 0)
        return 0;
    if (e->code == ERR_NOT_FOUND)
        err_set(e, ERR_NOT_FOUND,
                "This gateway has no zone \"%.*s\": set KACHERY_ZONE to one that it has (its own "
                "is \"%s\").",
                STR_ARG(str_cut(name, QUOTED_BYTES)), site->zone);
    return -1;
}

/* The link is one that the client made, for a zone that is here. *is_there: it was used before. */
static int check_link(const struct site *site, const struct link *link, struct site_zone *zone,
                      struct zone_record *client, bool *is_there, struct err *e)
{
    *is_there = false;
    if (!signature_is_right(link->id, STR("{\"type\":\"addClient\"}"), link->signature))
        return err_set(e, ERR_REFUSED, "The signature in the link is not right.");
    if (site_check(site, e) != 0 || find_zone(site, link->zone, zone, e) != 0)
        return -1;
    *is_there = zone_files_client(site, zone, link->id, client, e) == 0;
    if (*is_there)
        return 0;
    if (e->code != ERR_NOT_FOUND)
        return -1;
    if (!site->is_open)
        return err_set(e, ERR_REFUSED,
                       "Registration is closed: ask who runs this gateway to start it with "
                       "--open-registration.");
    if (buf_check(&link->label, e) != 0)
        return -1;
    if (link->label.len > CLIENT_PAGES_MAX_LABEL_BYTES || !str_is_utf8(buf_str(&link->label)))
        return err_set(e, ERR_REFUSED, "The label is not UTF-8 or longer than %d bytes.",
                       CLIENT_PAGES_MAX_LABEL_BYTES);
    return 0;
}

/* ---- the page with the button ---- */

/* All that the button does follows from this. None of it can hold a line feed. */
static void put_about(struct buf *out, const struct link *link)
{
    buf_printf(out, "registerClient\n%.*s\n%.*s\n%.*s\n%.*s", STR_ARG(link->id),
               STR_ARG(link->signature), STR_ARG(link->zone), STR_ARG(link->encoded_label));
}

/* The link as the shell takes it: in single quotes, which a target of ours has none of. */
static void put_curl(struct buf *out, const struct site *site, const struct http_request *request)
{
    buf_puts(out, "curl -X POST -H '" EXTENSIONS_REGISTER_HEADER ": 1' '");
    site_put_base_url(site, request->head, out);
    for (struct str rest = http_head_path(request->head); rest.len > 0;
         rest = str_slice(rest, 1, rest.len)) {
        if (*rest.p == '\'')
            buf_puts(out, "%27");
        else
            buf_putc(out, *rest.p);
    }
    buf_putc(out, '\'');
}

static void put_button(struct buf *out, const struct site *site, const struct link *link)
{
    struct buf about = {0};

    put_about(&about, link);
    buf_puts(out, "<form method=\"post\">\n<input type=\"hidden\" name=\"token\" value=\"");
    out->failed |= about.failed;
    page_token_put(out, site->url_key, buf_str(&about), clock_wall_ms());
    buf_puts(out, "\">\n<button type=\"submit\">Register this client</button>\n</form>\n");
    buf_free(&about);
}

static void answer_button(struct http_conn *conn, const struct http_request *request,
                          const struct site *site, const struct link *link,
                          const struct site_zone *zone, int status)
{
    struct buf body = {0}, text = {0};

    html_open(&body, STR("Register a client"));
    if (status != 200)
        html_put_paragraph(&body, STR("Not registered yet: the page was open for too long, or the "
                                      "button was not pressed on it. Press it here."));
    buf_printf(&text, "Client %.*s (%.*s) asks to be registered in zone %.*s. It may then upload "
                      "what the zone's settings let it. Go on only if it is yours.",
               STR_ARG(link->id), STR_ARG(buf_str(&link->label)), STR_ARG(zone->name));
    html_put_paragraph(&body, buf_str(&text));
    body.failed |= text.failed;
    put_button(&body, site, link);
    html_put_paragraph(&body, STR("The same on a host without a browser:"));
    buf_clear(&text);
    put_curl(&text, site, request);
    html_put_lines(&body, buf_str(&text));
    if (!site_knows_scheme(site, request->head))
        html_put_paragraph(&body, STR("Write https:// there if this page's address begins so."));
    html_close(&body);
    body.failed |= text.failed;
    answer(conn, status, "text/html; charset=utf-8", &body);
    buf_free(&body);
    buf_free(&text);
}

/* ---- requests ---- */

static bool check_host(struct http_conn *conn, const struct http_request *request,
                       const struct site *site)
{
    if (own_host_is(request->head, site->public_url))
        return true;
    answer_page(conn, request, 421, STR("Not here"),
                STR("This server does not know the name under which it was asked. If it is one of "
                    "its own, it has to be started with --public-url; else use its address."));
    return false;
}

/* 1 or 0; -1 without memory. */
static int is_meant(const struct http_request *request, const struct site *site,
                    const struct link *link, struct err *e)
{
    struct str token = STR("");
    struct buf about = {0};
    int is_valid;

    if (sends_header(request->head))
        return 1;
    url_query_get(request->body, STR("token"), &token);
    put_about(&about, link);
    is_valid = about.failed ? -1
                            : page_token_check(token, site->url_key, buf_str(&about),
                                               clock_wall_ms());
    if (is_valid < 0)
        err_set(e, ERR_FAILED, "out of memory");
    buf_free(&about);
    return is_valid;
}

static int add_client(const struct site *site, const struct site_zone *zone,
                      const struct link *link, struct zone_record *client, struct err *e)
{
    const struct zone_record fresh = {.name = link->id,
                                      .owner = STR("local"),
                                      .text = buf_str(&link->label),
                                      .created_ms = clock_wall_ms()};

    if (zone_files_add_client(site, zone, &fresh, e) != 0 ||
        zone_files_client(site, zone, link->id, client, e) != 0)
        return -1;
    log_line(LOG_INFO, "registered client=%.*s label=%.*s zone=%.*s", STR_ARG(link->id),
             STR_ARG(client->text), STR_ARG(zone->name));
    return 0;
}

static void on_link(struct http_conn *conn, const struct http_request *request,
                    const struct site *site, bool is_post)
{
    struct site_zone zone = {0};
    struct zone_record client = {0};
    struct link link = {0};
    struct err e = {0};
    bool is_there;
    int meant;

    if (!check_host(conn, request, site))
        return;
    if (!link_parse(&link, request))
        answer_page(conn, request, 404, STR("Not registered"), STR("The link has no client ID."));
    else if (check_link(site, &link, &zone, &client, &is_there, &e) != 0)
        answer_error(conn, request, status_of(&e), STR("Not registered"), &e);
    else if (is_there)
        answer_client(conn, request, &zone, &client);
    else if (!is_post)
        answer_button(conn, request, site, &link, &zone, 200);
    else if ((meant = is_meant(request, site, &link, &e)) == 0)
        answer_button(conn, request, site, &link, &zone, 403);
    else if (meant < 0 || add_client(site, &zone, &link, &client, &e) != 0)
        answer_error(conn, request, 500, STR("Not registered"), &e);
    else
        answer_client(conn, request, &zone, &client);
    zone_files_record_deinit(&client);
    zone_files_zone_deinit(&zone);
    buf_free(&link.label);
}

static void on_register_get(struct http_conn *conn, const struct http_request *request,
                            void *owner)
{
    on_link(conn, request, owner, false);
}

static void on_register_post(struct http_conn *conn, const struct http_request *request,
                             void *owner)
{
    on_link(conn, request, owner, true);
}

/* No preflight is granted: a page of another origin sends neither the header nor a method that it
 * would need one for. */
static void on_preflight(struct http_conn *conn, const struct http_request *request, void *owner)
{
    (void)owner;
    answer_page(conn, request, 403, STR("Not allowed"),
                STR("Web pages of other origins have no access to registration."));
}

static void on_client(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct site *site = owner;
    struct zone_record client = {0};
    struct site_zone zone = {0};
    struct str id, zone_name = STR("");
    struct err e = {.code = ERR_NOT_FOUND};

    url_query_get(request->query, STR("zone"), &zone_name);
    if (client_id_of(request->path, STR("/client/"), &id) && site_check(site, &e) == 0 &&
        find_zone(site, zone_name, &zone, &e) == 0 &&
        zone_files_client(site, &zone, id, &client, &e) == 0)
        answer_client(conn, request, &zone, &client);
    else if (e.code != ERR_NOT_FOUND)
        answer_error(conn, request, 500, STR("Unknown"), &e);
    else
        answer_page(conn, request, 404, STR("Unknown client"),
                    STR("No such client is registered here."));
    zone_files_record_deinit(&client);
    zone_files_zone_deinit(&zone);
}

void client_pages_put_routes(struct site *site, struct http_route routes[CLIENT_PAGES_ROUTES])
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
        .method = "GET", .path = "/client/", .on_request = on_client, .owner = site};
}
