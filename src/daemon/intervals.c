#include "daemon/intervals.h"

#include <stddef.h>

#include "base/interval_table.h"

static const struct interval_row rows[] = {
#define ROW(name, ms) {#name, offsetof(struct intervals, name), ms}
    ROW(connect_ms, 30000),
    ROW(acknowledge_ms, 20000),
    ROW(ping_ms, 20000),
    ROW(dead_ms, 60000),
    ROW(retry_min_ms, 1000),
    ROW(short_outage_ms, 60000),
    ROW(retry_short_ms, 4000),
    ROW(connect_short_ms, 5000),
    ROW(retry_max_ms, 25000), /* with the time that connecting takes, less than 30 s */
    ROW(retry_after_max_ms, 50000), /* a server may be back long before; 60 s with the rest */
    ROW(stable_ms, 10000),
    ROW(presence_first_ms, 5000),
    ROW(presence_ms, 300000),
    ROW(redial_max_ms, 600000),
    ROW(repeat_log_ms, 600000),
    ROW(lookup_slow_ms, 250),
    ROW(lookup_lost_ms, 5000),
    ROW(upload_recall_ms, 5000),
    ROW(upload_silent_ms, 1800000), /* a file on tape may take long to come */
    ROW(upload_stopped_ms, 120000),
    ROW(worker_idle_ms, 60000),
    ROW(worker_cpu_ms, -1),
    ROW(keep_result_ms, 60000),
    ROW(stop_ms, 6000), /* then close_ms and the ends of the children: 10 s in all */
    ROW(close_ms, 1000),
    ROW(line_idle_ms, 120000),
    ROW(line_leave_ms, 60000),
    ROW(lease_refresh_ms, 10000),
    ROW(lease_hold_ms, 30000),   /* well before anybody takes the lease over */
    ROW(lease_stale_ms, 45000),  /* with cron every minute, taken over within 2 minutes */
    ROW(lease_look_ms, 2000),
    ROW(lease_claim_ms, 5000),
    ROW(lease_plain_ms, 300000),
    ROW(keeper_stopped_ms, 8000), /* its successor is in time for lease_hold_ms */
    ROW(look_silent_ms, 5000),
    ROW(look_watch_ms, 12000), /* a lease is renewed every 10 s */
    ROW(look_doubt_ms, 60000),
    ROW(look_again_ms, 2000),
    ROW(status_ms, 1000),
    ROW(status_idle_ms, 300000),
    ROW(registration_ms, 60000),
    ROW(gateway_first_ms, 5000),
    ROW(gateway_check_ms, 3600000),
#undef ROW
};

static const struct interval_table table = {rows, sizeof rows / sizeof rows[0]};

int intervals_load(struct intervals *t, struct err *e)
{
    return interval_table_load(&table, t, "KACHERY_RESOURCE_TEST_INTERVALS", e);
}
