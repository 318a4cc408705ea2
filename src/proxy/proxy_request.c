/* Clients that wait for a daemon's answer. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/random.h"
#include "proxy/proxy_state.h"

enum { FIRST_SLOTS = 64 };

/* ---- slots and ids ---- */

static bool grow_request_slots(struct proxy *proxy)
{
    size_t count = proxy->slot_count == 0 ? FIRST_SLOTS : proxy->slot_count * 2;
    struct proxy_request **slots;
    size_t *free_slots;

    if (count > proxy->options.limits.waiting)
        count = proxy->options.limits.waiting;
    if (count == proxy->slot_count)
        return false;
    slots = realloc(proxy->slots, count * sizeof *slots);
    if (slots == NULL)
        return false;
    proxy->slots = slots;
    free_slots = realloc(proxy->free_slots, count * sizeof *free_slots);
    if (free_slots == NULL)
        return false;
    proxy->free_slots = free_slots;
    for (size_t i = count; i > proxy->slot_count; i--) {
        slots[i - 1] = NULL;
        free_slots[proxy->free_count++] = i - 1;
    }
    proxy->slot_count = count;
    return true;
}

/* Unguessable; drawn from a stock, so that not every request costs a system call. */
static void make_request_id(struct proxy *proxy, struct proxy_request *request)
{
    unsigned char slot[PROXY_ID_SLOT_DIGITS / 2], *random;

    if (proxy->random_left < PROXY_ID_RANDOM_BYTES) {
        random_bytes(proxy->random, sizeof proxy->random);
        proxy->random_left = sizeof proxy->random;
    }
    proxy->random_left -= PROXY_ID_RANDOM_BYTES;
    random = proxy->random + proxy->random_left;
    for (size_t i = 0; i < sizeof slot; i++)
        slot[i] = (unsigned char)(request->slot >> 8 * (sizeof slot - 1 - i));
    hex_encode(slot, sizeof slot, request->id);
    hex_encode(random, PROXY_ID_RANDOM_BYTES, request->id + PROXY_ID_SLOT_DIGITS);
    memset(random, 0, PROXY_ID_RANDOM_BYTES);
}

static struct proxy_request *find_request(const struct proxy *proxy, struct str id)
{
    unsigned char digits[PROXY_ID_SLOT_DIGITS / 2];
    struct proxy_request *request;
    size_t slot = 0;

    if (id.len != PROXY_ID_SIZE ||
        !hex_decode(str_slice(id, 0, PROXY_ID_SLOT_DIGITS), digits, sizeof digits))
        return NULL;
    for (size_t i = 0; i < sizeof digits; i++)
        slot = slot << 8 | digits[i];
    request = slot < proxy->slot_count ? proxy->slots[slot] : NULL;
    if (request == NULL || !str_equal_constant_time(str_of(request->id), id))
        return NULL;
    return request;
}

/* ---- the life of a request ---- */

/* Takes it out of every table and frees it; the resource may go with it. */
static void forget_request(struct proxy_request *request)
{
    struct proxy *proxy = request->proxy;
    struct proxy_resource *resource = request->resource;

    loop_clear_timer(proxy->options.loop, &request->timer);
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        resource->first = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    else
        resource->last = request->previous;
    resource->waiting--;
    proxy->waiting--;
    shares_leave(&resource->shares, request->place);
    shares_leave(&proxy->shares, request->place);
    proxy->slots[request->slot] = NULL;
    proxy->free_slots[proxy->free_count++] = request->slot;
    free(request);
    if (proxy->is_draining && proxy->waiting == 0)
        proxy_daemon_close_all(proxy);
}

/* The client hung up: a late answer finds nobody. */
static void on_client_gone(void *ctx)
{
    struct proxy_request *request = ctx;
    struct proxy_resource *resource = request->resource;

    forget_request(request);
    proxy_resource_trim(resource);
}

static void on_request_timeout(void *owner)
{
    struct proxy_request *request = owner;
    struct proxy_resource *resource = request->resource;
    struct http_conn *conn = request->conn;

    log_line(LOG_DEBUG, "no answer in time resource=%s", resource->name);
    forget_request(request);
    http_conn_answer_message(conn, 504, "timeout waiting for response");
    proxy_resource_trim(resource);
}

