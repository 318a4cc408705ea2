#include "doctor/route.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "http/connect.h"
#include "http/http_proxy.h"
#include "net/resolve.h"
#include "x509/trust.h"

enum { RESOLV_CONF_BYTES = 65536, DAY_S = 24 * 3600, EXPIRES_SOON_DAYS = 14 };

/* A stage under way: a look-up or a connection. */
struct walk {
    const struct route *route;
    struct url url;
    struct http_proxy proxy;
    struct addr_list addrs; /* of the host that is dialled */
    struct resolve resolve;
    struct connect *connect;
    struct stream *stream;
    enum io io;
    struct err e;
};

/* ---- reports ---- */

static enum doctor_check check_of_stage(const struct walk *w, enum doctor_check stage)
{
    return w->route->only == DOCTOR_CHECKS ? stage : w->route->only;
}

static bool fail_stage(const struct walk *w, enum doctor_check stage, const char *cure)
{
    probe_fail(w->route->probe, check_of_stage(w, stage), cure, "%s: %s", w->route->what, w->e.msg);
    return false;
}

static bool is_quiet(const struct walk *w)
{
    return w->route->only != DOCTOR_CHECKS;
}

/* ---- waiting ---- */

static bool is_walk_over(void *owner)
{
    const struct walk *w = owner;

    return w->io == IO_DONE || w->io == IO_ERR;
}

static void run_walk(struct walk *w)
{
    if (!is_walk_over(w) && loop_run_until(w->route->loop, is_walk_over, w, &w->e) != 0)
        w->io = IO_ERR;
}

static void step_look_up(void *owner)
{
    struct walk *w = owner;

    if (!is_walk_over(w))
        w->io = resolve_step(&w->resolve, clock_now_ms(), &w->addrs, &w->e);
}

static void step_walk_connection(void *owner)
{
    struct walk *w = owner;

    if (!is_walk_over(w))
        w->io = connect_step(w->connect, clock_now_ms(), &w->stream, &w->e);
}

/* ---- names ---- */

static void put_name_servers(struct buf *out)
{
    struct buf text = {0};
    size_t count = 0;

    if (fs_read_file("/etc/resolv.conf", RESOLV_CONF_BYTES, &text, ERR_IGNORED) == 0) {
        struct str rest = buf_str(&text);
        while (rest.len > 0) {
            struct str line = str_slice(rest, 0, str_find(rest, '\n'));
            rest = str_slice(rest, line.len + 1, rest.len);
            line = str_trim(line);
            if (!str_starts_with(line, STR("nameserver")))
                continue;
            buf_puts(out, count++ > 0 ? ", " : "name servers of /etc/resolv.conf: ");
            buf_put(out, str_trim(str_slice(line, sizeof "nameserver" - 1, line.len)));
        }
    }
    if (count == 0)
        buf_puts(out, "/etc/resolv.conf names no name server");
    buf_free(&text);
}

static void put_addresses(struct buf *out, const struct addr_list *addrs)
{
    for (size_t i = 0; i < addrs->count; i++) {
        buf_puts(out, i > 0 ? ", " : "");
        addr_put(out, &addrs->items[i]);
    }
}

static bool fail_look_up(struct walk *w, struct str host)
{
    const struct route *r = w->route;
    char cure[FINDING_MAX_BYTES];
    struct buf servers = {0};

    put_name_servers(&servers);
    if (w->e.code == ERR_NO_HOST)
        snprintf(cure, sizeof cure, "correct the host name \"%.*s\" in %s, or use one that is "
                 "known in this network", STR_ARG(host),
                 w->proxy.is_used ? "the HTTP proxy's URL (https_proxy, http_proxy)" : r->setting);
    else
        snprintf(cure, sizeof cure, "connect this host to its network, or correct "
                 "/etc/resolv.conf (or the host name \"%.*s\" in %s)", STR_ARG(host), r->setting);
    probe_fail(r->probe, check_of_stage(w, CHECK_NAMES), cure, "%s: %s; %s", r->what, w->e.msg,
               buf_cstr(&servers));
    buf_free(&servers);
    return false;
}

static bool look_up(struct walk *w)
{
    const struct route *r = w->route;
    const struct loop_wake wake = {r->loop, step_look_up, w};
    struct str host = w->proxy.is_used ? str_of(w->proxy.host) : w->url.host;
    uint16_t port = w->proxy.is_used ? w->proxy.port : w->url.port;
    struct addr literal;
    struct buf found = {0};

    w->io = IO_WANT_READ;
    if (resolve_start(&w->resolve, &wake, host, port, probe_answer_deadline_ms(r->probe), &w->e) !=
        0)
        w->io = IO_ERR;
    run_walk(w);
    resolve_cancel(&w->resolve);
    if (w->io == IO_ERR)
        return fail_look_up(w, host);
    put_addresses(&found, &w->addrs);
    if (!is_quiet(w) && addr_parse_literal(host, port, &literal))
        probe_ok(r->probe, CHECK_NAMES, "%s: %s needs none", r->what, buf_cstr(&found));
    else if (!is_quiet(w))
        probe_ok(r->probe, CHECK_NAMES, "%s: %.*s is %s", r->what, STR_ARG(host),
                 buf_cstr(&found));
    buf_free(&found);
    return true;
}

