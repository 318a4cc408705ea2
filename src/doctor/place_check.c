#include "doctor/place_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/newfile.h"

enum { TRIED_BYTES = 65536, PIECE_BYTES = 4096, CLOCK_TOLERANCE_MS = 10000, LEAST_FILES = 100 };

#define LEAST_BYTES ((uint64_t)16 << 20)

/* Writes a file and removes it; *now_ms is the clock of the file system. */
static int try_to_write(const char *folder, int64_t *now_ms, struct err *e)
{
    static const char zeros[PIECE_BYTES];
    struct newfile file = NEWFILE_NONE;
    struct buf path = {0};
    struct stat st;
    int result = -1;

    buf_printf(&path, "%s/doctor", folder);
    const char *name = buf_path(&path, e);
    if (name == NULL || newfile_open(&file, name, 0600, e) != 0)
        goto out;
    for (int done = 0; done < TRIED_BYTES; done += PIECE_BYTES)
        if (newfile_write(&file, (struct str){zeros, sizeof zeros}, name, e) != 0)
            goto out;
    if (fsync(file.fd) != 0 || fstat(file.fd, &st) != 0) {
        err_errno(e, ERR_FAILED, errno, "cannot write in %s", folder);
        goto out;
    }
    *now_ms = fs_mtime_ms(&st);
    result = newfile_close(&file, false, name, e);
out:
    newfile_discard(&file);
    buf_free(&path);
    return result;
}

static void fail_writing(struct probe *p, enum doctor_check check, const char *what,
                         const char *folder, const struct err *e)
{
    char cure[FINDING_MAX_BYTES];

    snprintf(cure, sizeof cure,
             "make it writable for this user (`ls -ld %s`), and give it room (`df -h %s`, `df -i "
             "%s`, `quota -s`)",
             folder, folder, folder);
    probe_fail(p, check, cure, "%s cannot be written: %s", what, e->msg);
}

static void judge_clock(struct probe *p, enum doctor_check check, const char *folder,
                        int64_t now_ms)
{
    int64_t ahead_ms = now_ms - clock_wall_ms();

    if (ahead_ms < CLOCK_TOLERANCE_MS && ahead_ms > -CLOCK_TOLERANCE_MS)
        return;
    probe_warn(p, check,
               "set the clocks of this host and of its file server by NTP (`timedatectl`, "
               "`chronyc tracking`)",
               "the file system of %s is %lld s %s this host's clock", folder,
               (long long)(ahead_ms < 0 ? -ahead_ms : ahead_ms) / 1000,
               ahead_ms < 0 ? "behind" : "ahead of");
}

/* Reports little room; a full file system has failed already. */
static void judge_room(struct probe *p, enum doctor_check check, const char *folder,
                       const struct statvfs *room)
{
    uint64_t free_bytes = (uint64_t)room->f_bavail * room->f_frsize;
    char cure[FINDING_MAX_BYTES];

    snprintf(cure, sizeof cure, "free some room there: `df -h %s`, `df -i %s`, `quota -s`", folder,
             folder);
    if (free_bytes < LEAST_BYTES)
        probe_warn(p, check, cure, "only %.1f MB are free in %s", (double)free_bytes / 1e6, folder);
    else if (room->f_files > 0 && room->f_favail < LEAST_FILES)
        probe_warn(p, check, cure, "only %llu more files fit into the file system of %s",
                   (unsigned long long)room->f_favail, folder);
}

/* A user who may write into a folder may replace the files in it. */
static void judge_writers(struct probe *p, enum doctor_check check, const char *what,
                          const char *folder)
{
    char cure[FINDING_MAX_BYTES];
    struct stat st;

    if (stat(folder, &st) != 0 || (st.st_mode & S_IWOTH) == 0)
        return;
    snprintf(cure, sizeof cure, "run `chmod o-w %s`, or use a folder of your own", folder);
    probe_warn(p, check, cure, "%s %s has mode %04o: everybody can write into it", what, folder,
               (unsigned)(st.st_mode & 07777));
}

void place_check_report(struct probe *p, enum doctor_check check, const char *what,
                        const char *folder, const char *about)
{
    struct statvfs room = {0};
    struct err e = {0};
    int64_t now_ms;

    if (try_to_write(folder, &now_ms, &e) != 0) {
        fail_writing(p, check, what, folder, &e);
        return;
    }
    judge_clock(p, check, folder, now_ms);
    judge_writers(p, check, what, folder);
    if (statvfs(folder, &room) == 0)
        judge_room(p, check, folder, &room);
    probe_ok(p, check, "%s is writable, %.1f GB are free%s%s", folder,
             (double)room.f_bavail * (double)room.f_frsize / 1e9, *about == '\0' ? "" : "; ",
             about);
}
