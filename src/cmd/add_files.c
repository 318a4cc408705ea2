#include "cmd/add_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/glob.h"
#include "cmd/actions.h"
#include "cmd/batch_run.h"
#include "cmd/cmd.h"
#include "cmd/ending.h"
#include "cmd/folder_maker.h"
#include "cmd/label.h"
#include "cmd/large_files.h"
#include "proc/pool.h"
#include "proto/kachery_uri.h"

enum { LOOK_AHEAD_AT_ONCE = 200 };

struct add_run {
    struct store store;
    struct stat store_dir;
    struct uri_list list;
    struct sources *sources, *ahead;
    struct str label;
    bool is_labelled_by_name;
    struct buf uri, name;
    struct large_files large;
    struct folder_maker folders;
    bool makes_indexes;
};

static void note_tree(void *owner, const char *path)
{
    struct add_run *run = owner;

    folder_maker_begin(&run->folders, path);
}

static enum batch_run_step next_source_file(void *owner, struct batch_item *item)
{
    struct add_run *run = owner;
    struct err e = {0};
    const char *path = "";
    enum sources_step step = sources_next(run->sources, &path, &item->size, &e);

    if (step == SOURCES_END || step == SOURCES_WAIT)
        return step == SOURCES_END ? BATCH_RUN_END : BATCH_RUN_WAIT;
    item->path = strdup(path);
    item->follow = *sources_follow(run->sources);
    item->tree = sources_is_in_tree(run->sources) ? run->folders.count : 0;
    if (item->path == NULL)
        err_set(&e, ERR_FAILED, "out of memory");
    if (step == SOURCES_BAD || item->path == NULL)
        batch_item_fail(item, &e);
    return BATCH_RUN_ITEM;
}

static bool count_files(void *owner, uint64_t *files, uint64_t *bytes)
{
    struct add_run *run = owner;

    for (int i = 0; i < LOOK_AHEAD_AT_ONCE; i++) {
        const char *path;
        int64_t size = 0;
        enum sources_step step = sources_next(run->ahead, &path, &size, ERR_IGNORED);
        if (step == SOURCES_END)
            return true;
        *files += 1;
        *bytes += step == SOURCES_FILE ? (uint64_t)size : 0;
    }
    return false;
}

static void report_added_file(void *owner, struct batch_item *item)
{
    struct add_run *run = owner;
    struct err e;

    if (item->code != ERR_NONE) {
        folder_maker_fail(&run->folders, item->tree);
        err_set(&e, item->code, "%s", item->error == NULL ? "out of memory" : item->error);
        uri_list_fail(&run->list, item->path == NULL ? "?" : item->path, &e);
        return;
    }
    buf_clear(&run->uri);
    buf_clear(&run->name);
    if (run->is_labelled_by_name)
        label_put_base_name(&run->name, item->path);
    kachery_uri_put(&run->uri, item->hash,
                    run->is_labelled_by_name ? buf_str(&run->name) : run->label);
    run->uri.failed |= run->name.failed;
    const char *address = buf_path(&run->uri, &e);
    if (address == NULL)
        uri_list_fail(&run->list, item->path, &e);
    else
        uri_list_add(&run->list, item->path, address, item->size);
    folder_maker_add(&run->folders, item->tree, item->path, item->hash, item->size);
    if (item->code == ERR_NONE && item->path != NULL)
        large_files_note(&run->large, item->path, item->size);
}

/* Runs the batch to its end. */
static int run_add_batch(const char *name, struct add_run *run, struct batch_run *batch,
                         const struct sources_options *what)
{
    struct sources_options options = *what;
    struct err e;
    int status = -1;

    if (store_init(&run->store, &e) != 0)
        return cmd_fail(name, &e);
    store_tidy(&run->store);
    if (stat(run->store.dir, &run->store_dir) == 0)
        options.skipped = &run->store_dir;
    batch->store = &run->store;
    options.on_tree = run->makes_indexes ? note_tree : NULL;
    options.owner = run;
    run->sources = sources_open(&options, &e);
    options.on_tree = NULL;
    if (run->sources != NULL && options.list == NULL)
        run->ahead = sources_open(&options, &e);
    if (run->ahead != NULL)
        batch->look_ahead = count_files;
    if (run->sources != NULL) {
        batch->wait_fd = sources_fd(run->sources);
        status = batch_run(batch, &e);
    }
    if (status == 0)
        folder_maker_end(&run->folders, &run->store, batch->makes_manifests, &run->list);
    if (status < 0)
        status = cmd_fail(name, &e);
    else if (status > 0)
        ending_die(status);
    else
        status = uri_list_end(&run->list);
    if (!batch->is_quiet)
        large_files_warn(&run->large, name, &run->store);
    sources_close(run->sources);
    sources_close(run->ahead);
    store_deinit(&run->store);
    return status;
}

