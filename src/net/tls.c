#include "net/tls.h"

#include <bearssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "net/tls_flood.h"
#include "net/tls_internal.h"

enum { ALERT_HANDSHAKE_FAILURE = 40, ALERT_INSUFFICIENT_SECURITY = 71 };

/* Of the engine's `reneg`: the ServerHello came without renegotiation_info (RFC 5746). */
enum { SECURE_RENEGOTIATION_MISSING = 1 };

/* One direction's ciphertext between the engine and the transport: data[start, end) is waiting. */
struct stage {
    unsigned char *data;
    size_t start, end;
};

struct tls {
    br_ssl_client_context client;
    struct tls_peer peer; /* the certificate check */
    struct tls_transport transport;
    unsigned char records[BR_SSL_BUFSIZE_BIDI];
    struct stage in, out;
    struct tls_flood flood;
    char host[256];
    uint16_t port;
    bool is_open, is_resumed, has_closed;
    unsigned char offered_id[32]; /* of the session that we asked for */
    size_t offered_id_len;
    char first[40]; /* bytes that came from the peer */
    size_t first_len;
};

/* Sessions of this process, for resumption (RFC 5246 §7.3); the oldest is replaced. */
static struct {
    char host[256];
    uint16_t port;
    br_ssl_session_parameters parameters;
} sessions[TLS_MAX_SESSIONS];
static size_t next_session;

static size_t find_session(const struct tls *t)
{
    size_t i = 0;

    while (i < TLS_MAX_SESSIONS &&
           (sessions[i].port != t->port || strcmp(sessions[i].host, t->host) != 0 ||
            sessions[i].parameters.session_id_len == 0))
        i++;
    return i;
}

static void keep_session(const struct tls *t)
{
    size_t i = find_session(t);

    if (t->client.eng.session.session_id_len == 0)
        return;
    if (i == TLS_MAX_SESSIONS)
        i = next_session++ % TLS_MAX_SESSIONS;
    memcpy(sessions[i].host, t->host, sizeof t->host);
    sessions[i].port = t->port;
    br_ssl_engine_get_session_parameters(&t->client.eng, &sessions[i].parameters);
}

static void drop_session(const struct tls *t)
{
    size_t i = find_session(t);

    if (i < TLS_MAX_SESSIONS)
        explicit_bzero(&sessions[i], sizeof sessions[i]);
}

static bool begin_session(struct tls *t, const struct tls_options *options)
{
    br_ssl_engine_context *engine = &t->client.eng;
    unsigned char entropy[32];
    char name[sizeof t->host];
    size_t known = find_session(t);

    /* A session's suite must be among those that are offered. */
    tls_setup_client(&t->client, options->offers_sha1_cbc ||
                                     (known < TLS_MAX_SESSIONS &&
                                      tls_suite_is_older(sessions[known].parameters.cipher_suite)));
    br_ssl_engine_set_x509(engine, &t->peer.vtable);
    br_ssl_engine_set_buffers_bidi(engine, t->records, BR_SSL_BUFSIZE_INPUT,
                                   t->records + BR_SSL_BUFSIZE_INPUT, BR_SSL_BUFSIZE_OUTPUT);
    random_bytes(entropy, sizeof entropy);
    br_ssl_engine_inject_entropy(engine, entropy, sizeof entropy);
    explicit_bzero(entropy, sizeof entropy);
    if (known < TLS_MAX_SESSIONS) {
        br_ssl_engine_set_session_parameters(engine, &sessions[known].parameters);
        t->offered_id_len = sessions[known].parameters.session_id_len;
        memcpy(t->offered_id, sessions[known].parameters.session_id, t->offered_id_len);
    }
    if (br_ssl_client_reset(&t->client, tls_server_name(t->host, name), known < TLS_MAX_SESSIONS) !=
        1)
        return false;
    tls_setup_mac(&t->client);
    return true;
}

struct tls *tls_new(const struct tls_options *options, struct err *e)
{
    struct tls *t = calloc(1, sizeof *t);

