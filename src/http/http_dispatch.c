/* Which route a request goes to, and what follows from how the route dealt with it. */
#include "base/json.h"
#include "base/log.h"
#include "http/html.h"
#include "http/http_conn.h"

enum { MAX_SHOWN_METHOD = 40 };

/* Any other upgrade is not for us: the request is served as it is (RFC 9110 §7.8). */
static bool is_web_socket(const struct http_head *head)
{
    return head->is_upgrade && http_head_has_token(head, "Upgrade", "websocket");
}

static bool path_matches(struct str want, struct str path)
{
    if (str_equal(want, STR("*")))
        return true;
    return str_ends_with(want, STR("/")) && want.len > 1 ? str_starts_with(path, want)
                                                         : str_equal(path, want);
}

static bool route_matches(const struct http_route *route, const struct http_head *head,
                          struct str path)
{
    struct str method = str_of(route->method), want = str_of(route->path);

    if (str_equal(method, STR("UPGRADE"))) {
        if (!is_web_socket(head))
            return false;
    } else if (!str_equal(method, STR("*")) && !str_equal(method, head->method) &&
               !(str_equal(method, STR("GET")) && str_equal(head->method, STR("HEAD")))) {
        return false;
    }
    return path_matches(want, path);
}

/* Finds the route of a request. For a WebSocket a route of its own goes before others: daemons dial
 * any path. */
static const struct http_route *find_route(const struct http_server *server,
                                           const struct http_head *head, struct str path)
{
    const struct http_route *routes = server->options.routes, *found = NULL;

    for (size_t i = 0; i < server->options.route_count; i++) {
        if (!route_matches(&routes[i], head, path))
            continue;
        if (str_equal(str_of(routes[i].method), STR("UPGRADE")))
            return &routes[i];
        if (found == NULL)
            found = &routes[i];
    }
    return found;
}

static struct http_request split_request_target(const struct http_head *head)
{
    struct str target = http_head_path(head);
    size_t question;

    /* As of a base URL that ends with '/', to which a client of ours or others' adds "/path". */
    while (str_starts_with(target, STR("//")))
        target = str_slice(target, 1, target.len);
    question = str_find(target, '?');
    return (struct http_request){.head = head,
                                 .path = question == 0 ? STR("/") : str_slice(target, 0, question),
                                 .query = str_slice(target, question + 1, target.len)};
}

/* ---- requests that no route serves ---- */

static bool is_known_method(struct str method)
{
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",    "DELETE",
                                        "OPTIONS", "CONNECT", "TRACE", "PATCH"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_equal(method, str_of(known[i])))
            return true;
    return false;
}

static void add_method(struct buf *list, const char *method)
{
    struct http_head head = {.headers = {{STR("Allow"), buf_str(list)}}, .header_count = 1};

    if (!http_head_has_token(&head, "Allow", method))
        buf_printf(list, "%s%s", list->len > 0 ? ", " : "", method);
}

/* Appends what the routes at that path serve (with "*" or an authority for a path, any): nothing
 * when there are none. *any is one of them. */
static void put_methods(const struct http_server *server, const struct http_request *request,
                        struct buf *list, const struct http_route **any)
{
    bool is_whole_server = request->path.p[0] != '/';

    for (size_t i = 0; i < server->options.route_count; i++) {
        const struct http_route *route = &server->options.routes[i];
        struct str method = str_of(route->method);
        if (str_equal(str_of(route->path), STR("*")) || str_equal(method, STR("*")) ||
            str_equal(method, STR("UPGRADE")) ||
            (!is_whole_server && !path_matches(str_of(route->path), request->path)))
            continue;
        *any = route;
        add_method(list, route->method);
        if (str_equal(method, STR("GET")))
            add_method(list, "HEAD");
    }
    if (list->len > 0)
        add_method(list, "OPTIONS");
}

/* A route is there, but not for this method (RFC 9110 §15.5.6); OPTIONS asks just for that. */
static void answer_no_method(struct http_conn *conn, const struct http_request *request,
                             struct str allowed)
{
    const struct http_header allow = {STR("Allow"), allowed};
    struct buf text = {0}, body = {0};
    struct http_answer answer = {.status = 204, .headers = &allow, .header_count = 1};

