#include "cmd/add_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cmd/batch_run.h"
#include "cmd/cmd.h"
#include "cmd/sources.h"
#include "cmd/uri_list.h"
#include "proc/pool.h"
#include "proto/kachery_uri.h"

enum { LOOK_AHEAD_AT_ONCE = 200 };

struct add_files {
    struct store store;
    struct stat store_dir;
    struct uri_list list;
    struct sources *sources, *ahead;
    const char *label;
    struct buf uri;
};

static enum batch_run_step next_file(void *owner, struct batch_item *item)
{
    struct add_files *a = owner;
    struct err e = {0};
    const char *path = "";
    enum sources_step step = sources_next(a->sources, &path, &item->size, &e);

    if (step == SOURCES_END || step == SOURCES_WAIT)
        return step == SOURCES_END ? BATCH_RUN_END : BATCH_RUN_WAIT;
    item->path = strdup(path);
    if (item->path == NULL)
        err_set(&e, ERR_FAILED, "out of memory");
    if (step == SOURCES_BAD || item->path == NULL)
        batch_item_fail(item, &e);
    return BATCH_RUN_ITEM;
}

static bool count_files(void *owner, uint64_t *files, uint64_t *bytes)
{
    struct add_files *a = owner;

    for (int i = 0; i < LOOK_AHEAD_AT_ONCE; i++) {
        const char *path;
        int64_t size = 0;
        enum sources_step step = sources_next(a->ahead, &path, &size, NULL);
        if (step == SOURCES_END)
            return true;
        *files += 1;
        *bytes += step == SOURCES_FILE ? (uint64_t)size : 0;
    }
    return false;
}

static void tell(void *owner, struct batch_item *item)
{
    struct add_files *a = owner;

    if (item->code != ERR_NONE) {
        struct err e;
        err_set(&e, item->code, "%s", item->error == NULL ? "out of memory" : item->error);
        uri_list_fail(&a->list, item->path == NULL ? "?" : item->path, &e);
        return;
    }
    buf_clear(&a->uri);
    kachery_uri_put(&a->uri, item->hash, str_of(a->label));
    uri_list_add(&a->list, item->path, buf_cstr(&a->uri), item->size);
}

static int run(const char *name, struct add_files *a, struct batch_run *run,
               struct sources_options *options)
{
    struct err e;
    int status = -1;

    if (store_init(&a->store, &e) != 0)
        return cmd_fail(name, &e);
    if (stat(a->store.dir, &a->store_dir) == 0)
        options->skipped = &a->store_dir;
    run->store = &a->store;
    a->sources = sources_open(options, &e);
    if (a->sources != NULL && options->list == NULL)
        a->ahead = sources_open(options, &e);
    if (a->ahead != NULL)
        run->look_ahead = count_files;
    if (a->sources != NULL) {
        run->wait_fd = sources_fd(a->sources);
        status = batch_run(run, &e);
    }
    if (status < 0)
        status = cmd_fail(name, &e);
    else if (status > 0)
        batch_run_die(status);
    else
        status = uri_list_end(&a->list);
    sources_close(a->sources);
    sources_close(a->ahead);
    store_deinit(&a->store);
    return status;
}

int add_files_command(const char *name, enum batch_work work, int argc, char **argv)
{
    struct add_files a = {.list = {.name = name}};
    struct sources_options sources = {0};
    int64_t jobs = 0;
    const struct cmd_option options[] = {
        {.name = "recursive", .letter = 'r', .flag = &sources.is_recursive},
        {.name = "label", .value = &a.label},
        {.name = "files-from", .value = &sources.list},
        {.name = "null", .letter = '0', .flag = &sources.is_nul_separated},
        {.name = "jobs", .number = &jobs, .min = 1, .max = POOL_MAX_WORKERS},
        {.name = "json", .flag = &a.list.is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .max_operands = SIZE_MAX};
    struct err e;

    int status = cmd_parse(name, argc, argv, &args);
    if (status >= 0)
        return status;
    if (args.operand_count == 0 && sources.list == NULL) {
        err_set(&e, ERR_USAGE, "no file given: want PATH... or --files-from");
        return cmd_fail(name, &e);
    }
    if (!str_is_utf8(str_of(a.label))) {
        err_set(&e, ERR_USAGE, "--label is not UTF-8");
        return cmd_fail(name, &e);
    }
    sources.paths = args.operands;
    sources.path_count = args.operand_count;
    struct batch_run batch = {.what = work == BATCH_LINK ? "linking" : "storing",
                              .is_quiet = args.is_quiet,
                              .work = work,
                              .jobs = (unsigned)jobs,
                              .owner = &a,
                              .next = next_file,
                              .on_result = tell};
    status = run(name, &a, &batch, &sources);
    buf_free(&a.uri);
    return status;
}