    if (t == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    t->transport = options->transport;
    t->port = options->port;
    t->in.data = malloc(TLS_STAGE_BYTES);
    t->out.data = malloc(TLS_STAGE_BYTES);
    if (options->host.len < sizeof t->host)
        memcpy(t->host, options->host.p, options->host.len);
    tls_peer_init(&t->peer, str_of(t->host), options->trust, options->now_s);
    if (t->in.data == NULL || t->out.data == NULL || t->host[0] == '\0' ||
        !begin_session(t, options)) {
        err_set(e, ERR_FAILED, "TLS cannot begin");
        tls_free(t);
        return NULL;
    }
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    free(t->in.data);
    free(t->out.data);
    tls_peer_deinit(&t->peer);
    explicit_bzero(t, sizeof *t);
    free(t);
}

static bool is_empty(const struct stage *s)
{
    return s->start == s->end;
}

/* Moves a finished record (or a part of it) out of the engine; false when the stage is full. */
static bool stage_tls_record(struct tls *t)
{
    size_t len;
    unsigned char *record = br_ssl_engine_sendrec_buf(&t->client.eng, &len);

    if (is_empty(&t->out))
        t->out.start = t->out.end = 0;
    if (len > TLS_STAGE_BYTES - t->out.end)
        len = TLS_STAGE_BYTES - t->out.end;
    if (len == 0)
        return false;
    memcpy(t->out.data + t->out.end, record, len);
    t->out.end += len;
    br_ssl_engine_sendrec_ack(&t->client.eng, len);
    return true;
}

static enum io write_staged(struct tls *t, struct err *e)
{
    while (!is_empty(&t->out)) {
        struct str rest = {(char *)t->out.data + t->out.start, t->out.end - t->out.start};
        size_t n = 0;
        enum io r = t->transport.write(t->transport.ctx, rest, &n, e);
        if (r != IO_DONE)
            return r;
        t->out.start += n;
    }
    return IO_DONE;
}

/* Keeps the first bytes of all, for words about a peer that speaks something else. */
static void note_first(struct tls *t)
{
    size_t len = t->in.end - t->in.start;

    if (len > sizeof t->first - t->first_len)
        len = sizeof t->first - t->first_len;
    memcpy(t->first + t->first_len, t->in.data + t->in.start, len);
    t->first_len += len;
}

/* Feeds the engine from the stage, filling that from the transport when it is empty. */
static enum io read_tls_record(struct tls *t, struct err *e)
{
    size_t len, n = 0;

    if (is_empty(&t->in)) {
        enum io r = t->transport.read(t->transport.ctx, t->in.data, TLS_STAGE_BYTES, &n, e);
        if (r == IO_EOF) {
            err_set(e, ERR_NETWORK,
                    t->is_open ? "connection cut (TLS ended without close_notify)"
                    : t->first_len > 0
                        ? "connection closed during the TLS handshake"
                        : "connection closed during the TLS handshake (is this a port of plain "
                          "HTTP? then use http://)");
            return IO_ERR;
        }
        if (r != IO_DONE)
            return r;
        t->in.start = 0;
        t->in.end = n;
        note_first(t);
    }
    unsigned char *room = br_ssl_engine_recvrec_buf(&t->client.eng, &len);
    if (len > t->in.end - t->in.start)
        len = t->in.end - t->in.start;
    struct str record = {(char *)t->in.data + t->in.start, len};
    if (tls_flood_note(&t->flood, record, e) != 0)
        return IO_ERR;
    memcpy(room, record.p, len);
    t->in.start += len;
    br_ssl_engine_recvrec_ack(&t->client.eng, len);
    if (t->client.eng.reneg == SECURE_RENEGOTIATION_MISSING && !t->is_open)
        return tls_describe_error(BR_ERR_BAD_SECRENEG, TLS_BEGUN, STR(""), e), IO_ERR;
    return IO_DONE;
}

/* The engine has closed: orderly, or with its last error. */
static enum io report_tls_end(struct tls *t, struct err *e)
{
    int code = br_ssl_engine_last_error(&t->client.eng);
    enum tls_stage stage = t->is_open ? TLS_OPEN : t->peer.count > 0 ? TLS_CERTIFIED : TLS_BEGUN;

    if (code == BR_ERR_OK)
        return IO_EOF;
    drop_session(t);
    if (t->peer.failure.code != ERR_NONE)
        err_copy(e, &t->peer.failure);
    else
        tls_describe_error(code, stage, (struct str){t->first, t->first_len}, e);
    return IO_ERR;
}

/*
 * The engine loop: moves records until the engine is ready for `wanted` (BR_SSL_SENDAPP,
 * BR_SSL_RECVAPP). Records that it makes meanwhile are staged; they are written before anything
 * waits for the peer.
 */
static enum io pump_records(struct tls *t, unsigned wanted, struct err *e)
{
    for (;;) {
        unsigned state = br_ssl_engine_current_state(&t->client.eng);
        enum io r = IO_DONE;
        if (state & BR_SSL_SENDREC) {
            if (!stage_tls_record(t))
                r = write_staged(t, e);
        } else if (state & BR_SSL_CLOSED) {
            struct err ignored;
            write_staged(t, &ignored); /* our alert, if it can go */
            return report_tls_end(t, e);
        } else if (state & wanted) {
            return IO_DONE;
        } else if (!is_empty(&t->out)) {
            r = write_staged(t, e);
        } else if (state & BR_SSL_RECVREC) {
            r = read_tls_record(t, e);
        } else {
            err_set(e, ERR_PROTOCOL, "TLS peer sends more than it reads");
            return IO_ERR;
        }
        if (r != IO_DONE)
            return r;
    }
}

enum io tls_handshake(struct tls *t, struct err *e)
{
    enum io r = pump_records(t, BR_SSL_SENDAPP, e);

