#include "cmd/gateway_folder.h"

#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bucket/object_upload.h"
#include "proto/kachery_uri.h"

/* Its name does not matter here: all of the folder is its. */
#define OWN_ZONE "default"

/* ERR_NOT_FOUND when it is not there. */
static int stat_in_folder(const char *data, const char *name, struct stat *st, struct err *e)
{
    struct buf path = {0};
    const char *file;
    int result = 0;

    buf_printf(&path, "%s/%s", data, name);
    file = buf_path(&path, e);
    if (file == NULL)
        result = -1;
    else if (stat(file, st) != 0)
        result = err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, errno, "--data %s",
                           data);
    buf_free(&path);
    return result;
}

static int become_owner(const struct stat *st, struct err *e)
{
    if (geteuid() != 0 || st->st_uid == 0)
        return 0;
    if (setgroups(0, NULL) == 0 && setgid(st->st_gid) == 0 && setuid(st->st_uid) == 0)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "cannot become the user of the folder");
}

/* A typing error is not to become a new folder in which all is well. */
static int check_hub_folder(const char *data, struct err *e)
{
    struct err why = {0};
    struct stat st;

    if (data == NULL || *data == '\0')
        return err_set(e, ERR_USAGE, "no data directory: want --data DIR");
    if (stat_in_folder(data, ".hub", &st, &why) == 0 ||
        (why.code == ERR_NOT_FOUND && stat_in_folder(data, "sha1", &st, &why) == 0))
        return become_owner(&st, e);
    if (why.code == ERR_NOT_FOUND)
        return err_set(e, ERR_FAILED, "--data %s: no folder of a hub: there is neither .hub nor "
                                      "sha1 in it", data);
    return err_copy(e, &why);
}

/* ---- calls of the bucket, waited for ---- */

static void ignore_call_end(void *owner)
{
    (void)owner;
}

static bool is_call_done(void *owner)
{
    return ((const struct bucket_call *)owner)->bucket == NULL;
}

static int wait_for_call(struct gateway_folder *folder, struct bucket_call *call, struct err *e)
{
    return loop_run_until(folder->loop, is_call_done, call, e);
}

static int find_zone(struct gateway_folder *folder, struct str name, struct zone *zone,
                     struct err *e)
{
    struct zone_reading reading = {.file = {.call = {ignore_call_end, NULL, .e = e}}};
    int result = -1;

    *zone = zone_files_own(OWN_ZONE);
    if (zone_files_is_own(OWN_ZONE, name))
        return 0;
    if (zone_files_ask_zone(folder->bucket, name, &reading, e) == 0 &&
        wait_for_call(folder, &reading.file.call, e) == 0)
        result = zone_files_take_zone(&reading, OWN_ZONE, name, zone, e);
    zone_files_free_reading(&reading);
    return result;
}

/* ---- opening ---- */

static int open_bucket(struct gateway_folder *folder, struct err *e)
{
    if (data_dir_open(&folder->dir, folder->data, e) != 0)
        return -1;
    object_upload_clean(folder->dir.path);
    folder->loop = loop_new(NULL, e);
    if (folder->loop != NULL)
        folder->bucket = folder_new(&folder->dir, folder->loop, NULL, e);
    return folder->bucket == NULL ? -1 : 0;
}

int gateway_folder_open(struct gateway_folder *folder, struct err *e)
{
    const struct str name = str_of(folder->zone_name);

    log_set_level(LOG_ERROR); /* the output has the rest */
    if (check_hub_folder(folder->data, e) != 0)
        return -1;
    if (open_bucket(folder, e) != 0) {
        gateway_folder_close(folder);
        return -1;
    }
    if (find_zone(folder, name, &folder->zone, e) == 0)
        return 0;
    if (e->code == ERR_NOT_FOUND && kachery_uri_is_name(name)) {
        folder->zone = zone_files_own(OWN_ZONE);
        return 0;
    }
    gateway_folder_close(folder);
    return err_wrap(e, "--zone");
}

void gateway_folder_close(struct gateway_folder *folder)
{
    zone_files_free_zone(&folder->zone);
    bucket_free(folder->bucket);
    loop_free(folder->loop);
    data_dir_close(&folder->dir);
}

/* ---- zones ---- */

static void add_directory(struct gateway_folder *folder, struct str name,
                          struct names *directories,
                          void (*on_error)(void *ctx, const struct err *e), void *ctx)
{
    struct zone zone;
    struct err why = {0};

    if (find_zone(folder, name, &zone, &why) == 0) {
        names_add(directories, zone.directory);
        zone_files_free_zone(&zone);
    } else if (why.code != ERR_NOT_FOUND && why.code != ERR_PROTOCOL) {
        on_error(ctx, &why); /* else it is in another bucket, say, or broken */
    }
}

int gateway_folder_find_directories(struct gateway_folder *folder, struct names *directories,
                                    void (*on_error)(void *ctx, const struct err *e), void *ctx,
                                    struct err *e)
{
    const struct str folder_name = STR("registered-zones/");
    struct bucket_list list = {
        .call = {ignore_call_end, NULL, .e = e}, .prefix = folder_name, .max = BUCKET_MAX_LIST};
    struct buf last = {0};
    struct str key;
    int result = 0;

    names_add(directories, STR(""));
    while (result == 0 && !list.is_last) {
        size_t at = 0;
        buf_clear(&list.keys);
        list.after = buf_str(&last);
        bucket_list(folder->bucket, &list);
        result = wait_for_call(folder, &list.call, e);
        if (result == 0 && list.call.result != 0)
            result = -1;
        while (result == 0 && bucket_list_next(&list, &at, &key)) {
            add_directory(folder, str_slice(key, folder_name.len, key.len), directories, on_error,
                          ctx);
            buf_clear(&last);
            buf_put(&last, key);
        }
        if (result == 0)
            result = buf_check(&last, e);
    }
    bucket_cancel(&list.call);
    buf_free(&list.keys);
    buf_free(&last);
    return result;
}

int gateway_folder_put_key(const struct gateway_folder *folder, const char *uri, struct buf *out,
                           struct err *e)
{
    struct kachery_uri parsed;

    struct err why = {0};

    if (kachery_uri_parse(&parsed, str_of(uri), KACHERY_URI_USER, &why) != 0)
        return err_set(e, ERR_FAILED, "%s", why.msg);
    zone_files_put_object_key(&folder->zone, str_of(parsed.hash), out);
    return buf_check(out, e);
}

void gateway_folder_print(enum object_state state, int64_t size_bytes, struct str key)
{
    struct buf line = {0};

    buf_printf(&line, "%s\t", object_state_name(state));
    if (state == OBJECT_MISSING)
        buf_putc(&line, '-');
    else
        buf_printf(&line, "%lld", (long long)size_bytes);
    buf_putc(&line, '\t');
    fs_put_printable(&line, key);
    buf_putc(&line, '\n');
    cmd_print_buf(&line);
    buf_free(&line);
}
