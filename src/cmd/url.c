/* url: the address by which every HTTP client reads a file from the hub. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/expiry.h"
#include "cmd/load_names.h"
#include "cmd/remote.h"
#include "cmd/url_links.h"
#include "proto/gateway_message.h"
#include "proxy/range_path.h"
#include "zone/hub_file.h"

struct url_options {
    struct kachery_uri uri;
    const char *name;    /* NULL: the URI's */
    const char *expires; /* NULL: a URL without a token, if that is enough */
    int64_t expires_ms;  /* the same */
    bool is_json, is_quiet, is_list, is_revoke;
};

/* A name that no client of HTTP changes on its way. */
static int check_url_name(const char *name, struct err *e)
{
    if (name == NULL || (name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
                         strcmp(name, "..") != 0 && strlen(name) <= RANGE_PATH_MAX_NAME_BYTES))
        return 0;
    return err_set(e, ERR_USAGE, "--name \"%.40s\": want a file's name: 1 to %d bytes without /",
                   name, RANGE_PATH_MAX_NAME_BYTES);
}

/* Appends the given name, else the URI's; nothing when it has none. */
static void put_name(struct buf *out, const struct url_options *options)
{
    if (options->name != NULL)
        buf_puts(out, options->name);
    else
        load_names_put(out, options->uri.label, options->uri.hash);
    if (options->name == NULL && str_equal(buf_str(out), str_of(options->uri.hash)))
        buf_clear(out);
}

/* Asks as a stranger, as who opens the URL will. */
static int look_public(struct remote *remote, const char *hash, bool *is_public, struct err *e)
{
    struct gateway *g = &remote->gateway;
    struct gateway_file file = {0};
    struct err why = {0};

    if (gateway_find_file(g, &remote->how, hash, &file, &why) != 0) {
        *is_public = false;
        if (why.code == ERR_REFUSED && gateway_message_is_about_client(str_of(why.msg)))
            return 0;
        return err_copy(e, &why);
    }
    *is_public = true;
    gateway_file_deinit(&file);
    if (hub_file_is_served(g))
        return 0;
    return err_set(e, ERR_FAILED,
                   "%s does not announce that it reads files for everybody: want a hub of this "
                   "program (see KACHERY_GATEWAY_URL)", g->shown);
}

/* A URL that nobody can read now may be right later: the host comes back, or links the file. */
static void warn_unreadable(struct remote *remote, const char *hash)
{
    struct hub_file file = {.state = HUB_FILE_ABSENT};
    struct buf url = {0};
    struct err why = {0};

    hub_file_put_url(&remote->gateway, hash, &url);
    if (buf_check(&url, &why) == 0)
        (void)!hub_file_look(&remote->gateway, &remote->how.watch, buf_str(&url), &file, &why);
    buf_wipe(&url);
    if (file.state != HUB_FILE_ABSENT)
        return;
    if (why.code == ERR_NONE)
        err_set(&why, ERR_NOT_FOUND,
                "now the hub's own zone does not have this file, and no connected host: the URL "
                "works once one shares it");
    else
        err_wrap(&why, "the URL does not work now");
    cmd_warn(remote->name, &why);
}

/* `expires_ms` 0: never. */
static void print_url(struct str url, int64_t expires_ms, bool is_json)
{
    struct buf out = {0};

    if (is_json) {
        json_open(&out, '{');
        json_put_str(&out, "url", url);
        if (expires_ms == 0)
            json_put_null(&out, "expires");
        else
            json_put_int(&out, "expires", expires_ms);
        json_close(&out, '}');
    } else {
        buf_put(&out, url);
    }
    buf_putc(&out, '\n');
    cmd_print_buf(&out);
    buf_wipe(&out);
}

static void warn_of_expiry(const struct url_options *options, const char *zone, int64_t expires_ms)
{
    struct buf when = {0};
    struct err note;

    if (options->expires != NULL || options->is_quiet)
        return;
    expiry_put(&when, expires_ms);
    err_set(&note, ERR_NONE,
            "downloads of the zone \"%s\" are not public: this link is for all who have it, until "
            "%s (--expires: another time; --revoke: no longer)",
            zone, cmd_words(&when));
    cmd_warn("url", &note);
    buf_free(&when);
}

/* The index of a folder, as `link --index` labels it. */
static bool is_folder_uri(const struct url_options *options)
{
    return options->name == NULL && str_ends_with(options->uri.label, STR("/"));
}

