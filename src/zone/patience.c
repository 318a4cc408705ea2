#include "zone/patience.h"

#include <stddef.h>

#include "base/interval_table.h"

static const struct interval_row rows[] = {
#define ROW(name, ms) {#name, offsetof(struct patience, name), ms}
    ROW(pause_min_ms, 500),
    ROW(pause_max_ms, 30000),
    ROW(retry_after_ms, 120000),
    ROW(attempts, 10),
    ROW(lost_ms, 300000),
    ROW(call_ms, 60000),
    ROW(asking_ms, 4000),
    ROW(waiting_ms, 30000),
    ROW(asking_least, 1),
    ROW(working_ms, 300000),
    ROW(expect_ms, 1000),
    ROW(stall_ms, 60000),
    ROW(answer_ms, 120000),
    ROW(pending_every_ms, 5000),
    ROW(pending_total_ms, 60000),
#undef ROW
};

static const struct interval_table table = {rows, sizeof rows / sizeof rows[0]};

int patience_load(struct patience *p, struct err *e)
{
    return interval_table_load(&table, p, "KACHERY_RESOURCE_TEST_PATIENCE", e);
}

struct zone_call zone_call_working(const struct zone_call *call)
{
    struct zone_call working = *call;

    working.patience = ZONE_WORKING;
    return working;
}
