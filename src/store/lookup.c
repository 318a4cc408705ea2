/* Finding what the store has for a hash. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/fs.h"
#include "base/quote.h"
#include "store/hash_file.h"
#include "store/link.h"
#include "store/store.h"
#include "store/voucher.h"

static const char empty_hash[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

static bool means_missing(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG;
}

/* Opens what is at a path to be looked at: -1 and errno, or a descriptor that reads nothing. */
static int open_to_look(const char *path, int flags, struct stat *st)
{
    return fs_stat_opened(openat(AT_FDCWD, path, O_PATH | O_CLOEXEC | flags), st);
}

/* Sets entry->state to STORE_OK, with size and mtime, when entry->path is a regular file that may
 * be read. */
static void take_entry_stat(struct store_entry *entry, const struct stat *st)
{
    entry->state = STORE_MISSING;
    if (!S_ISREG(st->st_mode))
        return;
    entry->size = st->st_size;
    entry->mtime = fs_mtime(st);
    entry->state = access(entry->path, R_OK) == 0 ? STORE_OK : STORE_UNREADABLE;
}

/* Makes it absent, for this reason: "PATH: REASON". */
static void mark_refused(struct store_entry *entry, const struct err *why)
{
    struct buf text = {0};

    buf_printf(&text, "%s: %s", entry->path, why->msg);
    free(entry->path);
    free(entry->refusal);
    *entry = (struct store_entry){.kind = entry->kind,
                                  .state = STORE_ABSENT,
                                  .link = entry->link,
                                  .refusal = buf_take(&text)};
    if (entry->refusal == NULL)
        entry->refusal = strdup("it does not count");
}

/* A refused file is absent; a file that cannot be looked at is not. */
static void reject_entry(struct store_entry *entry, const struct err *why)
{
    if (why->code == ERR_REFUSED)
        mark_refused(entry, why);
    else
        entry->state = STORE_UNREADABLE;
}

/* A copy may be another user's way to name a file of somebody else: by a hard link to it, or by a
 * symbolic link on its way. */
static bool copy_counts(const struct store *s, const char *path, int fd, const struct stat *st,
                        struct err *why)
{
    enum voucher_place place = s->vouchers == NULL ? VOUCHER_PRIVATE : voucher_place(s, path);

    if (place == VOUCHER_PRIVATE)
        return true;
    if (place == VOUCHER_UNKNOWN)
        return err_set(why, ERR_FAILED, "the way to it cannot be looked at") == 0;
    if (place == VOUCHER_LED_AWAY)
        return err_set(why, ERR_REFUSED, "a symbolic link of another user is on the way") == 0;
    if (st->st_nlink < 2 || voucher_is_open(s, fd, st))
        return true;
    return err_set(why, ERR_REFUSED,
                   "the stored copy is a file that has other names too, and only user %lu may read "
                   "it: another user may have linked it here",
                   (unsigned long)st->st_uid) == 0;
}

