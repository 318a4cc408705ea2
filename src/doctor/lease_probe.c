/* The daemon that shares the resource from this folder now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/lease_record.h"
#include "doctor/holder.h"
#include "doctor/probe.h"

/* The daemon makes it where there is none. */
static void judge_lease_folder(struct probe *p)
{
    char cure[FINDING_MAX_BYTES];
    struct buf config = {0}, folder = {0};
    const char *path = NULL;
    struct stat st;

    if (config_put_real_path(p->options->config_path, &config, ERR_IGNORED) == 0 &&
        buf_path(&config, ERR_IGNORED) != NULL) {
        config_put_sibling(config.data, LEASE_FOLDER, &folder);
        path = buf_path(&folder, ERR_IGNORED);
    }
    if (path != NULL && stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        snprintf(cure, sizeof cure, "move it away (`mv %s %s.old`): the daemon makes its own", path,
                 path);
        probe_fail(p, CHECK_LEASE, cure, "%s is no folder", path);
    } else if (path != NULL && access(path, F_OK) == 0 && access(path, R_OK | W_OK | X_OK) != 0) {
        snprintf(cure, sizeof cure, "make it writable for the user who runs `share` (`ls -ld %s`)",
                 path);
        probe_fail(p, CHECK_LEASE, cure, "%s cannot be written: %s", path, strerror(errno));
    }
    buf_free(&config);
    buf_free(&folder);
}

void lease_probe_run(struct probe *p)
{
    struct holder holder;
    struct err e = {0};
    char age[64] = "";

    (void)!probe_load_config(p, ERR_IGNORED); /* the config's check reports it */
    const char *name = p->config.values[CONFIG_NAME];
    judge_lease_folder(p);
    if (holder_find(p, &holder, &e) != 0) {
        probe_fail(p, CHECK_LEASE,
                   "make " LEASE_FOLDER " readable for this user, or remove it while no daemon "
                   "runs", "%s", e.msg);
        return;
    }
    if (holder.renewed_ago_ms >= 0)
        snprintf(age, sizeof age, ": its last renewal is %lld s old",
                 (long long)holder.renewed_ago_ms / 1000);
    if (holder.state == HOLDER_NONE)
        probe_ok(p, CHECK_LEASE, "free: no daemon of this folder runs");
    else if (holder.state == HOLDER_DEAD)
        probe_warn(p, CHECK_LEASE,
                   "start it again (`kachery-resource share`, or wait for cron), which takes the "
                   "lease over; its log has the cause",
                   "the daemon on %s (process %lld) has died", holder.host, (long long)holder.pid);
    else if (name != NULL && holder.resource[0] != '\0' && strcmp(name, holder.resource) != 0)
        probe_fail(p, CHECK_LEASE,
                   "move this config to a folder of its own: one folder has one daemon",
                   "another resource, %s, is shared from this folder, by %s (process %lld)",
                   holder.resource, holder.host, (long long)holder.pid);
    else if (holder.state == HOLDER_ALIVE)
        probe_ok(p, CHECK_LEASE, "held by the daemon on %s (process %lld)", holder.host,
                 (long long)holder.pid);
    else
        probe_warn(p, CHECK_LEASE,
                   "run `kachery-resource status --watch`, which watches on; if it is dead, cron "
                   "or `share` takes the lease over by itself",
                   "%s (process %lld) holds it, and did not renew it while doctor looked%s",
                   holder.host, (long long)holder.pid, age);
}
