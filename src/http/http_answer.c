#include "http/http_answer.h"

#include <string.h>

#include "base/fs.h"
#include "proto/url.h"

enum { MAX_SHOWN_BYTES = 100, STATUS_LOG_IN = 511 /* RFC 6585 §6 */ };

static size_t find_nocase(struct str text, struct str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (str_equal_nocase(str_slice(text, i, i + part.len), part))
            return i;
    return text.len;
}

static bool has_text(struct str text, const char *part)
{
    return find_nocase(text, str_of(part)) < text.len;
}

/* Returns the page without a byte order mark and white space in front. */
static struct str beginning_of_page(struct str page)
{
    if (str_starts_with(page, STR("\xef\xbb\xbf")))
        page = str_slice(page, 3, page.len);
    while (page.len > 0 && strchr(" \t\r\n", page.p[0]) != NULL)
        page = str_slice(page, 1, page.len);
    return page;
}

/* Recognizes a page as browsers do (MIME Sniffing §7.1), and by the other beginnings of log-in
 * pages. XML is no page: buckets answer in it. */
static bool looks_like_page(struct str body)
{
    static const char *const tags[] = {"<!doctype html", "<html",  "<head",  "<body",   "<script",
                                       "<meta",          "<title", "<style", "<iframe", "<!--",
                                       "<center",        "<h1",    "<table", "<div",    "<p>"};
    struct str start = beginning_of_page(body);

    if (str_starts_with(body, STR("\xff\xfe<")) || str_starts_with(body, STR("\xfe\xff\0<")))
        return true; /* UTF-16, in which no service of ours speaks */
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (str_equal_nocase(str_slice(start, 0, strlen(tags[i])), str_of(tags[i])))
            return true;
    return false;
}

bool http_answer_is_page(const struct http_reply *a)
{
    if (a->body.len > 0 && looks_like_page(a->body))
        return true;
    /* Some buckets call an empty body HTML. */
    return a->head->content_length != 0 &&
           (http_head_is_content_type(a->head, "text/html") ||
            http_head_is_content_type(a->head, "application/xhtml+xml"));
}

/* ---- words ---- */

static struct str title_of(struct str page)
{
    size_t start = find_nocase(page, STR("<title"));

    page = str_slice(page, start, page.len);
    page = str_slice(page, str_find(page, '>') + 1, page.len);
    page = str_slice(page, 0, str_find(page, '<'));
    page = beginning_of_page(page);
    return str_trim(str_slice(page, 0, str_find(page, '\n')));
}

static void put_plain(struct buf *out, struct str text)
{
    text = str_cut(text, MAX_SHOWN_BYTES);
    if (str_is_utf8(text))
        fs_put_printable(out, text);
}

void http_answer_put_words(struct buf *out, const struct http_head *head, struct str page)
{
    const struct str *of_squid = http_head_get(head, "X-Squid-Error"); /* better than its page */

    page = beginning_of_page(page);
    if (of_squid != NULL)
        put_plain(out, *of_squid);
    else if (str_starts_with(page, STR("<")))
        put_plain(out, title_of(page));
    else
        put_plain(out, str_trim(str_slice(page, 0, str_find(page, '\n'))));
}

struct str http_answer_reason(const struct http_head *head)
{
    struct str reason = str_cut(str_trim(head->reason), MAX_SHOWN_BYTES);

    return reason.len > 0 && str_is_utf8(reason) ? reason : str_of(http_head_reason(head->status));
}

const char *http_answer_proxy_cure(int status, bool has_credentials)
{
    if (status == 407 || (status == 401 && has_credentials))
        return has_credentials ? " (it does not take the user name and password of the proxy's "
                                 "URL: are they percent-encoded there? @ is %40, : is %3A, % is "
                                 "%25)"
                               : " (put user:password@ into the proxy's URL)";
    if (status == 403)
        return " (it does not allow this host or port; no_proxy names hosts to reach without it)";
    if (status == 502 || status == 503 || status == 504)
        return " (it does not reach that host; no_proxy names hosts to reach without it)";
    return "";
}

bool http_answer_is_tls_record(struct str bytes)
{
    return bytes.len >= 2 && (bytes.p[0] == 0x15 || bytes.p[0] == 0x16) && bytes.p[1] == 3;
}

/* ---- whose it is ---- */

/* Proxies that name themselves, or do what only proxies do (RFC 9110 §11.7, RFC 9209). */
static bool is_of_proxy(const struct http_reply *a)
{
    static const char *const headers[] = {"X-Squid-Error", "Proxy-Authenticate", "Proxy-Status"};
    static const char *const names[] = {"squid",   "tinyproxy", "privoxy",  "polipo",
                                        "zscaler", "bluecoat",  "mitmproxy"};
    const struct str *server = http_head_get(a->head, "Server");

    if (a->proxy == NULL)
        return false;
    if (a->head->status == 407)
        return true;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (http_head_get(a->head, headers[i]) != NULL)
            return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((server != NULL && has_text(*server, names[i])) ||
            (http_answer_is_page(a) && has_text(a->body, names[i])))
            return true;
    return false;
}

