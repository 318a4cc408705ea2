#include "proto/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void set_v4(struct addr *a, const struct in_addr *ip, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = *ip};

    memset(a, 0, sizeof *a);
    memcpy(&a->storage, &sa, sizeof sa);
    a->len = sizeof sa;
}

static void set_v6(struct addr *a, const struct in6_addr *ip, uint32_t scope, uint16_t port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6,
                              .sin6_port = htons(port),
                              .sin6_addr = *ip,
                              .sin6_scope_id = scope};

    memset(a, 0, sizeof *a);
    memcpy(&a->storage, &sa, sizeof sa);
    a->len = sizeof sa;
}

/* The number of an interface by its name or its digits; 0 when there is none. */
static uint32_t scope_of(const char *zone)
{
    uint64_t number;
    uint32_t index = if_nametoindex(zone);

    if (index == 0 && str_to_uint(str_of(zone), UINT32_MAX, &number))
        index = (uint32_t)number;
    return index;
}

bool addr_parse_literal(struct str host, uint16_t port, struct addr *out)
{
    char text[ADDR_MAX_HOST_BYTES + 1];
    struct in_addr v4;
    struct in6_addr v6;
    uint32_t scope = 0;

    if (host.len == 0 || host.len > ADDR_MAX_HOST_BYTES || memchr(host.p, '\0', host.len) != NULL)
        return false;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        set_v4(out, &v4, port);
        return true;
    }
    char *zone = strchr(text, '%');
    if (zone != NULL) {
        *zone = '\0';
        scope = scope_of(zone + 1);
        if (scope == 0)
            return false;
    }
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    set_v6(out, &v6, scope, port);
    return true;
}

void addr_interleave(struct addr_list *list)
{
    struct addr_list in = *list;
    size_t next[2] = {0, 0}; /* of the first one's family, of the other */
    unsigned turn = 0;

    for (size_t n = 0; n < in.count; n++, turn ^= 1) {
        for (int tries = 0; tries < 2; tries++, turn ^= 1) {
            size_t *i = &next[turn];
            while (*i < in.count &&
                   (in.items[*i].storage.ss_family != in.items[0].storage.ss_family) != turn)
                ++*i;
            if (*i < in.count) {
                list->items[n] = in.items[(*i)++];
                break;
            }
        }
    }
}

void addr_put(struct buf *out, const struct addr *a)
{
    char text[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (a->storage.ss_family == AF_INET) {
        memcpy(&v4, &a->storage, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        buf_printf(out, "%s:%u", text, addr_port(a));
    } else if (a->storage.ss_family == AF_INET6) {
        memcpy(&v6, &a->storage, sizeof v6);
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
        if (v6.sin6_scope_id != 0)
            buf_printf(out, "[%s%%%u]:%u", text, (unsigned)v6.sin6_scope_id, addr_port(a));
        else
            buf_printf(out, "[%s]:%u", text, addr_port(a));
    } else {
        buf_puts(out, text);
    }
}

void addr_put_host(struct buf *out, const struct addr *a)
{
    unsigned char bytes[ADDR_V6_BYTES];
    char text[INET6_ADDRSTRLEN] = "?";

    if (addr_to_v6(a, bytes) && addr_is_mapped(bytes))
        inet_ntop(AF_INET, bytes + ADDR_MAPPED_BYTES, text, sizeof text);
    else if (a->storage.ss_family == AF_INET6)
        inet_ntop(AF_INET6, bytes, text, sizeof text);
    buf_puts(out, text);
}

void addr_format_endpoint(struct str host, uint16_t port, char out[ADDR_MAX_ENDPOINT])
{
    bool is_v6 = str_find(host, ':') < host.len;

    host = str_cut(host, ADDR_MAX_HOST_BYTES);
    snprintf(out, ADDR_MAX_ENDPOINT, is_v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(host), port);
}

static const unsigned char mapped[ADDR_MAPPED_BYTES] = {[10] = 0xff, [11] = 0xff};

bool addr_to_v6(const struct addr *a, unsigned char out[ADDR_V6_BYTES])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(out, 0, ADDR_V6_BYTES);
    if (a->storage.ss_family == AF_INET) {
        memcpy(&v4, &a->storage, sizeof v4);
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + sizeof mapped, &v4.sin_addr, sizeof v4.sin_addr);
        return true;
    }
    if (a->storage.ss_family != AF_INET6)
        return false;
    memcpy(&v6, &a->storage, sizeof v6);
    memcpy(out, &v6.sin6_addr, ADDR_V6_BYTES);
    return true;
}

bool addr_is_mapped(const unsigned char address[ADDR_V6_BYTES])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

uint16_t addr_port(const struct addr *a)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (a->storage.ss_family == AF_INET) {
        memcpy(&v4, &a->storage, sizeof v4);
        return ntohs(v4.sin_port);
    }
    if (a->storage.ss_family == AF_INET6) {
        memcpy(&v6, &a->storage, sizeof v6);
        return ntohs(v6.sin6_port);
    }
    return 0;
}

/* Cuts "[v6]" or "host" before the port off; false when brackets or colons are wrong. */
static bool split_host(struct str text, struct str *host, struct str *port)
{
    size_t end;

    if (text.len > 0 && text.p[0] == '[') {
        end = str_find(text, ']');
        *host = str_slice(text, 1, end);
        *port = str_slice(text, end + 2, text.len);
        return end + 1 < text.len && text.p[end + 1] == ':' && host->len > 0;
    }
    end = str_find(text, ':');
    *host = str_slice(text, 0, end);
    *port = str_slice(text, end + 1, text.len);
    if (end < text.len)
        return str_find(*port, ':') == port->len;
    *port = text;
    *host = STR("");
    return true;
}

int addr_split_listen(struct str text, struct str *host, uint16_t *port, struct err *e)
{
    struct str h, p;
    uint64_t number;

    if (!split_host(text, &h, &p) || !str_to_uint(p, UINT16_MAX, &number) ||
        h.len > ADDR_MAX_HOST_BYTES)
        return err_set(e, ERR_USAGE,
                       "cannot listen on \"%.*s\": want HOST:PORT, [IPV6]:PORT, :PORT or PORT, "
                       "with a port of 0 to 65535",
                       STR_ARG(str_slice(text, 0, 80)));
    *host = h;
    *port = (uint16_t)number;
    return 0;
}

void addr_list_add(struct addr_list *list, const struct sockaddr *sa, socklen_t len,
                   uint16_t port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (list->count == ADDR_MAX)
        return;
    if (sa->sa_family == AF_INET && len >= sizeof v4) {
        memcpy(&v4, sa, sizeof v4);
        set_v4(&list->items[list->count++], &v4.sin_addr, port);
    } else if (sa->sa_family == AF_INET6 && len >= sizeof v6) {
        memcpy(&v6, sa, sizeof v6);
        set_v6(&list->items[list->count++], &v6.sin6_addr, v6.sin6_scope_id, port);
    }
}

void addr_list_add_any(struct addr_list *list, uint16_t port)
{
    const struct in_addr any = {INADDR_ANY};

    if (list->count + 2 > ADDR_MAX)
        return;
    set_v6(&list->items[list->count++], &in6addr_any, 0, port);
    set_v4(&list->items[list->count++], &any, port);
}