int add_files_run(const struct add_files *what)
{
    struct add_run run = {.list = {.name = what->name, .form = what->form},
                          .label = str_of(what->label),
                          .makes_indexes = what->makes_indexes,
                          .is_labelled_by_name = what->is_labelled_by_name};
    struct batch_run batch = {.what = what->work == BATCH_LINK ? "linking" : "storing",
                              .is_quiet = what->is_quiet,
                              .work = what->work,
                              .makes_manifests = !what->is_without_manifests,
                              .jobs = what->jobs,
                              .owner = &run,
                              .next = next_source_file,
                              .on_result = report_added_file};
    struct err e;
    int status;

    if (!str_is_utf8(run.label)) {
        err_set(&e, ERR_USAGE, "--label: want UTF-8");
        return cmd_fail(what->name, &e);
    }
    status = run_add_batch(what->name, &run, &batch, &what->sources);
    buf_free(&run.uri);
    buf_free(&run.name);
    large_files_deinit(&run.large);
    folder_maker_free(&run.folders);
    return status;
}

/* Checks the rules that cmd_parse does not know. */
static int check_add_options(const struct add_files *what, const struct cmd_args *args,
                             struct err *e)
{
    const struct sources_options *sources = &what->sources;

    if (args->operand_count == 0 && sources->list == NULL)
        return err_set(e, ERR_USAGE, "no file given: want PATH... or --files-from");
    if (what->makes_indexes && !sources->is_recursive)
        return err_set(e, ERR_USAGE, "--index makes indexes of folders: want -r with it");
    if (what->label != NULL && what->is_labelled_by_name)
        return err_set(e, ERR_USAGE, "want --label or --label-names, not both");
    for (size_t i = 0; i < sources->excluded_count; i++)
        if (glob_check(sources->excluded[i], e) != 0)
            return err_wrap(e, "--exclude");
    return 0;
}

int add_files_command(const char *name, enum batch_work work, int argc, char **argv)
{
    struct add_files what = {.name = name, .work = work};
    struct sources_options *sources = &what.sources;
    struct cmd_values excluded = {0};
    bool is_json = false;
    int64_t jobs = 0;
    const struct cmd_option options[] = {
        {.name = "recursive", .letter = 'r', .flag = &sources->is_recursive},
        {.name = "index", .flag = &what.makes_indexes},
        {.name = "exclude", .values = &excluded},
        {.name = "label", .value = &what.label},
        {.name = "label-names", .flag = &what.is_labelled_by_name},
        {.name = "files-from", .value = &sources->list, .is_path = true},
        {.name = "null", .letter = '0', .flag = &sources->is_nul_separated},
        {.name = "jobs", .number = &jobs, .min = 1, .max = POOL_MAX_WORKERS},
        {.name = "no-manifest", .flag = &what.is_without_manifests},
        {.name = "json", .flag = &is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .max_operands = SIZE_MAX};
    struct err e;

    int status = cmd_parse(name, argc, argv, &args);
    if (status >= 0)
        goto out;
    sources->for_trees = "-r";
    sources->paths = args.operands;
    sources->path_count = args.operand_count;
    sources->excluded = excluded.items;
    sources->excluded_count = excluded.count;
    what.jobs = (unsigned)jobs;
    what.form = is_json ? URI_LIST_JSON : URI_LIST_PATHS;
    what.is_quiet = args.is_quiet;
    status = check_add_options(&what, &args, &e) != 0 ? cmd_fail(name, &e) : add_files_run(&what);
out:
    free(excluded.items);
    return status;
}
