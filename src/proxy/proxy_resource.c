/* The names under which daemons are connected. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proxy/proxy_state.h"

/* FNV-1a. Only holders of the secret can add names, so nobody can aim at one slot. */
static size_t name_slot_of(struct str name)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 16777619u;
    return h % PROXY_NAME_SLOTS;
}

struct proxy_resource *proxy_resource_find(const struct proxy *proxy, struct str name)
{
    struct proxy_resource *resource = proxy->names[name_slot_of(name)];

    while (resource != NULL && !str_equal(str_of(resource->name), name))
        resource = resource->next;
    return resource;
}

/* The lost daemon did not come back in time. */
static void on_rejoin_timeout(void *owner)
{
    struct proxy_resource *resource = owner;

    log_line(LOG_INFO, "resource gone name=%s waiting=%zu", resource->name, resource->waiting);
    proxy_request_fail_all(resource);
    proxy_resource_trim(resource);
}

static void free_resource(struct proxy_resource *resource)
{
    free(resource->name);
    free(resource->zone);
    shares_deinit(&resource->shares);
    free(resource);
}

struct proxy_resource *proxy_resource_get(struct proxy *proxy, struct str name)
{
    struct proxy_resource *resource = proxy_resource_find(proxy, name);
    size_t slot = name_slot_of(name);

    if (resource != NULL)
        return resource;
    resource = calloc(1, sizeof *resource);
    if (resource == NULL)
        return NULL;
    resource->name = strndup(name.p, name.len);
    resource->zone = strdup("");
    if (resource->name == NULL || resource->zone == NULL) {
        free_resource(resource);
        return NULL;
    }
    resource->proxy = proxy;
    resource->timer = (struct loop_timer){.call = on_rejoin_timeout, .owner = resource};
    resource->next = proxy->names[slot];
    proxy->names[slot] = resource;
    return resource;
}

int proxy_resource_set_zone(struct proxy_resource *resource, const char *zone)
{
    char *copy;

    resource->is_generation2 = zone != NULL;
    if (zone == NULL || strcmp(resource->zone, zone) == 0)
        return 0;
    copy = strdup(zone);
    if (copy == NULL)
        return -1;
    /* The waiting requests asked for this name in the other zone. */
    proxy_request_fail_all(resource);
    free(resource->zone);
    resource->zone = copy;
    return 0;
}

void proxy_resource_lose_daemon(struct proxy_resource *resource, bool may_return)
{
    struct loop *loop = resource->proxy->options.loop;

    resource->daemon = NULL;
    if (resource->proxy->options.on_offline != NULL)
        resource->proxy->options.on_offline(resource->proxy->options.owner, resource->name);
    if (resource->waiting > 0 && may_return && !resource->proxy->is_draining) {
        loop_set_timer(loop, &resource->timer,
                       loop_now_ms(loop) + resource->proxy->options.times.rejoin_ms);
        return;
    }
    proxy_request_fail_all(resource);
    proxy_resource_trim(resource);
}

void proxy_resource_trim(struct proxy_resource *resource)
{
    struct proxy *proxy = resource->proxy;
    struct proxy_resource **link = &proxy->names[name_slot_of(str_of(resource->name))];

    if (resource->daemon != NULL || resource->challenger != NULL || resource->waiting > 0)
        return;
    while (*link != resource)
        link = &(*link)->next;
    *link = resource->next;
    loop_clear_timer(proxy->options.loop, &resource->timer);
    free_resource(resource);
}
