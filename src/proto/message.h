/*
 * The resource proxy's messages (PROTOCOL.md §4), between remote client, proxy and daemon. Strict:
 * exactly the fields of the protocol. Sans-I/O.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

enum { MESSAGE_MAX_BODY_BYTES = 102400, MESSAGE_MAX_ID_BYTES = 128, MESSAGE_MAX_ASKER_BYTES = 63 };

/* Both timeouts of a request are silently lowered to the first: a request that waits occupies a
 * place of its resource. The second is what generation 1 daemons wait at most. */
enum { MESSAGE_MAX_TIMEOUT_MS = 300 * 1000, MESSAGE_DEFAULT_TIMEOUT_MS = 10000 };

/* An answer is to be on its way so long before T, or when half of a shorter T is over. */
enum { MESSAGE_ANSWER_MARGIN_MS = 1000 };

/* A header of the 101 of a proxy that knows both generations, as ours does and no deployed proxy: a
 * daemon then need not try both. */
#define MESSAGE_GENERATIONS_HEADER "Kachery-Generations"

/* Begins the hashes of questions whether a resource is connected, which are of no file: a daemon
 * answers them like all others, and counts them as nobody's request. Other digits are random. */
#define MESSAGE_QUESTION_DIGITS "69a11051cab88e96"

/* Absent numbers of an upload_status. */
enum { MESSAGE_ABSENT = -1 };

enum upload_state {
    UPLOAD_NOT_FOUND,
    UPLOAD_QUEUED,
    UPLOAD_RUNNING,
    UPLOAD_COMPLETED,
    UPLOAD_ERROR
};

struct upload_status {
    enum upload_state state;
    int64_t size, bytes_uploaded;                   /* or MESSAGE_ABSENT */
    int64_t requested_ms, started_ms, completed_ms; /* since the epoch, or MESSAGE_ABSENT */
    struct str error;                               /* empty when absent */
};

/* Makes the hash of such a question of 40 random digits. */
void message_make_question(char *hash);
bool message_is_question(const char *hash);

/* Returns a status without any number. */
struct upload_status message_status(enum upload_state state);

/* Returns "not-found", "queued", "running", "completed" or "error". */
const char *message_state_name(enum upload_state state);

enum message_type {
    MESSAGE_INITIALIZE,
    MESSAGE_ACKNOWLEDGE,
    MESSAGE_REQUEST,  /* requestFromClient */
    MESSAGE_RESPONSE, /* responseToClient */
    MESSAGE_CANCEL,   /* cancelRequestFromClient */
    MESSAGE_PING,
    MESSAGE_UNKNOWN /* an object whose `type` is another string */
};

/* Every str is borrowed from `doc`. */
struct message {
    struct json *doc;
    enum message_type type;
    struct str resource_name, zone, proxy_secret, request_id;
    bool has_zone, has_request_id; /* has_zone: of generation 2 */
    /* REQUEST */
    struct str uri;
    struct str asker; /* the address of the client, from a proxy that announced it; may be empty */
    bool has_asker;
    bool has_request_timeout;
    int64_t timeout_ms;         /* T: the proxy's; capped to [0, MESSAGE_MAX_TIMEOUT_MS] */
    int64_t request_timeout_ms; /* t: the daemon's; same cap; 10,000 when absent */
    /* RESPONSE */
    struct upload_status status;
    bool has_status; /* false: `response` was {} */
    bool has_error;
    struct str error;
};

/*
 * Parses one message. ERR_PROTOCOL naming the field that is unknown, missing or of another type, or
 * what is wrong with the JSON; *m is then unchanged. Fractional numbers are accepted and truncated;
 * sizes and timestamps below 0 are refused. A REQUEST has both zone and request.timeoutMsec
 * (generation 2) or neither. Unknown types give MESSAGE_UNKNOWN, not an error. On success the
 * caller calls message_deinit.
 */
int message_parse(struct message *m, struct str text, struct err *e) ERR_CHECKED;
void message_deinit(struct message *m);

/* Returns how long a daemon may wait with its answer to this REQUEST: t, and less where T would end
 * before the answer arrives (always in generation 1). */
int64_t message_patience_ms(const struct message *m);

/* Parses the proxy's HTTP answer: the envelope, the bare response, or {} (an error). The type is
 * always MESSAGE_RESPONSE; same rules otherwise. */
int message_parse_answer(struct message *m, struct str text, struct err *e) ERR_CHECKED;

/* Reads a proxy's refusal, {"message": …}: false when the document (NULL too) is none. *text is
 * borrowed from it. */
bool message_read_refusal(const struct json *doc, struct str *text);

/* Append messages; strings must be UTF-8. */
void message_put_initialize(struct buf *out, struct str resource_name, const struct str *zone,
                            struct str proxy_secret); /* zone NULL: generation 1 */
void message_put_acknowledge(struct buf *out);

struct message_request {
    struct str resource_name, uri;
    struct str zone; /* with is_generation2 */
    bool is_generation2;
    struct str request_id; /* empty: left out (client to proxy) */
    struct str asker;      /* empty: left out (client to proxy; daemons that do not know it) */
    int64_t timeout_ms, request_timeout_ms;
};
void message_put_request(struct buf *out, const struct message_request *r);

/* Appends an answer, of a daemon to the proxy or of the proxy to a client. With `error` not empty,
 * `response` is {}. */
void message_put_response(struct buf *out, struct str request_id,
                          const struct upload_status *status, struct str error);

#endif
