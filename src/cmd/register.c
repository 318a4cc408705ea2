/* register: create the client's keys, print the registration link, wait until it was used. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/remote.h"

enum {
    POLL_FIRST_MS = 1000, /* growing by as much each time up to */
    POLL_MAX_MS = 5000,
    VISIT_TIMEOUT_MS = 30000,
    HOST_NAME_SIZE = 256
};

/* A gateway with --open-registration registers whoever opens the link: open it once ourselves. For
 * any other gateway that is a page that nobody looks at, whatever it answers. */
static void visit(struct remote *remote, struct str link)
{
    struct http_call_options options = {.method = STR("GET"),
                                        .url = link,
                                        .deadline_ms = clock_now_ms() + VISIT_TIMEOUT_MS};

    http_call_free(http_client_perform(remote->http, &options, NULL));
}

static int is_registered(struct remote *remote, bool *out, bool is_quiet, struct err *e)
{
    struct gateway_client client = {0};
    struct buf line = {0};

    if (gateway_client_info(&remote->gateway, remote->gateway.identity.client_id, &client, e) != 0)
        return -1;
    *out = client.is_found;
    if (client.is_found && !is_quiet) {
        buf_puts(&line, "registered");
        if (client.owner_id != NULL) {
            buf_puts(&line, ", owner ");
            fs_put_printable(&line, str_of(client.owner_id));
        }
        if (client.label != NULL) {
            buf_puts(&line, ", label ");
            fs_put_printable(&line, str_of(client.label));
        }
        fprintf(stderr, "%s\n", buf_cstr(&line));
    }
    buf_free(&line);
    gateway_client_deinit(&client);
    return 0;
}

/* Asks until the client is registered. A gateway that does not answer now may do so later. */
static int wait_registered(struct remote *remote, bool is_quiet, struct err *e)
{
    bool is_done = false, is_told = false;
    int pause_ms = 0;

    while (!is_done) {
        if (pause_ms < POLL_MAX_MS)
            pause_ms += POLL_FIRST_MS;
        poll(NULL, 0, pause_ms);
        if (is_registered(remote, &is_done, is_quiet, e) == 0)
            continue;
        if (e->code != ERR_NETWORK && e->code != ERR_TIMEOUT)
            return -1;
        if (!is_told)
            cmd_warn("register", e);
        is_told = true;
    }
    return 0;
}

static int run(struct remote *remote, struct str label, bool no_wait, bool is_quiet,
               struct err *e)
{
    struct buf link = {0};
    bool is_done;
    int result = -1;

    if (identity_create(&remote->gateway.identity, remote->store.key_dir, e) != 0 ||
        is_registered(remote, &is_done, is_quiet, e) != 0)
        return -1;
    if (is_done)
        return 0;
    if (gateway_put_register_url(&remote->gateway, label, &link, e) != 0)
        goto out;
    visit(remote, buf_str(&link));
    if (is_registered(remote, &is_done, is_quiet, e) != 0)
        goto out;
    if (!is_done)
        fprintf(stderr, "To register with the zone \"%s\", open in a browser:\n\n%s\n\n",
                remote->gateway.zone, buf_cstr(&link));
    if (!is_done && !no_wait && !is_quiet)
        fprintf(stderr, "Waiting until it is registered (Ctrl-C ends the waiting only).\n");
    result = is_done || no_wait ? 0 : wait_registered(remote, is_quiet, e);
out:
    buf_free(&link);
    return result;
}

/* The host's name, as the deployed clients do; what is no UTF-8 cannot be a label. */
static struct str default_label(char name[HOST_NAME_SIZE])
{
    name[HOST_NAME_SIZE - 1] = '\0';
    if (gethostname(name, HOST_NAME_SIZE - 1) != 0 || !str_is_utf8(str_of(name)))
        return STR("client");
    return str_of(name);
}

int cmd_register(int argc, char **argv)
{
    char host_name[HOST_NAME_SIZE];
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
    if (label != NULL && !str_is_utf8(str_of(label))) {
        err_set(&e, ERR_USAGE, "--label: want UTF-8");
        return cmd_fail("register", &e);
    }
    if (remote_open(&remote, "register", REMOTE_KEYS_LATER, &e) != 0)
        return cmd_fail("register", &e);
    status = CMD_OK;
    if (run(&remote, label != NULL ? str_of(label) : default_label(host_name), no_wait,
            args.is_quiet, &e) != 0) {
        status = cmd_fail("register", &e);
    } else {
        cmd_print(str_of(remote.gateway.identity.client_id));
        cmd_print(STR("\n"));
    }
    remote_close(&remote);
    return cmd_finish("register", status);
}
