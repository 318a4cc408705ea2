/* load: print the paths of files' bytes, getting them first where they are not here. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/load_list.h"
#include "proc/pool.h"

int load_run(const char *name, struct transfer *transfer, struct err *e)
{
    struct remote remote;
    struct buf line = {0};
    char *path = NULL;
    int result = -1;

    if (remote_open(&remote, name, REMOTE_KEYS_IF_THERE, e) != 0)
        return -1;
    if (remote_fetch(&remote, transfer, &path, e) != 0) {
        err_wrap(e, "sha1://%s", transfer->uri.hash);
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

/* Refuses uses of -o and -d that have no meaning. */
static int check_usage(const char *to_file, const char *folder, bool is_list, struct err *e)
{
    struct stat st, out;

    if (to_file != NULL && folder != NULL)
        return err_set(e, ERR_USAGE, "-o names a file, -d a folder for files: want one of them");
    if (to_file == NULL)
        return 0;
    if (is_list)
        return err_set(e, ERR_USAGE, "-o %s: -o is for one URI: for several, -d DIR", to_file);
    if (strcmp(to_file, "-") == 0)
        return err_set(e, ERR_USAGE,
                       "-o -: `kachery-resource cat URI` writes to standard output (a file of "
                       "that name: -o ./-)");
    if (stat(to_file, &st) == 0 && S_ISREG(st.st_mode) && fstat(STDOUT_FILENO, &out) == 0 &&
        st.st_dev == out.st_dev && st.st_ino == out.st_ino)
        return err_set(e, ERR_USAGE,
                       "-o %s: is standard output, where the path is printed: `kachery-resource "
                       "cat URI` writes the file there",
                       to_file);
    return 0;
}

static int load_one(const char *text, struct transfer *transfer)
{
    struct err e;

    if (kachery_uri_parse(&transfer->uri, str_of(text), KACHERY_URI_USER, &e) != 0)
        return cmd_fail("load", &e);
    if (load_run("load", transfer, &e) != 0)
        return cmd_fail("load", &e);
    return cmd_finish("load", CMD_OK);
}

int cmd_load(int argc, char **argv)
{
    struct transfer transfer = {.resource = NULL};
    struct load_list_options list = {.name = "load", .each = &transfer};
    struct kachery_uri uri;
    int64_t jobs = 0;
    const struct cmd_option options[] = {
        {.name = "output", .letter = 'o', .value = &transfer.to_file, .is_path = true},
        {.name = "directory", .letter = 'd', .value = &list.folder, .is_path = true},
        {.name = "files-from", .value = &list.list, .is_path = true},
        {.name = "jobs", .number = &jobs, .min = 1, .max = POOL_MAX_WORKERS},
        {.name = "resource", .value = &transfer.resource},
        {.name = "no-request", .flag = &transfer.no_request},
        {.name = "max-size", .number = &transfer.max_bytes, .min = 1, .max = INT64_MAX},
        {0},
    };
    struct cmd_args args = {.options = options, .max_operands = SIZE_MAX};
    int status = cmd_parse("load", argc, argv, &args);
    bool is_list = list.list != NULL || args.operand_count > 1;
    struct err e = {0};
    int result;

    if (status >= 0)
        return status;
    if (list.list == NULL && args.operand_count == 0)
        result = err_set(&e, ERR_USAGE, "no URI: want one or more, or --files-from");
    else
        result = check_usage(transfer.to_file, list.folder, is_list, &e);
    if (result != 0)
        return cmd_usage_error("load", "%s", e.msg);
    transfer.is_quiet = args.is_quiet;
    if (!is_list && list.folder == NULL)
        return load_one(args.operands[0], &transfer);
    if (!is_list && kachery_uri_parse(&uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0)
        return cmd_fail("load", &e);
    list.uris = args.operands;
    list.count = args.operand_count;
    list.jobs = (unsigned)jobs;
    list.is_bare = !is_list;
    return load_list_run(&list);
}
