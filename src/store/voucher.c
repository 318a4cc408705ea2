#include "store/voucher.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "store/file_id.h"
#include "store/store.h"

/* POSIX ACLs as the kernel hands them out (linux/posix_acl_xattr.h), little endian. */
enum { ACL_HEAD = 4, ACL_ENTRY = 8, ACL_GROUP = 0x04, ACL_MASK = 0x10, ACL_MAX_BYTES = 4096 };

static bool is_own_or_root(uid_t owner)
{
    return owner == geteuid() || owner == 0;
}

static bool is_written_by_others(const struct stat *directory)
{
    return (directory->st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
           (directory->st_uid != 0 && geteuid() == 0);
}

/* The next component of a path below the store's root, or false at the last, the file's name. */
static bool next_directory(const char **path, char name[NAME_MAX + 1])
{
    const char *start = *path + strspn(*path, "/");
    size_t len = strcspn(start, "/");

    *path = start + len;
    if (**path == '\0' || len > NAME_MAX)
        return false;
    memcpy(name, start, len);
    name[len] = '\0';
    return true;
}

static bool means_no_directory(int number)
{
    return number == ENOENT || number == ENOTDIR;
}

/* Goes on from an open directory of the store into one below it. -1 when there is none. */
static int enter_store_directory(int dir, const char *name, const struct stat *root,
                                 struct stat *st, enum voucher_place *place)
{
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (S_ISLNK(st->st_mode) && !is_own_or_root(st->st_uid) && st->st_uid != root->st_uid)
        *place = VOUCHER_LED_AWAY;
    return fs_stat_opened(openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC), st);
}

/*
 * The quick look at what most stores are: real directories alone, each of which only its owner can
 * write. From above: in a directory that was found so, nobody else makes another of what comes
 * next. False: it is not so, or cannot be seen.
 */
static bool is_private_below(int root, const char *below)
{
    char path[PATH_MAX];
    const char *start = below + strspn(below, "/"), *end = strrchr(start, '/');
    size_t len = end == NULL ? 0 : (size_t)(end - start);
    struct stat st;

    if (len >= sizeof path)
        return false;
    memcpy(path, start, len);
    path[len] = '\0';
    for (size_t at = 0; at < len; at++) {
        at += strcspn(path + at, "/");
        path[at] = '\0';
        if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
            is_written_by_others(&st))
            return false;
        path[at] = '/';
    }
    return true;
}

/* Goes from directory to directory, to see who could lead where. Closes `dir`, the root. */
static enum voucher_place walk_to_record(int dir, const struct stat *root, const char *below)
{
    enum voucher_place place = VOUCHER_PRIVATE;
    char name[NAME_MAX + 1];
    struct stat st = *root;

    for (;;) {
        if (place == VOUCHER_PRIVATE && is_written_by_others(&st))
            place = VOUCHER_SHARED;
        if (!next_directory(&below, name))
            break;
        int next = enter_store_directory(dir, name, root, &st, &place), number = errno;
        close(dir);
        dir = next;
        if (dir < 0 && place == VOUCHER_PRIVATE)
            return means_no_directory(number) ? VOUCHER_SHARED : VOUCHER_UNKNOWN;
        if (dir < 0)
            return place == VOUCHER_SHARED && !means_no_directory(number) ? VOUCHER_UNKNOWN : place;
    }
    close(dir);
    return place;
}

enum voucher_place voucher_place(const struct store *s, const char *file)
{
    const char *below = file + strlen(s->dir);
    struct stat root;
    int dir = openat(AT_FDCWD, s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 || fstat(dir, &root) != 0) {
        if (dir >= 0)
            close(dir);
        return VOUCHER_UNKNOWN;
    }
    if (is_written_by_others(&root) || !is_private_below(dir, below))
        return walk_to_record(dir, &root, below);
    close(dir);
    return VOUCHER_PRIVATE;
}

/* The group that many systems make for each user. */
static bool is_alone_in(uid_t owner, gid_t gid)
{
    const struct passwd *user = getpwuid(owner);
    const struct group *group = getgrgid(gid);

    if (user == NULL || group == NULL || user->pw_gid != gid ||
        strcmp(user->pw_name, group->gr_name) != 0)
        return false;
    for (char **member = group->gr_mem; *member != NULL; member++)
        if (strcmp(*member, user->pw_name) != 0)
            return false;
    return true;
}

struct voucher_author voucher_author(const struct stat *file)
{
    bool has_others = (file->st_mode & S_IWOTH) != 0 ||
                      ((file->st_mode & S_IWGRP) != 0 && !is_alone_in(file->st_uid, file->st_gid));

    return (struct voucher_author){file->st_uid, !has_others};
}

bool voucher_is_own(const struct vouchers *t, struct voucher_author author)
{
    for (size_t i = 0; t != NULL && i < t->count; i++)
        if (t->owners[i] == (uint32_t)author.owner)
            return true;
    return author.is_sure && is_own_or_root(author.owner);
}