    if (r == IO_EOF) {
        err_set(e, ERR_NETWORK, "connection closed during the TLS handshake");
        return IO_ERR;
    }
    if (r != IO_DONE || t->is_open)
        return r;
    t->is_open = true;
    tls_flood_reset(&t->flood);
    t->is_resumed = t->offered_id_len > 0 &&
                    t->offered_id_len == t->client.eng.session.session_id_len &&
                    memcmp(t->offered_id, t->client.eng.session.session_id, t->offered_id_len) == 0;
    keep_session(t);
    return write_staged(t, e) == IO_ERR ? IO_ERR : IO_DONE;
}

bool tls_wants_older_suites(const struct tls *t)
{
    int code = br_ssl_engine_last_error(&t->client.eng);

    return !t->is_open && t->peer.count == 0 &&
           (code == BR_ERR_RECV_FATAL_ALERT + ALERT_HANDSHAKE_FAILURE ||
            code == BR_ERR_RECV_FATAL_ALERT + ALERT_INSUFFICIENT_SECURITY);
}

bool tls_refused_session(const struct tls *t)
{
    return !t->is_open && t->offered_id_len > 0 && t->peer.count == 0 &&
           br_ssl_engine_last_error(&t->client.eng) != BR_ERR_OK;
}

enum io tls_read(struct tls *t, void *data, size_t size, size_t *n, struct err *e)
{
    size_t len;
    enum io r = pump_records(t, BR_SSL_RECVAPP, e);

    if (r != IO_DONE)
        return r;
    unsigned char *plain = br_ssl_engine_recvapp_buf(&t->client.eng, &len);
    if (len > size)
        len = size;
    memcpy(data, plain, len);
    br_ssl_engine_recvapp_ack(&t->client.eng, len);
    tls_flood_reset(&t->flood);
    *n = len;
    return IO_DONE;
}

enum io tls_write(struct tls *t, struct str data, size_t *n, struct err *e)
{
    size_t taken = 0, len;
    enum io r = IO_DONE;

    while (taken < data.len && (r = pump_records(t, BR_SSL_SENDAPP, e)) == IO_DONE) {
        unsigned char *room = br_ssl_engine_sendapp_buf(&t->client.eng, &len);
        if (len > data.len - taken)
            len = data.len - taken;
        memcpy(room, data.p + taken, len);
        br_ssl_engine_sendapp_ack(&t->client.eng, len);
        br_ssl_engine_flush(&t->client.eng, 0);
        taken += len;
    }
    if (r == IO_ERR || r == IO_EOF || taken == 0)
        return r;
    *n = taken;
    return IO_DONE;
}

enum io tls_flush(struct tls *t, struct err *e)
{
    for (;;) {
        enum io r = IO_DONE;
        while ((br_ssl_engine_current_state(&t->client.eng) & BR_SSL_SENDREC) &&
               stage_tls_record(t))
            continue;
        if (is_empty(&t->out))
            return IO_DONE;
        r = write_staged(t, e);
        if (r != IO_DONE)
            return r;
    }
}

enum io tls_close(struct tls *t, struct err *e)
{
    if (!t->has_closed) {
        t->has_closed = true;
        br_ssl_engine_close(&t->client.eng);
    }
    return tls_flush(t, e);
}

bool tls_has_output(const struct tls *t)
{
    return !is_empty(&t->out) ||
           (br_ssl_engine_current_state(&t->client.eng) & BR_SSL_SENDREC) != 0;
}

size_t tls_output_bytes(const struct tls *t)
{
    size_t record = 0;

    br_ssl_engine_sendrec_buf(&t->client.eng, &record);
    return t->out.end - t->out.start + record;
}

bool tls_has_input(const struct tls *t)
{
    return !is_empty(&t->in) || (br_ssl_engine_current_state(&t->client.eng) & BR_SSL_RECVAPP) != 0;
}

int64_t tls_expires_s(const struct tls *t)
{
    return t->peer.expires_s;
}

bool tls_is_resumed(const struct tls *t)
{
    return t->is_resumed;
}
