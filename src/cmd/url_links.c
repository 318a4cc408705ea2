#include "cmd/url_links.h"

#include <stdlib.h>
#include <string.h>

#include "access/links.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/expiry.h"
#include "proto/extensions.h"
#include "proto/url.h"
#include "proxy/range_path.h"
#include "zone/identity.h"

/* A gateway is only asked what it has announced, with an answer to something else. */
static int open_links(struct remote *remote, struct err *e)
{
    struct gateway *g = &remote->gateway;

    struct err why = {0};

    if (g->identity.client_id[0] == '\0' &&
        identity_load(&g->identity, remote->store.key_dir, &why) != 0)
        return err_set(e, ERR_FAILED, "%s", why.msg); /* ERR_NOT_FOUND: that there is no link */
    if (!gateway_has_answered(g)) {
        struct gateway_client me = {.label = NULL};
        if (gateway_client_info(g, &remote->how, g->identity.client_id, &me, e) != 0)
            return -1;
        gateway_client_deinit(&me);
    }
    if (gateway_has_announced(g, EXTENSIONS_LINKS))
        return 0;
    return err_set(e, ERR_FAILED,
                   "%s does not announce share links: want a hub of this program (see "
                   "KACHERY_GATEWAY_URL)", g->shown);
}

int url_links_make(struct remote *remote, const char *hash, struct str name, int64_t expires_ms,
                   char **url, struct err *e)
{
    struct buf text = {0};
    int result = -1;

    if (open_links(remote, e) != 0)
        return -1;
    buf_put(&text, name);
    buf_putc(&text, '\0');
    if (buf_check(&text, e) == 0)
        result = gateway_create_link(&remote->gateway, &remote->how, hash, text.data, expires_ms,
                                     url, e);
    buf_free(&text);
    return result;
}

/* ---- the list ---- */

static void put_json_link(struct buf *out, const struct gateway_link *link, const struct buf *uri)
{
    json_open(out, '{');
    json_put_str(out, "id", link->id);
    json_put_buf(out, "uri", uri);
    json_put_str(out, "name", link->name);
    json_put_str(out, "clientId", link->client_id);
    json_put_int(out, "created", link->created_ms);
    json_put_int(out, "expires", link->expires_ms);
    json_close(out, '}');
}

static int put_link_row(struct buf *out, const struct gateway_link *link, bool is_json,
                        struct err *e)
{
    struct buf uri = {0};
    char hash[SHA1_HEX + 1] = "";

    if (!hex_is_lower(link->hash, SHA1_HEX))
        return err_set(e, ERR_PROTOCOL, "the gateway's answer has a link to no file");
    memcpy(hash, link->hash.p, SHA1_HEX);
    kachery_uri_put(&uri, hash, link->name);
    if (is_json) {
        put_json_link(out, link, &uri);
    } else {
        expiry_put(out, link->expires_ms);
        buf_putc(out, '\t');
        fs_put_printable(out, link->id);
        buf_putc(out, '\t');
        buf_put_buf(out, &uri);
        buf_putc(out, '\n');
    }
    buf_free(&uri);
    return 0;
}

/* *after is the id behind which the next page begins; empty: there is none. */
static int put_link_page(struct remote *remote, struct buf *after, bool is_json, struct buf *out,
                         struct err *e)
{
    const struct json *links;
    struct gateway_link link;
    struct json *answer;
    struct str next;
    int result;

    if (gateway_list_links(&remote->gateway, &remote->how, after->len == 0 ? NULL : buf_cstr(after),
                           &answer, e) != 0)
        return -1;
    result = gateway_message_read_links(answer, &links, &next, e);
    for (const struct json *item = result == 0 ? json_first(links) : NULL;
         result == 0 && item != NULL; item = json_next(item)) {
        result = gateway_message_read_listed(item, &link, e);
        if (result == 0)
            result = put_link_row(out, &link, is_json, e);
    }
    if (result == 0 && next.len > 0 && str_compare(next, buf_str(after)) <= 0)
        result = err_set(e, ERR_PROTOCOL, "the gateway's list of links goes in a circle");
    buf_clear(after);
    if (result == 0)
        buf_put(after, next);
    json_free(answer);
    return result == 0 ? buf_check(after, e) : -1;
}

int url_links_print(struct remote *remote, bool is_json, struct err *e)
{
    struct buf out = {0}, after = {0};
    int result = open_links(remote, e);

    if (is_json)
        json_open(&out, '[');
    do {
        if (result == 0)
            result = put_link_page(remote, &after, is_json, &out, e);
    } while (result == 0 && after.len > 0);
    if (is_json) {
        json_close(&out, ']');
        buf_putc(&out, '\n');
    }
    if (result == 0)
        cmd_print_buf(&out);
    buf_free(&out);
    buf_free(&after);
    return result;
}

/* ---- revoking ---- */

/* The id of what the user wrote, in id[LINKS_ID_DIGITS + 1]: of a URL below /f/~ or /d/~, or the id
 * itself. False for a URI; ERR_USAGE in *e for a URL without a token. */
static int read_id(const char *text, char *id, bool *has_id, struct err *e)
{
    struct str rest;
    struct url url;

    *has_id = true;
    if (hex_is_lower(str_of(text), LINKS_ID_DIGITS)) {
        memcpy(id, text, LINKS_ID_DIGITS + 1);
        return 0;
    }
    *has_id = false;
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return 0;
    if (url_parse(&url, str_of(text), ERR_IGNORED) == 0)
        for (size_t i = 0; i + 3 < url.target.len && !*has_id; i++) {
            struct str path = str_slice(url.target, i, url.target.len);
            if ((str_starts_with(path, STR("/f/")) || str_starts_with(path, STR("/d/"))) &&
                range_path_is_shared(str_slice(path, 3, path.len), &rest))
                *has_id = links_read_token(str_slice(rest, 0, str_find(rest, '/')), id);
        }
    /* The URL itself may open something: it is not quoted. */
    return *has_id ? 0
                   : err_set(e, ERR_USAGE, "this URL has no token of a share link, like "
                                           "https://HUB/f/~TOKEN/NAME: what it opens is not "
                                           "revoked by it");
}

static void print_count(int64_t count, bool is_json)
{
    struct buf out = {0};

    if (is_json) {
        json_open(&out, '{');
        json_put_int(&out, "revoked", count);
        json_close(&out, '}');
    } else {
        buf_printf(&out, "%lld revoked", (long long)count);
    }
    buf_putc(&out, '\n');
    cmd_print_buf(&out);
    buf_free(&out);
}

int url_links_revoke(struct remote *remote, const char *text, bool is_json, struct err *e)
{
    char id[LINKS_ID_DIGITS + 1];
    struct kachery_uri uri = {.hash = ""};
    int64_t count;
    bool has_id;

    if (read_id(text, id, &has_id, e) != 0 ||
        (!has_id && kachery_uri_parse(&uri, str_of(text), KACHERY_URI_USER, e) != 0) ||
        open_links(remote, e) != 0 ||
        gateway_revoke_link(&remote->gateway, &remote->how, has_id ? id : NULL, uri.hash, &count,
                            e) != 0)
        return -1;
    if (count == 0)
        return err_set(e, ERR_NOT_FOUND, "%s has no such share link of yours",
                       remote->gateway.shown);
    print_count(count, is_json);
    return 0;
}
