/* A message that was accepted is the same after it was written again in its generation. */
#include "fuzz.h"
#include "proto/message.h"

static void put_again(struct buf *out, const struct message *m)
{
    struct message_request r = {.resource_name = m->resource_name,
                                .uri = m->uri,
                                .zone = m->zone,
                                .is_generation2 = m->has_zone,
                                .request_id = m->request_id,
                                .timeout_ms = m->timeout_ms,
                                .request_timeout_ms = m->request_timeout_ms};

    switch (m->type) {
    case MESSAGE_INITIALIZE:
        message_put_initialize(out, m->resource_name, m->has_zone ? &m->zone : NULL,
                               m->proxy_secret);
        break;
    case MESSAGE_ACKNOWLEDGE: message_put_acknowledge(out); break;
    case MESSAGE_PING: buf_puts(out, "{\"type\":\"ping\"}"); break;
    case MESSAGE_REQUEST: message_put_request(out, &r); break;
    case MESSAGE_RESPONSE:
        /* Only a failure is without status. */
        message_put_response(out, m->request_id, &m->status,
                             m->has_status      ? STR("")
                             : m->error.len > 0 ? m->error
                                                : STR("failed"));
        break;
    case MESSAGE_CANCEL:
    case MESSAGE_UNKNOWN: break;
    }
}

static void require_same(const struct message *a, const struct message *b)
{
    require(a->type == b->type && a->has_zone == b->has_zone && str_equal(a->zone, b->zone));
    require(str_equal(a->resource_name, b->resource_name) && str_equal(a->uri, b->uri));
    require(str_equal(a->proxy_secret, b->proxy_secret));
    require(str_equal(a->request_id, b->request_id));
    require(a->timeout_ms == b->timeout_ms && a->request_timeout_ms == b->request_timeout_ms);
    require(a->has_status == b->has_status);
    if (!a->has_status)
        return;
    require(a->status.state == b->status.state && a->status.size == b->status.size);
    require(a->status.bytes_uploaded == b->status.bytes_uploaded);
    require(a->status.requested_ms == b->status.requested_ms);
    require(a->status.started_ms == b->status.started_ms);
    require(a->status.completed_ms == b->status.completed_ms);
    require(str_equal(a->status.error, b->status.error));
}

static void check(const struct message *m)
{
    struct message again;
    struct buf out = {0};

    require(m->timeout_ms >= 0 && m->timeout_ms <= MESSAGE_MAX_TIMEOUT_MS);
    require(m->request_timeout_ms >= 0 && m->request_timeout_ms <= MESSAGE_MAX_TIMEOUT_MS);
    require(m->request_id.len <= MESSAGE_MAX_ID_BYTES);
    put_again(&out, m);
    if (out.len > 0) {
        require(!out.failed && str_is_utf8(buf_str(&out)));
        require(message_parse(&again, buf_str(&out), ERR_IGNORED) == 0);
        require_same(m, &again);
        message_deinit(&again);
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct err e = {0};
    struct message m;

    if (message_parse(&m, text, &e) == 0) {
        check(&m);
        message_deinit(&m);
    } else {
        require(e.code == ERR_PROTOCOL && str_is_utf8(str_of(e.msg)));
    }
    if (message_parse_answer(&m, text, &e) == 0) {
        require(m.type == MESSAGE_RESPONSE);
        check(&m);
        message_deinit(&m);
    }
    return 0;
}
