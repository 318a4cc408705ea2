#include "daemon/audit_file.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/audit.h"

enum { AGAIN_MS = 1000 };

void audit_file_init(struct audit_file *a, const char *path)
{
    *a = (struct audit_file){.options = {.path = path, .is_private = true},
                             .file = LOG_FILE_CLOSED,
                             .sync_at_ms = CLOCK_NEVER_MS};
}

void audit_file_close(struct audit_file *a)
{
    log_file_close(&a->file);
}

int audit_file_reopen(struct audit_file *a, struct err *e)
{
    if (a->options.path == NULL)
        return 0;
    a->open_again_ms = clock_now_ms() + AGAIN_MS;
    if (log_file_open(&a->file, &a->options, e) == 0)
        return 0;
    return err_wrap(e, "audit");
}

static void open_late(struct audit_file *a, struct err *e)
{
    if (a->file.fd < 0 && clock_now_ms() >= a->open_again_ms)
        (void)!audit_file_reopen(a, e);
}

/* Takes back the part of a line that was written: each line is whole JSON. */
static void take_part_back(struct audit_file *a, int64_t bytes_before)
{
    if (!a->file.is_torn || !a->file.is_regular || ftruncate(a->file.fd, bytes_before) != 0)
        return;
    a->file.is_torn = false;
    a->file.bytes = bytes_before;
}

static bool write_audit_line(struct audit_file *a, struct str line, struct err *e)
{
    struct err trouble = {0};

    if (a->file.fd < 0)
        return false;
    if (log_file_keep(&a->file, line.len, &trouble) != 0)
        err_copy(e, &trouble);
    int64_t before = a->file.bytes;
    errno = 0; /* only a part was written: a full disk */
    if (!log_file_write(&a->file, line.p, line.len)) {
        err_errno(e, ERR_FAILED, errno != 0 ? errno : ENOSPC, "cannot write audit %s",
                  a->options.path);
        take_part_back(a, before);
        return false;
    }
    if (a->sync_at_ms == CLOCK_NEVER_MS)
        a->sync_at_ms = clock_now_ms() + AUDIT_FILE_SYNC_MS;
    return true;
}

static bool write_lost(struct audit_file *a, uint64_t lost, struct err *e)
{
    struct buf line = {0};

    audit_put_lost(&line, clock_wall_ms(), lost);
    bool is_written = !line.failed && write_audit_line(a, buf_str(&line), e);
    buf_free(&line);
    return is_written;
}

uint64_t audit_file_append(struct audit_file *a, struct str lines, uint64_t lost, struct err *e)
{
    *e = (struct err){0};
    open_late(a, e);
    if (lines.len == 0 && lost > 0 && write_lost(a, lost, e))
        return 0;
    while (lines.len > 0) {
        struct str line = str_slice(lines, 0, str_find(lines, '\n') + 1);
        if (lost > 0 && write_lost(a, lost, e))
            lost = 0;
        if (lost > 0 || !write_audit_line(a, line, e))
            lost++;
        lines = str_slice(lines, line.len, lines.len);
    }
    return lost;
}

int audit_file_sync(struct audit_file *a, struct err *e)
{
    a->sync_at_ms = CLOCK_NEVER_MS;
    if (a->file.fd < 0 || !a->file.is_regular || fsync(a->file.fd) == 0)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "cannot sync audit %s", a->options.path);
}
