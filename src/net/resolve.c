#include "net/resolve.h"

#include <netdb.h>
#include <string.h>

#include "base/clock.h"
#include "proc/frame.h"

/* The child's answer: a literal a line, or '!' and a reason. */

static const char *reason_of(int status)
{
    switch (status) {
    case EAI_AGAIN: return "the name servers do not answer";
    case EAI_NONAME: return "no such name";
    default: return gai_strerror(status);
    }
}

static void put_literal(struct buf *out, const struct addrinfo *found)
{
    char host[NI_MAXHOST];

    if (getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) == 0)
        buf_printf(out, "%s\n", host);
}

/* musl compares names in /etc/hosts byte by byte: nobody writes them there in upper case, nor with
 * the final dot of an absolute name. */
static int find_addresses(const char *host, struct addrinfo **found)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char name[sizeof((struct resolve *)0)->host];
    size_t len = strlen(host);

    for (size_t i = 0; i <= len; i++)
        name[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] + ('a' - 'A')) : host[i];
    int status = getaddrinfo(name, NULL, &hints, found);
    if (status != EAI_NONAME || len < 2 || name[len - 1] != '.')
        return status;
    name[len - 1] = '\0';
    return getaddrinfo(name, NULL, &hints, found);
}

static int look_up(int fd, void *ctx)
{
    const struct resolve *r = ctx;
    struct addrinfo *found = NULL;
    struct buf answer = {0};
    size_t count = 0;

    int status = find_addresses(r->host, &found);
    for (struct addrinfo *i = found; status == 0 && i != NULL && count < ADDR_MAX; i = i->ai_next)
        if (i->ai_family == AF_INET || i->ai_family == AF_INET6) {
            put_literal(&answer, i);
            count++;
        }
    if (answer.len == 0)
        buf_printf(&answer, "!%s", reason_of(status == 0 ? EAI_NONAME : status));
    return frame_send(fd, buf_str(&answer), -1, NULL) == IO_DONE ? 0 : 1;
}

int resolve_start(struct resolve *r, struct str host, uint16_t port, int64_t deadline_ms,
                  struct err *e)
{
    struct process_options options = {.name = "resolver", .run = look_up, .ctx = r};

    memset(r, 0, sizeof *r);
    if (host.len == 0 || host.len >= sizeof r->host || memchr(host.p, '\0', host.len) != NULL)
        return err_set(e, ERR_USAGE, "host name of %zu bytes: want 1-%zu", host.len,
                       sizeof r->host - 1);
    memcpy(r->host, host.p, host.len);
    r->port = port;
    addr_format_endpoint(host, port, r->endpoint);
    r->deadline_ms = deadline_ms;
    if (addr_parse_literal(host, port, &r->found.items[0])) {
        r->found.count = 1;
        r->is_found = true;
        return 0;
    }
    if (process_start(&r->process, &options, e) != 0)
        return err_wrap(e, "cannot find the address of %s", r->host);
    return 0;
}

/* What the child found, or its reason. */
static enum io take_answer(struct resolve *r, struct str text, struct addr_list *out, struct err *e)
{
    r->found.count = 0;
    if (text.len > 0 && text.p[0] == '!') {
        err_set(e, ERR_NETWORK, "cannot find the address of %s: %.*s", r->host,
                STR_ARG(str_slice(text, 1, text.len)));
        return IO_ERR;
    }
    while (text.len > 0 && r->found.count < ADDR_MAX) {
        size_t end = str_find(text, '\n');
        if (addr_parse_literal(str_slice(text, 0, end), r->port, &r->found.items[r->found.count]))
            r->found.count++;
        text = str_slice(text, end + 1, text.len);
    }
    if (r->found.count == 0) {
        err_set(e, ERR_NETWORK, "cannot find the address of %s", r->host);
        return IO_ERR;
    }
    r->is_found = true;
    *out = r->found;
    return IO_DONE;
}

static enum io fail(struct resolve *r, const char *reason, struct err *e)
{
    process_kill(&r->process);
    err_set(e, ERR_NETWORK, "cannot find the address of %s: %s", r->host, reason);
    return IO_ERR;
}

enum io resolve_step(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e)
{
    struct buf answer = {0};
    enum io io;

    if (r->is_found) {
        *out = r->found;
        return IO_DONE;
    }
    io = r->process.fd > 0 ? frame_receive(r->process.fd, &answer, NULL, NULL) : IO_EOF;
    if (io == IO_WANT_READ) {
        if (r->deadline_ms != CLOCK_NEVER_MS && now_ms >= r->deadline_ms)
            io = fail(r, "the name servers do not answer", e);
    } else if (io == IO_DONE) {
        process_close(&r->process);
        io = take_answer(r, buf_str(&answer), out, e);
    } else {
        io = fail(r, "the look-up process ended", e);
    }
    buf_free(&answer);
    return io;
}

void resolve_poll(const struct resolve *r, struct pollset *set)
{
    if (r->is_found || r->process.fd <= 0) {
        pollset_wake_at(set, clock_now_ms());
        return;
    }
    pollset_add(set, r->process.fd, POLLIN);
    pollset_wake_at(set, r->deadline_ms);
}

void resolve_cancel(struct resolve *r)
{
    process_kill(&r->process);
}
