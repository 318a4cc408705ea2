#include "cmd/gateway_folder.h"

#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "proto/kachery_uri.h"

/* ERR_NOT_FOUND when it is not there. */
static int look(const char *data, const char *name, struct stat *st, struct err *e)
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
static int check_folder(const char *data, struct err *e)
{
    struct err why = {0};
    struct stat st;

    if (data == NULL || *data == '\0')
        return err_set(e, ERR_USAGE, "no data directory: want --data DIR");
    if (look(data, ".hub", &st, &why) == 0 ||
        (why.code == ERR_NOT_FOUND && look(data, "sha1", &st, &why) == 0))
        return become_owner(&st, e);
    if (why.code == ERR_NOT_FOUND)
        return err_set(e, ERR_FAILED, "--data %s: no folder of a hub: there is neither .hub nor "
                                      "sha1 in it", data);
    return err_set(e, why.code, "%s", why.msg);
}

int gateway_folder_open(struct gateway_folder *folder, struct err *e)
{
    const struct site_options options = {.data_dir = folder->data, .zone = NULL};
    const struct str name = str_of(folder->zone_name);

    log_set_level(LOG_ERROR); /* what is printed says the rest */
    if (check_folder(folder->data, e) != 0 || site_open(&folder->site, &options, e) != 0)
        return -1;
    if (zone_files_zone(&folder->site, name, &folder->zone, e) == 0)
        return 0;
    if (e->code == ERR_NOT_FOUND && kachery_uri_is_name(name)) {
        folder->zone = site_own_zone(&folder->site);
        return 0;
    }
    site_close(&folder->site);
    return err_wrap(e, "--zone");
}

void gateway_folder_close(struct gateway_folder *folder)
{
    zone_files_zone_deinit(&folder->zone);
    site_close(&folder->site);
}

int gateway_folder_put_key(const struct gateway_folder *folder, const char *uri, struct buf *out,
                           struct err *e)
{
    struct kachery_uri parsed;

    struct err why = {0};

    if (kachery_uri_parse(&parsed, str_of(uri), KACHERY_URI_USER, &why) != 0)
        return err_set(e, ERR_FAILED, "%s", why.msg);
    site_put_object_key(&folder->zone, parsed.hash, out);
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