/* STORE_ABSENT when there is no copy. A symbolic link is no copy. */
static int look_up_copy(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e)
{
    struct store_entry entry = {.kind = STORE_COPY};
    char quoted[QUOTE_SIZE];
    struct buf path = {0};
    struct err why = {0};
    struct stat st;

    store_put_copy_path(s, hash, &path);
    entry.path = buf_take(&path);
    if (entry.path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    int fd = open_to_look(entry.path, O_NOFOLLOW, &st);
    if (fd < 0 && !means_missing(errno)) {
        int number = errno;
        err_errno(e, ERR_FAILED, number, "cannot read the store %s",
                  quote_str(quoted, str_of(s->dir)));
        if (number == EACCES)
            cause_explain(entry.path, e);
        free(entry.path);
        return -1;
    }
    if (fd < 0)
        entry.state = STORE_MISSING;
    else if (copy_counts(s, entry.path, fd, &st, &why))
        take_entry_stat(&entry, &st);
    else
        reject_entry(&entry, &why);
    if (fd >= 0)
        close(fd);
    if (entry.state == STORE_ABSENT) {
        *out = entry;
        return 0;
    }
    if (entry.state == STORE_OK && entry.size == 0 && strcmp(hash, empty_hash) != 0)
        entry.state = STORE_DAMAGED;
    if (entry.state == STORE_MISSING) {
        free(entry.path);
        entry = (struct store_entry){.kind = STORE_COPY, .state = STORE_ABSENT};
    }
    *out = entry;
    return 0;
}

static struct {
    void (*on_look)(void *ctx, const char *path);
    void *ctx;
} observer;

void store_observe_targets(void (*on_look)(void *ctx, const char *path), void *ctx)
{
    observer.on_look = on_look;
    observer.ctx = ctx;
}

/* Looks at the file that is at a remembered path now. entry->path is set. */
static void look_at_path(const struct link *link, const struct link_path *path,
                         struct store_entry *entry)
{
    struct err why = {0};
    struct stat st;

    if (observer.on_look != NULL)
        observer.on_look(observer.ctx, entry->path);
    int fd = open_to_look(entry->path, 0, &st);
    entry->size = path->size;
    entry->is_other_file = false;
    if (fd < 0)
        entry->state = means_missing(errno) ? STORE_MISSING : STORE_UNREADABLE;
    else
        take_entry_stat(entry, &st);
    if (!link_counts(link, path, fd, fd < 0 || !S_ISREG(st.st_mode) ? NULL : &st, &why))
        reject_entry(entry, &why);
    if (fd < 0)
        return;
    if (entry->state == STORE_OK && entry->size != path->size)
        entry->state = STORE_STALE;
    else if (entry->state == STORE_OK && entry->mtime != path->mtime)
        entry->state = STORE_TOUCHED;
    else if (entry->state == STORE_OK)
        entry->is_other_file = link_is_other(path, fd, &st);
    close(fd);
}

enum { UNUSABLE = 3, REFUSED = 4 };

/* Returns the rank of a path: of two paths of a link, the one with the lower rank is read. */
static int rank_of_entry(const struct store_entry *entry)
{
    if (entry->state == STORE_OK)
        return entry->is_other_file ? 1 : 0;
    if (entry->state == STORE_ABSENT)
        return REFUSED;
    return entry->state == STORE_TOUCHED ? 2 : UNUSABLE;
}

/* Puts the better of both into *best; the other's path is freed. */
static void keep_better_entry(struct store_entry *best, struct store_entry *other)
{
    struct store_entry kept = *best;

    if (rank_of_entry(other) < rank_of_entry(&kept) ||
        (kept.path == NULL && kept.refusal == NULL)) {
        *best = *other;
        *other = kept;
    }
    store_entry_deinit(other);
}

/* The best of the paths that were not given up; absent: there is none, or none that counts. */
static struct store_entry look_at_all(const struct link *link)
{
    struct store_entry best = {.kind = STORE_LINK, .state = STORE_ABSENT};

    for (size_t i = 0; i < link->count; i++) {
        if (link->paths[i].is_given_up)
            continue;
        struct store_entry entry = {.kind = STORE_LINK, .path = strdup(link->paths[i].path)};
        if (entry.path == NULL)
            entry.state = STORE_UNREADABLE;
        else
            look_at_path(link, &link->paths[i], &entry);
        keep_better_entry(&best, &entry);
        if (rank_of_entry(&best) == 0)
            break;
    }
    return best;
}

/* Moves what was found of one path into the entry of the link. */
static void take_found_path(struct store_entry *entry, struct store_entry *found)
{
    free(entry->path);
    if (found->refusal == NULL)
        found->refusal = entry->refusal;
    else
        free(entry->refusal);
    found->link = entry->link;
    *entry = *found;
}

void store_check_target(struct store_entry *entry)
{
    if (entry->state != STORE_UNCHECKED)
        return;
    struct store_entry found = look_at_all(entry->link);
    take_found_path(entry, &found);
}

bool store_next_target(struct store_entry *entry)
{
    struct link *link = entry->link;

    if (link == NULL)
        return false;
    for (size_t i = 0; i < link->count; i++)
        if (strcmp(link->paths[i].path, entry->path) == 0)
            link->paths[i].is_given_up = true;
    struct store_entry found = look_at_all(link);
    if (rank_of_entry(&found) >= UNUSABLE) {
        store_entry_deinit(&found);
        return false;
    }
    take_found_path(entry, &found);
    return true;
}

static const struct link_path *path_of(const struct store_entry *entry)
{
    for (size_t i = 0; entry->link != NULL && i < entry->link->count; i++)
        if (strcmp(entry->link->paths[i].path, entry->path) == 0)
            return &entry->link->paths[i];
    return NULL;
}

/* Returns whether an open file stands at the path itself, not behind a symbolic link. */
static bool is_opened_at_path(const char *path, const struct stat *opened)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == opened->st_dev && st.st_ino == opened->st_ino;
}

