/* Which connections of an http_server go when there is no room for another one: of places, and of
 * memory. The list of those that may go is in the order in which they last moved on. */
#include "base/clock.h"
#include "http/http_conn.h"
#include "http/http_server.h"

/* Of those that are not idle after all: the search for one ends there. */
enum { MAX_LOOKED_AT = 64 };

static void take_out_idle(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    if (conn->idle_previous != NULL)
        conn->idle_previous->idle_next = conn->idle_next;
    else
        server->idle_first = conn->idle_next;
    if (conn->idle_next != NULL)
        conn->idle_next->idle_previous = conn->idle_previous;
    else
        server->idle_last = conn->idle_previous;
    conn->idle_previous = conn->idle_next = NULL;
    conn->is_idle = false;
}

static void put_idle_last(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    conn->idle_since_ms = loop_now_ms(server->options.loop);
    conn->idle_previous = server->idle_last;
    if (server->idle_last != NULL)
        server->idle_last->idle_next = conn;
    else
        server->idle_first = conn;
    server->idle_last = conn;
    conn->is_idle = true;
}

void http_room_leave(struct http_conn *conn)
{
    if (conn->is_idle)
        take_out_idle(conn);
}

void http_room_touch(struct http_conn *conn)
{
    if (!conn->is_idle)
        return;
    take_out_idle(conn);
    put_idle_last(conn);
}

void http_room_update(struct http_conn *conn)
{
    bool is_owed = conn->state == HTTP_CONN_WAITING || conn->is_dry || conn->is_paused;
    bool may_go = !is_owed && !conn->is_refused && !conn->is_dead;

    if (may_go && !conn->is_idle)
        put_idle_last(conn);
    else if (!may_go)
        http_room_leave(conn);
}

/* A transfer that moves is no idle connection, however long it takes. */
static bool is_moving(const struct http_conn *conn)
{
    int64_t age = loop_now_ms(conn->server->options.loop) - conn->idle_since_ms;

    return (conn->state == HTTP_CONN_SENDING || conn->state == HTTP_CONN_STREAM) &&
           age < HTTP_SERVER_STANDSTILL_MS;
}

/* Not looked at yet, in this round of the loop. */
static bool has_request(const struct http_conn *conn)
{
    return conn->state == HTTP_CONN_IDLE && http_out_is_empty(conn) &&
           stream_has_input(conn->stream);
}

/* A request that came and was not read yet is read now: its connection is not idle. */
static struct http_conn *find_idle(struct http_server *server)
{
    struct http_conn *conn = server->idle_first;

    for (int i = 0; i < MAX_LOOKED_AT && conn != NULL; i++) {
        if (is_moving(conn)) {
            conn = conn->idle_next;
        } else if (has_request(conn)) {
            http_conn_read(conn);
            conn = server->idle_first;
        } else {
            return conn;
        }
    }
    return NULL;
}

int64_t http_server_idle_since(struct http_server *server)
{
    const struct http_conn *conn = find_idle(server);

    return conn == NULL ? CLOCK_NEVER_MS : conn->idle_since_ms;
}

void http_server_drop_idle(struct http_server *server)
{
    struct http_conn *conn = find_idle(server);

    if (conn != NULL)
        http_conn_lose(conn);
}

static struct http_conn *find_tagged(const struct http_server *server, uint64_t tag)
{
    struct http_conn *conn = server->first;

    while (conn != NULL && conn->tag != tag)
        conn = conn->next;
    return conn;
}

bool http_server_drop_tagged(struct http_server *server, uint64_t tag)
{
    struct http_conn *conn = find_tagged(server, tag);

    if (conn == NULL || !conn->is_idle || has_request(conn) || is_moving(conn))
        return false;
    http_conn_lose(conn);
    return true;
}

void http_conn_cut(struct http_conn *conn)
{
    if (conn->state == HTTP_CONN_WAITING && http_out_is_empty(conn))
        http_conn_lose(conn);
    else
        http_conn_lose_unsent(conn);
}

void http_server_end_tagged(struct http_server *server, uint64_t tag)
{
    struct http_conn *conn = find_tagged(server, tag);

    if (conn != NULL)
        http_conn_lose_unsent(conn);
}

/* The newest one: who waits longest is nearest to an answer. */
bool http_server_end_waiting(struct http_server *server,
                             bool (*matches)(void *ctx, uint64_t tag), void *ctx,
                             const char *reason)
{
    for (struct http_conn *conn = server->first; conn != NULL; conn = conn->next) {
        if (conn->state != HTTP_CONN_WAITING || conn->is_refused || !matches(ctx, conn->tag))
            continue;
        if (server->refused >= HTTP_SERVER_MAX_REFUSED) {
            http_conn_lose(conn);
            return true;
        }
        conn->is_refused = true;
        server->count--;
        server->refused++;
        http_conn_refuse_waiting(conn, reason);
        return true;
    }
    return false;
}

void http_room_limit_held(struct http_conn *blocked)
{
    struct http_server *server = blocked->server;
    struct http_conn *conn = server->idle_first, *next;

    for (; conn != NULL && server->held > server->options.max_held; conn = next) {
        next = conn->idle_next;
        if (conn == blocked || conn->write_deadline_ms == CLOCK_NEVER_MS ||
            conn->held <= HTTP_SERVER_SMALL_HELD || conn->is_feeding)
            continue;
        http_conn_lose_unsent(conn);
    }
}
