#include "cmd/serve.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/text_file.h"
#include "cmd/cmd.h"
#include "cmd/new_secret.h"
#include "hub/hub.h"

enum { EVERY_ROLE = SERVE_PROXY | SERVE_GATEWAY, HUB_ALONE = 4 };

/* An option that takes a whole number of connections, requests or daemons. */
#define COUNT(option, target)                                                                      \
    {                                                                                              \
        .name = option, .number = target, .min = 1, .max = SERVE_MAX_COUNT                         \
    }

struct serve {
    const char *listen, *secret_file, *data, *zone, *public_url, *trusted_proxy;
    bool is_open, finds_on_hosts;
    int64_t max_connections, max_per_address, max_waiting, max_per_resource, max_resources;
    int64_t cache_bytes;
    struct buf listen_text, secret;
};

/* From the environment, where it is wiped: it would show in /proc/<pid>/environ of every worker. */
static int take_environment_secret(struct buf *secret, struct err *e)
{
    const char *text = env_get("PROXY_SECRET");
    struct err why = {0};

    if (text == NULL)
        return err_set(e, ERR_USAGE, "no proxy secret: want --secret-file F or PROXY_SECRET");
    buf_puts(secret, text);
    env_wipe("PROXY_SECRET");
    if (buf_check(secret, e) != 0)
        return -1;
    if (text_file_check_secret(buf_str(secret), &why) == 0)
        return 0;
    return err_set(e, ERR_FAILED, "PROXY_SECRET: %s", why.msg);
}

/* Says so on standard error, with -q too: it is to be given to the daemons. */
static int make_proxy_secret(const char *path, struct err *e)
{
    bool was_made;

    if (new_secret_make(path, &was_made, e) != 0)
        return err_wrap(e, "proxy secret");
    if (was_made)
        fprintf(stderr,
                "made a new proxy secret: %d random characters in %s, which only its owner can "
                "read; each daemon's `init` asks for it\n",
                NEW_SECRET_CHARACTERS, path);
    return 0;
}

static void warn_of_short_secret(const struct serve *serve)
{
    const char *cure = serve->secret_file == NULL
                           ? "start once with --secret-file and a new file name"
                           : "remove that file, and a good one is made at the next start";
    size_t count = 0;

    for (size_t i = 0; i < serve->secret.len; i++) /* of UTF-8 */
        count += (serve->secret.data[i] & 0xc0) != 0x80;
    if (count < NEW_SECRET_MIN_CHARACTERS)
        log_line(LOG_WARN,
                 "the proxy secret has only %zu characters and can be guessed: want at least %d; "
                 "%s (then tell it to the daemons)",
                 count, NEW_SECRET_MIN_CHARACTERS, cure);
}

/* The first line of the file, or PROXY_SECRET. */
static int read_proxy_secret(struct serve *serve, struct err *e)
{
    struct buf *secret = &serve->secret;
    struct err why = {0};

    if (serve->secret_file == NULL)
        return take_environment_secret(secret, e);
    if (make_proxy_secret(serve->secret_file, e) != 0)
        return -1;
    if (text_file_read_secret(serve->secret_file, secret, &why) == 0)
        return 0;
    /* ERR_NOT_FOUND is for shared files. */
    return err_set(e, ERR_FAILED, "proxy secret: %s", why.msg);
}

/* --listen, else all addresses on PORT. */
static int find_listen(struct serve *serve, struct err *e)
{
    const char *port = env_get("PORT");

    if (serve->listen != NULL)
        return 0;
    if (port == NULL)
        return err_set(e, ERR_USAGE, "no address to listen on: want --listen HOST:PORT or PORT");
    uint64_t number;
    char quoted[QUOTE_SIZE];
    if (!str_to_uint(str_of(port), 65535, &number))
        return err_set(e, ERR_FAILED, "PORT \"%s\": want a whole number 0-65535",
                       quote_str(quoted, str_of(port)));
    buf_printf(&serve->listen_text, ":%s", port);
    serve->listen = buf_cstr(&serve->listen_text);
    return buf_check(&serve->listen_text, e);
}