int store_check_open(const struct store_entry *entry, int fd, const struct stat *st,
                     bool *must_prove, struct err *e)
{
    const struct link_path *path = path_of(entry);

    if (entry->kind == STORE_COPY && !is_opened_at_path(entry->path, st))
        return err_set(e, ERR_CHANGED, "the stored copy was replaced");
    if (path != NULL && !link_counts(entry->link, path, fd, st, e))
        return -1;
    *must_prove = path != NULL && (fs_mtime(st) != path->mtime || link_is_other(path, fd, st));
    return 0;
}

/* STORE_ABSENT when there is no link, else STORE_UNCHECKED. */
static int look_up_link(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e)
{
    struct store_entry entry = {.kind = STORE_LINK, .state = STORE_ABSENT};
    struct err cause = {0};

    if (link_read(s, hash, &entry.link, &cause) != 0) {
        if (cause.code == ERR_REFUSED)
            entry.refusal = strdup(cause.msg);
        else if (cause.code != ERR_NOT_FOUND)
            entry.state = STORE_UNREADABLE;
    } else {
        const struct link_path *named = &entry.link->paths[0];
        entry.state = STORE_UNCHECKED;
        entry.size = named->size;
        entry.mtime = named->mtime;
        entry.path = strdup(named->path);
        if (entry.path == NULL) {
            store_entry_deinit(&entry);
            return err_set(e, ERR_FAILED, "out of memory");
        }
    }
    *out = entry;
    return 0;
}

int store_lookup_record(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e)
{
    struct store_entry copy = {0}, link = {0};

    if (look_up_copy(s, hash, &copy, e) != 0)
        return -1;
    if (copy.state == STORE_OK) {
        *out = copy;
        return 0;
    }
    if (look_up_link(s, hash, &link, e) != 0) {
        store_entry_deinit(&copy);
        return -1;
    }
    bool is_link = copy.state == STORE_ABSENT || link.state != STORE_ABSENT;
    if (is_link && link.refusal == NULL) {
        link.refusal = copy.refusal;
        copy.refusal = NULL;
    }
    *out = is_link ? link : copy;
    store_entry_deinit(is_link ? &copy : &link);
    return 0;
}

int store_lookup(const struct store *s, const char *hash, struct store_entry *out, struct err *e)
{
    if (store_lookup_record(s, hash, out, e) != 0)
        return -1;
    store_check_target(out);
    return 0;
}

int store_lookup_kind(const struct store *s, const char *hash, enum store_kind kind,
                      struct store_entry *out, struct err *e)
{
    if (kind == STORE_COPY)
        return look_up_copy(s, hash, out, e);
    if (look_up_link(s, hash, out, e) != 0)
        return -1;
    store_check_target(out);
    return 0;
}