static unsigned number_at(const unsigned char *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* Returns the rights of the owning group. With an ACL the mode's group bits are those of its
 * mask. */
static mode_t group_bits(int fd, const struct stat *st)
{
    char name[sizeof "/proc/self/fd/" + 10];
    unsigned char acl[ACL_MAX_BYTES];
    mode_t bits = (st->st_mode >> 3) & 07, mask = 07;

    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = getxattr(name, "system.posix_acl_access", acl, sizeof acl);
    if (n < 0 && errno == ERANGE)
        return 0;
    for (ssize_t at = ACL_HEAD; at + ACL_ENTRY <= n; at += ACL_ENTRY) {
        unsigned tag = number_at(acl + at), allowed = number_at(acl + at + 2);
        if (tag == ACL_GROUP)
            bits = allowed & 07;
        else if (tag == ACL_MASK)
            mask = allowed & 07;
    }
    return bits & mask;
}

/* For whom a file is asked about: everybody, or the members of a group. */
struct audience {
    bool is_group;
    gid_t group;
};

static bool audience_may(const struct audience *a, int fd, const struct stat *st, mode_t bit)
{
    if (a->is_group && st->st_gid == a->group)
        return (group_bits(fd, st) & bit) != 0;
    return (st->st_mode & bit) != 0;
}

/* Returns whether the audience gets to an open file by its resolved path, on which nothing moves.
 * *is_unsure becomes true when the way could not be looked at. */
static bool can_reach(const struct audience *a, int file, const struct stat *st, bool *is_unsure)
{
    struct buf resolved = {0};
    char name[NAME_MAX + 1];
    struct stat at;
    bool is_open = true;

    file_id_put_resolved(file, &resolved);
    const char *whole = buf_path(&resolved, ERR_IGNORED), *rest = whole;
    int number = whole == NULL ? ENOMEM : 0;
    int dir = whole == NULL ? -1 : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (dir >= 0 && is_open) {
        if (fstat(dir, &at) != 0)
            number = errno;
        is_open = number == 0 && audience_may(a, dir, &at, S_IXOTH);
        if (!is_open || !next_directory(&rest, name))
            break;
        int next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        number = next < 0 ? errno : 0;
        close(dir);
        dir = next;
    }
    const char *last = whole == NULL ? NULL : strrchr(whole, '/');
    if (is_open && dir >= 0 && last != NULL &&
        fstatat(dir, last + 1, &at, AT_SYMLINK_NOFOLLOW) != 0)
        number = errno;
    is_open = is_open && dir >= 0 && last != NULL && number == 0 && at.st_dev == st->st_dev &&
              at.st_ino == st->st_ino;
    if (dir >= 0)
        close(dir);
    buf_free(&resolved);
    *is_unsure |= number != 0 && !means_no_directory(number) && number != EACCES && number != ELOOP;
    return is_open;
}

static bool group_of(const struct store *s, struct audience *out)
{
    struct stat st;

    if (stat(s->dir, &st) != 0)
        return false;
    *out = (struct audience){true, st.st_gid};
    return true;
}

bool voucher_is_open(const struct store *s, int fd, const struct stat *file)
{
    const struct audience all = {0};
    struct audience group;

    return audience_may(&all, fd, file, S_IROTH) ||
           (group_of(s, &group) && file->st_gid == group.group &&
            audience_may(&group, fd, file, S_IROTH));
}

static bool can_read(const struct audience *a, int fd, const struct stat *file, bool *is_unsure)
{
    return (!a->is_group || file->st_gid == a->group) && audience_may(a, fd, file, S_IROTH) &&
           can_reach(a, fd, file, is_unsure);
}

bool voucher_counts(const struct store *s, struct voucher_author author, int fd,
                    const struct stat *file, struct err *why)
{
    const struct audience all = {0};
    struct audience group;
    bool is_unsure = false;

    if (voucher_is_own(s->vouchers, author) ||
        (author.is_sure && author.owner == file->st_uid) || can_read(&all, fd, file, &is_unsure))
        return true;
    bool has_group = group_of(s, &group);
    if (has_group && can_read(&group, fd, file, &is_unsure))
        return true;
    if (is_unsure || !has_group)
        return err_set(why, ERR_FAILED, "it cannot be seen who may read the file") == 0;
    if (author.is_sure)
        err_set(why, ERR_REFUSED,
                "user %lu wrote that this file is shared, it belongs to user %lu, and neither "
                "everybody nor the store's group may read it: if that user's word is to count, "
                "name the user under recordsOf in the config",
                (unsigned long)author.owner, (unsigned long)file->st_uid);
    else
        err_set(why, ERR_REFUSED,
                "the record that this file is shared belongs to user %lu, but others can write "
                "into it, the file belongs to user %lu, and neither everybody nor the store's "
                "group may read it: `link` it again, or chmod go-w the record",
                (unsigned long)author.owner, (unsigned long)file->st_uid);
    return false;
}
