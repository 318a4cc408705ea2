/* The servers' intervals. */
#include <stddef.h>

#include "base/env.h"
#include "base/interval_table.h"
#include "hub/hub_times.h"
#include "proxy/proxy.h"
#include "proxy/ranges.h"

/* The values are hub_times_load's: they come from the modules. */
static const struct interval_row rows[] = {
#define ROW(name, member) {#name, offsetof(struct hub_times, member), 0}
    ROW(idle_ms, http.idle_ms),
    ROW(head_ms, http.head_ms),
    ROW(body_ms, http.body_ms),
    ROW(stall_ms, http.stall_ms),
    ROW(write_ms, http.write_ms),
    ROW(linger_ms, http.linger_ms),
    ROW(initialize_ms, proxy.initialize_ms),
    ROW(takeover_ms, proxy.takeover_ms),
    ROW(rejoin_ms, proxy.rejoin_ms),
    ROW(ping_ms, proxy.ping_ms),
    ROW(dead_ms, proxy.dead_ms),
    ROW(wrong_ms, proxy.wrong_ms),
    ROW(worker_idle_ms, worker_idle_ms),
    ROW(worker_ping_ms, worker_ping_ms),
    ROW(worker_stuck_ms, worker_stuck_ms),
    ROW(worker_kill_ms, worker_kill_ms),
    ROW(check_wait_ms, check_wait_ms),
    ROW(check_stuck_ms, check_stuck_ms),
    ROW(relay_silent_ms, relay.silent_ms),
    ROW(relay_overdue_ms, relay.overdue_ms),
    ROW(line_instead_ms, relay.instead_ms),
    ROW(relay_ping_ms, relay.ping_ms),
    ROW(line_idle_ms, relay.idle_ms),
    ROW(file_keep_ms, relay.keep_ms),
    ROW(absent_ms, relay.absent_ms),
    ROW(doubt_ms, relay.doubt_ms),
    ROW(ask_again_ms, relay.ask_again_ms),
    ROW(line_again_ms, relay.line_again_ms),
    ROW(relay_idle_ms, relay_idle_ms),
    ROW(range_wait_ms, range_wait_ms),
    ROW(range_start_ms, range_start_ms),
#undef ROW
};

static const struct interval_table table = {rows, sizeof rows / sizeof rows[0]};

int hub_times_load(struct hub_times *times, struct err *e)
{
    *times = (struct hub_times){.http = http_server_times(),
                                .proxy = proxy_default_times(),
                                .worker_idle_ms = 30000,
                                .worker_ping_ms = 1000,
                                .worker_stuck_ms = 5000,
                                .worker_kill_ms = 300000,
                                .check_wait_ms = 20000,
                                .check_stuck_ms = 60000,
                                .relay = relay_default_times(),
                                .relay_idle_ms = 600000,
                                .range_wait_ms = 45000,
                                .range_start_ms = RANGES_START_MS};
    if (interval_table_parse(&table, times, str_of(env_get(HUB_TIMES_VARIABLE)), e) == 0)
        return 0;
    return err_wrap(e, HUB_TIMES_VARIABLE);
}
