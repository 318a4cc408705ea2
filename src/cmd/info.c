/* info: what the zone knows of a file. */
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "zone/hub_file.h"

/* The members of the answer, one "name: value" a line. */
static void put_answer_lines(struct buf *out, const char *answer)
{
    struct json *root = json_parse(str_of(answer), JSON_STRICT, ERR_IGNORED);
    struct str text;

    out->failed |= root == NULL;
    for (const struct json *member = json_first(root); member; member = json_next(member)) {
        fs_put_printable(out, json_key(member));
        buf_puts(out, ": ");
        if (json_str(member, &text)) {
            fs_put_printable(out, text);
        } else {
            struct buf value = {0};
            json_put_value(&value, NULL, member);
            buf_put_buf(out, &value);
            buf_free(&value);
        }
        buf_putc(out, '\n');
    }
    json_free(root);
}

static void put_indented_answer(struct buf *out, const char *answer)
{
    struct json *root = json_parse(str_of(answer), JSON_STRICT, ERR_IGNORED);

    if (root != NULL)
        json_put_indented(out, root);
    else
        out->failed = true;
    buf_putc(out, '\n');
    json_free(root);
}

/* True when the hub reads the file from a host; *out is then what it says. */
static bool look_up_at_hosts(const struct remote *remote, const char *hash,
                             const struct gateway_file *answer, struct hub_file *out)
{
    const struct gateway *g = &remote->gateway;
    struct buf url = {0};
    struct err e;
    int result = -1;

    if (!hub_file_is_served(g) || (answer->is_found && !hub_file_is_at_host(g, answer)))
        return false;
    if (answer->is_found)
        buf_puts(&url, answer->url);
    else
        hub_file_put_url(g, hash, &url);
    if (buf_check(&url, &e) == 0)
        result = hub_file_look(&remote->gateway, &remote->how.watch, buf_str(&url), out, &e);
    buf_wipe(&url);
    return result == 0 && out->state != HUB_FILE_ABSENT;
}

static void put_at_host(struct buf *out, const struct hub_file *file)
{
    buf_puts(out, "readable from a connected host, not in the zone\n");
    if (file->size >= 0)
        buf_printf(out, "size: %lld\n", (long long)file->size);
    if (file->state == HUB_FILE_BUILDING)
        buf_printf(out, "prepared by the host: %lld\n", (long long)file->done);
}

int info_run(const char *name, const struct kachery_uri *uri, enum info_form form, struct err *e)
{
    struct gateway_file file = {0};
    struct hub_file at_host;
    struct remote remote;
    struct buf out = {0};
    int result = -1;

    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, e) != 0)
        return -1;
    if (gateway_find_file(&remote.gateway, &remote.how, uri->hash, &file, e) != 0)
        goto out;
    bool is_at_host =
        form != INFO_INDENTED && look_up_at_hosts(&remote, uri->hash, &file, &at_host);
    if (form == INFO_JSON)
        buf_printf(&out, "%s\n", file.answer);
    else if (is_at_host)
        put_at_host(&out, &at_host);
    else if (file.is_found && form == INFO_INDENTED)
        put_indented_answer(&out, file.answer);
    else if (file.is_found)
        put_answer_lines(&out, file.answer);
    cmd_print_buf(&out);
    if (file.is_found || is_at_host)
        result = buf_check(&out, e);
    else
        err_set(e, ERR_NOT_FOUND, "sha1://%s: not in the zone \"%s\" of %s", uri->hash,
                remote.gateway.zone, remote.gateway.shown);
out:
    buf_free(&out);
    gateway_file_deinit(&file);
    remote_close(&remote);
    return result;
}

int cmd_info(int argc, char **argv)
{
    bool is_json = false;
    const struct cmd_option options[] = {{.name = "json", .flag = &is_json}, {0}};
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse("info", argc, argv, &args);
    struct kachery_uri uri;
    struct err e;

    if (status >= 0)
        return status;
    status = CMD_OK;
    if (kachery_uri_parse(&uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0 ||
        info_run("info", &uri, is_json ? INFO_JSON : INFO_LINES, &e) != 0)
        status = cmd_fail("info", &e);
    return cmd_finish("info", status);
}
