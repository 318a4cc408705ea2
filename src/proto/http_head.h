/*
 * HTTP/1.1 message heads (RFC 9112), both directions. Sans-I/O; strict where smuggling is possible.
 * The parser is handed the buffer from its start each time and is resumable at any byte.
 */
#ifndef PROTO_HTTP_HEAD_H
#define PROTO_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/str.h"

enum { HTTP_MAX_HEAD_BYTES = 16384, HTTP_MAX_HEADERS = 100, HTTP_MAX_TARGET_BYTES = 8192 };

enum http_kind { HTTP_REQUEST, HTTP_RESPONSE };

/* How the message's body is delimited (RFC 9112 §6.3). */
enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_header {
    struct str name, value; /* value without surrounding white space */
};

/* Borrowed from the bytes that were parsed: valid while those are. */
struct http_head {
    struct str method, target; /* requests */
    int status;                /* responses, 100-999; above 599 as 5xx (RFC 9110 §15) */
    struct str reason;
    int minor_version; /* 0 or 1 */
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t header_count;
    enum http_framing framing;
    int64_t content_length; /* with HTTP_BODY_LENGTH; and for HEAD answers when given, else -1 */
    bool is_keep_alive;     /* the connection may be used again after the body */
    bool expects_continue;
    bool is_upgrade; /* Connection: upgrade and an Upgrade header */
    size_t size;     /* bytes of the head, with its empty line */
};

/* Progress of the search for the end of the head, so that byte-wise input stays linear. All zeros
 * at the start of every head. */
struct http_head_parser {
    size_t scanned;
};

/*
 * Looks for a complete head at the start of `input`.
 * IO_DONE: *out is filled, out->size bytes belong to the head.
 * IO_WANT_READ: not complete yet; call again with more (same start).
 * IO_ERR: malformed (ERR_PROTOCOL) or past a limit (ERR_TOO_LARGE); reported at once.
 * `*status` is what a server answers: 400, 414 (target), 431 (size, count), 501 (transfer coding
 * other than chunked), 505 (version). For responses it is 0. After an error no byte that follows
 * can be trusted: the connection is to be closed.
 * The bytes of a response are to be writable: obs-fold becomes spaces in place (§5.2). There the
 * same Content-Length may stand several times.
 * Refused (RFC 9112 §2.2, 3, 5, 6): bare CR or LF, obs-fold in requests and behind a status line,
 * space before the colon, invalid name or value bytes, malformed, different or (in requests)
 * repeated Content-Length, Content-Length with Transfer-Encoding,
 * chunked not last or repeated, Transfer-Encoding in HTTP/1.0, missing or repeated Host in HTTP/1.1
 * requests, a Host that is none, targets that are none of the four forms. One empty line before a
 * request line is skipped. Answers to HEAD, 1xx, 204 and 304 have no body (§6.3), nor has a 2xx to
 * CONNECT, whose framing headers are ignored.
 * `request_method` is that of the request which a response answers (HEAD and CONNECT have other
 * framing); ignored for requests.
 */
enum io http_head_parse(struct http_head_parser *parser, enum http_kind kind, struct str input,
                        struct str request_method, struct http_head *out, int *status,
                        struct err *e);

/* Returns the target in origin form: of an absolute one the part behind the authority ("/" when
 * empty; a query alone has no "/" before it). */
struct str http_head_path(const struct http_head *head);

/* Returns the value of the first header of that name (any case), or NULL. */
const struct str *http_head_get(const struct http_head *head, const char *name);

/* Returns true when the comma-separated list holds the token (any case). */
bool http_head_list_has(struct str list, const char *token);

/* Returns true when a comma-separated header field of that name holds the token (any case). */
bool http_head_has_token(const struct http_head *head, const char *name, const char *token);

/* Returns the target of a redirection (301, 302, 303, 307, 308): its Location header, or NULL. */
const struct str *http_head_redirection(const struct http_head *head);

/* Returns the standard reason phrase; "Server Error" above 599, "" for another unknown status. */
const char *http_head_reason(int status);

/* Appends "METHOD target HTTP/1.1\r\n" / "HTTP/1.1 status reason\r\n", "name: value\r\n", "\r\n".
 * A value with CR, LF or NUL marks the buffer failed: nothing can be injected. */
void http_head_put_request(struct buf *out, struct str method, struct str target);
void http_head_put_status(struct buf *out, int status);
void http_head_put_header(struct buf *out, const char *name, struct str value);
void http_head_put_length(struct buf *out, uint64_t content_length);
void http_head_put_end(struct buf *out);

/* Returns true when the media type without parameters equals `type` (any case):
 * "application/json". */
bool http_head_is_content_type(const struct http_head *head, const char *type);

/* Write and read dates (RFC 9110 §5.6.7): an IMF-fixdate with a NUL to out[30]; the ms since the
 * epoch of any of the three forms, or -1 for another text. */
void http_head_format_date(int64_t wall_ms, char out[30]);
int64_t http_head_parse_date(struct str value);

/* Read a Retry-After value (§10.2.3), in ms from `now_ms` (wall time, of the sender if known): 0
 * for a time that is over, -1 when it is neither seconds nor a date; and that of an answer that
 * came at `wall_ms`, -1 without one. A date is of the server's clock, which its Date shows. */
int64_t http_head_parse_retry_after(struct str value, int64_t now_ms);
int64_t http_head_retry_after_ms(const struct http_head *head, int64_t wall_ms);

/* Reads `Range: bytes=` with one range, against an object of `size` bytes. Returns 1 and the
 * half-open [*start, *end) when satisfiable, 0 when the header is to be ignored (other unit,
 * several ranges, malformed), -1 when unsatisfiable (416). RFC 9110 §14. */
int http_head_parse_range(struct str value, int64_t size, int64_t *start, int64_t *end);

/* Reads `Content-Range: bytes S-E/T`. Returns false when it is malformed; *total is -1 for `*`,
 * *end is exclusive. */
bool http_head_parse_content_range(struct str value, int64_t *start, int64_t *end, int64_t *total);

#endif