static int64_t left_of(const struct proxy_request *request, int64_t at_ms)
{
    int64_t left = at_ms - loop_now_ms(request->proxy->options.loop);

    return left > 0 ? left : 0;
}

static int send_request_to_daemon(struct proxy_request *request, struct str uri, struct err *e)
{
    struct proxy *proxy = request->proxy;
    bool is_older_daemon = request->is_generation2 && !request->resource->is_generation2;
    int64_t until_ms = is_older_daemon ? request->reply_by_ms : loop_timer_at_ms(&request->timer);
    int64_t timeout_ms = left_of(request, until_ms);
    struct message_request m = {.resource_name = str_of(request->resource->name),
                                .uri = uri,
                                .zone = str_of(request->resource->zone),
                                .is_generation2 = request->resource->is_generation2,
                                .request_id = str_of(request->id),
                                .timeout_ms = timeout_ms < MESSAGE_MAX_TIMEOUT_MS
                                                    ? timeout_ms
                                                    : MESSAGE_MAX_TIMEOUT_MS,
                                .request_timeout_ms = left_of(request, request->reply_by_ms)};

    request->sends++;
    if (request->resource->daemon->has_asker) {
        buf_clear(&proxy->asker);
        http_conn_put_asker(request->conn, &proxy->asker);
        m.asker = buf_str(&proxy->asker);
    }
    buf_clear(&proxy->text);
    message_put_request(&proxy->text, &m);
    if (buf_check(&proxy->text, e) != 0)
        return -1;
    if (ws_conn_send(request->resource->daemon->line, WS_TEXT, buf_str(&proxy->text), e) != 0)
        return -1;
    ws_conn_write_above(request->resource->daemon->line, WS_CONN_BATCH_BYTES);
    return 0;
}

/* ---- one address does not have all places ---- */

/* The newest request of that address, in one resource or (NULL) in all, is answered 503. */
static void end_newest_request(struct proxy *proxy, struct proxy_resource *resource, uint64_t place)
{
    struct proxy_request *request = resource == NULL ? NULL : resource->last;
    struct http_conn *conn;

    while (request != NULL && request->place != place)
        request = request->previous;
    for (size_t i = 0; resource == NULL && i < proxy->slot_count; i++) {
        struct proxy_request *other = proxy->slots[i];
        if (other != NULL && other->place == place &&
            (request == NULL || other->number > request->number))
            request = other;
    }
    if (request == NULL)
        return;
    conn = request->conn;
    resource = request->resource;
    log_line(LOG_DEBUG, "request refused resource=%s: its address has too many", resource->name);
    forget_request(request);
    http_conn_answer_message(conn, 503, "too many waiting requests, try again later");
    proxy_resource_trim(resource);
}

/* When all places are taken, of a resource or of all, the address with more than its part loses
 * one to an address with less. */
static bool make_room_for_request(struct proxy_resource *resource, uint64_t place)
{
    struct proxy *proxy = resource->proxy;
    const struct proxy_limits *limits = &proxy->options.limits;
    uint64_t above;

    if (resource->waiting >= limits->per_resource) {
        above = shares_above_part(&resource->shares, place, limits->per_resource);
        if (above == 0)
            return false;
        end_newest_request(proxy, resource, above);
    }
    if (proxy->waiting >= limits->waiting) {
        above = shares_above_part(&proxy->shares, place, limits->waiting);
        if (above == 0)
            return false;
        end_newest_request(proxy, NULL, above);
    }
    return true;
}

static int enter_shares(struct proxy_resource *resource, uint64_t place)
{
    if (shares_enter(&resource->shares, place) != 0)
        return -1;
    if (shares_enter(&resource->proxy->shares, place) == 0)
        return 0;
    shares_leave(&resource->shares, place);
    return -1;
}

/* A daemon that was told the longest t answers when it is over: T, also lowered, is then to be a
 * little longer. */
static int64_t patience_of(const struct message *m)
{
    if (m->timeout_ms < MESSAGE_MAX_TIMEOUT_MS || m->request_timeout_ms < MESSAGE_MAX_TIMEOUT_MS)
        return m->timeout_ms;
    return MESSAGE_MAX_TIMEOUT_MS + MESSAGE_ANSWER_MARGIN_MS;
}

