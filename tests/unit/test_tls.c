/* TLS ends against each other in memory: our client and BearSSL's server, whole and byte by byte.
 * */
#include <bearssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/fs.h"
#include "net/stream.h"
#include "net/tls.h"
#include "waker.h"

enum { NOW_S = 1795348800, MAX_FILE = 1 << 16, BULK = 300000 };

/* What one side wrote and the other has not read yet; at most `step` bytes move per call. */
struct ring {
    struct buf data;
    size_t step;
    bool is_closed, is_full_now;
};

struct server {
    br_ssl_server_context context;
    unsigned char records[BR_SSL_BUFSIZE_BIDI];
    br_x509_certificate chain;
    struct buf certificate, key_der;
    br_skey_decoder_context key;
    br_ssl_session_cache_lru cache;
    unsigned char cache_room[4096];
    struct buf echo; /* plain bytes to send back */
};

struct pair {
    struct ring up, down; /* client to server, server to client */
    struct server *server;
};

static void read_pem(const char *path, struct buf *der)
{
    struct buf text = {0}, body = {0};
    struct err e;

    assert_int_equal(fs_read_file(path, MAX_FILE, &text, &e), 0);
    const char *p = strchr(buf_cstr(&text), '\n'), *end = strstr(p, "-----END");
    for (; p < end; p++)
        if (*p > ' ')
            buf_putc(&body, *p);
    assert_true(base64_decode(der, buf_str(&body)));
    buf_free(&text);
    buf_free(&body);
}

static struct trust *read_trust(void)
{
    struct buf text = {0};
    struct err e;

    assert_int_equal(fs_read_file("tests/vectors/tls/root.pem", MAX_FILE, &text, &e), 0);
    struct trust *trust = trust_parse(buf_str(&text), &e);
    assert_non_null(trust);
    buf_free(&text);
    return trust;
}

static struct server *new_server(const char *kind)
{
    struct server *s = calloc(1, sizeof *s);
    char path[128];

    snprintf(path, sizeof path, "tests/vectors/tls/%s.pem", kind);
    read_pem(path, &s->certificate);
    snprintf(path, sizeof path, "tests/vectors/tls/%s.key", kind);
    read_pem(path, &s->key_der);
    s->chain = (br_x509_certificate){(unsigned char *)s->certificate.data, s->certificate.len};
    br_skey_decoder_init(&s->key);
    br_skey_decoder_push(&s->key, s->key_der.data, s->key_der.len);
    assert_int_equal(br_skey_decoder_last_error(&s->key), 0);
    br_ssl_session_cache_lru_init(&s->cache, s->cache_room, sizeof s->cache_room);
    return s;
}

static void start_server(struct server *s)
{
    if (br_skey_decoder_key_type(&s->key) == BR_KEYTYPE_EC)
        br_ssl_server_init_full_ec(&s->context, &s->chain, 1, BR_KEYTYPE_EC,
                                   br_skey_decoder_get_ec(&s->key));
    else
        br_ssl_server_init_full_rsa(&s->context, &s->chain, 1, br_skey_decoder_get_rsa(&s->key));
    br_ssl_engine_set_buffer(&s->context.eng, s->records, sizeof s->records, 1);
    br_ssl_server_set_cache(&s->context, &s->cache.vtable);
    br_ssl_engine_inject_entropy(&s->context.eng, "not random", 10);
    assert_int_equal(br_ssl_server_reset(&s->context), 1);
    buf_clear(&s->echo);
}

static void free_server(struct server *s)
{
    buf_free(&s->certificate);
    buf_free(&s->key_der);
    buf_free(&s->echo);
    free(s);
}

/* One move of the server; false when it has nothing to do. It echoes what it reads. */
static bool move_server(struct pair *p)
{
    br_ssl_engine_context *engine = &p->server->context.eng;
    unsigned state = br_ssl_engine_current_state(engine);
    size_t len;

    if (state & BR_SSL_SENDREC) {
        unsigned char *data = br_ssl_engine_sendrec_buf(engine, &len);
        buf_append(&p->down.data, data, len);
        br_ssl_engine_sendrec_ack(engine, len);
        return true;
    }
    if (state & BR_SSL_RECVAPP) {
        unsigned char *data = br_ssl_engine_recvapp_buf(engine, &len);
        buf_append(&p->server->echo, data, len);
        br_ssl_engine_recvapp_ack(engine, len);
        return true;
    }
    if ((state & BR_SSL_SENDAPP) && p->server->echo.len > 0) {
        unsigned char *room = br_ssl_engine_sendapp_buf(engine, &len);
        if (len > p->server->echo.len)
            len = p->server->echo.len;
        memcpy(room, p->server->echo.data, len);
        br_ssl_engine_sendapp_ack(engine, len);
        br_ssl_engine_flush(engine, 0);
        buf_consume(&p->server->echo, len);
        return true;
    }
    if ((state & BR_SSL_RECVREC) && p->up.data.len > 0) {
        unsigned char *room = br_ssl_engine_recvrec_buf(engine, &len);
        if (len > p->up.data.len)
            len = p->up.data.len;
        memcpy(room, p->up.data.data, len);
        br_ssl_engine_recvrec_ack(engine, len);
        buf_consume(&p->up.data, len);
        return true;
    }
    return false;
}