static bool blame_proxy(const struct http_reply *a, struct err *e)
{
    int status = a->head->status;
    bool is_log_in = status == STATUS_LOG_IN || status / 100 == 3 ||
                     (status / 100 == 2 && http_answer_is_page(a));
    struct buf words = {0};

    http_answer_put_words(&words, a->head, a->body);
    err_set(e, status >= 500 && status != 501 ? ERR_NETWORK : ERR_REFUSED,
            "HTTP proxy %s answered %d %.*s%s%s%s%s", a->proxy, status,
            STR_ARG(http_answer_reason(a->head)), words.len > 0 ? ": " : "", buf_cstr(&words),
            http_answer_proxy_cure(status, a->has_credentials),
            is_log_in ? ": " HTTP_ANSWER_LOG_IN : "");
    buf_free(&words);
    return true;
}

/* Names of a host that are given in other case, or with a final dot, are the same. */
static bool is_same_host(struct str a, struct str b)
{
    if (str_ends_with(a, STR(".")))
        a.len--;
    if (str_ends_with(b, STR(".")))
        b.len--;
    return str_equal_nocase(a, b);
}

static bool blame_redirection(const struct http_reply *a, struct str location, struct err *e)
{
    struct buf target = {0}, shown = {0};
    struct url base, url;
    bool is_elsewhere = true;

    if (url_parse(&base, a->url, ERR_IGNORED) == 0)
        url_resolve(&target, &base, location);
    if (target.len > 0 && url_parse(&url, buf_str(&target), ERR_IGNORED) == 0) {
        url_put_label(&shown, &url);
        is_elsewhere = !is_same_host(base.host, url.host);
    } else {
        buf_puts(&shown, "what is no URL");
    }
    err_set(e, ERR_REFUSED, "%d %s to %s%s%s%s%s", a->head->status,
            http_head_reason(a->head->status), buf_cstr(&shown),
            a->setting != NULL ? ": correct " : "", a->setting != NULL ? a->setting : "",
            !is_elsewhere        ? ""
            : a->setting != NULL ? ", unless "
                                 : ": ",
            is_elsewhere ? HTTP_ANSWER_LOG_IN : "");
    http_answer_name_proxy(a, e);
    buf_wipe(&target);
    buf_free(&shown);
    return true;
}

static bool blame_page(const struct http_reply *a, struct err *e)
{
    struct buf title = {0};

    put_plain(&title, title_of(a->body));
    err_set(e, ERR_REFUSED, "%d %s: " HTTP_ANSWER_LOG_IN "%s%s%s%s%s", a->head->status,
            http_head_reason(a->head->status), title.len > 0 ? " (\"" : "", buf_cstr(&title),
            title.len > 0 ? "\")" : "", a->setting != NULL ? " If not, correct " : "",
            a->setting != NULL ? a->setting : "");
    http_answer_name_proxy(a, e);
    buf_free(&title);
    return true;
}

/* The words of nginx, Apache, Go and others, in plain HTTP on a port of TLS. */
static bool is_of_tls_port(const struct http_reply *a)
{
    static const char *const words[] = {
        "HTTP request was sent to HTTPS port", "plain HTTP to an SSL-enabled server port",
        "HTTP request to an HTTPS server", "requires TLS", "HTTPS required"};

    if (a->head->status < 400 || str_equal_nocase(str_slice(a->url, 0, 5), STR("https")) ||
        str_equal_nocase(str_slice(a->url, 0, 3), STR("wss")))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (has_text(a->body, words[i]))
            return true;
    return false;
}

/* A web server without such a service. */
static bool blame_url(const struct http_reply *a, struct err *e)
{
    struct buf words = {0};
    bool is_page = http_answer_is_page(a);

    if (!is_page)
        http_answer_put_words(&words, a->head, a->body);
    err_set(e, ERR_REFUSED, "%d %s%s%s: no %s there%s: correct %s", a->head->status,
            http_head_reason(a->head->status), words.len > 0 ? ": " : "", buf_cstr(&words),
            a->service, is_page ? ", but a web page" : "", a->setting);
    http_answer_name_proxy(a, e);
    buf_free(&words);
    return true;
}

bool http_answer_explain(const struct http_reply *a, struct err *e)
{
    const struct str *location = http_head_redirection(a->head);
    const char *setting = a->setting != NULL ? a->setting : "the URL";
    int status = a->head->status;

    if (is_of_proxy(a))
        return blame_proxy(a, e);
    if (location != NULL)
        return blame_redirection(a, *location, e);
    if (status == 407) {
        err_set(e, ERR_REFUSED,
                "407 %s: an HTTP proxy that no variable names is on the way: set http_proxy and "
                "https_proxy to its URL, with user:password@ in it",
                http_head_reason(status));
        return true;
    }
    if (status == STATUS_LOG_IN || (status / 100 == 2 && http_answer_is_page(a)))
        return blame_page(a, e);
    if (is_of_tls_port(a)) {
        err_set(e, ERR_REFUSED, "%d %s: this is a TLS port: use https:// (wss://) in %s", status,
                http_head_reason(status), setting);
        return true;
    }
    if (a->setting == NULL || status / 100 != 4)
        return false;
    if (status == 404 || status == 405)
        return blame_url(a, e);
    return http_answer_is_page(a) && blame_page(a, e);
}

int http_answer_name_proxy(const struct http_reply *a, struct err *e)
{
    struct err before;

    if (a->proxy == NULL)
        return -1;
    before = *e;
    return err_set(e, before.code, "%s (through HTTP proxy %s, which may have said so)", before.msg,
                   a->proxy);
}
