#include "store/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ready.h"
#include "store/paths.h"
#include "store/record.h"
#include "store/voucher.h"

/* How long another process is waited for: one that holds the lock for ever delays, and stops
 * nobody. */
enum { LOCK_TRIES = 400, LOCK_TOTAL = 10 * LOCK_TRIES, LOCK_PAUSE_MS = 5 };

/* Record and paths of a hash, to be changed. */
struct pair {
    const struct store *store;
    const char *hash;
    struct buf record_file, paths_file;
    const char *record_name, *paths_name; /* in those; NULL without memory */
    int lock; /* the directory that they are in, or -1 */
    struct buf lock_file; /* where directories cannot be locked (NFS); empty: not ours */
    bool has_record;
    struct record record;
    struct paths paths;
};

void link_put_paths_path(const struct store *s, const char *hash, struct buf *out)
{
    store_put_link_path(s, hash, out);
    buf_puts(out, ".paths");
}

/* --- reading --- */

static void free_path(struct link_path *path)
{
    free(path->path);
    free(path->resolved);
}

void link_free(struct link *link)
{
    if (link == NULL)
        return;
    for (size_t i = 0; i < link->count; i++)
        free_path(&link->paths[i]);
    free(link->paths);
    free(link);
}

/* Moves a remembered path to the link's. */
static void add_link_path(struct link *link, struct paths_entry *entry, int64_t size,
                          struct voucher_author author)
{
    link->paths[link->count++] = (struct link_path){.path = entry->path,
                                                    .size = size,
                                                    .mtime = entry->mtime,
                                                    .resolved = entry->resolved,
                                                    .inode = entry->inode,
                                                    .owner = entry->owner,
                                                    .author = author};
    *entry = (struct paths_entry){0};
}

/* The authors of the two files. */
struct writers {
    struct voucher_author record, paths;
};

/* Returns whether the list beside the record may describe the file that the record's path was. */
static bool may_describe(const struct link *link, const struct writers *w)
{
    return !link->is_asked || voucher_is_own(link->store->vouchers, w->paths) ||
           (w->paths.is_sure && w->record.is_sure && w->paths.owner == w->record.owner);
}

/* The author of what is beside the record, or the user from whom an own one took the path over. */
static struct voucher_author author_beside(const struct link *link,
                                           const struct paths_entry *entry,
                                           const struct writers *w)
{
    if (!entry->has_writer || !voucher_is_own(link->store->vouchers, w->paths))
        return w->paths;
    return (struct voucher_author){(uid_t)entry->writer, entry->writer != PATHS_NOBODY};
}

/* Whose word the record's own path is. Others may write the record, as deployed programs do: then
 * it is the word of what is beside it. */
static struct voucher_author author_of_first(const struct link *link,
                                             const struct paths_entry *named,
                                             const struct writers *w)
{
    const struct vouchers *t = link->store->vouchers;

    if (named == NULL || voucher_is_own(t, w->record))
        return w->record;
    const struct voucher_author beside = author_beside(link, named, w);
    return !w->record.is_sure || voucher_is_own(t, beside) ? beside : w->record;
}

/* Takes over what record and paths own. */
static struct link *make_link(const struct store *s, struct record *r, struct paths *p,
                              const struct writers *w, bool is_asked)
{
    struct link *link = calloc(1, sizeof *link);

    if (link == NULL || (link->paths = calloc(p->count + 1, sizeof *link->paths)) == NULL) {
        free(link);
        return NULL;
    }
    link->store = s;
    link->is_asked = is_asked;
    struct paths_entry first = {.path = r->path, .mtime = r->mtime};
    struct paths_entry *named = paths_find(p, r->path);
    const struct voucher_author author = author_of_first(link, named, w);
    bool is_known = named != NULL && may_describe(link, w);
    if (named != NULL) {
        first.resolved = named->resolved;
        first.inode = named->inode;
        first.owner = named->owner;
        named->resolved = NULL;
        paths_forget(p, r->path);
    }
    r->path = NULL;
    add_link_path(link, &first, r->size, author);
    /* Where others can write, a file without a known identity is hashed first. */
    link->paths[0].is_doubtful = is_asked && !is_known;
    for (size_t i = p->count; i > 0; i--)
        add_link_path(link, &p->items[i - 1], p->size, author_beside(link, &p->items[i - 1], w));
    return link;
}

