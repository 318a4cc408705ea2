/* Daemons on their WebSockets: initialize, takeover of a name, answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/random.h"
#include "http/ws_accept.h"
#include "proto/extensions.h"
#include "proto/kachery_uri.h"
#include "proxy/proxy.h"
#include "proxy/proxy_state.h"

/* ---- coming and going ---- */

static const char *daemon_name(const struct proxy_daemon *daemon)
{
    return daemon->resource == NULL ? "" : daemon->resource->name;
}

static void add_stranger(struct proxy_daemon *daemon)
{
    struct proxy *proxy = daemon->proxy;

    daemon->since_ms = loop_now_ms(proxy->options.loop);
    daemon->older = proxy->newest_stranger;
    if (daemon->older != NULL)
        daemon->older->newer = daemon;
    else
        proxy->oldest_stranger = daemon;
    proxy->newest_stranger = daemon;
}

static void remove_stranger(struct proxy_daemon *daemon)
{
    struct proxy *proxy = daemon->proxy;

    if (daemon->older != NULL)
        daemon->older->newer = daemon->newer;
    else
        proxy->oldest_stranger = daemon->newer;
    if (daemon->newer != NULL)
        daemon->newer->older = daemon->older;
    else
        proxy->newest_stranger = daemon->older;
    daemon->older = daemon->newer = NULL;
}

static void forget_daemon(struct proxy_daemon *daemon)
{
    struct proxy *proxy = daemon->proxy;

    if (daemon->ranges_number != 0)
        ranges_left(proxy->options.ranges, daemon->ranges_number);
    loop_undefer(proxy->options.loop, &daemon->leave);
    if (!daemon->is_known)
        remove_stranger(daemon);

    loop_clear_timer(proxy->options.loop, &daemon->timer);
    if (daemon->previous != NULL)
        daemon->previous->next = daemon->next;
    else
        proxy->daemons = daemon->next;
    if (daemon->next != NULL)
        daemon->next->previous = daemon->previous;
    proxy->daemon_count--;
    proxy->serving -= daemon->is_known;
    shares_leave(&proxy->holders, daemon->holder);
    if (proxy->options.on_closed != NULL)
        proxy->options.on_closed(proxy->options.owner, daemon->tag);
    free(daemon->zone);
    free(daemon);
}

void proxy_daemon_free(struct proxy_daemon *daemon)
{
    ws_conn_free(daemon->line);
    forget_daemon(daemon);
}

/* Further messages of the daemon are ignored. */
static void close_daemon(struct proxy_daemon *daemon, unsigned code, const char *reason)
{
    loop_clear_timer(daemon->proxy->options.loop, &daemon->timer);
    daemon->resource = NULL;
    ws_conn_close(daemon->line, code, str_of(reason));
}

static void refuse_daemon(struct proxy_daemon *daemon, unsigned code, const char *reason)
{
    log_line(LOG_WARN, "daemon refused peer=%s: %s", daemon->address, reason);
    close_daemon(daemon, code, reason);
}

static void refuse_taken(struct proxy_daemon *daemon, const char *name)
{
    struct err e = {0};

    err_set(&e, ERR_REFUSED, "resource %s is already connected", name);
    refuse_daemon(daemon, WS_CLOSE_TAKEN, e.msg);
}

/* ---- ranges ---- */

int proxy_send_to_daemon(void *session, struct str text)
{
    struct proxy_daemon *daemon = session;
    struct err e = {0};

    return ws_conn_send(daemon->line, WS_TEXT, text, &e);
}

/* Once per connection, behind the acknowledge; one of generation 1 would not know what it is. */
static void announce_extensions(struct proxy_daemon *daemon)
{
    const struct range_message m = range_message(RANGE_EXTENSIONS);
    struct buf *text = &daemon->proxy->text;

    if (daemon->proxy->options.ranges == NULL || daemon->zone == NULL)
        return;
    buf_clear(text);
    range_message_put(text, &m);
    if (!text->failed)
        proxy_send_to_daemon(daemon, buf_str(text));
}

static void join_ranges(struct proxy_daemon *daemon)
{
    struct ranges *ranges = daemon->proxy->options.ranges;

    daemon->ranges_number = ranges_joined(ranges, daemon, daemon_name(daemon), daemon->zone);
    if (daemon->has_asker)
        ranges_knows_asker(ranges, daemon->ranges_number);
}

