/*
 * Explains an answer that is not the expected one: did the server send it, an HTTP proxy on the
 * way, the log-in page of a network, or any web server that a wrong URL leads to? Looks at one
 * answer alone, sends and decides nothing.
 */
#ifndef HTTP_HTTP_ANSWER_H
#define HTTP_HTTP_ANSWER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/http_head.h"

/* Stands in front of the other causes that an answer may have. */
#define HTTP_ANSWER_LOG_IN "a web page answered: is there a log-in in this network?"

/* An answer that a client got; that of a server is a struct http_answer (http_server.h). */
struct http_reply {
    const struct http_head *head;
    struct str body;      /* as much as has come; may be empty */
    struct str url;       /* that was asked for, for its host and scheme */
    const char *proxy;    /* host:port of the HTTP proxy that was asked for it, or NULL */
    bool has_credentials; /* for that proxy */
    const char *service;  /* the expected one: "gateway" */
    const char *setting;  /* to correct when the URL is wrong; NULL: none */
};

/* Returns whether the answer is a web page, by its Content-Type or its first bytes. */
bool http_answer_is_page(const struct http_reply *a);

/*
 * Returns true when the answer is not the service's, and sets *e to its origin and cause: the
 * proxy's (ERR_NETWORK for a 5xx, else ERR_REFUSED), a log-in page's (HTML with 2xx or 511, a
 * redirection to another host), a web server's without such a service (HTML with 4xx), or that of a
 * TLS port which was asked in plain HTTP. Else *e is unchanged.
 */
bool http_answer_explain(const struct http_reply *a, struct err *e);

/* Appends "(through HTTP proxy …)" to *e when there was one, so that nobody looks for the fault at
 * the server alone. Returns -1. */
int http_answer_name_proxy(const struct http_reply *a, struct err *e);

/* Appends the words of a proxy's error page: squid's header, the page's title, a plain text's
 * first line; at most 100 bytes. */
void http_answer_put_words(struct buf *out, const struct http_head *head, struct str page);

/* Returns the reason phrase as it was sent, else the standard one. */
struct str http_answer_reason(const struct http_head *head);

/* Returns the user's cure for a proxy's answer with that status: " (…)", or ""; static. */
const char *http_answer_proxy_cure(int status, bool has_credentials);

/* Returns true when a peer that was spoken to in plain HTTP answers with a record of TLS. */
bool http_answer_is_tls_record(struct str bytes);

#endif