static struct proxy_request *add_request(struct proxy_resource *resource, struct http_conn *conn,
                                         const struct message *m)
{
    struct proxy *proxy = resource->proxy;
    struct loop *loop = proxy->options.loop;
    struct proxy_request *request;
    size_t uri_len = m->uri.len <= PROXY_MAX_KEPT_URI ? m->uri.len : 0;
    uint64_t place = proxy->options.place_of == NULL
                         ? 0
                         : proxy->options.place_of(http_conn_tag(conn));

    if (!make_room_for_request(resource, place) ||
        (proxy->free_count == 0 && !grow_request_slots(proxy)))
        return NULL;
    request = calloc(1, sizeof *request + uri_len);
    if (request == NULL)
        return NULL;
    request->proxy = proxy;
    request->conn = conn;
    request->resource = resource;
    request->timer = (struct loop_timer){.call = on_request_timeout, .owner = request};
    request->is_generation2 = m->has_zone;
    request->reply_by_ms =
        loop_now_ms(loop) + (m->has_zone ? m->request_timeout_ms : message_patience_ms(m));
    request->uri_len = uri_len;
    if (uri_len > 0)
        memcpy(request->uri, m->uri.p, uri_len);
    if (enter_shares(resource, place) != 0) {
        free(request);
        return NULL;
    }
    loop_set_timer(loop, &request->timer, loop_now_ms(loop) + patience_of(m));
    request->place = place;
    request->number = ++proxy->last_number;
    request->slot = proxy->free_slots[--proxy->free_count];
    proxy->slots[request->slot] = request;
    make_request_id(proxy, request);
    request->previous = resource->last;
    if (resource->last != NULL)
        resource->last->next = request;
    else
        resource->first = request;
    resource->last = request;
    resource->waiting++;
    proxy->waiting++;
    return request;
}

void proxy_request_start(struct proxy_resource *resource, struct http_conn *conn,
                         const struct message *m)
{
    struct proxy_request *request = add_request(resource, conn, m);
    struct err e = {0};

    if (request == NULL) {
        http_conn_answer_message(conn, 503, "too many waiting requests, try again later");
        return;
    }
    if (send_request_to_daemon(request, m->uri, &e) != 0) {
        forget_request(request);
        http_conn_answer_message(conn, 503, "resource %s: %s", resource->name, e.msg);
        return;
    }
    http_conn_wait(conn, on_client_gone, request);
}

void proxy_request_send_all(struct proxy_resource *resource)
{
    struct proxy_request *request, *next;
    struct err e = {0};

    loop_clear_timer(resource->proxy->options.loop, &resource->timer);
    for (request = resource->first; request != NULL; request = next) {
        struct http_conn *conn = request->conn;
        next = request->next;
        make_request_id(resource->proxy, request);
        if (request->uri_len == 0) {
            forget_request(request);
            http_conn_answer_message(conn, 404, "resource not found: %s", resource->name);
        } else if (request->sends >= PROXY_MAX_SENDS) {
            forget_request(request);
            http_conn_answer_message(conn, 503, "resource %s was lost %d times before it answered",
                                     resource->name, PROXY_MAX_SENDS);
        } else if (send_request_to_daemon(request, (struct str){request->uri, request->uri_len},
                                          &e) != 0) {
            forget_request(request);
            http_conn_answer_message(conn, 503, "resource %s: %s", resource->name, e.msg);
        }
    }
}

void proxy_request_fail_all(struct proxy_resource *resource)
{
    while (resource->first != NULL) {
        struct http_conn *conn = resource->first->conn;
        forget_request(resource->first);
        http_conn_answer_message(conn, 404, "resource not found: %s", resource->name);
    }
}

bool proxy_request_answer(struct proxy_resource *resource, struct str id, struct str text)
{
    struct proxy_request *request = find_request(resource->proxy, id);
    struct http_conn *conn;

    if (request == NULL || request->resource != resource)
        return false;
    conn = request->conn;
    forget_request(request);
    http_conn_answer(conn, &(struct http_answer){.status = 200,
                                                 .content_type = "application/json; charset=utf-8",
                                                 .body = text});
    http_conn_write_answer(conn);
    return true;
}