/* A message that is not of the deployed protocol. */
static void take_daemon_range_message(struct proxy_daemon *daemon, struct str text)
{
    struct ranges *ranges = daemon->proxy->options.ranges;
    struct range_message m;
    struct err e = {0};

    if (range_message_parse(&m, text, &e) != 0) {
        log_line(LOG_WARN, "message ignored resource=%s: %s", daemon_name(daemon), e.msg);
        return;
    }
    if (m.type == RANGE_EXTENSIONS && daemon->ranges_number == 0 && daemon->zone != NULL &&
        range_message_has(&m, RANGE_EXTENSION))
        join_ranges(daemon);
    else if (m.type != RANGE_FILE_IS || daemon->ranges_number == 0 ||
             !ranges_file_is(ranges, daemon->ranges_number, &m))
        log_line(LOG_DEBUG, "unexpected message ignored resource=%s", daemon_name(daemon));
    range_message_deinit(&m);
}

/* Hands the connection of a line to the relay that wants it. */
static void hand_over_line(void *owner)
{
    struct proxy_daemon *daemon = owner;
    struct buf early = {0};
    struct stream *stream = ws_conn_take(daemon->line, &early);
    int fd = stream == NULL ? -1 : stream_take_fd(stream);
    bool is_taken = fd >= 0 && ranges_take_line(daemon->proxy->options.ranges,
                                                str_of(daemon->ticket), fd, buf_str(&early));

    buf_free(&early);
    if (fd >= 0)
        close(fd);
    else if (stream != NULL)
        stream_free(stream);
    if (!is_taken)
        log_line(LOG_WARN, "line refused peer=%s: its ticket is not good", daemon->address);
    if (stream == NULL)
        ws_conn_free(daemon->line);
    forget_daemon(daemon);
}

/* The relay is given nothing that is not written yet. */
static void on_daemon_drained(void *owner)
{
    struct proxy_daemon *daemon = owner;

    if (daemon->ticket[0] != '\0')
        loop_defer(daemon->proxy->options.loop, &daemon->leave);
}

static void begin_leaving(struct proxy_daemon *daemon, struct str ticket)
{
    snprintf(daemon->ticket, sizeof daemon->ticket, "%.*s", STR_ARG(ticket));
    ws_conn_pause(daemon->line);
    daemon->leave = (struct loop_call){.call = hand_over_line, .owner = daemon};
}

/* The first message of a connection that is no session but a line. False: it is none. */
static bool take_line_ticket(struct proxy_daemon *daemon, struct str text)
{
    struct range_message m;
    struct err e = {0};
    bool is_line;

    if (daemon->proxy->options.ranges == NULL || daemon->resource != NULL ||
        range_message_parse(&m, text, &e) != 0)
        return false;
    is_line = m.type == RANGE_LINE;
    if (is_line) {
        begin_leaving(daemon, m.ticket);
        loop_defer(daemon->proxy->options.loop, &daemon->leave);
    }
    range_message_deinit(&m);
    return is_line;
}

/* ---- serving a name ---- */

static void start_serving_name(struct proxy_daemon *daemon, struct proxy_resource *resource)
{
    struct buf text = {0};
    struct err e = {0};

    message_put_acknowledge(&text);
    bool is_told = proxy_resource_set_zone(resource, daemon->zone) == 0 &&
                   buf_check(&text, &e) == 0 &&
                   ws_conn_send(daemon->line, WS_TEXT, buf_str(&text), &e) == 0;
    buf_free(&text);
    if (!is_told) {
        refuse_daemon(daemon, WS_CLOSE_GOING_AWAY, "out of memory");
        proxy_resource_trim(resource);
        return;
    }
    loop_clear_timer(daemon->proxy->options.loop, &daemon->timer);
    ws_conn_set_max_message(daemon->line, WS_MAX_MESSAGE_BYTES);
    resource->daemon = daemon;
    daemon->resource = resource;
    if (daemon->proxy->options.on_online != NULL)
        daemon->proxy->options.on_online(daemon->proxy->options.owner, resource->name,
                                         daemon->zone);
    log_line(LOG_INFO, "daemon connected name=%s zone=%s generation=%d peer=%s waiting=%zu",
             resource->name, daemon->zone == NULL ? "" : daemon->zone, daemon->zone == NULL ? 1 : 2,
             daemon->address, resource->waiting);
    proxy_request_send_all(resource);
    announce_extensions(daemon);
}

/* The name's daemon did not answer the ping: it is dropped without a word. */
static void on_no_pong(struct proxy_daemon *challenger)
{
    struct proxy_resource *resource = challenger->resource;
    struct proxy_daemon *old = resource->daemon;

    log_line(LOG_WARN, "daemon replaced name=%s peer=%s: no answer to a ping", resource->name,
             old->address);
    resource->challenger = NULL;
    resource->daemon = NULL;
    proxy_daemon_free(old);
    start_serving_name(challenger, resource);
}

