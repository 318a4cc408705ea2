/* The config's folder: lease, status file and log are written there. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor/place_check.h"

/* Appends the folder of the config, of the file itself if the path is a symbolic link. */
static void put_folder(struct buf *out, const char *config_path)
{
    char real[PATH_MAX];
    const char *path = realpath(config_path, real) != NULL ? real : config_path;
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        buf_puts(out, ".");
    else
        buf_append(out, path, slash == path ? 1 : (size_t)(slash - path));
}

void folder_probe_run(struct probe *p)
{
    struct buf folder = {0};
    struct err e = {0};
    struct stat st;

    put_folder(&folder, p->options->config_path);
    const char *path = buf_path(&folder, &e);
    if (path == NULL || stat(path, &st) != 0)
        probe_fail(p, CHECK_FOLDER, "make it, or name the config with --config",
                   "there is no folder %s: %s", buf_cstr(&folder),
                   path == NULL ? e.msg : strerror(errno));
    else
        place_check_report(p, CHECK_FOLDER, "the config's folder", path, "");
    buf_free(&folder);
}