static enum io ring_read(void *ctx, void *data, size_t size, size_t *n, struct err *e)
{
    struct ring *r = &((struct pair *)ctx)->down;

    (void)e;
    if (r->data.len == 0)
        return r->is_closed ? IO_EOF : IO_WANT_READ;
    *n = size < r->data.len ? size : r->data.len;
    if (*n > r->step)
        *n = r->step;
    memcpy(data, r->data.data, *n);
    buf_consume(&r->data, *n);
    return IO_DONE;
}

/* Every second call says that the transport is full, so that each wait is gone through. */
static enum io ring_write(void *ctx, struct str data, size_t *n, struct err *e)
{
    struct ring *r = &((struct pair *)ctx)->up;

    (void)e;
    r->is_full_now = !r->is_full_now;
    if (r->is_full_now && r->step < SIZE_MAX)
        return IO_WANT_WRITE;
    *n = data.len < r->step ? data.len : r->step;
    buf_append(&r->data, data.p, *n);
    return IO_DONE;
}

static struct tls *new_client(struct pair *p, const struct trust *trust, const char *host,
                              int64_t now_s, uint16_t port)
{
    struct tls_options options = {.host = str_of(host),
                                  .port = port,
                                  .trust = trust,
                                  .now_s = now_s,
                                  .transport = {p, ring_read, ring_write}};
    struct err e;
    struct tls *t = tls_new(&options, &e);

    assert_non_null(t);
    return t;
}

static struct pair new_pair(const char *kind, size_t step)
{
    struct pair p = {.server = new_server(kind)};

    p.up.step = p.down.step = step;
    start_server(p.server);
    return p;
}

static void free_pair(struct pair *p)
{
    buf_free(&p->up.data);
    buf_free(&p->down.data);
    free_server(p->server);
}

static enum io shake(struct pair *p, struct tls *t, struct err *e)
{
    for (;;) {
        enum io r = tls_handshake(t, e);
        if (r != IO_WANT_READ && r != IO_WANT_WRITE)
            return r;
        while (move_server(p))
            continue;
    }
}

static void finish(struct pair *p, struct tls *t)
{
    struct err e;

    while (tls_flush(t, &e) == IO_WANT_WRITE)
        continue;
    while (move_server(p))
        continue;
}

/* Sends `len` bytes and reads the same back. */
static void echo(struct pair *p, struct tls *t, size_t len)
{
    char *sent = malloc(len), *back = malloc(len);
    size_t written = 0, have = 0, n;
    struct err e;

    for (size_t i = 0; i < len; i++)
        sent[i] = (char)(i * 7 + i / 251);
    while (have < len) {
        enum io r = written < len
                        ? tls_write(t, (struct str){sent + written, len - written}, &n, &e)
                        : tls_flush(t, &e);
        assert_int_not_equal(r, IO_ERR);
        if (r == IO_DONE && written < len)
            written += n;
        if (tls_flush(t, &e) == IO_ERR)
            fail_msg("%s", e.msg);
        while (move_server(p))
            continue;
        while ((r = tls_read(t, back + have, len - have, &n, &e)) == IO_DONE) {
            have += n;
            if (have == len)
                break;
        }
        assert_true(r == IO_DONE || r == IO_WANT_READ || r == IO_WANT_WRITE);
    }
    assert_memory_equal(sent, back, len);
    free(sent);
    free(back);
}

static void test_echo(void **state)
{
    static const char *const kinds[] = {"p256", "rsa2048"};
    static const size_t steps[] = {1, 2, 7, 4096, SIZE_MAX};
    struct trust *trust = read_trust();
    struct err e = {0};

    (void)state;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            struct pair p = new_pair(kinds[k], steps[i]);
            struct tls *t = new_client(&p, trust, "host.example", NOW_S, (uint16_t)(100 * k + i));
            if (shake(&p, t, &e) != IO_DONE)
                fail_msg("%s in steps of %zu: %s", kinds[k], steps[i], e.msg);
            finish(&p, t);
            assert_false(tls_is_resumed(t));
            echo(&p, t, 1);
            echo(&p, t, steps[i] < 100 ? 20000 : BULK);
            tls_free(t);
            free_pair(&p);
        }
    trust_free(trust);
}