static void on_daemon_timeout(void *owner)
{
    struct proxy_daemon *daemon = owner;

    if (daemon->resource != NULL)
        on_no_pong(daemon);
    else if (daemon->is_wrong)
        close_daemon(daemon, WS_CLOSE_WRONG_SECRET, "wrong secret");
    else
        refuse_daemon(daemon, WS_CLOSE_PROTOCOL, "no initialize message");
}

/* The name is taken: its daemon is asked whether it is still there. */
static void challenge_serving_daemon(struct proxy_daemon *daemon, struct proxy_resource *resource)
{
    struct loop *loop = daemon->proxy->options.loop;

    if (resource->challenger != NULL) {
        refuse_taken(daemon, resource->name);
        return;
    }
    resource->challenger = daemon;
    daemon->resource = resource;
    random_hex(resource->ping, PROXY_PING_BYTES);
    ws_conn_ping(resource->daemon->line, str_of(resource->ping));
    loop_set_timer(loop, &daemon->timer,
                   loop_now_ms(loop) + daemon->proxy->options.times.takeover_ms);
}

static void on_daemon_pong(void *owner, struct str payload)
{
    struct proxy_daemon *daemon = owner;
    struct proxy_resource *resource = daemon->resource;
    struct proxy_daemon *challenger;

    if (resource == NULL || resource->daemon != daemon || resource->challenger == NULL ||
        !str_equal(payload, str_of(resource->ping)))
        return;
    challenger = resource->challenger;
    resource->challenger = NULL;
    refuse_taken(challenger, resource->name);
}

/* Generation 1 names no zone. */
static bool take_daemon_zone(struct proxy_daemon *daemon, const struct message *m)
{
    if (m->has_zone)
        daemon->zone = strndup(m->zone.p, m->zone.len);
    return !m->has_zone || daemon->zone != NULL;
}

/* A guesser receives one answer a second, however many guesses it makes at once; a right secret is
 * never kept waiting, also from the same address (NAT). The log has it at once. */
static void refuse_wrong_secret(struct proxy_daemon *daemon)
{
    struct proxy *proxy = daemon->proxy;
    int64_t now_ms = loop_now_ms(proxy->options.loop);
    struct buf address = {0};

    if (proxy->options.put_address != NULL)
        proxy->options.put_address(proxy->options.owner, daemon->tag, &address);
    log_line(LOG_WARN, "daemon refused peer=%s: %s", daemon->address, "wrong secret");
    daemon->is_wrong = true;
    loop_set_timer(proxy->options.loop, &daemon->timer,
                   now_ms + brake_wrong(&proxy->brake, buf_str(&address),
                                        proxy->options.times.wrong_ms, now_ms));
    buf_free(&address);
}

/* The address that it comes from, as long as its connection counts for that. */
static uint64_t address_key_of(const struct proxy_daemon *daemon)
{
    const struct proxy *proxy = daemon->proxy;
    struct buf address = {0};
    uint64_t holder = 0;

    if (proxy->options.put_address != NULL)
        proxy->options.put_address(proxy->options.owner, daemon->tag, &address);
    if (!address.failed && address.len > 0)
        holder = brake_key(&proxy->brake, buf_str(&address));
    buf_free(&address);
    return holder;
}

/* All places for daemons are taken: the address with more than its part of them loses its newest to
 * an address with less. Everybody who knows the secret is to have some, whatever another starts. */
static bool make_room_for_daemon(struct proxy_daemon *daemon)
{
    struct proxy *proxy = daemon->proxy;
    uint64_t above =
        shares_above_part(&proxy->holders, address_key_of(daemon), proxy->options.limits.resources);
    struct proxy_daemon *newest = above == 0 ? NULL : proxy->daemons;

    while (newest != NULL && newest->holder != above)
        newest = newest->next;
    if (newest == NULL)
        return false;
    log_line(LOG_WARN, "daemon ended name=%s peer=%s: too many resources, and many from there",
             daemon_name(newest), newest->address);
    shares_leave(&proxy->holders, newest->holder);
    newest->holder = 0;
    ws_conn_close(newest->line, WS_CLOSE_TRY_LATER,
                  STR("too many resources from this address, try again later"));
    return true;
}

/* From here on it counts by its name, of which there is one. */
static void become_known(struct proxy_daemon *daemon)
{
    const struct proxy_options *options = &daemon->proxy->options;

    daemon->holder = address_key_of(daemon);
    if (shares_enter(&daemon->proxy->holders, daemon->holder) != 0)
        daemon->holder = 0;
    remove_stranger(daemon);
    daemon->is_known = true;
    daemon->proxy->serving++;
    if (options->on_known != NULL)
        options->on_known(options->owner, &daemon->tag);
}