/* ---- connections ---- */

/* Connects to the server by this URL, which may lack the TLS of the real one. */
static bool connect_walk(struct walk *w, const struct url *url)
{
    const struct loop_wake wake = {w->route->loop, step_walk_connection, w};

    w->io = IO_WANT_READ;
    w->connect = connect_new(&wake, url, &w->proxy, w->route->for_requests && !url_is_tls(&w->url),
                             probe_answer_deadline_ms(w->route->probe), &w->e);
    if (w->connect == NULL)
        w->io = IO_ERR;
    else
        step_walk_connection(w);
    run_walk(w);
    connect_free(w->connect);
    w->connect = NULL;
    return w->io == IO_DONE;
}

static bool is_ipv6_alone(const struct addr_list *addrs)
{
    for (size_t i = 0; i < addrs->count; i++)
        if (addrs->items[i].storage.ss_family != AF_INET6)
            return false;
    return true;
}

static bool fail_connection(struct walk *w)
{
    const char *setting = w->route->setting;
    const char *more = is_ipv6_alone(&w->addrs)
                           ? " (this server has IPv6 addresses alone: does this host have IPv6?)"
                           : "";
    char cure[FINDING_MAX_BYTES];

    if (w->proxy.is_used)
        snprintf(cure, sizeof cure, "correct the HTTP proxy's URL (host, port, user, password) in "
                 "https_proxy or http_proxy, or name %.*s in no_proxy", STR_ARG(w->url.host));
    else if (strstr(w->e.msg, "refused") != NULL)
        snprintf(cure, sizeof cure, "start the server there, or correct host and port in %s%s",
                 setting, more);
    else
        snprintf(cure, sizeof cure, "correct host and port in %s; ask whether a firewall keeps "
                 "this host from connecting there, or whether it wants an HTTP proxy "
                 "(https_proxy)%s", setting, more);
    return fail_stage(w, w->proxy.is_used ? CHECK_HTTP_PROXY : w->route->server, cure);
}

/* Reaches the server's port, through the HTTP proxy if there is one, without TLS. */
static bool reach_port(struct walk *w)
{
    const struct route *r = w->route;
    struct buf text = {0};
    struct url plain;

    buf_printf(&text, w->url.is_ipv6 ? "http://[%.*s]:%u" : "http://%.*s:%u", STR_ARG(w->url.host),
               (unsigned)w->url.port);
    if (buf_check(&text, &w->e) != 0 || url_parse(&plain, buf_str(&text), &w->e) != 0 ||
        !connect_walk(w, &plain)) {
        buf_free(&text);
        return fail_connection(w);
    }
    stream_free(w->stream);
    w->stream = NULL;
    buf_free(&text);
    if (!is_quiet(w) && w->proxy.is_used)
        probe_ok(r->probe, CHECK_HTTP_PROXY, "%s: through %s", r->what, w->proxy.endpoint);
    else if (!is_quiet(w))
        probe_ok(r->probe, CHECK_HTTP_PROXY, "%s: none", r->what);
    return true;
}

/* ---- TLS ---- */

static bool fail_tls(struct walk *w)
{
    static const struct {
        const char *words, *cure;
    } cures[] = {
        {"not among the trusted roots", "name the file of the lab's root certificates: caFile in "
                                        "the config, or SSL_CERT_FILE (in the crontab, too)"},
        {"an older one of the same name", "take the lab's present root certificate into caFile or "
                                          "SSL_CERT_FILE"},
        {"expired since", "let those who run the server renew its certificate, if this host's "
                          "clock (`date -u`) is right"},
        {"not yet valid", "set this host's clock (`date -u`, `timedatectl`), if it is not the "
                          "server's that is wrong"},
        {"is this an http port", "write http:// (ws://) instead of https:// (wss://), or take the "
                                 "port of TLS"},
        {"certificate is not for", "take the host name that the certificate names, or let those "
                                   "who run the server get one for this name"},
        {"PEM certificate", "correct the path in caFile, SSL_CERT_FILE or SSL_CERT_DIR"},
        {"caFile", "correct caFile in the config"},
        {"SSL_CERT", "correct SSL_CERT_FILE or SSL_CERT_DIR"},
        {"_BUNDLE", "correct the variable, or unset it"},
        {"no trusted certificates found", "install the package ca-certificates, or set "
                                          "SSL_CERT_FILE"},
        {"alert", "let the server allow TLS 1.2 (`kachery-resource help hub`)"},
        {"", "see `kachery-resource help troubleshooting`; is something between that reads TLS?"},
    };
    char cure[FINDING_MAX_BYTES];
    size_t i = 0;

    while (strstr(w->e.msg, cures[i].words) == NULL)
        i++;
    snprintf(cure, sizeof cure, "%s; the URL is that of %s", cures[i].cure, w->route->setting);
    return fail_stage(w, CHECK_TLS, cure);
}

