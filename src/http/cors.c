#include "http/cors.h"

#include <string.h>

enum { MAX_HEADERS = 3 };

/* Names and commas: nothing else may come back in a header of ours. */
static bool is_name_list(struct str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~, \t";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(others, c) != NULL)))
            return false;
    }
    return text.len > 0 && text.len <= CORS_MAX_REQUESTED_BYTES;
}

/* Allows a page to send every header that it asks for; the route judges them. */
static void answer_preflight(struct http_conn *conn, const struct http_request *request,
                             void *owner)
{
    const struct str *wanted = http_head_get(request->head, "Access-Control-Request-Headers");
    struct http_header headers[MAX_HEADERS] = {
        {STR("Access-Control-Allow-Methods"), STR("GET, HEAD, POST, PUT")},
        {STR("Access-Control-Max-Age"), STR("86400")},
    };
    size_t count = 2;

    (void)owner;
    if (wanted != NULL && is_name_list(*wanted))
        headers[count++] = (struct http_header){STR("Access-Control-Allow-Headers"), *wanted};
    http_conn_answer(
        conn, &(struct http_answer){.status = 204, .headers = headers, .header_count = count});
}

struct http_route cors_route(const char *path)
{
    return (struct http_route){
        .method = "OPTIONS", .path = path, .on_request = answer_preflight, .is_public = true};
}