static void initialize_daemon(struct proxy_daemon *daemon, const struct message *m)
{
    struct proxy *proxy = daemon->proxy;
    struct proxy_resource *resource;

    if (!str_equal_constant_time(m->proxy_secret, buf_str(&proxy->secret))) {
        refuse_wrong_secret(daemon);
    } else if (!kachery_uri_is_name(m->resource_name) ||
               (m->has_zone && !kachery_uri_is_name(m->zone))) {
        refuse_daemon(daemon, WS_CLOSE_PROTOCOL, "invalid resourceName or zone");
    } else if (proxy->is_draining) {
        refuse_daemon(daemon, WS_CLOSE_GOING_AWAY, "the proxy is shutting down");
    } else if (proxy->serving >= proxy->options.limits.resources && !make_room_for_daemon(daemon)) {
        refuse_daemon(daemon, WS_CLOSE_TRY_LATER, "too many resources, try again later");
    } else if (!take_daemon_zone(daemon, m) ||
               (resource = proxy_resource_get(proxy, m->resource_name)) == NULL) {
        refuse_daemon(daemon, WS_CLOSE_GOING_AWAY, "out of memory");
    } else {
        become_known(daemon);
        if (resource->daemon != NULL)
            challenge_serving_daemon(daemon, resource);
        else
            start_serving_name(daemon, resource);
    }
}

/* Worker processes are forked from this one: what they must not know is not left lying about. */
static void wipe_secret(struct str secret)
{
    explicit_bzero((char *)(uintptr_t)secret.p, secret.len);
}

/* ---- what the WebSocket tells ---- */

static bool is_serving(const struct proxy_daemon *daemon)
{
    return daemon->resource != NULL && daemon->resource->daemon == daemon;
}

static void handle_daemon_message(struct proxy_daemon *daemon, const struct message *m,
                                  struct str text)
{
    if (!is_serving(daemon)) {
        if (m->type == MESSAGE_INITIALIZE && daemon->resource == NULL)
            initialize_daemon(daemon, m);
        else if (daemon->resource == NULL)
            refuse_daemon(daemon, WS_CLOSE_PROTOCOL, "want an initialize message first");
        return;
    }
    switch (m->type) {
    case MESSAGE_RESPONSE:
        if (!proxy_request_answer(daemon->resource, m->request_id, text))
            log_line(LOG_DEBUG, "answer that nobody waits for resource=%s", daemon_name(daemon));
        break;
    case MESSAGE_PING: break;
    case MESSAGE_UNKNOWN:
        if (daemon->proxy->options.ranges != NULL)
            take_daemon_range_message(daemon, text);
        break;
    default: log_line(LOG_DEBUG, "unexpected message ignored resource=%s", daemon_name(daemon));
    }
}

static void on_daemon_message(void *owner, enum ws_opcode kind, struct str text)
{
    struct proxy_daemon *daemon = owner;
    struct message m;
    struct err e = {0};

    (void)kind; /* deployed programs take either, so do we */
    if (daemon->is_wrong)
        return;
    if (message_parse(&m, text, &e) != 0) {
        if (daemon->resource == NULL)
            refuse_daemon(daemon, WS_CLOSE_PROTOCOL, e.msg);
        else
            log_line(LOG_WARN, "message ignored resource=%s: %s", daemon_name(daemon), e.msg);
        return;
    }
    if (m.type != MESSAGE_UNKNOWN || !take_line_ticket(daemon, text))
        handle_daemon_message(daemon, &m, text);
    if (m.type == MESSAGE_INITIALIZE) {
        wipe_secret(m.proxy_secret);
        wipe_secret(text);
    }
    message_deinit(&m);
}

static void on_daemon_closed(void *owner, const struct ws_end *end)
{
    struct proxy_daemon *daemon = owner;
    struct proxy_resource *resource = daemon->resource;
    struct proxy_daemon *challenger;
    bool is_leaving = end->code == WS_CLOSE_NORMAL || end->code == WS_CLOSE_GOING_AWAY;

    if (resource == NULL) {
        forget_daemon(daemon);
        return;
    }
    log_line(LOG_INFO, "daemon disconnected name=%s peer=%s: %s", resource->name, daemon->address,
             end->why.msg);
    if (resource->challenger == daemon) {
        resource->challenger = NULL;
        forget_daemon(daemon);
        return;
    }
    forget_daemon(daemon);
    challenger = resource->challenger;
    resource->challenger = NULL;
    if (challenger != NULL) {
        resource->daemon = NULL;
        start_serving_name(challenger, resource);
    } else {
        proxy_resource_lose_daemon(resource, !is_leaving);
    }
}