/* A link always has a name; one to a folder ends with '/'. */
static void put_link_name(struct buf *out, const struct url_options *options)
{
    put_name(out, options);
    if (out->len == 0)
        buf_puts(out, options->uri.hash);
    else if (is_folder_uri(options))
        buf_putc(out, '/');
}

static int print_link(struct remote *remote, const struct url_options *options, struct err *e)
{
    int64_t week_ms = (int64_t)URL_LINKS_DEFAULT_DAYS * 24 * 3600 * 1000;
    int64_t expires_ms = options->expires != NULL ? options->expires_ms : clock_wall_ms() + week_ms;
    struct buf name = {0};
    char *url = NULL;
    int result;

    put_link_name(&name, options);
    result = buf_check(&name, e);
    if (result == 0)
        result = url_links_make(remote, options->uri.hash, buf_str(&name), expires_ms, &url, e);
    if (result == 0) {
        warn_of_expiry(options, remote->gateway.zone, expires_ms);
        print_url(str_of(url), expires_ms, options->is_json);
        explicit_bzero(url, strlen(url));
    } else if (options->expires == NULL) {
        err_wrap(e, "downloads of the zone \"%s\" are not public", remote->gateway.zone);
    }
    free(url);
    buf_free(&name);
    return result;
}

static int print_public(struct remote *remote, const struct url_options *options, struct err *e)
{
    struct buf name = {0}, url = {0};
    int result;

    buf_puts(&url, remote->gateway.shown);
    if (is_folder_uri(options)) {
        buf_printf(&url, "/d/%s/", options->uri.hash);
    } else {
        put_name(&name, options);
        range_path_put(&url, str_of(options->uri.hash), buf_str(&name));
    }
    result = buf_check(&name, e) == 0 ? buf_check(&url, e) : -1;
    if (result == 0) {
        if (!options->is_quiet)
            warn_unreadable(remote, options->uri.hash);
        print_url(buf_str(&url), 0, options->is_json);
    }
    buf_free(&name);
    buf_free(&url);
    return result;
}

static int print_for(struct remote *remote, const struct url_options *options, struct err *e)
{
    bool is_public = false;

    if (options->expires == NULL &&
        look_public(remote, options->uri.hash, &is_public, e) != 0)
        return -1;
    return is_public ? print_public(remote, options, e) : print_link(remote, options, e);
}

static int url_run(const struct url_options *options, const char *operand, struct err *e)
{
    struct remote remote;
    int result;

    if (remote_open(&remote, "url", REMOTE_KEYS_LATER, e) != 0)
        return -1;
    if (options->is_list)
        result = url_links_print(&remote, options->is_json, e);
    else if (options->is_revoke)
        result = url_links_revoke(&remote, operand, options->is_json, e);
    else
        result = print_for(&remote, options, e);
    remote_close(&remote);
    return result;
}

static int check_operand(struct url_options *options, const char *operand, struct err *e)
{
    if (options->is_list || options->is_revoke)
        return 0;
    if (check_url_name(options->name, e) != 0 ||
        kachery_uri_parse(&options->uri, str_of(operand), KACHERY_URI_USER, e) != 0)
        return -1;
    return options->expires == NULL ? 0
                                    : expiry_parse(str_of(options->expires), clock_wall_ms(),
                                                   &options->expires_ms, e);
}

int cmd_url(int argc, char **argv)
{
    struct url_options url = {.name = NULL};
    const struct cmd_option options[] = {{.name = "name", .value = &url.name},
                                         {.name = "expires", .value = &url.expires},
                                         {.name = "list", .flag = &url.is_list},
                                         {.name = "revoke", .flag = &url.is_revoke},
                                         {.name = "json", .flag = &url.is_json},
                                         {0}};
    struct cmd_args args = {.options = options, .max_operands = 1};
    int status = cmd_parse("url", argc, argv, &args);
    struct err e;

    if (status >= 0)
        return status;
    url.is_quiet = args.is_quiet;
    if (args.operand_count != (url.is_list ? 0 : 1))
        return cmd_usage_error("url", url.is_list ? "--list takes no URI"
                                                  : "want a URI (--revoke: or a URL), or --list");
    if ((url.is_list || url.is_revoke) &&
        (url.name != NULL || url.expires != NULL || (url.is_list && url.is_revoke)))
        return cmd_usage_error("url", "--list and --revoke go with --json alone");
    const char *operand = url.is_list ? NULL : args.operands[0];
    if (check_operand(&url, operand, &e) != 0 || url_run(&url, operand, &e) != 0)
        return cmd_fail("url", &e);
    return cmd_finish("url", CMD_OK);
}