static int serve_hub(struct serve *serve, unsigned roles, struct err *e)
{
    struct hub_options hub = {.has_proxy = (roles & SERVE_PROXY) != 0,
                              .has_gateway = (roles & SERVE_GATEWAY) != 0,
                              .site = {.data_dir = serve->data,
                                       .zone = serve->zone,
                                       .public_url = serve->public_url,
                                       .is_open = serve->is_open,
                                       .finds_on_hosts = serve->finds_on_hosts},
                              .cache_bytes = serve->cache_bytes,
                              .limits = {.connections = (size_t)serve->max_connections,
                                         .per_address = (size_t)serve->max_per_address,
                                         .proxy = {.waiting = (size_t)serve->max_waiting,
                                                   .per_resource = (size_t)serve->max_per_resource,
                                                   .resources = (size_t)serve->max_resources}}};

    if (hub.has_gateway && (serve->data == NULL || *serve->data == '\0'))
        return err_set(e, ERR_USAGE, "no data directory: want --data DIR");
    if (serve->trusted_proxy != NULL &&
        trusted_parse(&hub.trusted, str_of(serve->trusted_proxy), e) != 0)
        return err_wrap(e, "--trusted-proxy");
    if (find_listen(serve, e) != 0 || (hub.has_proxy && read_proxy_secret(serve, e) != 0))
        return -1;
    if (hub.has_proxy)
        warn_of_short_secret(serve);
    hub.listen = serve->listen;
    hub.proxy_secret = &serve->secret;
    return hub_run(&hub, e);
}

int serve_run(const char *name, int argc, char **argv, unsigned roles)
{
    const struct proxy_limits limits = proxy_default_limits();
    struct serve serve = {.max_per_address = HUB_MAX_PER_ADDRESS,
                          .cache_bytes = -1,
                          .max_waiting = (int64_t)limits.waiting,
                          .max_per_resource = (int64_t)limits.per_resource,
                          .max_resources = (int64_t)limits.resources};
    const struct {
        unsigned roles; /* that have the option */
        struct cmd_option option;
    } all[] = {
        {EVERY_ROLE, {.name = "listen", .value = &serve.listen}},
        {EVERY_ROLE, COUNT("max-connections", &serve.max_connections)},
        {EVERY_ROLE, COUNT("max-per-address", &serve.max_per_address)},
        {EVERY_ROLE, {.name = "trusted-proxy", .value = &serve.trusted_proxy}},
        {SERVE_PROXY, {.name = "secret-file", .value = &serve.secret_file, .is_path = true}},
        {SERVE_PROXY, COUNT("max-waiting", &serve.max_waiting)},
        {SERVE_PROXY, COUNT("max-per-resource", &serve.max_per_resource)},
        {SERVE_PROXY, COUNT("max-resources", &serve.max_resources)},
        {SERVE_GATEWAY, {.name = "data", .value = &serve.data, .is_path = true}},
        {SERVE_GATEWAY, {.name = "zone", .value = &serve.zone}},
        {SERVE_GATEWAY, {.name = "public-url", .value = &serve.public_url}},
        {SERVE_GATEWAY, {.name = "open-registration", .flag = &serve.is_open}},
        {HUB_ALONE, {.name = "find-on-hosts", .flag = &serve.finds_on_hosts}},
        {HUB_ALONE, {.name = "cache-bytes", .bytes = &serve.cache_bytes, .max = INT64_MAX}},
    };
    struct cmd_option options[sizeof all / sizeof all[0] + 1] = {{0}};
    struct cmd_args args = {.options = options};
    struct err e = {0};
    size_t count = 0;
    int status;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if ((all[i].roles & roles) != 0 || (all[i].roles == HUB_ALONE && roles == EVERY_ROLE))
            options[count++] = all[i].option;
    status = cmd_parse(name, argc, argv, &args);
    if (status >= 0)
        return status;
    env_wipe("KACHERY_CLOUD_PRIVATE_KEY"); /* a server signs nothing with it */
    log_set_level(args.is_verbose ? LOG_DEBUG : args.is_quiet ? LOG_ERROR : LOG_INFO);
    status = serve_hub(&serve, roles, &e) == 0 ? CMD_OK : cmd_fail(name, &e);
    buf_wipe(&serve.secret);
    buf_free(&serve.listen_text);
    return cmd_finish(name, status);
}
