/* load: print the path of a file's bytes, getting them first where they are not here. */
#include <stdlib.h>

#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"

int load_run(const char *name, const struct remote_fetch *fetch, struct err *e)
{
    struct remote remote;
    struct buf line = {0};
    char *path = NULL;
    int result = -1;

    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, e) != 0)
        return -1;
    if (remote_fetch(&remote, fetch, &path, e) != 0) {
        err_wrap(e, "sha1://%s", fetch->uri.hash);
        goto out;
    }
    buf_printf(&line, "%s\n", path);
    result = buf_check(&line, e);
    cmd_print_buf(&line);
out:
    buf_free(&line);
    free(path);
    remote_close(&remote);
    return result;
}

int cmd_load(int argc, char **argv)
{
    struct remote_fetch fetch = {.resource = NULL};
    const struct cmd_option options[] = {
        {.name = "output", .letter = 'o', .value = &fetch.to_file},
        {.name = "resource", .value = &fetch.resource},
        {.name = "no-request", .flag = &fetch.no_request},
        {0},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse("load", argc, argv, &args);
    struct err e;

    if (status >= 0)
        return status;
    if (kachery_uri_parse(&fetch.uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0)
        return cmd_fail("load", &e);
    fetch.is_quiet = args.is_quiet;
    if (load_run("load", &fetch, &e) != 0)
        return cmd_fail("load", &e);
    return cmd_finish("load", CMD_OK);
}