int store_lookup_paths(const struct store *s, const char *hash, struct store_entry **out,
                       size_t *count, struct err *e)
{
    struct store_entry whole = {0};

    *out = NULL;
    *count = 0;
    if (look_up_link(s, hash, &whole, e) != 0)
        return -1;
    if (whole.state == STORE_ABSENT)
        return 0;
    size_t wanted = whole.link == NULL ? 1 : whole.link->count;
    struct store_entry *entries = calloc(wanted, sizeof *entries);
    for (size_t i = 0; entries != NULL && whole.link != NULL && i < wanted; i++) {
        entries[i] = (struct store_entry){.kind = STORE_LINK, .state = STORE_UNREADABLE,
                                          .path = strdup(whole.link->paths[i].path)};
        if (entries[i].path != NULL)
            look_at_path(whole.link, &whole.link->paths[i], &entries[i]);
    }
    if (entries != NULL && whole.link == NULL)
        entries[0] = (struct store_entry){.kind = STORE_LINK, .state = STORE_UNREADABLE};
    store_entry_deinit(&whole);
    *out = entries;
    *count = entries == NULL ? 0 : wanted;
    return entries == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

/* A file that can be read could not be: it may well be what is looked for. */
static bool is_within_reach(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return !means_missing(errno) && errno != EACCES;
    return S_ISREG(st.st_mode) && access(path, R_OK) == 0;
}

/* 1, and *out filled, when the file that is named as the location has this hash; -1 when it is
 * there and cannot be hashed. */
static int is_at_location(const struct store *s, const char *hash, struct str location,
                          const struct hash_options *how, struct store_entry *out, struct err *e)
{
    struct hash_result result;
    struct err why = {0};
    char *path;

    if (location.len == 0 || location.p[0] != '/' ||
        memchr(location.p, '\0', location.len) != NULL)
        return 0;
    path = strndup(location.p, location.len);
    if (path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    int status = hash_file(s, path, how, &result, &why);
    if (status != 0 || strcmp(result.hash, hash) != 0) {
        bool is_doubtful = status != 0 && why.code != ERR_CHANGED && is_within_reach(path);
        if (is_doubtful)
            err_set(e, why.code, "%s: %s", path, why.msg);
        free(path);
        return is_doubtful ? -1 : 0;
    }
    *out = (struct store_entry){.kind = STORE_LINK,
                                .state = STORE_OK,
                                .path = path,
                                .size = result.size,
                                .mtime = result.mtime};
    return 1;
}

/* Hashes the target of a touched link again; its state is then known. */
static void settle_touched(const struct store *s, const char *hash, const struct hash_options *how,
                           struct store_entry *entry)
{
    struct hash_result result;
    struct err e = {0};

    if (hash_file(s, entry->path, how, &result, &e) != 0) {
        entry->state = e.code == ERR_CHANGED ? STORE_STALE : STORE_UNREADABLE;
        return;
    }
    entry->size = result.size;
    entry->mtime = result.mtime;
    entry->state = strcmp(result.hash, hash) == 0 ? STORE_OK : STORE_STALE;
    /* Not being able to write in somebody else's store does not keep the file from being read. */
    if (entry->state == STORE_OK)
        (void)!store_refresh_link(s, hash, entry->path, entry->size, entry->mtime, &result.id, &e);
}

int store_find(const struct store *s, const struct kachery_uri *uri, const struct hash_watch *watch,
               struct store_entry *out, struct err *e)
{
    const struct hash_options how = {.flags = HASH_USE_CACHE, .watch = watch};
    struct store_entry found = {0}, located;

    if (store_lookup(s, uri->hash, &found, e) != 0)
        return -1;
    if (found.kind == STORE_COPY && found.state == STORE_OK) {
        *out = found;
        return 0;
    }
    for (size_t i = 0; i < KACHERY_URI_LOCATIONS; i++) {
        int status = is_at_location(s, uri->hash, uri->locations[i], &how, &located, e);
        if (status == 0)
            continue;
        store_entry_deinit(&found);
        if (status > 0)
            *out = located;
        return status > 0 ? 0 : -1;
    }
    while (found.state == STORE_TOUCHED) {
        settle_touched(s, uri->hash, &how, &found);
        if (found.state == STORE_OK || !store_next_target(&found))
            break;
    }
    *out = found;
    return 0;
}

/* ---- entries ---- */

const char *store_kind_name(enum store_kind kind)
{
    return kind == STORE_COPY ? "copy" : "link";
}

const char *store_state_name(enum store_state state)
{
    switch (state) {
    case STORE_OK:
        return "ok";
    case STORE_TOUCHED:
    case STORE_STALE:
        return "stale";
    case STORE_DAMAGED:
        return "damaged";
    case STORE_MISSING:
    case STORE_UNREADABLE:
    case STORE_ABSENT:
    case STORE_UNCHECKED:
        break;
    }
    return "missing";
}

void store_entry_deinit(struct store_entry *entry)
{
    free(entry->path);
    link_free(entry->link);
    free(entry->refusal);
    *entry = (struct store_entry){0};
}