    if (!str_equal(request->head->method, STR("OPTIONS"))) {
        buf_printf(&text, "method %.*s is not allowed here: want one of %.*s",
                   STR_ARG(request->head->method), STR_ARG(allowed));
        json_open(&body, '{');
        json_put_buf(&body, "message", &text);
        json_close(&body, '}');
        answer.status = 405;
        answer.content_type = "application/json; charset=utf-8";
        answer.made = &body;
    }
    http_conn_answer(conn, &answer);
    buf_free(&text);
    buf_free(&body);
}

/* Answers in HTML, by which clients distinguish a route that a proxy lacks from a resource that it
 * lacks (PROTOCOL.md §4). */
static void answer_not_found(struct http_conn *conn, const struct http_request *request)
{
    struct buf text = {0}, body = {0};

    buf_puts(&text, "Cannot ");
    buf_put(&text, request->head->method);
    buf_putc(&text, ' ');
    buf_put(&text, request->path);
    html_put_page(&body, STR("Error"), buf_str(&text));
    body.failed |= text.failed;
    http_conn_answer(conn, &(struct http_answer){.status = 404,
                                                 .content_type = "text/html; charset=utf-8",
                                                 .made = &body});
    buf_free(&text);
    buf_free(&body);
}

static void answer_no_route(struct http_conn *conn, const struct http_request *request)
{
    struct buf allowed = {0};

    put_methods(conn->server, request, &allowed, &conn->route);
    if (allowed.failed)
        http_conn_answer_message(conn, 500, "out of memory");
    else if (!is_known_method(request->head->method))
        http_conn_answer_message(conn, 501, "method %.*s is not known here",
                                 STR_ARG(str_cut(request->head->method, MAX_SHOWN_METHOD)));
    else if (allowed.len > 0)
        answer_no_method(conn, request, buf_str(&allowed));
    else
        answer_not_found(conn, request);
    buf_free(&allowed);
}

/* A request that is not HTTP or breaks a limit: the answer, then the end. */
void http_dispatch_refuse(struct http_conn *conn, int status, const char *reason)
{
    struct buf peer = {0};

    http_conn_put_peer(conn, &peer);
    log_line(LOG_DEBUG, "refused request peer=%s status=%d: %s", buf_cstr(&peer), status, reason);
    buf_free(&peer);
    conn->must_close = true;
    http_conn_answer_message(conn, status, "%s", reason);
    conn->input.len = 0;
    http_conn_set_state(conn, HTTP_CONN_IDLE);
}

void http_dispatch_take(struct http_conn *conn, size_t n)
{
    conn->input = str_slice(conn->input, n, conn->input.len);
}

void http_dispatch_skip(struct http_conn *conn)
{
    if (conn->must_close || http_body_is_complete(&conn->body)) {
        http_conn_set_state(conn, HTTP_CONN_IDLE);
        return;
    }
    http_conn_set_state(conn, HTTP_CONN_SKIP);
}

void http_dispatch_after(struct http_conn *conn)
{
    if (conn->is_dead || conn->state == HTTP_CONN_WAITING || conn->state == HTTP_CONN_STREAM)
        return;
    if (conn->is_handling) {
        log_line(LOG_ERROR, "route %s left a request without an answer", conn->route->path);
        http_conn_answer_message(conn, 500, "internal error");
    }
    if (http_out_has_body(conn))
        http_conn_set_state(conn, HTTP_CONN_SENDING);
    else
        http_dispatch_skip(conn);
}

/* Bodies that an early answer leaves unread cost the connection when they are not small. */
static bool is_long_body(const struct http_head *head)
{
    return head->expects_continue || head->framing == HTTP_BODY_CHUNKED ||
           (head->framing == HTTP_BODY_LENGTH &&
            head->content_length > HTTP_SERVER_MAX_SKIPPED_BODY);
}

/* False when earlier answers are still on their way: the head is then parsed again later. */
static bool are_answers_written(struct http_conn *conn)
{
    if (!http_out_is_empty(conn))
        http_out_flush(conn);
    return !conn->is_dead && http_out_is_empty(conn);
}

