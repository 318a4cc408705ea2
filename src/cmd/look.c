#include "cmd/look.h"

#include "base/fs.h"
#include "cmd/cmd.h"

int look_fail(const char *name, const struct err *e)
{
    cmd_warn(name, e);
    return e->code == ERR_NOT_FOUND ? CMD_NOT_FOUND : CMD_FAILED;
}

void look_put_holder(struct buf *out, const struct status_found *found)
{
    const struct lease_record *record = &found->life.record;

    fs_put_printable(out, str_of(record->resource[0] != '\0' ? record->resource : "the resource"));
    buf_puts(out, " on ");
    fs_put_printable(out, str_of(record->host));
    buf_printf(out, " (process %lld)", (long long)record->pid);
}