/* A list of paths that does not name the record's path is of an earlier record. */
static int read_paths_of(const struct record *r, const char *file, struct paths *out,
                         struct stat *st, struct err *e)
{
    struct err why = {0};

    if (paths_read(file, r->hash, out, st, &why) != 0)
        return why.code == ERR_NOT_FOUND ? 0 : err_copy(e, &why);
    if (out->size != r->size || paths_find(out, r->path) == NULL)
        paths_deinit(out);
    return 0;
}

/* The place of a record that is there; what cannot be looked at is an error. */
static int find_record_place(const struct store *s, const char *file, enum voucher_place *out,
                             struct err *e)
{
    *out = voucher_place(s, file);
    return *out == VOUCHER_UNKNOWN ? err_set(e, ERR_FAILED, "cannot look at the way to %s", file)
                                   : 0;
}

/* A symbolic link where a record should be: only where nobody else can have made it. */
static int read_linked_record(const char *file, enum voucher_place place, struct record *out,
                              struct stat *st, struct err *e)
{
    if (place != VOUCHER_PRIVATE)
        return err_set(e, ERR_REFUSED, "the record is a symbolic link");
    return record_read_stat(file, true, out, st, e);
}

static bool is_link(const char *file)
{
    struct stat st;

    return lstat(file, &st) == 0 && S_ISLNK(st.st_mode);
}

/* The record, and where it is: only of what is there that is asked. */
static int read_record_and_place(const struct store *s, const char *file, const char *hash,
                                 enum voucher_place *place, struct record *out, struct stat *st,
                                 struct err *e)
{
    const bool is_asked = s->vouchers != NULL;
    struct err why = {0};
    int status = record_read_stat(file, !is_asked, out, st, &why);

    *place = VOUCHER_PRIVATE;
    if (is_asked && why.code != ERR_NOT_FOUND && find_record_place(s, file, place, e) != 0)
        return -1;
    if (status != 0 && is_asked && is_link(file))
        status = read_linked_record(file, *place, out, st, &why);
    if (status != 0)
        return err_copy(e, &why);
    if (strcmp(out->hash, hash) != 0)
        return err_set(e, ERR_NOT_FOUND, "another hash's record");
    if (*place == VOUCHER_LED_AWAY)
        return err_set(e, ERR_REFUSED,
                       "a symbolic link of another user is on the way to the record");
    return 0;
}

int link_read(const struct store *s, const char *hash, struct link **out, struct err *e)
{
    struct buf file = {0}, beside = {0};
    enum voucher_place place = VOUCHER_PRIVATE;
    struct record r = {0};
    struct paths p = {0};
    struct stat st, st_paths = {0};
    int status = -1;

    store_put_link_path(s, hash, &file);
    link_put_paths_path(s, hash, &beside);
    const char *name = buf_path(&file, e);
    if (name == NULL)
        goto out;
    status = read_record_and_place(s, name, hash, &place, &r, &st, e);
    if (status == 0)
        status = read_paths_of(&r, buf_path(&beside, e), &p, &st_paths, e);
    if (status == 0) {
        const struct writers writers = {voucher_author(&st), voucher_author(&st_paths)};
        *out = make_link(s, &r, &p, &writers, place != VOUCHER_PRIVATE);
        status = *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
    }
out:
    record_deinit(&r);
    paths_deinit(&p);
    buf_free(&file);
    buf_free(&beside);
    return status;
}

bool link_counts(const struct link *link, const struct link_path *path, int fd,
                 const struct stat *file, struct err *why)
{
    if (!link->is_asked)
        return true;
    if (file != NULL)
        return voucher_counts(link->store, path->author, fd, file, why);
    if (voucher_is_own(link->store->vouchers, path->author))
        return true;
    err_set(why, ERR_REFUSED, "user %lu wrote that this file is shared, and it cannot be looked at",
            (unsigned long)path->author.owner);
    return false;
}

