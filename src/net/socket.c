#include "net/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

/* The addresses to try in turn: for an empty host all addresses, IPv6 (which takes IPv4 as well)
 * first. */
static int look_up_listen_addresses(struct str host, uint16_t port, struct addr_list *out,
                                    struct err *e)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char name[ADDR_MAX_HOST_BYTES + 1] = {0};

    out->count = 0;
    if (host.len == 0) {
        addr_list_add_any(out, port);
        return 0;
    }
    if (addr_parse_literal(host, port, &out->items[0])) {
        out->count = 1;
        return 0;
    }
    memcpy(name, host.p, host.len);
    int status = getaddrinfo(name, NULL, &hints, &found);
    if (status != 0)
        return err_set(e, ERR_NETWORK, "cannot find the address of %s: %s", name,
                       gai_strerror(status));
    for (struct addrinfo *i = found; i != NULL && out->count < ADDR_MAX; i = i->ai_next)
        addr_list_add(out, i->ai_addr, i->ai_addrlen, port);
    freeaddrinfo(found);
    if (out->count == 0)
        return err_set(e, ERR_NETWORK, "cannot find the address of %s", name);
    return 0;
}

/* A listening socket on one address, or -1 with errno. */
static int listen_on(const struct addr *a, bool takes_both)
{
    int on = 1, off = 0;
    int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->storage.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, takes_both ? &off : &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->storage, a->len) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int number = errno;
    close(fd);
    errno = number;
    return -1;
}

static int refuse_to_listen(struct str listen_text, int number, struct err *e)
{
    const char *cure = number == EADDRINUSE
                           ? "another program has that port: take another one (ss -ltnp lists them)"
                       : number == EADDRNOTAVAIL
                           ? "no interface of this host has that address (0.0.0.0 is all of them)"
                       : number == EACCES ? "take a port above 1023; the lower ones are for root"
                                          : NULL;

    if (cure == NULL)
        return err_errno(e, ERR_FAILED, number, "cannot listen on %.*s", STR_ARG(listen_text));
    return err_set(e, ERR_FAILED, "cannot listen on %.*s: %s: %s", STR_ARG(listen_text),
                   strerror(number), cure);
}

int socket_listen(struct str listen_text, int *fd, struct addr *bound, struct err *e)
{
    struct addr_list list;
    struct str host;
    uint16_t port;
    int number = 0;

    if (addr_split_listen(listen_text, &host, &port, e) != 0)
        return -1;
    if (look_up_listen_addresses(host, port, &list, e) != 0)
        return err_wrap(e, "cannot listen on %.*s", STR_ARG(listen_text));
    for (size_t i = 0; i < list.count; i++) {
        int s = listen_on(&list.items[i], host.len == 0);
        if (s >= 0) {
            *bound = list.items[i];
            bound->len = sizeof bound->storage;
            getsockname(s, (struct sockaddr *)&bound->storage, &bound->len);
            *fd = s;
            return 0;
        }
        /* Without IPv6 the next one is tried; "in use" is the better cause than "not supported". */
        if (number == 0 || number == EAFNOSUPPORT || number == EADDRNOTAVAIL)
            number = errno;
    }
    return refuse_to_listen(listen_text, number, e);
}

void socket_drop_unsent(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}