static void test_resumption(void **state)
{
    struct trust *trust = read_trust();
    struct pair p = new_pair("p256", SIZE_MAX);
    struct err e;

    (void)state;
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            start_server(p.server);
        struct tls *t = new_client(&p, trust, "host.example", NOW_S, 7000);
        assert_int_equal(shake(&p, t, &e), IO_DONE);
        finish(&p, t);
        assert_int_equal(tls_is_resumed(t), i > 0);
        echo(&p, t, 1000);
        tls_free(t);
        buf_clear(&p.up.data);
        buf_clear(&p.down.data);
    }
    free_pair(&p);
    trust_free(trust);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name, *host;
        int64_t now_s;
        const char *words;
    } cases[] = {
        {"other host", "other.example", NOW_S, "not for other.example but for host.example"},
        {"address that is not there", "127.0.0.2", NOW_S, "not for 127.0.0.2"},
        {"long ago", "host.example", 1000000000, "not yet valid"},
        {"long after", "host.example", INT64_C(4000000000), "expired since 2056"},
    };
    struct trust *trust = read_trust();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p = new_pair("p256", SIZE_MAX);
        struct tls *t = new_client(&p, trust, cases[i].host, cases[i].now_s, 1);
        struct err e = {0};
        if (shake(&p, t, &e) != IO_ERR || strstr(e.msg, cases[i].words) == NULL)
            fail_msg("%s: %s", cases[i].name, e.msg);
        assert_int_equal(e.code, ERR_REFUSED);
        tls_free(t);
        free_pair(&p);
    }
    trust_free(trust);
}

static void test_addresses(void **state)
{
    struct trust *trust = read_trust();
    struct pair p = new_pair("p256", SIZE_MAX);
    struct tls *t = new_client(&p, trust, "127.0.0.1", NOW_S, 2);
    struct err e;

    (void)state;
    assert_int_equal(shake(&p, t, &e), IO_DONE);
    finish(&p, t);
    assert_string_equal(br_ssl_engine_get_server_name(&p.server->context.eng), "");
    tls_free(t);
    free_pair(&p);
    trust_free(trust);
}

/* The peer's end of data with and without close_notify: a cut is never taken for an end. */
static void test_ends(void **state)
{
    struct trust *trust = read_trust();

    (void)state;
    for (int is_orderly = 0; is_orderly < 2; is_orderly++) {
        struct pair p = new_pair("rsa2048", SIZE_MAX);
        struct tls *t = new_client(&p, trust, "host.example", NOW_S, 3);
        struct err e = {0};
        char byte;
        size_t n;
        assert_int_equal(shake(&p, t, &e), IO_DONE);
        finish(&p, t);
        if (is_orderly)
            br_ssl_engine_close(&p.server->context.eng);
        while (move_server(&p))
            continue;
        p.down.is_closed = true;
        enum io r = tls_read(t, &byte, 1, &n, &e);
        assert_int_equal(r, is_orderly ? IO_EOF : IO_ERR);
        if (!is_orderly) {
            assert_int_equal(e.code, ERR_NETWORK);
            assert_non_null(strstr(e.msg, "close_notify"));
        }
        tls_free(t);
        free_pair(&p);
    }
    trust_free(trust);
}

static void test_close_notify_is_sent(void **state)
{
    struct trust *trust = read_trust();
    struct pair p = new_pair("p256", SIZE_MAX);
    struct tls *t = new_client(&p, trust, "host.example", NOW_S, 4);
    struct err e;

    (void)state;
    assert_int_equal(shake(&p, t, &e), IO_DONE);
    finish(&p, t);
    assert_int_equal(tls_close(t, &e), IO_DONE);
    while (move_server(&p))
        continue;
    assert_int_equal(br_ssl_engine_current_state(&p.server->context.eng), BR_SSL_CLOSED);
    assert_int_equal(br_ssl_engine_last_error(&p.server->context.eng), BR_ERR_OK);
    tls_free(t);
    free_pair(&p);
    trust_free(trust);
}

