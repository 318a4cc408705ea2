/* The daemon that shares the resource from this folder now. */
#include <stdio.h>
#include <string.h>

#include "daemon/lease_record.h"
#include "doctor/holder.h"
#include "doctor/probe.h"

void lease_probe_run(struct probe *p)
{
    struct holder holder;
    struct err e = {0};
    char age[64] = "";

    (void)!probe_load_config(p, ERR_IGNORED); /* the config's check reports it */
    const char *name = p->config.values[CONFIG_NAME];
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