bool link_is_other(const struct link_path *path, int fd, const struct stat *st)
{
    struct buf resolved = {0};
    bool is_other = false;

    if (path->resolved == NULL || path->is_doubtful)
        return path->is_doubtful;
    file_id_put_resolved(fd, &resolved);
    is_other = path->inode != (uint64_t)st->st_ino || path->owner != (uint32_t)st->st_uid ||
               strcmp(buf_cstr(&resolved), path->resolved) != 0; /* "" where it is not known */
    buf_free(&resolved);
    return is_other;
}

/* --- changing --- */

/* Locks the directory of `file`. *is_possible: the file system has such locks. */
static int lock_directory(const char *file, bool *is_possible)
{
    struct buf directory = {0};
    const char *slash = strrchr(file, '/');
    int fd;

    *is_possible = true;
    buf_append(&directory, file, (size_t)(slash - file));
    const char *name = buf_path(&directory, ERR_IGNORED);
    fd = name == NULL ? -1 : openat(AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_free(&directory);
    for (int tries = 0; fd >= 0 && tries < LOCK_TRIES; tries++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (errno != EWOULDBLOCK && errno != EINTR) {
            *is_possible = false;
            break;
        }
        ready_sleep(LOCK_PAUSE_MS);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The lock for file systems without locks: a file that is there while it is held. A file that
 * stays the same all the time was left by a killed process. */
static void lock_by_file(struct buf *name)
{
    const char *file = buf_path(name, ERR_IGNORED);
    struct stat first = {0}, now = {0};

    for (int total = 0, same = 0; file != NULL && total < LOCK_TOTAL; total++) {
        int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            close(fd);
            return;
        }
        if (errno != EEXIST)
            break;
        bool is_same = lstat(file, &now) == 0 && now.st_ino == first.st_ino &&
                       now.st_ctim.tv_sec == first.st_ctim.tv_sec &&
                       now.st_ctim.tv_nsec == first.st_ctim.tv_nsec;
        first = now;
        same = is_same ? same + 1 : 0;
        if (same == LOCK_TRIES)
            unlink(file);
        else
            ready_sleep(LOCK_PAUSE_MS);
    }
    buf_clear(name);
}

static void lock_pair(struct pair *pair)
{
    bool is_possible;

    pair->lock = lock_directory(pair->record_name, &is_possible);
    if (is_possible)
        return;
    buf_puts(&pair->lock_file, pair->paths_name);
    buf_puts(&pair->lock_file, ".tmp.lock");
    lock_by_file(&pair->lock_file);
}

static void forget_pair(struct pair *pair)
{
    record_deinit(&pair->record);
    paths_deinit(&pair->paths);
}

static void close_pair(struct pair *pair)
{
    forget_pair(pair);
    const char *lock_name = buf_path(&pair->lock_file, ERR_IGNORED);
    if (lock_name != NULL)
        unlink(lock_name);
    buf_free(&pair->lock_file);
    buf_free(&pair->record_file);
    buf_free(&pair->paths_file);
    if (pair->lock >= 0)
        close(pair->lock);
}

/* An entry that this process takes over from another user's file stays that user's word. An own
 * file is believed about the authors that it names. */
static void keep_writer(struct paths_entry *entry, const struct stat *file)
{
    const struct voucher_author author = voucher_author(file);

    if (author.is_sure && (author.owner == geteuid() || (author.owner == 0 && entry->has_writer)))
        return;
    entry->has_writer = true;
    entry->writer = author.is_sure ? (uint32_t)author.owner : PATHS_NOBODY;
}

/* Reads what is there. A record whose path is not remembered was written by another program: it
 * is the newest. Paths without a record are of a link that is no more. */
static int read_pair(struct pair *pair, struct err *e)
{
    struct err why = {0};
    struct stat st;

    forget_pair(pair);
    pair->has_record = record_read_stat(pair->record_name, true, &pair->record, &st, &why) == 0 &&
                       strcmp(pair->record.hash, pair->hash) == 0;
    if (!pair->has_record)
        return why.code == ERR_NONE || why.code == ERR_NOT_FOUND
                   ? 0
                   : err_copy(e, &why);
    struct paths_entry named = {.path = pair->record.path, .mtime = pair->record.mtime};
    keep_writer(&named, &st);
    if (paths_read(pair->paths_name, pair->hash, &pair->paths, &st, &why) != 0) {
        if (why.code != ERR_NOT_FOUND) /* else what cannot be read now would be written over */
            return err_copy(e, &why);
    } else if (pair->paths.size != pair->record.size) {
        paths_deinit(&pair->paths);
    }
    for (size_t i = 0; i < pair->paths.count; i++)
        keep_writer(&pair->paths.items[i], &st);
    pair->paths.size = pair->record.size;
    return paths_find(&pair->paths, pair->record.path) != NULL
               ? 0
               : paths_remember(&pair->paths, &named, e);
}

static int open_link_pair(struct pair *pair, struct err *e)
{
    store_put_link_path(pair->store, pair->hash, &pair->record_file);
    link_put_paths_path(pair->store, pair->hash, &pair->paths_file);
    pair->record_name = buf_path(&pair->record_file, e);
    pair->paths_name = buf_path(&pair->paths_file, e);
    if (pair->record_name == NULL || pair->paths_name == NULL)
        return -1;
    lock_pair(pair);
    return read_pair(pair, e);
}

/* The resolved path of the file that was hashed; empty when another file is there now. */
static void put_resolved_path(const struct link_made *made, struct buf *out)
{
    struct stat st;
    int fd = openat(AT_FDCWD, made->path, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && file_id_is(&made->id, &st))
        file_id_put_resolved(fd, out);
    close(fd);
}

static bool is_remembered(const struct pair *pair, const struct paths_entry *entry)
{
    const struct paths_entry *old = paths_find(&pair->paths, entry->path);

    return old != NULL && old == &pair->paths.items[pair->paths.count - 1] && !old->has_writer &&
           old->mtime == entry->mtime && old->inode == entry->inode &&
           old->owner == entry->owner && old->resolved != NULL &&
           strcmp(old->resolved, entry->resolved) == 0;
}

static int remember_path(struct pair *pair, const struct paths_entry *entry, int64_t size,
                         struct err *e)
{
    if (pair->paths.count > 0 && is_remembered(pair, entry))
        return 0;
    pair->paths.size = size;
    if (paths_remember(&pair->paths, entry, e) != 0)
        return -1;
    return paths_write(pair->store, pair->paths_name, pair->hash, &pair->paths, !pair->has_record,
                       e);
}

static int rename_record(const struct pair *pair, const char *temporary, struct err *e)
{
    const char *file = pair->record_name;

    if (rename(temporary, file) == 0)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "cannot rename to %s", file);
}

int link_publish(const struct store *s, const char *hash, const struct link_made *made,
                 const char *temporary, struct err *e)
{
    struct pair pair = {.store = s, .hash = hash, .lock = -1};
    struct buf resolved = {0};
    struct err why = {0};
    int status;

    put_resolved_path(made, &resolved);
    struct paths_entry entry = {.path = (char *)made->path,
                                .mtime = made->mtime,
                                .resolved = (char *)buf_cstr(&resolved),
                                .inode = made->id.inode,
                                .owner = made->id.owner};
    status = buf_check(&resolved, &why);
    if (status == 0)
        status = open_link_pair(&pair, &why);
    if (status == 0)
        status = remember_path(&pair, &entry, made->size, &why);
    if (status == 0 && temporary != NULL)
        status = rename_record(&pair, temporary, &why);
    close_pair(&pair);
    buf_free(&resolved);
    return status == 0 || temporary == NULL ? 0 : err_copy(e, &why);
}

static int remove_link_file(const char *path, struct err *e)
{
    if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "cannot remove %s", path);
}

