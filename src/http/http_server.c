#include "http/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/http_conn.h"
#include "proto/addr.h"

enum { ACCEPTS_PER_ROUND = 64, ACCEPT_AGAIN_MS = 100 };

struct http_times http_server_times(void)
{
    return (struct http_times){.idle_ms = 75000,
                               .head_ms = 20000,
                               .body_ms = 30000,
                               .stall_ms = 60000,
                               .write_ms = 60000,
                               .linger_ms = 2000};
}

/* Returns as many as the descriptors allow, up to the constant. */
static size_t default_cap(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return HTTP_SERVER_MAX_CONNECTIONS;
    if (limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < HTTP_SERVER_MAX_CONNECTIONS + HTTP_SERVER_SPARE_FDS)
        return limit.rlim_cur > 2 * HTTP_SERVER_SPARE_FDS
                   ? (size_t)limit.rlim_cur - HTTP_SERVER_SPARE_FDS
                   : (size_t)limit.rlim_cur / 2;
    return HTTP_SERVER_MAX_CONNECTIONS;
}

static int open_spare(void)
{
    return open("/", O_RDONLY | O_CLOEXEC); /* there also where /dev is not */
}

/* A quarter of what this process may map, where that is less. */
static size_t default_max_held(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur / 4 > HTTP_SERVER_MAX_HELD)
        return HTTP_SERVER_MAX_HELD;
    return (size_t)limit.rlim_cur / 4;
}

struct http_server *http_server_new(const struct http_server_options *options, struct err *e)
{
    struct http_server *server = calloc(1, sizeof *server);

    if (server == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    server->options = *options;
    server->listener.fd = -1;
    server->spare_fd = -1;
    if (server->options.max_connections == 0)
        server->options.max_connections = default_cap();
    if (server->options.read_bytes == 0)
        server->options.read_bytes = HTTP_SERVER_READ_BYTES;
    if (server->options.max_held == 0)
        server->options.max_held = default_max_held();
    server->scratch = malloc(server->options.read_bytes);
    if (server->scratch == NULL) {
        http_server_free(server);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    return server;
}

static void stop_listening(struct http_server *server)
{
    struct loop *loop = server->options.loop;

    loop_clear_timer(loop, &server->accept_again);
    if (server->listener.is_added)
        loop_remove(loop, &server->listener);
    if (server->listener.fd >= 0)
        close(server->listener.fd);
    server->listener.fd = -1;
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    server->spare_fd = -1;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    server->is_draining = true;
    stop_listening(server);
    while (server->first != NULL)
        http_conn_lose(server->first);
    buf_free(&server->spare_out);
    free(server->scratch);
    free(server);
}

/* Takes the stream over, also when it fails; NULL is one that could not be made. */
static struct http_conn *add_connection(struct http_server *server, struct stream *stream,
                                        struct err *e)
{
    struct http_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL || stream == NULL) {
        stream_free(stream);
        free(conn);
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    conn->server = server;
    conn->file_fd = -1;
    if (http_conn_start(conn, stream, e) != 0) {
        stream_free(stream);
        free(conn);
        return NULL;
    }
    conn->next = server->first;
    if (server->first != NULL)
        server->first->previous = conn;
    server->first = conn;
    server->count++;
    http_conn_set_state(conn, HTTP_CONN_IDLE);
    return conn;
}

void http_server_forget(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    http_room_leave(conn);
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        server->first = conn->next;
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    if (conn->is_refused)
        server->refused--;
    else
        server->count--;
    server->held -= conn->held;
    buf_free(&conn->in);
    buf_free(&conn->out);
    buf_free(&conn->collected);
    free(conn->host);
    if (conn->file_fd >= 0)
        close(conn->file_fd);
    free(conn);
}

/* Makes a stream, whose wake is set with the connection. NULL without memory. */
static struct stream *new_accepted_stream(const struct http_server *server, int fd)
{
    return stream_new_accepted(fd, HTTP_SERVER_UNSENT_BYTES,
                               &(struct loop_wake){.loop = server->options.loop});
}

/* Here and elsewhere. */
static size_t count_all_connections(const struct http_server *server)
{
    const struct http_server_options *options = &server->options;

    return server->count +
           (options->count_elsewhere == NULL ? 0 : options->count_elsewhere(options->owner));
}

size_t http_server_max_connections(const struct http_server *server)
{
    return server->options.max_connections;
}

size_t http_server_excess(const struct http_server *server)
{
    size_t count = count_all_connections(server), most = server->options.max_connections;

    return count > most ? count - most : 0;
}

/* Above a cap: sends the reason before it closes, as long as there are not too many at once. */
static void refuse_connection(struct http_server *server, int fd, const char *reason)
{
    struct err e = {0};
    struct http_conn *conn;

    if (server->refused >= HTTP_SERVER_MAX_REFUSED) {
        close(fd);
        return;
    }
    conn = add_connection(server, new_accepted_stream(server, fd), &e);
    if (conn == NULL)
        return;
    if (server->refused == 0)
        log_line(LOG_WARN, "refusing connections: %s", reason);
    conn->is_refused = true;
    server->count--;
    server->refused++;
    conn->must_close = true;
    http_conn_answer_message(conn, 503, "%s, try again later", reason);
}

static void take_connection(struct http_server *server, int fd, const struct addr *peer)
{
    const struct http_server_options *options = &server->options;
    struct http_conn *conn;
    struct err e = {0};
    uint64_t tag = 0;

    if (options->make_room == NULL && count_all_connections(server) >= options->max_connections) {
        refuse_connection(server, fd, "too many connections");
        return;
    }
    if (options->on_accepted != NULL && !options->on_accepted(options->owner, peer, &tag)) {
        refuse_connection(server, fd, "too many connections from this address");
        return;
    }
    if (count_all_connections(server) >= options->max_connections &&
        !options->make_room(options->owner, tag)) {
        refuse_connection(server, fd, "too many connections");
        if (options->on_closed != NULL)
            options->on_closed(options->owner, tag);
        return;
    }
    conn = add_connection(server, new_accepted_stream(server, fd), &e);
    if (conn != NULL) {
        conn->tag = tag;
        http_conn_update(conn); /* its time runs, also when nothing ever comes */
        return;
    }
    log_line(LOG_WARN, "cannot serve a connection: %s", e.msg);
    if (options->on_closed != NULL)
        options->on_closed(options->owner, tag);
}

static void accept_later(struct http_server *server)
{
    struct loop *loop = server->options.loop;

    loop_change(loop, &server->listener, 0);
    loop_set_timer(loop, &server->accept_again, loop_now_ms(loop) + ACCEPT_AGAIN_MS);
}

static void on_accept_again(void *owner)
{
    struct http_server *server = owner;

    loop_change(server->options.loop, &server->listener, LOOP_READ);
}

/* No descriptor is left: the spare one serves to take a connection from the queue and to refuse it,
 * so that its client is not left hanging. */
static void out_of_descriptors(struct http_server *server)
{
    int fd = -1;

    log_line(LOG_WARN, "no descriptor left for a new connection: %s", strerror(errno));
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
        fd = accept4(server->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                         "Content-Length: 0\r\nConnection: close\r\n\r\n";
            send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
            shutdown(fd, SHUT_WR);
            close(fd);
        }
        server->spare_fd = open_spare();
    }
    accept_later(server);
}

static void on_connection(void *owner)
{
    struct http_server *server = owner;

    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        struct addr peer = {.len = sizeof peer.storage};
        int fd = accept4(server->listener.fd, (struct sockaddr *)&peer.storage, &peer.len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                out_of_descriptors(server);
            else if (errno == ENOBUFS || errno == ENOMEM)
                accept_later(server);
            else if (errno != EAGAIN)
                continue; /* that client is gone already */
            return;
        }
        take_connection(server, fd, &peer);
    }
}

