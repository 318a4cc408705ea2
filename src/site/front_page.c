#include "site/front_page.h"

#include <string.h>

#include "base/version.h"
#include "http/html.h"

static const char *server_kind(const struct front_page *page)
{
    if (page->has_proxy && page->has_gateway)
        return "hub";
    return page->has_proxy ? "proxy" : "gateway";
}

static void put_server_kind(const struct front_page *page, struct buf *out)
{
    buf_printf(out, "kachery-resource %s, version %s: ", server_kind(page), VERSION);
    if (!page->has_gateway) {
        buf_puts(out, "a resource proxy, which passes\n"
                      "requests for files on to the hosts that have them.\n");
        return;
    }
    buf_puts(out, page->has_proxy ? "a zone's gateway and a resource proxy\nin one.\n"
                                  : "a zone's gateway.\n");
    buf_printf(out, "Its zone is \"%s\"; registration is %s.\n", page->zone,
               page->is_open ? "open" : "closed (it runs without --open-registration)");
}

static void put_gateway_steps(const struct front_page *page, struct str base, struct buf *out)
{
    buf_printf(out, "\nOn every computer that takes part:\n\n    export KACHERY_GATEWAY_URL=%.*s\n",
               STR_ARG(base));
    if (strcmp(page->zone, "default") != 0)
        buf_printf(out, "    export KACHERY_ZONE=%s\n", page->zone);
    buf_puts(out, "    kachery-resource register\n");
}

static void put_proxy_steps(struct str base, struct buf *out)
{
    buf_printf(out,
               "\nOn the host with the files (NAME is of your choice, the secret is asked for):\n\n"
               "    kachery-resource link FILE...\n"
               "    kachery-resource init --name NAME --proxy-url %.*s\n"
               "    kachery-resource share\n"
               "\nElsewhere:\n\n"
               "    export KACHERY_RESOURCE_URL=%.*s/r/NAME\n"
               "    kachery-resource load sha1://... -o FILE\n",
               STR_ARG(base), STR_ARG(base));
}

static void put_front_text(const struct front_page *page, const struct http_request *request,
                           struct buf *out)
{
    struct buf base = {0};

    own_url_put(page->url, request->head, &base);
    put_server_kind(page, out);
    if (page->has_gateway)
        put_gateway_steps(page, buf_str(&base), out);
    if (page->has_proxy)
        put_proxy_steps(buf_str(&base), out);
    else
        buf_puts(out, "\nThen `kachery-resource store FILE` and `kachery-resource load sha1://...` "
                      "there.\n");
    out->failed |= base.failed;
    if (page->has_proxy)
        buf_puts(out, "\nGET /probe answers \"running.\" while it does.\n");
    buf_free(&base);
}

static void on_front_page(struct http_conn *conn, const struct http_request *request, void *owner)
{
    const struct http_header headers[] = {
        {STR("Cache-Control"), STR("no-cache")},
        {STR("Content-Security-Policy"), STR("default-src 'none'; frame-ancestors 'none'")},
        {STR("Vary"), STR("Accept")},
        {STR("X-Content-Type-Options"), STR("nosniff")},
    };
    const struct str *accept = http_head_get(request->head, "Accept");
    bool is_html = accept != NULL && accept->len > 0 &&
                   memmem(accept->p, accept->len, "text/html", 9) != NULL;
    const struct front_page *page = owner;
    struct buf text = {0}, body = {0}, title = {0};

    put_front_text(page, request, &text);
    if (is_html) {
        buf_printf(&title, "kachery-resource %s", server_kind(page));
        html_open(&body, buf_str(&title));
        html_put_lines(&body, buf_str(&text));
        html_close(&body);
        body.failed |= text.failed || title.failed;
    }
    http_conn_answer(conn, &(struct http_answer){
                               .status = 200,
                               .content_type = is_html ? "text/html; charset=utf-8"
                                                       : "text/plain; charset=utf-8",
                               .made = is_html ? &body : &text,
                               .headers = headers,
                               .header_count = sizeof headers / sizeof headers[0]});
    buf_free(&text);
    buf_free(&body);
    buf_free(&title);
}

struct http_route front_page_route(struct front_page *page)
{
    return (struct http_route){
        .method = "GET", .path = "/", .on_request = on_front_page, .owner = page};
}
