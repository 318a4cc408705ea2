#include "http/ws_accept.h"

bool ws_accept_check(struct http_conn *conn, const struct http_request *request)
{
    const struct http_header wanted[] = {{STR("Connection"), STR("Upgrade")},
                                         {STR("Upgrade"), STR("websocket")},
                                         {STR("Sec-WebSocket-Version"), STR("13")}};
    struct err e = {0};
    int status = 400;

    if (ws_frame_check_request(request->head, &status, &e) == 0)
        return true;
    http_conn_answer(conn, &(struct http_answer){.status = status,
                                                 .content_type = "text/plain; charset=utf-8",
                                                 .body = str_of(e.msg),
                                                 .headers = wanted,
                                                 .header_count = 3,
                                                 .must_close = true});
    return false;
}

struct ws_conn *ws_accept(struct http_conn *conn, const struct http_request *request,
                          const struct http_header *more, const struct ws_conn_options *options,
                          struct err *e)
{
    struct ws_conn_options server = *options;
    struct buf answer = {0}, bytes = {0};
    size_t head_size = request->head->size;
    struct ws_conn *c = NULL;

    server.role = WS_SERVER;
    ws_frame_put_response(&answer, request->head, more);
    struct stream *stream = http_conn_detach(conn, &bytes);
    if (buf_check(&answer, e) == 0 && buf_check(&bytes, e) == 0) {
        c = ws_conn_new(&server, stream, buf_str(&answer),
                        str_slice(buf_str(&bytes), head_size, bytes.len), e);
        stream = NULL;
    }
    stream_free(stream);
    buf_free(&answer);
    buf_free(&bytes);
    return c;
}
