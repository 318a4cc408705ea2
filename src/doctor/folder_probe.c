/* The config's folder: lease, status file and log are written there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/keeper.h"
#include "doctor/place_check.h"

/* The daemon replaces a file that stands there. */
static void judge_status_file(struct probe *p, const char *folder)
{
    char cure[FINDING_MAX_BYTES];
    struct buf path = {0};
    struct stat st;

    buf_printf(&path, "%s/" KEEPER_STATUS_FILE, folder);
    const char *name = buf_path(&path, ERR_IGNORED);
    if (name != NULL && lstat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(cure, sizeof cure, "move it away: `mv %s %s.old`", name, name);
        probe_warn(p, CHECK_FOLDER, cure, "%s is a folder: no status file can be written", name);
    }
    buf_free(&path);
}

void folder_probe_run(struct probe *p)
{
    struct buf config = {0};
    struct err e = {0};
    struct stat st;
    const char *path = NULL;

    probe_look_at(p, p->options->config_path);
    if (config_put_real_path(p->options->config_path, &config, &e) == 0 && config.len > 0) {
        while (config.len > 1 && config.data[config.len - 1] != '/')
            config.len--;
        if (config.len > 1)
            config.len--; /* of the folder / nothing would be left */
        path = buf_path(&config, &e);
    }
    if (path == NULL)
        probe_fail(p, CHECK_FOLDER, "make it, or name the config with --config",
                   "the folder of %s is not known: %s", p->options->config_path, e.msg);
    else if (stat(path, &st) != 0)
        probe_fail(p, CHECK_FOLDER, "make it, or name the config with --config",
                   "there is no folder %s: %s", path, strerror(errno));
    else {
        judge_status_file(p, path);
        place_check_report(p, CHECK_FOLDER, "the config's folder", path, "");
    }
    buf_free(&config);
}