static void report_certificate(const struct walk *w)
{
    const struct route *r = w->route;
    const struct tls *tls = stream_tls(w->stream);
    time_t expires = tls == NULL ? 0 : (time_t)tls_expires_s(tls);
    const struct trust *trust = trust_of_process(ERR_IGNORED);
    long long days = ((long long)expires - clock_wall_ms() / 1000) / DAY_S;
    char day[32] = "";
    struct buf origin = {0};
    struct tm tm;

    if (expires == 0 || trust == NULL || gmtime_r(&expires, &tm) == NULL ||
        strftime(day, sizeof day, "%Y-%m-%d %H:%M UTC", &tm) == 0) {
        probe_ok(r->probe, CHECK_TLS, "%s: accepted", r->what);
        return;
    }
    trust_put_origin(trust, &origin);
    if (days < EXPIRES_SOON_DAYS)
        probe_warn(r->probe, CHECK_TLS,
                   "let those who run the server renew its certificate before that day",
                   "%s: the certificate of %.*s expires %s, in %lld d", r->what,
                   STR_ARG(w->url.host), day, days);
    else
        probe_ok(r->probe, CHECK_TLS, "%s: certificate of %.*s until %s (%lld d), by %s", r->what,
                 STR_ARG(w->url.host), day, days, buf_cstr(&origin));
    buf_free(&origin);
}

/* Loopback, private (RFC 1918, RFC 4193, RFC 6598) and link-local networks. */
static bool is_private_address(const struct addr *a)
{
    unsigned char b[ADDR_V6_BYTES];

    if (!addr_to_v6(a, b))
        return true;
    const unsigned char *v4 = b + ADDR_MAPPED_BYTES;
    if (addr_is_mapped(b))
        return v4[0] == 127 || v4[0] == 10 || (v4[0] == 172 && v4[1] / 16 == 1) ||
               (v4[0] == 192 && v4[1] == 168) || (v4[0] == 169 && v4[1] == 254) ||
               (v4[0] == 100 && v4[1] / 64 == 1);
    static const unsigned char loopback[ADDR_V6_BYTES] = {[15] = 1};
    return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
           memcmp(b, loopback, sizeof loopback) == 0;
}

/* Plain text over a public network can be read there. */
static void report_plain(const struct walk *w)
{
    const struct route *r = w->route;
    char cure[FINDING_MAX_BYTES];

    for (size_t i = 0; i < w->addrs.count && !w->proxy.is_used; i++) {
        if (is_private_address(&w->addrs.items[i]))
            continue;
        snprintf(cure, sizeof cure, "write https:// in %s; `kachery-resource help hub` shows a "
                 "hub behind TLS", r->setting);
        probe_warn(r->probe, CHECK_TLS, cure,
                   "%s: %.*s is asked in plain text, over a public network", r->what,
                   STR_ARG(w->url.host));
        return;
    }
    probe_ok(r->probe, CHECK_TLS, "%s: none (%.*s://)", r->what, STR_ARG(w->url.scheme));
}

static bool reach_server(struct walk *w)
{
    if (!url_is_tls(&w->url)) {
        if (!is_quiet(w))
            report_plain(w);
        return true;
    }
    if (!connect_walk(w, &w->url))
        return fail_tls(w);
    if (!is_quiet(w))
        report_certificate(w);
    stream_free(w->stream);
    w->stream = NULL;
    return true;
}

bool route_follow(const struct route *r)
{
    struct walk w = {.route = r};
    char cure[FINDING_MAX_BYTES];
    bool is_through = false;

    if (url_parse(&w.url, r->url, &w.e) != 0) {
        snprintf(cure, sizeof cure, "correct %s", r->setting);
        fail_stage(&w, r->server, cure);
    } else if (http_proxy_find(&w.proxy, &w.url, &w.e) != 0) {
        fail_stage(&w, CHECK_HTTP_PROXY,
                   "correct the variable, or unset it where no HTTP proxy is needed");
    } else {
        is_through = look_up(&w) && reach_port(&w) && reach_server(&w);
    }
    http_proxy_deinit(&w.proxy);
    return is_through;
}

bool route_is_proxied(struct str text)
{
    struct http_proxy proxy = {.is_used = false};
    struct url url;
    bool is_used = url_parse(&url, text, ERR_IGNORED) == 0 &&
                   http_proxy_find(&proxy, &url, ERR_IGNORED) == 0 && proxy.is_used;

    http_proxy_deinit(&proxy);
    return is_used;
}