/* Any single bit that changes on the way is noticed, in the handshake and after. */
static void test_damage(void **state)
{
    struct trust *trust = read_trust();

    (void)state;
    for (size_t at = 0; at < 1500; at += 37) {
        struct pair p = new_pair("p256", SIZE_MAX);
        struct tls *t = new_client(&p, trust, "host.example", NOW_S, 5000);
        struct err e = {0};
        size_t seen = 0;
        enum io r;
        while ((r = tls_handshake(t, &e)) == IO_WANT_READ || r == IO_WANT_WRITE) {
            bool has_moved = false;
            while (move_server(&p))
                has_moved = true;
            if (at >= seen && at < seen + p.down.data.len)
                p.down.data.data[at - seen] ^= 1;
            seen += p.down.data.len;
            if (!has_moved)
                p.down.is_closed = true;
        }
        if (r == IO_DONE && at < seen)
            fail_msg("byte %zu of %zu", at, seen);
        tls_free(t);
        free_pair(&p);
    }
    trust_free(trust);
}

static void test_not_tls(void **state)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n",
                                          "\x15\x03\x01\x00\x02\x02\x46",
                                          "\x15\x03\x03\x00\x02\x02\x28"};
    static const char *const words[] = {"does not speak TLS", "does not speak TLS",
                                        "does not speak TLS 1.2", "no cipher suite in common"};
    struct trust *trust = read_trust();

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pair p = new_pair("p256", SIZE_MAX);
        struct tls *t = new_client(&p, trust, "host.example", NOW_S, 6);
        struct err e = {0};
        buf_append(&p.down.data, answers[i], i < 2 ? strlen(answers[i]) : 7);
        assert_int_equal(tls_handshake(t, &e), IO_ERR);
        if (strstr(e.msg, words[i]) == NULL)
            fail_msg("answer %zu: %s", i, e.msg);
        assert_int_equal(tls_wants_older_suites(t), i == 3);
        tls_free(t);
        free_pair(&p);
    }
    trust_free(trust);
}

/* The server's rings over its end of a socket pair, as far as there is something to move. */
static void serve_socket(struct pair *p, int fd)
{
    char data[4096];
    ssize_t n;

    while ((n = recv(fd, data, sizeof data, MSG_DONTWAIT)) > 0)
        buf_append(&p->up.data, data, (size_t)n);
    while (move_server(p))
        continue;
    if (p->down.data.len > 0)
        assert_int_equal(send(fd, p->down.data.data, p->down.data.len, MSG_NOSIGNAL),
                         (ssize_t)p->down.data.len);
    buf_clear(&p->down.data);
}

/* What is inside of TLS wakes nobody through the socket: a yield does, and so does a new owner. */
static void what_is_inside_wakes(void **state)
{
    struct trust *trust = read_trust();
    struct pair p = new_pair("p256", SIZE_MAX);
    struct waker next;
    struct err e = {0};
    int ends[2];
    char byte;
    size_t n;
    enum io io;

    (void)state;
    next = (struct waker){.loop = waker.loop};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    const struct loop_wake wake = waker_of(&waker), other = waker_of(&next);
    struct stream *s = stream_new(ends[0], &wake);
    const struct tls_options options = {
        .host = STR("host.example"), .port = 1, .trust = trust, .now_s = NOW_S};
    assert_int_equal(stream_start_tls(s, options, &e), 0);
    while ((io = stream_handshake(s, &e)) == IO_WANT_READ || io == IO_WANT_WRITE) {
        serve_socket(&p, ends[1]);
        waker_wait(&waker);
    }
    assert_int_equal(io, IO_DONE);
    assert_int_equal(stream_write(s, STR("abc"), &n, &e), IO_DONE);
    while ((io = stream_read(s, &byte, 1, &n, &e)) != IO_DONE) {
        assert_int_equal(io, IO_WANT_READ);
        serve_socket(&p, ends[1]);
        waker_wait(&waker);
    }
    assert_int_equal(byte, 'a');
    assert_false(waker_wait_ms(&waker, 20));
    stream_yield(s);
    waker_wait(&waker);
    stream_set_wake(s, &other);
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(next.wakes, 1);
    assert_int_equal(stream_expect(s, &e), 0);
    assert_false(waker_wait_ms(&waker, 20));
    assert_int_equal(next.wakes, 2);
    assert_int_equal(stream_read(s, &byte, 1, &n, &e), IO_DONE);
    assert_int_equal(stream_read(s, &byte, 1, &n, &e), IO_DONE);
    assert_int_equal(byte, 'c');
    assert_int_equal(stream_read(s, &byte, 1, &n, &e), IO_WANT_READ);
    stream_free(s);
    close(ends[1]);
    free_pair(&p);
    trust_free(trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),     cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ends),     cmocka_unit_test(test_close_notify_is_sent),
        cmocka_unit_test(test_damage),   cmocka_unit_test(test_not_tls),
        WAKER_TEST(what_is_inside_wakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
