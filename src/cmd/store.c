/* store: upload files to the zone now. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/setting.h"
#include "cmd/actions.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/interrupt.h"
#include "store/add.h"
#include "store/hash_cache.h"
#include "store/hash_file.h"
#include "zone/gateway_memory.h"
#include "zone/upload.h"

struct storing {
    struct remote remote;
    struct uri_list list;
    struct remote_bar bar;
    struct str label;
    bool cache_locally;
    const char *folder, *prefix; /* KACHERY_STORE_FILE_DIR, KACHERY_STORE_FILE_PREFIX */
    const char *what;            /* the work at hand, for the bar */
    int64_t size;                /* of the file in hand, -1: not known yet */
};

/* A file as it was stored. */
struct stored {
    char hash[SHA1_HEX + 1];
    int64_t size;
};

static bool show_read(void *ctx, int64_t bytes)
{
    struct storing *run = ctx;

    remote_bar_show(&run->bar, run->what, bytes, run->size);
    return !interrupt_came();
}

static void show_sent(void *ctx, int64_t bytes)
{
    show_read(ctx, bytes);
}

static int upload_stored(struct storing *run, const char *path, const struct stored *stored,
                         struct err *e)
{
    const struct upload_options options = {.hash = stored->hash,
                                           .path = path,
                                           .size = stored->size,
                                           .on_progress = show_sent,
                                           .ctx = run};
    struct upload_result result;

    run->what = "uploading";
    run->size = stored->size;
    return upload_file(&run->remote.gateway, &run->remote.how, &options, &result, e);
}

/* Keeps a copy in the local store and uploads that: nobody can change it meanwhile. */
static int store_by_copy(struct storing *run, const char *path, struct stored *out, struct err *e)
{
    const struct hash_watch watch = {show_read, run};
    const struct hash_options options = {.flags = HASH_MAKE_MANIFEST, .watch = &watch};
    struct add_staged added;
    struct buf copy = {0};
    int result;

    run->what = "copying";
    store_tidy(&run->remote.store);
    interrupt_note();
    result = add_file(&run->remote.store, STORE_COPY, path, &options, &added, e);
    remote_bar_end(&run->bar);
    interrupt_act();
    if (result != 0)
        return -1;
    memcpy(out->hash, added.hash, sizeof out->hash);
    out->size = added.size;
    store_put_copy_path(&run->remote.store, out->hash, &copy);
    const char *kept = buf_path(&copy, e);
    result = kept == NULL ? -1 : upload_stored(run, kept, out, e);
    buf_free(&copy);
    return result;
}

static int store_in_place(struct storing *run, const char *path, struct stored *out, struct err *e)
{
    const struct hash_watch watch = {show_read, run};
    const struct hash_options options = {.flags = HASH_USE_CACHE, .watch = &watch};
    struct hash_result hashed;

    run->what = "hashing";
    if (hash_file(&run->remote.store, path, &options, &hashed, e) != 0)
        return -1;
    memcpy(out->hash, hashed.hash, sizeof out->hash);
    out->size = hashed.size;
    if (upload_stored(run, path, out, e) == 0)
        return 0;
    if (e->code == ERR_CHANGED) /* then the cache may be what is wrong */
        hash_cache_forget(&run->remote.store, path);
    return -1;
}

/* Copies what is open, hashes it, and gives the copy the name <folder>/sha1/<hash>. */
static int copy_to_folder(struct storing *run, int from, const struct stat *st, struct newfile *to,
                          struct stored *out, struct err *e)
{
    const struct hash_watch watch = {show_read, run};
    struct hash_job job = {.from = from, .to = to->fd, .as_opened = st, .watch = &watch};
    struct buf final = {0};
    int result = -1;

    run->what = "copying";
    if (hash_run(&job, e) != 0)
        return -1;
    if (job.size != st->st_size)
        return err_set(e, ERR_CHANGED, "changed while it was being copied");
    memcpy(out->hash, job.hash, sizeof out->hash);
    out->size = job.size;
    buf_printf(&final, "%s/sha1/%s", run->folder, out->hash);
    const char *named = buf_path(&final, e);
    if (named != NULL)
        result = newfile_commit(to, true, named, e);
    buf_free(&final);
    return result;
}

