#include "cmd/next_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "cmd/actions.h"
#include "http/http_client.h"
#include "proto/extensions.h"
#include "proto/url.h"
#include "store/store.h"
#include "zone/gateway.h"

enum { ASK_MS = 4000 };

/* The known facts about the zone. A step that could not be looked at counts as not done. */
struct situation {
    bool has_keys, is_registered; /* this client */
    bool is_refused;              /* the zone cannot be used as it is: `why` */
    bool is_own;                  /* the gateway is one of this program's */
    bool is_one_server;           /* proxy and gateway have one address */
    bool is_recorded;             /* the zone finds the resource by its name */
    struct buf gateway, link;
    struct err why;
};

static bool is_late(void *ctx)
{
    const int64_t *deadline_ms = ctx;

    return clock_now_ms() >= *deadline_ms;
}

/* Both in the form of HTTP, without what a '/' at the end changes. */
static bool is_same_server(const char *a, const char *b)
{
    const char *texts[2] = {a, b};
    struct buf forms[2] = {{0}, {0}};
    bool is_same = true;

    for (int i = 0; i < 2; i++) {
        struct url url;
        is_same = is_same && url_parse(&url, str_of(texts[i]), ERR_IGNORED) == 0;
        if (!is_same)
            break;
        buf_puts(&forms[i], url_is_tls(&url) ? "https " : "http ");
        url_put_host(&forms[i], &url);
        buf_put(&forms[i], url.path);
        while (str_ends_with(buf_str(&forms[i]), STR("/")))
            forms[i].len--;
    }
    is_same = is_same && str_equal_nocase(buf_str(&forms[0]), buf_str(&forms[1]));
    buf_free(&forms[0]);
    buf_free(&forms[1]);
    return is_same;
}

static void ask_zone(struct situation *s, struct gateway *g, const struct zone_call *how,
                     const struct config *c)
{
    struct gateway_client client = {0};
    char *proxy_url = NULL;

    if (gateway_client_info(g, how, g->identity.client_id, &client, &s->why) == 0) {
        s->is_registered = client.is_found;
        s->is_refused = !client.is_found && gateway_check_zone(g, how, &s->why) != 0;
    }
    gateway_client_deinit(&client);
    if (!s->is_refused && !s->is_one_server && gateway_has_answered(g) &&
        gateway_resource_url(g, how, c->values[CONFIG_NAME], &proxy_url, ERR_IGNORED) == 0)
        s->is_recorded = is_same_server(proxy_url, c->values[CONFIG_PROXY]);
    free(proxy_url);
    s->is_own = gateway_has_announced(g, EXTENSIONS_REGISTER);
}

/* All of it or nothing. */
static void put_register_link(struct situation *s, struct gateway *g, struct str label)
{
    if (gateway_put_register_url(g, label, &s->link, ERR_IGNORED) != 0)
        buf_clear(&s->link);
}

/* Without keys there is nothing to ask: the first step makes them. */
static void look_at_situation(struct situation *s, const struct config *c)
{
    int64_t deadline_ms = clock_now_ms() + ASK_MS;
    const struct zone_call how = {.watch = {.is_cancelled = is_late, .ctx = &deadline_ms}};
    char host[REGISTER_LABEL_SIZE];
    struct store store = {0};
    struct gateway g = {0};
    struct loop *loop = loop_new(NULL, ERR_IGNORED);
    struct http_client *http = loop == NULL ? NULL : http_client_new(loop, ERR_IGNORED);

    if (http != NULL && gateway_init(&g, http, c->values[CONFIG_ZONE], ERR_IGNORED) == 0) {
        buf_puts(&s->gateway, g.shown);
        s->is_one_server = is_same_server(g.url, c->values[CONFIG_PROXY]);
        s->has_keys = store_init(&store, ERR_IGNORED) == 0 &&
                      identity_load(&g.identity, store.key_dir, ERR_IGNORED) == 0;
        if (s->has_keys)
            ask_zone(s, &g, &how, c);
        if (s->has_keys && gateway_has_answered(&g) && !s->is_own)
            put_register_link(s, &g, register_default_label(host));
    }
    gateway_deinit(&g);
    store_deinit(&store);
    http_client_free(http);
    loop_free(loop);
}

static void print_client_step(const struct situation *s, int *number)
{
    if (s->is_registered)
        return;
    if (s->is_refused)
        fprintf(stderr, "  %d. Correct what the gateway refuses:\n     %s\n", ++*number,
                s->why.msg);
    if (s->link.len > 0)
        fprintf(stderr, "  %d. Open in a browser, to register this client:\n     %.*s\n", ++*number,
                STR_ARG(buf_str(&s->link)));
    else if (s->has_keys)
        fprintf(stderr, "  %d. kachery-resource register\n", ++*number);
    else
        fprintf(stderr,
                "  %d. kachery-resource register\n"
                "     makes this host's keys and registers them, or shows the link that does.\n",
                ++*number);
}

static void print_resource_step(const struct situation *s, const struct config *c, int *number)
{
    const char *name = c->values[CONFIG_NAME], *proxy = c->values[CONFIG_PROXY];

    if (s->is_one_server || s->is_recorded || s->is_own)
        return;
    fprintf(stderr,
            "  %d. Register the resource on the web site of the zone \"%s\" (%.*s):\n"
            "     name %s, proxy URL %s\n",
            ++*number, c->values[CONFIG_ZONE], STR_ARG(buf_str(&s->gateway)), name, proxy);
}

void next_steps_print(const struct config *config, const char *config_path)
{
    const char *zone = env_get("KACHERY_ZONE");
    struct situation s = {0};
    struct buf proxy = {0};
    struct url url;
    int number = 0;

    look_at_situation(&s, config);
    if (url_parse(&url, str_of(config->values[CONFIG_PROXY]), ERR_IGNORED) == 0)
        url_put_http(&proxy, &url);
    while (str_ends_with(buf_str(&proxy), STR("/")))
        proxy.len--;
    fprintf(stderr, "\nWrote %s. Next:\n\n", config_path);
    print_client_step(&s, &number);
    print_resource_step(&s, config, &number);
    fprintf(stderr, "  %d. kachery-resource link FILE...\n     kachery-resource share\n", ++number);
    fprintf(stderr, "\nClients find it with KACHERY_RESOURCE_URL=%.*s/r/%s",
            STR_ARG(buf_str(&proxy)), config->values[CONFIG_NAME]);
    if (s.is_one_server || s.is_recorded)
        fprintf(stderr, ", or just %s", config->values[CONFIG_NAME]);
    fputs(".\n", stderr);
    if (zone != NULL && strcmp(zone, config->values[CONFIG_ZONE]) != 0)
        fprintf(stderr, "\nKACHERY_ZONE is set to \"%s\": unset it before `share`.\n", zone);
    buf_free(&proxy);
    buf_free(&s.gateway);
    buf_free(&s.link);
}
