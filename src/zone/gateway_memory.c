#include "zone/gateway_memory.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/newfile.h"
#include "proto/url.h"

bool gateway_is_deployed(const struct gateway *g)
{
    return gateway_has_answered(g) && g->extensions.len == 0;
}

/* Appends the name of the directory that says so of a URL. One that is too long for a name is not
 * remembered. */
static int put_path(const struct store *s, struct str shown, struct buf *out)
{
    buf_printf(out, "%s/deployed-gateways/", s->dir);
    url_put_encoded(out, shown, "");
    buf_puts(out, "/");
    return buf_cstr(out), out->failed ? -1 : 0;
}

void gateway_memory_keep(const struct store *s, const struct gateway *g)
{
    struct buf path = {0};
    struct err ignored = {0};

    if (gateway_has_answered(g) && put_path(s, str_of(g->shown), &path) == 0) {
        if (!gateway_is_deployed(g))
            rmdir(buf_cstr(&path));
        else if (access(s->dir, F_OK) == 0 && access(buf_cstr(&path), F_OK) != 0)
            newfile_make_parents(s->dir, buf_cstr(&path), &ignored);
    }
    buf_free(&path);
}

bool gateway_memory_is_deployed(const struct store *s, struct buf *shown)
{
    struct buf url = {0}, path = {0};
    struct err ignored = {0};
    bool is_deployed = gateway_put_default_shown(&url, &ignored) == 0 &&
                       put_path(s, buf_str(&url), &path) == 0 &&
                       access(buf_cstr(&path), F_OK) == 0;

    if (is_deployed)
        buf_put(shown, buf_str(&url));
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