static int store_in_folder(struct storing *run, const char *path, struct stored *out, struct err *e)
{
    struct newfile to = NEWFILE_NONE;
    struct buf base = {0};
    int from = -1, result = -1;
    struct stat st;

    /* A folder of their own: that of the files may hold very many. */
    buf_printf(&base, "%s/sha1/.incoming/file", run->folder);
    const char *incoming = buf_path(&base, e);
    if (incoming == NULL || hash_open(path, NULL, &from, &st, e) != 0 ||
        place_check(incoming, e) != 0 || newfile_make_root(run->folder, false, e) != 0 ||
        newfile_make_parents(run->folder, incoming, e) != 0)
        goto out;
    newfile_clean(incoming);
    if (newfile_open(&to, incoming, 0666, e) != 0)
        goto out;
    newfile_adopt(run->folder, to.fd);
    newfile_hold(to.fd);
    interrupt_guard(NULL, to.name.data);
    run->size = st.st_size;
    result = copy_to_folder(run, from, &st, &to, out, e);
    interrupt_guard(NULL, NULL);
    newfile_discard(&to);
out:
    if (from >= 0)
        close(from);
    buf_free(&base);
    return result;
}

static void put_stored_uri(const struct storing *run, const char *hash, struct buf *out)
{
    if (run->folder != NULL && run->prefix != NULL)
        kachery_uri_put_below(out, str_of(run->prefix), hash, run->label);
    else
        kachery_uri_put(out, hash, run->label);
}

/* Said before the file is read, for that may take long. A gateway that has not been heard yet is
 * asked for this client, which the upload needs it to know anyway. */
static int check_size(struct storing *run, const char *path, struct err *e)
{
    struct gateway *g = &run->remote.gateway;
    struct gateway_client client = {0};
    struct err ignored = {0};
    struct stat st;

    if (run->folder != NULL || stat(path, &st) != 0 || st.st_size <= GATEWAY_DEPLOYED_MAX_BYTES)
        return 0;
    if (!gateway_has_answered(g) &&
        gateway_client_info(g, &run->remote.how, g->identity.client_id, &client, &ignored) == 0)
        gateway_client_deinit(&client);
    return gateway_check_size(g, st.st_size, e);
}

static int store_any(struct storing *run, const char *path, struct stored *out, struct err *e)
{
    if (check_size(run, path, e) != 0)
        return -1;
    if (run->folder != NULL)
        return store_in_folder(run, path, out, e);
    return run->cache_locally ? store_by_copy(run, path, out, e)
                              : store_in_place(run, path, out, e);
}

static void store_one(struct storing *run, const char *argument)
{
    struct stored stored = {.size = -1};
    struct buf path = {0}, uri = {0};
    struct err e = {0};
    int result = -1;

    run->size = -1;
    const char *named = fs_absolute_path(argument, &path, &e) == 0 ? buf_path(&path, &e) : NULL;
    if (named != NULL)
        result = store_any(run, named, &stored, &e);
    remote_bar_end(&run->bar);
    put_stored_uri(run, stored.hash, &uri);
    const char *address = result == 0 ? buf_path(&uri, &e) : NULL;
    if (address != NULL)
        uri_list_add(&run->list, named, address, stored.size);
    else
        uri_list_fail(&run->list, named != NULL ? named : argument, &e);
    buf_free(&path);
    buf_free(&uri);
}

int store_run(const struct store_files *what)
{
    struct storing run = {.list = {.name = what->name, .form = what->form},
                          .bar.is_quiet = what->is_quiet,
                          .label = str_of(what->label),
                          .cache_locally = what->cache_locally};
    struct err e;

    char *folder;

    if (setting_path("KACHERY_STORE_FILE_DIR", &folder, &e) != 0)
        return cmd_fail(what->name, &e);
    run.folder = folder;
    if (setting_text("KACHERY_STORE_FILE_PREFIX", &run.prefix, &e) != 0)
        return cmd_fail(what->name, &e);
    if (!str_is_utf8(run.label)) {
        err_set(&e, ERR_USAGE, "--label: want UTF-8");
        return cmd_fail(what->name, &e);
    }
    if (run.folder == NULL && remote_open(&run.remote, what->name, REMOTE_KEYS_NEEDED, &e) != 0)
        return cmd_fail(what->name, &e);
    run.remote.bar = &run.bar;
    for (size_t i = 0; i < what->count; i++)
        store_one(&run, what->paths[i]);
    if (run.folder == NULL)
        remote_close(&run.remote);
    free(folder);
    return uri_list_end(&run.list);
}

int cmd_store(int argc, char **argv)
{
    struct store_files what = {.name = "store"};
    bool is_json = false;
    const struct cmd_option options[] = {
        {.name = "label", .value = &what.label},
        {.name = "cache-locally", .flag = &what.cache_locally},
        {.name = "json", .flag = &is_json},
        {0},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = SIZE_MAX};
    int status = cmd_parse("store", argc, argv, &args);

    if (status >= 0)
        return status;
    what.paths = args.operands;
    what.count = args.operand_count;
    what.form = is_json ? URI_LIST_JSON : URI_LIST_PATHS;
    what.is_quiet = args.is_quiet;
    return store_run(&what);
}
