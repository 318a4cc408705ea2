/* The proxy's tables: shared by proxy.c, proxy_request.c, proxy_resource.c and proxy_daemon.c. */
#ifndef PROXY_PROXY_STATE_H
#define PROXY_PROXY_STATE_H

#include "base/buf.h"
#include "http/http_server.h"
#include "http/shares.h"
#include "http/ws_conn.h"
#include "proto/message.h"
#include "proxy/brake.h"
#include "proxy/proxy_options.h"
#include "proxy/ranges.h"

enum {
    PROXY_MAX_HELLO_BYTES = 8192,      /* a message of who has not shown the secret yet */
    PROXY_MAX_SENDS = 4,               /* of one request, each time its daemon was lost before */
    PROXY_MAX_KEPT_URI = 2048,         /* a request with a longer one does not outlive its daemon */
    PROXY_NAME_SLOTS = 1024,
    PROXY_ID_SLOT_DIGITS = 8,
    PROXY_ID_RANDOM_BYTES = 16,
    PROXY_ID_SIZE = PROXY_ID_SLOT_DIGITS + 2 * PROXY_ID_RANDOM_BYTES,
    PROXY_RANDOM_STOCK = 1024,
    PROXY_PING_BYTES = 16
};

/*
 * A client that waits for an answer. Its requestId is its slot in hex and 16 random bytes. Client
 * and daemon may be of different generations (PROTOCOL.md §4):
 *     client  daemon  is sent
 *       2       2     zone, t and T as the client sent them
 *       2       1     neither zone nor t; T is the client's t, which was all that T meant then
 *       1       2     the daemon's zone; t at most 10 s and less than T
 *       1       1     T as the client sent it
 */
struct proxy_request {
    struct proxy *proxy;
    struct http_conn *conn;
    struct proxy_resource *resource;
    struct proxy_request *previous, *next; /* of the resource */
    struct loop_timer timer;               /* 504 */
    size_t slot;
    unsigned sends;  /* how many daemons got it */
    uint64_t number; /* in the order of coming */
    uint64_t place; /* of the client's address (origin.h) */
    char id[PROXY_ID_SIZE + 1];
    bool is_generation2; /* the client */
    int64_t reply_by_ms; /* when the daemon is to answer with the state it has by then */
    size_t uri_len; /* 0: too long to be kept */
    char uri[];
};

/* A name: there while a daemon is connected under it or somebody waits for that daemon. */
struct proxy_resource {
    struct proxy *proxy;
    struct proxy_resource *next; /* in its slot of the name table */
    char *name, *zone;
    bool is_generation2; /* the daemon; one of the first does not tell its zone */
    struct proxy_daemon *daemon;     /* NULL: lost, waiting for it to come back */
    struct proxy_daemon *challenger; /* claims the name while `daemon` is asked for a pong */
    char ping[PROXY_PING_BYTES + 1]; /* the content of that pong */
    struct proxy_request *first, *last;
    size_t waiting;
    struct shares shares; /* of those that wait, by address */
    struct loop_timer timer; /* end of the wait for a lost daemon */
};

/*
 * One WebSocket: NEW ──initialize──┬──► SERVING
 *                                  └──► CHALLENGING ──(no pong)──► SERVING
 * `resource` is NULL while NEW and when it was refused. Until it has shown the secret it is a
 * stranger, the first to go when there are too many connections.
 */
struct proxy_daemon {
    struct proxy *proxy;
    struct ws_conn *line;
    struct proxy_resource *resource;
    struct proxy_daemon *previous, *next;
    struct proxy_daemon *older, *newer; /* among the strangers */
    int64_t since_ms;
    struct loop_timer timer; /* for initialize; for the pong of the daemon it challenges */
    char *zone;              /* as initialized, NULL: generation 1; CHALLENGING */
    char address[64];
    uint64_t tag;  /* of the http_server's connection that it was */
    bool is_wrong; /* has shown another secret, and hears of it when `timer` fires */
    uint64_t holder; /* its address, among the known ones; 0: not counted (any more) */
    bool is_known; /* has shown the secret: counts as one of the resources */
    bool has_asker;        /* it has announced that it knows the field */
    int64_t ranges_number; /* by which ranges.h knows it; 0: it has not announced ranges */
    char ticket[RANGE_TICKET_DIGITS + 1]; /* of a line: it leaves to a relay */
    struct loop_call leave;
};

struct proxy {
    struct proxy_options options;
    struct buf secret;
    bool is_draining;
    struct proxy_resource *names[PROXY_NAME_SLOTS];
    struct proxy_daemon *daemons;
    struct proxy_daemon *oldest_stranger, *newest_stranger;
    size_t daemon_count;
    struct proxy_request **slots;
    size_t *free_slots;
    size_t slot_count, free_count, waiting, serving;
    struct shares shares; /* of all that wait, by address */
    struct shares holders; /* of the places for daemons, by address */
    uint64_t last_number;
    size_t queued;      /* for all daemons, not taken by the kernel yet */
    struct brake brake; /* for wrong secrets */
    struct buf text; /* a message being built */
    struct buf asker;
    unsigned char random[PROXY_RANDOM_STOCK];
    size_t random_left;
};

/* proxy_request.c */
/* Sends a client's request to the daemon of a resource and lets it wait; or answers it 503. */
void proxy_request_start(struct proxy_resource *resource, struct http_conn *conn,
                         const struct message *m);
/* Sends all waiting requests to the daemon of a resource, which was connected just now. */
void proxy_request_send_all(struct proxy_resource *resource);
/* Answers all of a resource's clients 404. */
void proxy_request_fail_all(struct proxy_resource *resource);
/* Passes a daemon's answer to the client with that id. Returns false if none waits for that
 * resource under it. */
bool proxy_request_answer(struct proxy_resource *resource, struct str id, struct str text);

/* proxy_resource.c */
/* Returns the resource of that name; NULL if there is none. */
struct proxy_resource *proxy_resource_find(const struct proxy *proxy, struct str name);
/* Returns the resource of that name, made if there is none; NULL without memory. */
struct proxy_resource *proxy_resource_get(struct proxy *proxy, struct str name);
/* Sets the zone that its daemon named (NULL: generation 1). If it changes, all waiting clients are
 * answered 404. Returns -1 without memory. */
int proxy_resource_set_zone(struct proxy_resource *resource, const char *zone);
/* Takes note that the resource's daemon is gone. With `may_return` its clients wait for the daemon
 * for a moment, else they are answered 404. */
void proxy_resource_lose_daemon(struct proxy_resource *resource, bool may_return);
/* Frees the resource when neither a daemon nor a client is left. */
void proxy_resource_trim(struct proxy_resource *resource);

/* proxy_daemon.c */
/* Accepts a WebSocket (an http_route.on_head); closes all of them; ends one without a word. */
void proxy_daemon_upgrade(struct http_conn *conn, const struct http_request *request, void *owner);
void proxy_daemon_close_all(struct proxy *proxy);
void proxy_daemon_free(struct proxy_daemon *daemon);

#endif
