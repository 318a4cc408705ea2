#include "daemon/lease_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"

static void begin_watch(struct lease_watch *w, const struct intervals *intervals, bool is_claim)
{
    *w = (struct lease_watch){
        .intervals = intervals, .looked_ms = CLOCK_NEVER_MS, .is_claim = is_claim};
}

void lease_watch_init(struct lease_watch *w, const char *folder, const struct intervals *intervals)
{
    begin_watch(w, intervals, false);
    lease_record_put_path(&w->path, folder);
}

void lease_watch_init_claim(struct lease_watch *w, const char *path,
                            const struct intervals *intervals)
{
    begin_watch(w, intervals, true);
    buf_puts(&w->path, path);
}

void lease_watch_deinit(struct lease_watch *w)
{
    buf_free(&w->path);
    buf_free(&w->first);
    buf_free(&w->now);
    *w = (struct lease_watch){0};
}

/* Finds how long ago the record's file was written, by the clock of the host that keeps the folder.
 * A file from the future was written before the clock was set back: it counts as written now, so
 * that its age does not wait for that time. ERR_NOT_FOUND: it is gone. */
static int find_age_ms(const char *path, int64_t *age, struct err *e)
{
    struct stat then;
    int64_t now_ms;

    if (newfile_time_beside(path, &now_ms, e) != 0)
        return -1;
    if (stat(path, &then) != 0)
        return err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, errno,
                         "cannot look at %s", path);
    *age = now_ms - fs_mtime_ms(&then);
    if (*age >= 0)
        return 0;
    *age = 0;
    return utimensat(AT_FDCWD, path, NULL, 0) == 0
               ? 0
               : err_errno(e, ERR_FAILED, errno, "cannot renew %s", path);
}

static int judge_by_age(const struct lease_watch *w, const char *path, enum lease_verdict *verdict,
                        struct err *e)
{
    int64_t age_ms;

    if (find_age_ms(path, &age_ms, e) != 0)
        return -1;
    *verdict = age_ms < w->intervals->lease_plain_ms ? LEASE_HELD : LEASE_DEAD;
    return 0;
}

/* Time between two looks counts only as far as this process was there to look: not when it was
 * stopped, or its read hung. */
static void count_unchanged(struct lease_watch *w)
{
    int64_t now_ms = clock_now_ms(), most_ms = 2 * w->intervals->lease_look_ms;

    if (w->looked_ms != CLOCK_NEVER_MS)
        w->unchanged_ms += now_ms - w->looked_ms < most_ms ? now_ms - w->looked_ms : most_ms;
    w->looked_ms = now_ms;
}

/* Counts how long it is since the holder left. */
static void count_since_release(struct lease_watch *w)
{
    if (w->first.failed || !str_equal(buf_str(&w->first), buf_str(&w->now))) {
        buf_clear(&w->first);
        buf_put_buf(&w->first, &w->now);
        w->unchanged_ms = 0;
        w->looked_ms = CLOCK_NEVER_MS;
    }
    count_unchanged(w);
}

/* Returns true when the record has changed since the first look. */
static bool has_changed(struct lease_watch *w)
{
    if (w->looked_ms == CLOCK_NEVER_MS) {
        buf_clear(&w->first);
        buf_put_buf(&w->first, &w->now);
    }
    return !str_equal(buf_str(&w->first), buf_str(&w->now));
}

static bool is_renewed_here(const struct lease_watch *w)
{
    int64_t ago_ms = lease_process_renewed_ago_ms(&w->record);

    return w->process == LEASE_PROCESS_RUNNING && ago_ms >= 0 &&
           ago_ms < w->intervals->lease_refresh_ms + w->intervals->lease_look_ms;
}

/* Judges by whether the record changes while this process looks. */
static enum lease_verdict judge_by_changes(struct lease_watch *w, int64_t most_ms)
{
    if (has_changed(w))
        return LEASE_HELD;
    count_unchanged(w);
    w->left_ms = most_ms - w->unchanged_ms;
    return w->left_ms <= 0 ? LEASE_DEAD : LEASE_WATCHING;
}

/* A record without a counter. A record that cannot be read may just be being written. */
static int judge_plain_record(struct lease_watch *w, const char *path, enum lease_verdict *verdict,
                              struct err *e)
{
    bool is_readable = strcmp(w->record.token, LEASE_NO_TOKEN) != 0;

    if (!w->record.is_empty && judge_by_age(w, path, verdict, e) != 0)
        return -1;
    if (w->record.is_empty || (*verdict == LEASE_DEAD && !is_readable))
        *verdict = judge_by_changes(w, w->intervals->lease_claim_ms);
    return 0;
}

static int judge_record(struct lease_watch *w, const char *path, enum lease_verdict *verdict,
                        struct err *e)
{
    w->process = lease_process_look(&w->record);
    if (w->record.is_released) {
        count_since_release(w);
        *verdict = LEASE_FREE;
    } else if (w->process == LEASE_PROCESS_DEAD)
        *verdict = LEASE_DEAD;
    else if (w->is_claim)
        *verdict = judge_by_changes(w, w->intervals->lease_claim_ms);
    else if (w->record.counter == 0)
        return judge_plain_record(w, path, verdict, e);
    else if (is_renewed_here(w))
        *verdict = LEASE_HELD;
    else
        *verdict = judge_by_changes(w, w->intervals->lease_stale_ms);
    return 0;
}

int lease_watch_look(struct lease_watch *w, enum lease_verdict *verdict, struct err *e)
{
    const char *path = buf_path(&w->path, e);
    struct err cause = {0};

    buf_clear(&w->now);
    if (path == NULL)
        return -1;
    if (lease_record_read_file(path, &w->record, &w->now, &cause) == 0)
        return buf_check(&w->now, e) != 0 ? -1 : judge_record(w, path, verdict, e);
    if (cause.code != ERR_NOT_FOUND)
        return err_copy(e, &cause);
    w->record = (struct lease_record){0};
    *verdict = LEASE_FREE;
    return 0;
}