static bool handle_head(struct http_conn *conn, const struct http_request *request)
{
    const struct http_route *route = conn->route;
    bool takes_connection = route != NULL && route->takes_connection;
    size_t size = request->head->size;

    if (takes_connection && !are_answers_written(conn)) {
        if (!conn->is_dead)
            http_conn_set_state(conn, HTTP_CONN_IDLE);
        return false;
    }
    conn->has_unread_body = is_long_body(request->head);
    http_body_init(&conn->body, request->head->framing, request->head->content_length);
    conn->is_handling = true;
    if (!takes_connection)
        http_dispatch_take(conn, size);
    if (route == NULL)
        answer_no_route(conn, request);
    else
        route->on_head(conn, request, route->owner);
    if (!conn->is_dead && takes_connection)
        http_dispatch_take(conn, size);
    http_dispatch_after(conn);
    return !conn->is_dead;
}

static bool handle_request(struct http_conn *conn, const struct http_request *request)
{
    conn->has_unread_body = false;
    conn->is_handling = true;
    conn->route->on_request(conn, request, conn->route->owner);
    http_dispatch_after(conn);
    return !conn->is_dead;
}

/* The body comes later: the head is kept until then. */
static void begin_collecting(struct http_conn *conn, const struct http_head *head)
{
    http_body_init(&conn->body, head->framing, head->content_length);
    buf_clear(&conn->collected);
    buf_put(&conn->collected, str_slice(conn->input, 0, head->size));
    conn->collected_head = head->size;
    http_dispatch_take(conn, head->size);
    if (head->expects_continue && conn->input.len == 0)
        http_out_continue(conn);
    http_conn_set_state(conn, HTTP_CONN_COLLECT);
}

static bool handle_body(struct http_conn *conn, struct http_request *request)
{
    const struct http_head *head = request->head;
    size_t size = head->size, length = 0;

    if (head->framing == HTTP_BODY_LENGTH) {
        if ((uint64_t)head->content_length > conn->route->max_body_bytes) {
            http_dispatch_refuse(conn, 413, "request body too large");
            return true;
        }
        length = (size_t)head->content_length;
    }
    if (head->framing == HTTP_BODY_CHUNKED || conn->input.len - size < length) {
        begin_collecting(conn, head);
        return true;
    }
    request->body = str_slice(conn->input, size, size + length);
    http_body_init(&conn->body, HTTP_BODY_NONE, 0);
    http_dispatch_take(conn, size + length);
    return handle_request(conn, request);
}

static bool is_admitted(struct http_conn *conn, const struct http_head *head)
{
    const struct http_server_options *options = &conn->server->options;

    return options->on_head == NULL || options->on_head(options->owner, conn, head, &conn->tag);
}

bool http_dispatch_head(struct http_conn *conn)
{
    const struct http_head *head = &conn->server->head;
    struct http_request request = split_request_target(head);

    conn->parser = (struct http_head_parser){0};
    conn->route = find_route(conn->server, head, request.path);
    conn->is_head_request = str_equal(head->method, STR("HEAD"));
    conn->is_http10 = head->minor_version == 0;
    if (!is_admitted(conn, head)) {
        http_dispatch_refuse(conn, 503, "too many connections from this address, try again later");
        return true;
    }
    if (!head->is_keep_alive)
        conn->must_close = true;
    if (conn->route == NULL || conn->route->on_head != NULL)
        return handle_head(conn, &request);
    return handle_body(conn, &request);
}

bool http_dispatch_collected(struct http_conn *conn)
{
    struct http_head_parser parser = {0};
    struct http_head *head = &conn->server->head;
    struct buf collected = conn->collected;
    int status;
    bool goes_on = true;

    conn->collected = (struct buf){0};
    if (collected.failed || http_head_parse(&parser, HTTP_REQUEST, buf_str(&collected), STR(""),
                                            head, &status, ERR_IGNORED) != IO_DONE) {
        http_dispatch_refuse(conn, 500, "out of memory");
    } else {
        struct http_request request = split_request_target(head);
        request.body = str_slice(buf_str(&collected), head->size, SIZE_MAX);
        goes_on = handle_request(conn, &request);
    }
    buf_free(&collected);
    return goes_on;
}