int http_server_listen(struct http_server *server, int fd, struct err *e)
{
    server->listener.fd = fd;
    server->listener.call = on_connection;
    server->listener.owner = server;
    server->accept_again.call = on_accept_again;
    server->accept_again.owner = server;
    server->spare_fd = open_spare();
    return loop_add(server->options.loop, &server->listener, LOOP_READ, e);
}

int http_server_adopt(struct http_server *server, int fd, struct str bytes, uint64_t tag,
                      struct err *e)
{
    struct stream *stream = stream_new(fd, &(struct loop_wake){.loop = server->options.loop});

    return http_server_serve(server, stream, bytes, tag, e);
}

int http_server_serve(struct http_server *server, struct stream *stream, struct str bytes,
                      uint64_t tag, struct err *e)
{
    struct http_conn *conn = add_connection(server, stream, e);

    if (conn == NULL)
        return -1;
    conn->tag = tag;
    if (server->is_draining && bytes.len == 0)
        http_conn_lose(conn);
    else
        http_conn_feed(conn, bytes);
    return 0;
}

void http_server_drain(struct http_server *server)
{
    struct http_conn *conn, *next;

    server->is_draining = true;
    stop_listening(server);
    for (conn = server->first; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->state == HTTP_CONN_IDLE && http_out_is_empty(conn))
            http_conn_lose(conn);
        else
            conn->must_close = conn->must_close || conn->state == HTTP_CONN_IDLE;
    }
}

size_t http_server_count(const struct http_server *server)
{
    return server->count + server->refused;
}

uint64_t http_conn_tag(const struct http_conn *conn)
{
    return conn->tag;
}

void http_conn_set_tag(struct http_conn *conn, uint64_t tag)
{
    conn->tag = tag;
}

bool http_conn_peer(const struct http_conn *conn, struct addr *out)
{
    return conn->stream != NULL && stream_peer(conn->stream, out);
}

static bool put_known_peer(const struct http_conn *conn, struct buf *out)
{
    const struct http_server_options *options = &conn->server->options;

    return options->put_peer != NULL && options->put_peer(options->owner, conn->tag, out);
}

/* The socket is asked once: a client may have many requests. */
void http_conn_put_asker(struct http_conn *conn, struct buf *out)
{
    struct buf host = {0};
    struct addr peer;

    if (put_known_peer(conn, out))
        return;
    if (conn->host == NULL && http_conn_peer(conn, &peer)) {
        addr_put_host(&host, &peer);
        conn->host = host.failed ? NULL : strndup(host.data, host.len);
        out->failed |= conn->host == NULL;
        buf_free(&host);
    }
    if (conn->host != NULL)
        buf_puts(out, conn->host);
}

void http_conn_put_peer(struct http_conn *conn, struct buf *out)
{
    struct addr peer;

    if (put_known_peer(conn, out))
        return;
    if (http_conn_peer(conn, &peer))
        addr_put(out, &peer);
    else
        buf_puts(out, "unknown");
}