/* The record first: without it the other counts for nothing. */
static int remove_pair(struct pair *pair, struct err *e)
{
    if (remove_link_file(pair->record_name, e) != 0)
        return -1;
    return remove_link_file(pair->paths_name, e);
}

/* Paths that did not count beside the record must not begin to when its own path is forgotten. */
static void drop_ignored(struct pair *pair)
{
    struct paths p = {0};
    struct stat st;
    bool counts = paths_read(pair->paths_name, pair->hash, &p, &st, ERR_IGNORED) == 0 &&
                  p.size == pair->record.size && paths_find(&p, pair->record.path) != NULL;

    paths_deinit(&p);
    while (!counts && pair->paths.count > 1)
        paths_forget(&pair->paths, pair->paths.items[0].path);
}

static int forget_path(struct pair *pair, const char *path, struct err *e)
{
    drop_ignored(pair);
    if (!paths_forget(&pair->paths, path))
        return 0;
    if (pair->paths.count == 0)
        return remove_pair(pair, e);
    if (strcmp(pair->record.path, path) == 0) {
        const struct paths_entry *last = &pair->paths.items[pair->paths.count - 1];
        char *copy = strdup(last->path);
        if (copy == NULL)
            return err_set(e, ERR_FAILED, "out of memory");
        free(pair->record.path);
        pair->record.path = copy;
        pair->record.mtime = last->mtime;
        if (record_write(pair->store, pair->record_name, &pair->record, 0, e) != 0)
            return -1;
    }
    return paths_write(pair->store, pair->paths_name, pair->hash, &pair->paths, false, e);
}

