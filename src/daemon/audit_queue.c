#include "daemon/audit_queue.h"

#include <string.h>

void audit_queue_deinit(struct audit_queue *q)
{
    buf_free(&q->lines);
    *q = (struct audit_queue){.first = 0};
}

static size_t waiting_bytes(const struct audit_queue *q)
{
    return q->lines.len - q->first;
}

/* Drops what is done from the front, now and then. */
static void drop_done(struct audit_queue *q)
{
    size_t left = waiting_bytes(q);

    if (q->first < left)
        return;
    if (left > 0)
        memmove(q->lines.data, q->lines.data + q->first, left);
    q->lines.len = left;
    q->first = 0;
}

void audit_queue_add(struct audit_queue *q, const struct buf *line)
{
    size_t before = q->lines.len;

    if (line->failed || line->len > AUDIT_QUEUE_LINE ||
        waiting_bytes(q) + line->len > AUDIT_QUEUE_BYTES) {
        q->lost++;
        return;
    }
    buf_put_buf(&q->lines, line);
    if (!q->lines.failed)
        return;
    q->lines.failed = false; /* without memory what is there stays */
    q->lines.len = before;
    q->lost++;
}

/* Returns the bytes of whole lines from the first on that go together: at least one line. */
static size_t next_bytes(const struct audit_queue *q)
{
    struct str left = {q->lines.data + q->first, waiting_bytes(q)};
    size_t taken = 0;

    while (taken < left.len) {
        size_t line = str_find(str_slice(left, taken, left.len), '\n') + 1;
        if (taken > 0 && taken + line > AUDIT_QUEUE_BATCH)
            break;
        taken += line;
    }
    return taken;
}

static uint64_t count_lines(struct str lines)
{
    uint64_t count = 0;

    for (size_t i = 0; i < lines.len; i++)
        count += lines.p[i] == '\n';
    return count;
}

bool audit_queue_next(struct audit_queue *q, struct str *lines, uint64_t *lost)
{
    if (q->is_given || audit_queue_is_empty(q))
        return false;
    q->given = waiting_bytes(q) == 0 ? 0 : next_bytes(q);
    *lines = (struct str){q->given == 0 ? "" : q->lines.data + q->first, q->given};
    q->given_lines = count_lines(*lines);
    q->told = *lost = q->lost;
    q->is_given = true;
    return true;
}

void audit_queue_done(struct audit_queue *q, uint64_t lost)
{
    if (!q->is_given)
        return;
    if (lost > q->told + q->given_lines)
        lost = q->told + q->given_lines;
    q->lost = q->lost - q->told + lost;
    q->first += q->given;
    q->is_given = false;
    q->given = 0;
    drop_done(q);
}

void audit_queue_again(struct audit_queue *q)
{
    q->is_given = false;
    q->given = 0;
}

bool audit_queue_is_empty(const struct audit_queue *q)
{
    return waiting_bytes(q) == 0 && q->lost == 0;
}
