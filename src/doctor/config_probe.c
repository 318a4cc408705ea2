/* The config: is it there, whole and its owner's alone; and the variables that are read beside
 * it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/newfile.h"
#include "base/setting.h"
#include "base/text_file.h"
#include "base/yaml.h"
#include "doctor/probe.h"

#define WRITE_ANEW                                                                                 \
    "put a copy of it back, or move it away and run `kachery-resource init`"

static void fail_config(struct probe *p, const char *cure, const struct err *e)
{
    probe_fail(p, CHECK_CONFIG, cure, "%s", e->msg);
}

/* Returns false, and reports, if there is no file that could be a config. */
static bool find_config_file(struct probe *p, struct stat *st)
{
    const char *path = p->options->config_path;

    probe_look_at(p, path);
    if (stat(path, st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            probe_fail(p, CHECK_CONFIG,
                       "run `kachery-resource init` in the folder of the resource, or name its "
                       "config with --config",
                       "there is no %s", path);
        else
            probe_fail(p, CHECK_CONFIG,
                       "run doctor as the user who runs `share`, who must be able to read it",
                       "cannot look at %s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st->st_mode))
        probe_fail(p, CHECK_CONFIG, "name the file that `kachery-resource init` wrote",
                   "%s is not a file", path);
    else if (st->st_size == 0)
        probe_fail(p, CHECK_CONFIG, WRITE_ANEW, "%s is empty", path);
    else
        return true;
    return false;
}

/* A secret that others can read, or replace, is none. */
static void judge_config_mode(struct probe *p, const struct stat *st)
{
    const char *path = p->options->config_path;
    unsigned mode = st->st_mode & 07777;
    char cure[FINDING_MAX_BYTES];

    if (st->st_uid != geteuid() && st->st_uid != 0) {
        snprintf(cure, sizeof cure, "copy it to a file of your own: cp %s FILE; mv FILE %s", path,
                 path);
        probe_warn(p, CHECK_CONFIG, cure,
                   "%s belongs to user %lu, who can change what this daemon shares", path,
                   (unsigned long)st->st_uid);
    }
    snprintf(cure, sizeof cure, "run `chmod 600 %s`%s", path,
             (mode & S_IROTH) != 0 ? " and, if strangers can log in here, take a new proxySecret"
                                   : "");
    if ((mode & (S_IROTH | S_IWOTH)) != 0)
        probe_fail(p, CHECK_CONFIG, cure, "%s has mode %04o: everybody can %s its proxySecret",
                   path, mode, (mode & S_IROTH) != 0 ? "read" : "replace");
    else if ((mode & (S_IRGRP | S_IWGRP)) != 0 && !newfile_is_in_group_folder(path))
        probe_warn(p, CHECK_CONFIG, cure,
                   "%s has mode %04o: its group can %s its proxySecret", path, mode,
                   (mode & S_IRGRP) != 0 ? "read" : "replace");
}

static void warn_key_typo(void *ctx, const struct err *warning)
{
    probe_warn(ctx, CHECK_CONFIG, "correct the key in that line", "%s", warning->msg);
}

/* A misspelt key that may be absent is silently as good as none. */
static void judge_config_keys(struct probe *p)
{
    const char *path = p->options->config_path;
    struct buf text = {0};

    if (text_file_read(path, YAML_MAX_BYTES, &text, ERR_IGNORED) == 0)
        config_report_typos(buf_str(&text), path, warn_key_typo, p);
    buf_wipe(&text);
}

static void check_config(struct probe *p)
{
    struct config *c = &p->config;
    const char *path = p->options->config_path;
    struct err e = {0};
    struct stat st;

    if (!find_config_file(p, &st))
        return;
    judge_config_mode(p, &st);
    judge_config_keys(p);
    if (config_load(c, path, &e) != 0) {
        fail_config(p,
                    e.code == ERR_USAGE
                        ? "correct that line (`kachery-resource help config` has the keys)"
                        : WRITE_ANEW,
                    &e);
    } else if (config_complete(c, path, &e) != 0) {
        fail_config(p, "run `kachery-resource init`, which asks for it", &e);
    } else if (config_resolve_users(c, path, &e) != 0) {
        fail_config(p, "correct recordsOf, or the config's owner and mode (`kachery-resource help "
                       "files`)", &e);
    } else {
        probe_ok(p, CHECK_CONFIG, "%s: resource %s, zone %s, proxy %s; %lld bytes, mode %04o", path,
                 c->values[CONFIG_NAME], c->values[CONFIG_ZONE], c->values[CONFIG_PROXY],
                 (long long)st.st_size, (unsigned)(st.st_mode & 07777));
    }
}

static void warn_typo(void *ctx, const struct err *warning)
{
    probe_warn(ctx, CHECK_ENVIRONMENT, "correct the variable's name, or unset it", "%s",
               warning->msg);
}

/* The variables that the config's values are compared with; those of servers belong to their
 * checks. */
static void check_environment(struct probe *p)
{
    const char *zone = env_get("KACHERY_ZONE");
    struct err e = {0};

    setting_report_typos(warn_typo, p);
    if (p->config.values[CONFIG_ZONE] != NULL && config_check_zone(&p->config, &e) != 0)
        probe_fail(p, CHECK_ENVIRONMENT,
                   "unset KACHERY_ZONE, or set the same zone in both: `share` refuses to run", "%s",
                   e.msg);
    else
        probe_ok(p, CHECK_ENVIRONMENT, "KACHERY_ZONE is %s",
                 zone == NULL ? "not set: the config's zone counts" : zone);
}

void config_probe_run(struct probe *p)
{
    check_config(p);
    check_environment(p);
}