/* ---- the HTTP request that becomes a WebSocket ---- */

static struct proxy_daemon *add_daemon(struct proxy *proxy)
{
    struct proxy_daemon *daemon = calloc(1, sizeof *daemon);

    if (daemon == NULL)
        return NULL;
    daemon->proxy = proxy;
    daemon->timer = (struct loop_timer){.call = on_daemon_timeout, .owner = daemon};
    daemon->next = proxy->daemons;
    if (proxy->daemons != NULL)
        proxy->daemons->previous = daemon;
    proxy->daemons = daemon;
    proxy->daemon_count++;
    add_stranger(daemon);
    return daemon;
}

/* The ticket of a line, in the request itself: it saves a round trip. Empty: there is none. */
static struct str find_ticket_header(const struct proxy *proxy, const struct http_request *request)
{
    const struct str *ticket = proxy->options.ranges == NULL
                                   ? NULL
                                   : http_head_get(request->head, RANGE_LINE_HEADER);

    return ticket != NULL && hex_is_lower(*ticket, RANGE_TICKET_DIGITS) ? *ticket : STR("");
}

static bool announces_asker(const struct http_head *head)
{
    struct buf names = {0};
    bool does = extensions_read(head, &names) && !names.failed &&
                extensions_has(buf_str(&names), EXTENSIONS_ASKER);

    buf_free(&names);
    return does;
}

static void accept_daemon(struct proxy *proxy, struct http_conn *conn,
                          const struct http_request *request)
{
    const struct http_header generations = {STR(MESSAGE_GENERATIONS_HEADER), STR("1, 2")};
    const struct http_header taken = {STR(RANGE_LINE_HEADER), STR("taken")};
    const struct str ticket = find_ticket_header(proxy, request);
    struct loop *loop = proxy->options.loop;
    struct proxy_daemon *daemon = add_daemon(proxy);
    struct buf address = {0};
    const struct ws_conn_options options = {.loop = loop,
                                            .ping_interval_ms = proxy->options.times.ping_ms,
                                            .dead_after_ms = proxy->options.times.dead_ms,
                                            .max_message_bytes = PROXY_MAX_HELLO_BYTES,
                                            .all_queued = &proxy->queued,
                                            .on_message = on_daemon_message,
                                            .on_pong = on_daemon_pong,
                                            .on_drained = on_daemon_drained,
                                            .on_closed = on_daemon_closed,
                                            .owner = daemon};
    struct err e = {0};

    if (daemon == NULL) {
        http_conn_answer_message(conn, 503, "out of memory");
        return;
    }
    http_conn_put_peer(conn, &address);
    strncat(daemon->address, buf_cstr(&address), sizeof daemon->address - 1);
    buf_free(&address);
    daemon->tag = http_conn_tag(conn);
    daemon->has_asker = announces_asker(request->head);
    char digits[RANGE_TICKET_DIGITS + 1];
    snprintf(digits, sizeof digits, "%.*s", STR_ARG(ticket));
    daemon->line =
        ws_accept(conn, request, ticket.len > 0 ? &taken : &generations, &options, &e);
    if (daemon->line == NULL) {
        log_line(LOG_WARN, "cannot serve a WebSocket: %s", e.msg);
        forget_daemon(daemon);
    } else {
        loop_set_timer(loop, &daemon->timer,
                       loop_now_ms(loop) + proxy->options.times.initialize_ms);
        if (digits[0] != '\0')
            begin_leaving(daemon, str_of(digits));
    }
    explicit_bzero(digits, sizeof digits);
}

void proxy_daemon_upgrade(struct http_conn *conn, const struct http_request *request, void *owner)
{
    struct proxy *proxy = owner;

    if (proxy->is_draining)
        http_conn_answer_message(conn, 503, "the proxy is shutting down");
    else if (ws_accept_check(conn, request))
        accept_daemon(proxy, conn, request);
}

int64_t proxy_stranger_since(const struct proxy *proxy)
{
    return proxy->oldest_stranger == NULL ? CLOCK_NEVER_MS : proxy->oldest_stranger->since_ms;
}

void proxy_drop_stranger(struct proxy *proxy)
{
    if (proxy->oldest_stranger != NULL)
        proxy_daemon_free(proxy->oldest_stranger);
}

void proxy_daemon_close_all(struct proxy *proxy)
{
    for (struct proxy_daemon *d = proxy->daemons; d != NULL; d = d->next)
        ws_conn_close(d->line, WS_CLOSE_GOING_AWAY, STR("the proxy is shutting down"));
}
