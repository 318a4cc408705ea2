/* register: create the client's keys, use the registration link or print it and wait until it was
 * used. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ready.h"
#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "proto/extensions.h"

enum {
    POLL_FIRST_MS = 1000, /* growing by as much each time up to */
    POLL_MAX_MS = 5000,
    MAX_LABEL_BYTES = 200 /* a gateway refuses more, which only the browser would tell */
};

static int look_up_client(struct remote *remote, struct gateway_client *client, struct err *e)
{
    gateway_client_deinit(client);
    return gateway_client_info(&remote->gateway, &remote->how, remote->gateway.identity.client_id,
                               client, e);
}

/* By its link, at a gateway that can be asked for it: as a user does with the page's button. */
static int use_link(struct remote *remote, struct buf *link, struct gateway_client *client,
                    struct err *e)
{
    struct err why = {0};
    int status;

    if (gateway_register(&remote->gateway, &remote->how, buf_str(link), &status, &why) == 0)
        return look_up_client(remote, client, e);
    /* ERR_NOT_FOUND is for files. */
    err_set(e, why.code == ERR_NOT_FOUND ? ERR_FAILED : why.code, "zone \"%s\": %s",
            remote->gateway.zone, why.msg);
    if (status != 403 && status != 421)
        buf_clear(link);
    return -1;
}

int register_begin(struct remote *remote, struct str label, struct gateway_client *client,
                   struct buf *link, struct err *e)
{
    if (identity_create(&remote->gateway.identity, remote->store.key_dir, e) != 0 ||
        look_up_client(remote, client, e) != 0)
        return -1;
    if (client->is_found)
        return 0;
    if (gateway_put_register_url(&remote->gateway, label, link, e) != 0)
        return -1;
    if (gateway_has_announced(&remote->gateway, EXTENSIONS_REGISTER))
        return use_link(remote, link, client, e);
    if (gateway_check_zone(&remote->gateway, &remote->how, e) == 0)
        return 0;
    buf_clear(link);
    return -1;
}

void register_tell_refused(struct str link)
{
    if (link.len > 0)
        fprintf(stderr,
                "When it is possible, run this again, or open in a browser:\n\n%.*s\n\n"
                "or, on a host without one:\n\n"
                "curl -X POST -H '" EXTENSIONS_REGISTER_HEADER ": 1' '%.*s'\n\n",
                STR_ARG(link), STR_ARG(link));
}

/* True when a line, or the end, came from `input`; what is read of it is dropped. */
static bool has_entered(int input, int timeout_ms)
{
    char text[256];
    ssize_t n;

    if (ready_wait(input, READY_READ, timeout_ms) == 0)
        return false;
    n = read(input, text, sizeof text);
    return n >= 0 ? n == 0 || memchr(text, '\n', (size_t)n) != NULL : errno != EINTR;
}

/* A gateway that does not answer now may do so later. */
int register_wait(struct remote *remote, int input, struct gateway_client *client, struct err *e)
{
    bool is_last = false, is_told = false;
    int pause_ms = 0;

    while (!client->is_found && !is_last) {
        if (pause_ms < POLL_MAX_MS)
            pause_ms += POLL_FIRST_MS;
        is_last = has_entered(input, pause_ms);
        if (look_up_client(remote, client, e) == 0)
            continue;
        if (is_last || (e->code != ERR_NETWORK && e->code != ERR_TIMEOUT))
            return -1;
        if (!is_told)
            cmd_warn(remote->name, e);
        is_told = true;
    }
    return 0;
}

struct str register_default_label(char name[REGISTER_LABEL_SIZE])
{
    name[REGISTER_LABEL_SIZE - 1] = '\0';
    if (gethostname(name, REGISTER_LABEL_SIZE - 1) != 0 || !str_is_utf8(str_of(name)))
        return STR("client");
    return str_of(name);
}

static void print_client(const struct gateway_client *client)
{
    struct buf line = {0};

    buf_puts(&line, "registered");
    if (client->owner_id != NULL) {
        buf_puts(&line, ", owner ");
        fs_put_printable(&line, str_of(client->owner_id));
    }
    if (client->label != NULL) {
        buf_puts(&line, ", label ");
        fs_put_printable(&line, str_of(client->label));
    }
    fprintf(stderr, "%s\n", cmd_words(&line));
    buf_free(&line);
}

static int run_register(struct remote *remote, struct str label, bool no_wait, bool is_quiet,
                        struct err *e)
{
    struct gateway_client client = {0};
    struct buf link = {0};
    int result = register_begin(remote, label, &client, &link, e);

    if (result == 0 && !client.is_found)
        fprintf(stderr, "To register with the zone \"%s\", open in a browser:\n\n%s\n\n",
                remote->gateway.zone, cmd_words(&link));
    if (result == 0 && !client.is_found && !no_wait) {
        if (!is_quiet)
            fprintf(stderr, "Waiting until it is registered (Ctrl-C ends the waiting only).\n");
        result = register_wait(remote, -1, &client, e);
    }
    if (result != 0)
        register_tell_refused(buf_str(&link));
    if (result == 0 && client.is_found && !is_quiet)
        print_client(&client);
    gateway_client_deinit(&client);
    buf_free(&link);
    return result;
}

int cmd_register(int argc, char **argv)
{
    char host_name[REGISTER_LABEL_SIZE];
    const char *label = NULL;
    bool no_wait = false;
    const struct cmd_option options[] = {
        {.name = "label", .value = &label},
        {.name = "no-wait", .flag = &no_wait},
        {0},
    };
    struct cmd_args args = {.options = options};
    int status = cmd_parse("register", argc, argv, &args);
    struct remote remote;
    struct err e;

    if (status >= 0)
        return status;
    if (label != NULL && (!str_is_utf8(str_of(label)) || strlen(label) > MAX_LABEL_BYTES)) {
        err_set(&e, ERR_USAGE, "--label: want UTF-8, at most %d bytes", MAX_LABEL_BYTES);
        return cmd_fail("register", &e);
    }
    if (remote_open(&remote, "register", REMOTE_KEYS_LATER, &e) != 0)
        return cmd_fail("register", &e);
    status = CMD_OK;
    if (run_register(&remote, label != NULL ? str_of(label) : register_default_label(host_name),
                     no_wait, args.is_quiet, &e) != 0) {
        status = cmd_fail("register", &e);
    } else {
        cmd_print(str_of(remote.gateway.identity.client_id));
        cmd_print(STR("\n"));
    }
    remote_close(&remote);
    return cmd_finish("register", status);
}
