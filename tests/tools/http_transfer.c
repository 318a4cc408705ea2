/*
 * Moves bytes with the production HTTP client, without hashing or storing them, so that it can be
 * measured against curl:
 *     http_transfer get URL            reads the answer, prints "STATUS BYTES SECONDS"
 *     http_transfer put URL BYTES      sends so many bytes, prints the same
 *     http_transfer calls URL COUNT    reads it so often, one call after the other
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "http/http_client.h"

enum { CHUNK_BYTES = 256 << 10 };

struct transfer {
    uint64_t moved, total;
    char *data;
};

static enum io give(void *ctx, struct str *chunk, struct err *e)
{
    struct transfer *t = ctx;
    uint64_t left = t->total - t->moved;

    (void)e;
    *chunk = (struct str){t->data, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES};
    t->moved += chunk->len;
    return left > 0 ? IO_DONE : IO_EOF;
}

static int take(void *ctx, const struct http_head *head, struct str chunk, struct err *e)
{
    struct transfer *t = ctx;

    (void)head;
    (void)e;
    t->moved += chunk.len;
    return 0;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr, "usage: http_transfer get URL | put URL BYTES | calls URL COUNT\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *verb = argc < 3 ? "" : argv[1];
    uint64_t number = argc < 4 ? 0 : strtoull(argv[3], NULL, 10), calls = 1;
    struct transfer t = {0};
    struct http_call_options options = {
        .method = STR("GET"), .sink = take, .deadline_ms = CLOCK_NEVER_MS, .ctx = &t};
    struct err e = {0};
    int status = 0;

    if (strcmp(verb, "put") == 0 && argc == 4) {
        t.total = number;
        t.data = calloc(1, CHUNK_BYTES);
        options.method = STR("PUT");
        options.source = give;
        options.body_size = (int64_t)t.total;
    } else if (strcmp(verb, "calls") == 0 && argc == 4) {
        calls = number;
    } else if (strcmp(verb, "get") != 0 || argc != 3) {
        return usage();
    }
    options.url = str_of(argv[2]);
    struct loop *loop = loop_new(NULL, &e);
    struct http_client *client = loop == NULL ? NULL : http_client_new(loop, &e);
    if (client == NULL)
        return fprintf(stderr, "http_transfer: %s\n", e.msg), 1;
    double start = seconds();
    for (uint64_t i = 0; i < calls; i++) {
        struct http_call *call = http_client_perform(client, &options, NULL, &e);
        if (call == NULL)
            break;
        status = http_call_head(call)->status;
        http_call_free(call);
    }
    printf("%d %" PRIu64 " %.3f\n", status, t.moved, seconds() - start);
    if (e.code != ERR_NONE)
        fprintf(stderr, "http_transfer: %s\n", e.msg);
    http_client_free(client);
    loop_free(loop);
    free(t.data);
    return e.code != ERR_NONE;
}
