/* url: the address by which every HTTP client reads a file from the hub. */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/load_names.h"
#include "cmd/remote.h"
#include "proto/gateway_message.h"
#include "proxy/range_path.h"
#include "zone/hub_file.h"

struct url_options {
    struct kachery_uri uri;
    const char *name; /* NULL: the URI's */
    bool is_json, is_quiet;
};

/* A name that no client of HTTP changes on its way. */
static int check_name(const char *name, struct err *e)
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
static int check_public(struct gateway *g, const char *hash, struct err *e)
{
    struct gateway_file file = {0};
    struct err why = {0};

    if (gateway_find_file(g, hash, &file, &why) != 0) {
        if (why.code == ERR_REFUSED && gateway_message_is_about_client(str_of(why.msg)))
            return err_set(e, ERR_REFUSED,
                           "downloads of the zone \"%s\" are not public: nobody could read by a "
                           "URL without a token (%s)", g->zone, why.msg);
        return err_set(e, why.code, "%s", why.msg);
    }
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
    struct hub_file file;
    struct err why = {0};

    if (hub_file_look(&remote->gateway, hash, &file, &why) == 0 && file.state != HUB_FILE_ABSENT)
        return;
    if (why.code == ERR_NONE)
        err_set(&why, ERR_NOT_FOUND,
                "now the hub's own zone does not have this file, and no connected host: the URL "
                "works once one shares it");
    else
        err_wrap(&why, "the URL does not work now");
    cmd_warn(remote->name, &why);
}

static void print_url(const struct buf *url, bool is_json)
{
    struct buf out = {0};

    if (is_json) {
        json_open(&out, '{');
        json_put_buf(&out, "url", url);
        json_put_null(&out, "expires");
        json_close(&out, '}');
    } else {
        buf_put_buf(&out, url);
    }
    buf_putc(&out, '\n');
    cmd_print_buf(&out);
    buf_free(&out);
}

static int url_run(const char *command, const struct url_options *options, struct err *e)
{
    struct buf name = {0}, url = {0};
    struct remote remote;
    int result = -1;

    if (remote_open(&remote, command, REMOTE_KEYS_LATER, e) != 0)
        return -1;
    if (check_public(&remote.gateway, options->uri.hash, e) != 0)
        goto out;
    put_name(&name, options);
    buf_puts(&url, remote.gateway.shown);
    range_path_put(&url, str_of(options->uri.hash), buf_str(&name));
    if (buf_check(&name, e) != 0 || buf_check(&url, e) != 0)
        goto out;
    if (!options->is_quiet)
        warn_unreadable(&remote, options->uri.hash);
    print_url(&url, options->is_json);
    result = 0;
out:
    buf_free(&name);
    buf_free(&url);
    remote_close(&remote);
    return result;
}

int cmd_url(int argc, char **argv)
{
    struct url_options url = {.name = NULL};
    const struct cmd_option options[] = {
        {.name = "name", .value = &url.name}, {.name = "json", .flag = &url.is_json}, {0}};
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse("url", argc, argv, &args);
    struct err e;

    if (status >= 0)
        return status;
    url.is_quiet = args.is_quiet;
    if (check_name(url.name, &e) != 0 ||
        kachery_uri_parse(&url.uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0 ||
        url_run("url", &url, &e) != 0)
        return cmd_fail("url", &e);
    return cmd_finish("url", CMD_OK);
}
