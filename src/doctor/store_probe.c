/* The local store as a folder: there, readable, and nobody's but its users'. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/place_check.h"
#include "store/store.h"

static void fail_absent_store(struct probe *p, const char *dir, int number)
{
    if (number == ENOENT || number == ENOTDIR)
        probe_fail(p, CHECK_STORE,
                   "run `kachery-resource link FILE`, which makes it; or set KACHERY_CLOUD_DIR to "
                   "the store that files were linked into",
                   "there is no store %s", dir);
    else
        probe_fail(p, CHECK_STORE, "run doctor as the user who runs `share`, who must be able to "
                                   "read it",
                   "cannot look at the store %s: %s", dir, strerror(number));
}

/* Reports what keeps the daemon from reading it. */
static bool can_read_store(struct probe *p, const char *dir, const struct stat *st)
{
    char cure[FINDING_MAX_BYTES];

    snprintf(cure, sizeof cure, "ask its owner for the right to read it (`ls -ld %s`)", dir);
    if (!S_ISDIR(st->st_mode))
        probe_fail(p, CHECK_STORE, "set KACHERY_CLOUD_DIR to a folder", "the store %s is no folder",
                   dir);
    else if (access(dir, R_OK | X_OK) != 0)
        probe_fail(p, CHECK_STORE, cure, "the store %s of user %lu cannot be read: %s", dir,
                   (unsigned long)st->st_uid, strerror(errno));
    else
        return true;
    return false;
}

static void judge_store_folder(struct probe *p, const char *dir, const struct stat *st)
{
    char about[128], cure[FINDING_MAX_BYTES];

    snprintf(about, sizeof about, "it belongs to user %lu, mode %04o", (unsigned long)st->st_uid,
             (unsigned)(st->st_mode & 07777));
    if (access(dir, W_OK) == 0) {
        place_check_report(p, CHECK_STORE, "the store", dir, about);
        return;
    }
    int number = errno;
    snprintf(cure, sizeof cure,
             "%s: its files can be served, but `link`, the hash cache and missing manifests need "
             "to write there",
             number == EROFS ? "mount it so that it can be written, or set KACHERY_CLOUD_DIR"
                             : "ask its owner for the right to write there");
    probe_warn(p, CHECK_STORE, cure, "the store %s cannot be written: %s (%s)", dir,
               strerror(number), about);
}

void store_probe_run(struct probe *p)
{
    struct store store = {0};
    struct err e = {0};
    struct stat st;

    if (store_init(&store, &e) != 0) {
        probe_fail(p, CHECK_STORE, "set KACHERY_CLOUD_DIR, or HOME", "%s", e.msg);
        return;
    }
    probe_look_at(p, store.dir);
    if (stat(store.dir, &st) != 0)
        fail_absent_store(p, store.dir, errno);
    else if (can_read_store(p, store.dir, &st))
        judge_store_folder(p, store.dir, &st);
    store_deinit(&store);
}
