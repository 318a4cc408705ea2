/* The config's folder: lease, status file and log are written there. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor/place_check.h"

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
    else
        place_check_report(p, CHECK_FOLDER, "the config's folder", path, "");
    buf_free(&config);
}
