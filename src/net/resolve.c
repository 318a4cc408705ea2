#include "net/resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proc/frame.h"

#define SILENCE      "the name servers do not answer, or fail"
#define NO_SUCH_NAME "no such name"

/* A child's question, and its answer: a literal a line, or '!' and a reason. */
struct question {
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
static int find_addresses(const struct question *q, struct addrinfo **found)
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

static int look_up(int fd, void *ctx)
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
    enum io sent = answer.failed ? IO_ERR : frame_send(fd, buf_str(&answer), -1, NULL);
    buf_free(&answer);
    if (found != NULL)
        freeaddrinfo(found);
    return sent == IO_DONE ? 0 : 1;
}

static void end_child(struct resolve *r, struct process *process, struct loop_fd *end)
{
    loop_remove(r->wake.loop, end);
    process_kill(process);
}

static int start_child(struct resolve *r, int family, struct process *process, struct loop_fd *end,
                       struct err *e)
{
    struct question question = {r->host, family};
    const struct process_options options = {.name = "resolver", .run = look_up, .ctx = &question};

    if (process_start(process, &options, e) != 0)
        return -1;
    *end = (struct loop_fd){.fd = process->fd, .call = r->wake.call, .owner = r->wake.owner};
    if (loop_add(r->wake.loop, end, LOOP_READ, e) == 0)
        return 0;
    process_kill(process);
    return -1;
}

int resolve_start(struct resolve *r, const struct loop_wake *wake, struct str host, uint16_t port,
                  int64_t deadline_ms, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->wake = *wake;
    r->begin = (struct loop_call){.call = wake->call, .owner = wake->owner};
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
    } else if (start_child(r, AF_UNSPEC, &r->process, &r->process_end, e) != 0) {
        return err_wrap(e, "cannot find the address of %s", r->host);
    }
    loop_defer(wake->loop, &r->begin);
    return 0;
}

/* What a child found. False: *reason says why it found nothing. */
static bool take_answer(struct resolve *r, struct str text, struct str *reason)
{
    r->found.count = 0;
    *reason = STR("no address");
    if (str_starts_with(text, STR("!"))) {
        *reason = str_slice(text, 1, text.len);
        return false;
    }
    while (text.len > 0 && r->found.count < ADDR_MAX) {
        size_t end = str_find(text, '\n');
        if (addr_parse_literal(str_slice(text, 0, end), r->port, &r->found.items[r->found.count]))
            r->found.count++;
        text = str_slice(text, end + 1, text.len);
    }
    r->is_found = r->found.count > 0;
    return r->is_found;
}

/* A name that is not there is misspelt, or of another network; name servers that are silent are
 * this host's trouble. */
static enum io fail(struct resolve *r, const char *reason, struct err *e)
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

/* Has a child something to say? IO_EOF: it ended without a word. IO_ERR: it found nothing. */
static enum io hear(struct resolve *r, struct process *process, struct loop_fd *end, char *reason)
{
    struct buf answer = {0};
    struct str why;
    enum io io = process->fd > 0 ? frame_receive(process->fd, &answer, NULL, NULL) : IO_EOF;

    if (io == IO_ERR)
        io = IO_EOF;
    if (io != IO_WANT_READ) {
        loop_remove(r->wake.loop, end);
        process_close(process);
    }
    if (io == IO_DONE && !take_answer(r, buf_str(&answer), &why)) {
        snprintf(reason, sizeof r->reason, "%.*s", STR_ARG(why));
        io = IO_ERR;
    }
    buf_free(&answer);
    return io;
}

static void hear_second(struct resolve *r, int64_t now_ms)
{
    char ignored[sizeof r->reason];
    enum io io;

    if (!r->has_second && (r->has_failed || now_ms >= r->second_ms)) {
        r->has_second = true;
        r->has_second_failed = start_child(r, AF_INET, &r->second, &r->second_end, NULL) != 0;
    }
    if (!r->has_second || r->has_second_failed)
        return;
    io = hear(r, &r->second, &r->second_end, ignored);
    r->has_second_failed = io == IO_EOF || io == IO_ERR;
}

static enum io look(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e)
{
    enum io io = IO_ERR;

    if (!r->is_found && !r->has_failed) {
        io = hear(r, &r->process, &r->process_end, r->reason);
        if (io == IO_EOF)
            return fail(r, "the look-up process ended", e);
        r->has_failed = io == IO_ERR;
    }
    if (!r->is_found)
        hear_second(r, now_ms);
    if (r->is_found) {
        *out = r->found;
        resolve_cancel(r);
        return IO_DONE;
    }
    if (r->has_failed && r->has_second_failed)
        return fail(r, r->reason, e);
    if (r->deadline_ms != CLOCK_NEVER_MS && now_ms >= r->deadline_ms)
        return fail(r, r->has_failed ? r->reason : SILENCE, e);
    return IO_WANT_READ;
}

enum io resolve_step(struct resolve *r, int64_t now_ms, struct addr_list *out, struct err *e)
{
    enum io io;

    loop_undefer(r->wake.loop, &r->begin);
    io = look(r, now_ms, out, e);
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
    loop_undefer(r->wake.loop, &r->begin);
    loop_clear_timer(r->wake.loop, &r->alarm);
    end_child(r, &r->process, &r->process_end);
    end_child(r, &r->second, &r->second_end);
}
