#include "zone/gateway_memory.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/newfile.h"
#include "proto/url.h"

bool gateway_is_deployed(const struct gateway *g)
{
    return gateway_has_answered(g) && g->extensions.len == 0;
}

/* Appends the name of the directory that marks a URL as a deployed gateway's, and returns it; NULL
 * without memory. A URL that is too long for a file name is not remembered. */
static const char *put_memory_path(const struct store *s, struct str shown, struct buf *out)
{
    buf_printf(out, "%s/deployed-gateways/", s->dir);
    url_put_encoded(out, shown, "");
    buf_puts(out, "/");
    return buf_path(out, ERR_IGNORED);
}

void gateway_memory_keep(const struct store *s, const struct gateway *g)
{
    struct buf path = {0};
    const char *name = gateway_has_answered(g) ? put_memory_path(s, str_of(g->shown), &path) : NULL;

    if (name != NULL && !gateway_is_deployed(g))
        rmdir(name);
    else if (name != NULL && access(s->dir, F_OK) == 0 && access(name, F_OK) != 0)
        /* It is only a hint for the next time. */
        (void)!newfile_make_parents(s->dir, name, ERR_IGNORED);
    buf_free(&path);
}

bool gateway_memory_is_deployed(const struct store *s, struct buf *shown)
{
    struct buf url = {0}, path = {0};
    struct err ignored = {0};
    const char *name = NULL;

    if (gateway_put_default_shown(&url, &ignored) == 0)
        name = put_memory_path(s, buf_str(&url), &path);
    bool is_deployed = name != NULL && access(name, F_OK) == 0;
    if (is_deployed)
        buf_put_buf(shown, &url);
    buf_free(&url);
    buf_free(&path);
    return is_deployed;
}

int gateway_refuse_size(const char *shown, int64_t size, struct err *e)
{
    return err_set(e, ERR_TOO_LARGE,
                   "%lld bytes, but the gateway %s takes at most 5,000,000,000 bytes of one file: "
                   "a hub of your own (kachery-resource hub) has no limit but its disk",
                   (long long)size, shown);
}

int gateway_check_size(const struct gateway *g, int64_t size, struct err *e)
{
    if (size <= GATEWAY_DEPLOYED_MAX_BYTES || !gateway_is_deployed(g))
        return 0;
    return gateway_refuse_size(g->shown, size, e);
}
