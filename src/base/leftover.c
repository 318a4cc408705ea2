#include "base/leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

void leftover_hold(int fd)
{
    flock(fd, LOCK_EX | LOCK_NB);
}

static bool is_locked(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

/* Under the lock, which whoever gives the name to another file has to have. */
static void remove_unless_held(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st, named;

    if (fd < 0)
        return;
    if (!is_locked(fd) && fstat(fd, &st) == 0 && lstat(path, &named) == 0 &&
        st.st_dev == named.st_dev && st.st_ino == named.st_ino)
        unlink(path);
    close(fd);
}

void leftover_remove(const char *path, int seconds)
{
    struct stat st;
    int64_t now_ms;

    if (path == NULL || lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        clock_wall_ms() - fs_mtime_ms(&st) < 1000LL * seconds)
        return;
    /* So says our clock, which may be wrong. */
    if (fs_time_beside(path, &now_ms, ERR_IGNORED) == 0 &&
        now_ms - fs_mtime_ms(&st) >= 1000LL * seconds)
        remove_unless_held(path);
}

void leftover_clean(const char *path)
{
    struct str whole = str_of(path == NULL ? "" : path), base = whole;
    struct buf name = {0};
    struct dirent *entry;

    if (path == NULL)
        return;
    while (base.len > 0 && memchr(base.p, '/', base.len) != NULL)
        base = str_slice(base, 1, base.len);
    size_t folder = whole.len - base.len;
    buf_put(&name, folder == 0 ? STR("./") : str_slice(whole, 0, folder));
    folder = name.len;
    const char *listed = buf_path(&name, ERR_IGNORED);
    DIR *dir = listed == NULL ? NULL : opendir(listed);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct str found = str_of(entry->d_name);
        if (!fs_is_temporary(found) || !str_starts_with(found, base))
            continue;
        name.len = folder;
        buf_put(&name, found);
        leftover_remove(buf_path(&name, ERR_IGNORED), LEFTOVER_SECONDS);
    }
    if (dir != NULL)
        closedir(dir);
    buf_free(&name);
}