int link_forget(const struct store *s, const char *hash, const char *path, struct err *e)
{
    struct pair pair = {.store = s, .hash = hash, .lock = -1};
    int status = open_link_pair(&pair, e);

    if (status == 0 && pair.has_record)
        status = forget_path(&pair, path, e);
    close_pair(&pair);
    return status;
}

int link_remove(const struct store *s, const char *hash, struct err *e)
{
    struct pair pair = {.store = s, .hash = hash, .lock = -1};
    struct err unreadable;
    int status = open_link_pair(&pair, &unreadable);

    (void)status; /* an unreadable pair can be removed */
    status = pair.record_name == NULL || pair.paths_name == NULL
                 ? err_set(e, ERR_FAILED, "out of memory")
                 : remove_pair(&pair, e);
    close_pair(&pair);
    return status;
}

int link_sync(const struct store *s, const char *hash, struct err *e)
{
    struct buf file = {0};
    int status;

    link_put_paths_path(s, hash, &file);
    status = fs_sync_file(buf_path(&file, e), e);
    buf_free(&file);
    return status;
}

int store_refresh_link(const struct store *s, const char *hash, const char *path, int64_t size,
                       double mtime, const struct file_id *id, struct err *e)
{
    const struct link_made made = {path, size, mtime, *id};
    struct pair pair = {.store = s, .hash = hash, .lock = -1};
    struct buf resolved = {0};
    struct err why = {0};
    int status = open_link_pair(&pair, &why);

    struct paths_entry *old = status == 0 ? paths_find(&pair.paths, path) : NULL;
    if (status != 0 || old == NULL || pair.record.size != size)
        goto out; /* linked elsewhere meanwhile, which wins */
    put_resolved_path(&made, &resolved);
    char *text = buf_take(&resolved);
    if (text == NULL) {
        status = err_set(&why, ERR_FAILED, "out of memory");
        goto out;
    }
    free(old->resolved);
    old->resolved = text;
    old->mtime = mtime;
    old->inode = id->inode;
    old->owner = id->owner;
    status = paths_write(s, pair.paths_name, hash, &pair.paths, false, &why);
    if (status == 0 && strcmp(pair.record.path, path) == 0 && pair.record.mtime != mtime) {
        pair.record.mtime = mtime;
        status = record_write(s, pair.record_name, &pair.record, 0, &why);
    }
out:
    close_pair(&pair);
    buf_free(&resolved);
    return status == 0 ? 0 : err_copy(e, &why);
}
