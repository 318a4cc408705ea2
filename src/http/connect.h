/*
 * From a URL to a connected stream: names, raced addresses, an HTTP proxy's tunnel, TLS.
 *     DIAL ──► TUNNEL ──► SHAKE ──► connected
 *       ▲   (wss, https, ws    │ no cipher suite in common: once more, with those of last resort;
 *       └── through a proxy) ──┘ a session that the peer will not resume: once more, without it
 */
#ifndef HTTP_CONNECT_H
#define HTTP_CONNECT_H

#include "http/http_proxy.h"
#include "net/stream.h"

enum {
    CONNECT_TIMEOUT_MS = 30000,   /* all of it */
    CONNECT_MAX_ANSWER = 16 << 10 /* of a proxy to CONNECT */
};

struct connect;

/*
 * Begins to connect. `proxy` is the way to the host (http_proxy_find); it is copied. With
 * `for_requests` a plain http:// URL's stream ends at the proxy, which is asked in absolute form
 * (RFC 9112 §3.2.2); everything else is tunnelled. The deadline (clock_now_ms()) is of the whole;
 * at most CONNECT_TIMEOUT_MS from now. NULL on error: no trusted certificates (for TLS), no memory,
 * no process for the look-up.
 */
struct connect *connect_new(const struct loop_wake *wake, const struct url *url,
                            const struct http_proxy *proxy, bool for_requests, int64_t deadline_ms,
                            struct err *e);

/* Goes on as far as it can. IO_DONE: *stream is the caller's and has the same `wake`. IO_WANT_…:
 * `wake` comes. IO_ERR: ERR_NETWORK (no address, refused, no answer, cut), ERR_REFUSED (the proxy's
 * words, the certificate's fault). */
enum io connect_step(struct connect *c, int64_t now_ms, struct stream **stream, struct err *e);

/* Frees it, and closes the connection that it has. NULL-safe. */
void connect_free(struct connect *c);

#endif
