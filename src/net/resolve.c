#include "net/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "proc/child.h"
#include "proc/frame.h"

#define SILENCE      "the name servers do not answer, or fail"
#define NO_SUCH_NAME "no such name"

/* A child's question, and its answer: a literal a line, or '!' and a reason. */
struct resolve_question {
    const char *host;
    int family;
};

static const char *reason_of(int status)
{
    switch (status) {
    case EAI_AGAIN: return SILENCE;
    case EAI_NONAME: return NO_SUCH_NAME;
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
static int find_addresses(const struct resolve_question *q, struct addrinfo **found)
{
    const struct addrinfo hints = {.ai_family = q->family, .ai_socktype = SOCK_STREAM};
    char name[sizeof((struct resolve *)0)->host];
    size_t len = strlen(q->host);

    for (size_t i = 0; i <= len; i++)
        name[i] = str_lower(q->host[i]);
    int status = getaddrinfo(name, NULL, &hints, found);
    if (status == 0 || len < 2 || name[len - 1] != '.')
        return status;
    name[len - 1] = '\0';
    return getaddrinfo(name, NULL, &hints, found);
}

static int look_up_host(int fd, void *ctx)
{
    struct addrinfo *found = NULL;
    struct buf answer = {0};
    size_t count = 0;

    int status = find_addresses(ctx, &found);
    for (struct addrinfo *i = found; status == 0 && i != NULL && count < ADDR_MAX; i = i->ai_next)
        if (i->ai_family == AF_INET || i->ai_family == AF_INET6) {
            put_literal(&answer, i);
            count++;
        }
    if (answer.len == 0)
        buf_printf(&answer, "!%s", reason_of(status == 0 ? EAI_NONAME : status));
    /* Less than all of it would be the answer to another question. */
    enum io sent = answer.failed ? IO_ERR : frame_send(fd, buf_str(&answer), -1, ERR_IGNORED);
    buf_free(&answer);
    if (found != NULL)
        freeaddrinfo(found);
    return sent == IO_DONE ? 0 : 1;
}

static void fail_asker(struct resolve_asker *asker, struct str reason)
{
    snprintf(asker->reason, sizeof asker->reason, "%.*s", STR_ARG(reason));
    asker->has_failed = true;
}

static void take_asker_answer(struct resolve *r, struct resolve_asker *asker, struct str text)
{
    if (str_starts_with(text, STR("!"))) {
        fail_asker(asker, str_slice(text, 1, text.len));
        return;
    }
    r->found.count = 0;
    while (text.len > 0 && r->found.count < ADDR_MAX) {
        size_t end = str_find(text, '\n');
        if (addr_parse_literal(str_slice(text, 0, end), r->port, &r->found.items[r->found.count]))
            r->found.count++;
        text = str_slice(text, end + 1, text.len);
    }
    r->is_found = r->found.count > 0;
    if (!r->is_found)
        fail_asker(asker, STR("no address"));
}

static void end_asker(struct resolve_asker *asker)
{
    child_free(asker->child);
    asker->child = NULL;
}

static bool on_asker_frame(void *owner, struct str frame, int fd)
{
    struct resolve_asker *asker = owner;
    struct resolve *r = asker->resolve;

    if (fd >= 0)
        close(fd);
    if (!r->is_found)
        take_asker_answer(r, asker, frame);
    end_asker(asker);
    loop_defer(r->wake.loop, &r->turn);
    return true;
}

static void on_asker_event(void *owner, enum child_event event, const char *words)
{
    struct resolve_asker *asker = owner;

    if (event != CHILD_ENDED)
        return;
    asker->child = NULL;
    asker->has_failed = asker->is_lost = true;
    snprintf(asker->reason, sizeof asker->reason, "the look-up process %s", words);
    loop_defer(asker->resolve->wake.loop, &asker->resolve->turn);
}

static int start_asker(struct resolve *r, struct resolve_asker *asker, int family, struct err *e)
{
    struct resolve_question question = {r->host, family}; /* the child has a copy of its own */
    const struct child_options options = {
        .loop = r->wake.loop,
        .process = {.name = "resolver", .run = look_up_host, .ctx = &question},
        .on_frame = on_asker_frame,
        .on_event = on_asker_event,
        .owner = asker};

    asker->resolve = r;
    asker->child = child_start(&options, e);
    return asker->child == NULL ? -1 : 0;
}

int resolve_start(struct resolve *r, const struct loop_wake *wake, struct str host, uint16_t port,
                  int64_t deadline_ms, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->wake = *wake;
    r->turn = (struct loop_call){.call = wake->call, .owner = wake->owner};
    r->alarm = (struct loop_timer){.call = wake->call, .owner = wake->owner};
    if (host.len == 0 || host.len >= sizeof r->host || memchr(host.p, '\0', host.len) != NULL)
        return err_set(e, ERR_USAGE, "host name of %zu bytes: want 1-%zu", host.len,
                       sizeof r->host - 1);
    memcpy(r->host, host.p, host.len);
    r->port = port;
    addr_format_endpoint(host, port, r->endpoint);
    r->deadline_ms = deadline_ms;
    r->second_ms = clock_now_ms() + RESOLVE_SECOND_MS;
    if (addr_parse_literal(host, port, &r->found.items[0])) {
        r->found.count = 1;
        r->is_found = true;
    } else if (start_asker(r, &r->first, AF_UNSPEC, e) != 0) {
        return err_wrap(e, "cannot find the address of %s", r->host);
    }
    loop_defer(wake->loop, &r->turn);
    return 0;
}

/* A name that is not there is misspelt, or of another network; name servers that are silent are
 * this host's trouble. */
static enum io fail_resolve(struct resolve *r, const char *reason, struct err *e)
{
    bool is_no_name = strcmp(reason, NO_SUCH_NAME) == 0;
    bool is_silence = strcmp(reason, SILENCE) == 0;

    resolve_cancel(r);
    err_set(e, is_no_name ? ERR_NO_HOST : ERR_NETWORK, "cannot find the address of %s: %s%s",
            r->host, reason,
            is_no_name   ? " (is it spelled right, and known in this network?)"
            : is_silence ? " (is this host connected? /etc/resolv.conf names them)"
                         : "");
    return IO_ERR;
}

static void start_second(struct resolve *r)
{
    r->has_second = true;
    r->second.has_failed = start_asker(r, &r->second, AF_INET, ERR_IGNORED) != 0;
}

static enum io look_at_askers(struct resolve *r, int64_t now_ms, struct addr_list *out,
                              struct err *e)
{
    if (r->is_found) {
        *out = r->found;
        resolve_cancel(r);
        return IO_DONE;
    }
    if (r->first.is_lost)
        return fail_resolve(r, r->first.reason, e);
    if (!r->has_second && (r->first.has_failed || now_ms >= r->second_ms))
        start_second(r);
    if (r->first.has_failed && r->second.has_failed)
        return fail_resolve(r, r->first.reason, e);
    if (r->deadline_ms != CLOCK_NEVER_MS && now_ms >= r->deadline_ms)
        return fail_resolve(r, r->first.has_failed ? r->first.reason : SILENCE, e);
    return IO_WANT_READ;
}

enum io resolve_step(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e)
{
    enum io io;

    loop_undefer(r->wake.loop, &r->turn);
    io = look_at_askers(r, now_ms, out, e);
    if (io == IO_WANT_READ)
        loop_set_timer(r->wake.loop, &r->alarm,
                       r->has_second ? r->deadline_ms
                                     : clock_earlier(r->second_ms, r->deadline_ms));
    return io;
}

void resolve_cancel(struct resolve *r)
{
    if (r->wake.loop == NULL)
        return;
    loop_undefer(r->wake.loop, &r->turn);
    loop_clear_timer(r->wake.loop, &r->alarm);
    end_asker(&r->first);
    end_asker(&r->second);
}
