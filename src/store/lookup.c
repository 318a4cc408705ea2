/* Finding what the store has for a hash. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/quote.h"
#include "store/hash.h"
#include "store/record.h"
#include "store/store.h"

static const struct hash_options cached = {.flags = HASH_USE_CACHE};
static const char empty_hash[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

static bool means_missing(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG;
}

/* Sets entry->state to STORE_OK, with size and mtime, when entry->path is a regular file that may
 * be read. Returns the errno of stat(2). */
static int look_at(struct store_entry *entry)
{
    struct stat st;

    if (stat(entry->path, &st) != 0) {
        int number = errno;
        entry->state = means_missing(number) ? STORE_MISSING : STORE_UNREADABLE;
        return number;
    }
    entry->state = STORE_MISSING;
    if (!S_ISREG(st.st_mode))
        return 0;
    entry->size = st.st_size;
    entry->mtime = fs_mtime(&st);
    entry->state = access(entry->path, R_OK) == 0 ? STORE_OK : STORE_UNREADABLE;
    return 0;
}

/* STORE_ABSENT when there is no copy. */
static int look_up_copy(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e)
{
    struct store_entry entry = {.kind = STORE_COPY};
    char quoted[QUOTE_SIZE];
    struct buf path = {0};

    store_put_copy_path(s, hash, &path);
    entry.path = buf_take(&path);
    if (entry.path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    int number = look_at(&entry);
    if (number != 0 && entry.state == STORE_UNREADABLE) {
        free(entry.path);
        return err_errno(e, ERR_FAILED, number, "cannot read the store %s",
                         quote_str(quoted, str_of(s->dir)));
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

void store_check_target(struct store_entry *entry)
{
    const int64_t size = entry->size;
    const double mtime = entry->mtime;

    if (entry->state != STORE_UNCHECKED)
        return;
    look_at(entry);
    if (entry->state == STORE_OK && entry->size != size)
        entry->state = STORE_STALE;
    else if (entry->state == STORE_OK && entry->mtime != mtime)
        entry->state = STORE_TOUCHED;
}

/* STORE_ABSENT when there is no link, else STORE_UNCHECKED. */
static int look_up_link(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e)
{
    struct store_entry entry = {.kind = STORE_LINK, .state = STORE_ABSENT};
    struct err cause = {0};
    struct record r = {0};
    struct buf file = {0};
    int status = -1;

    store_put_link_path(s, hash, &file);
    if (buf_cstr(&file), buf_check(&file, e) != 0)
        goto out;
    if (record_read(buf_cstr(&file), &r, &cause) != 0) {
        if (cause.code != ERR_NOT_FOUND)
            entry.state = STORE_UNREADABLE;
    } else if (strcmp(r.hash, hash) == 0) {
        entry.state = STORE_UNCHECKED;
        entry.size = r.size;
        entry.mtime = r.mtime;
        entry.path = r.path;
        r.path = NULL;
    }
    *out = entry;
    status = 0;
out:
    record_deinit(&r);
    buf_free(&file);
    return status;
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

/* True, and *out filled, when the file that is named as the location has this hash. */
static bool is_at_location(const struct store *s, const char *hash, struct str location,
                           struct store_entry *out)
{
    struct hash_result result;
    char *path;

    if (location.len == 0 || location.p[0] != '/' ||
        memchr(location.p, '\0', location.len) != NULL)
        return false;
    path = strndup(location.p, location.len);
    if (path == NULL || hash_file(s, path, &cached, &result, NULL) != 0 ||
        strcmp(result.hash, hash) != 0) {
        free(path);
        return false;
    }
    *out = (struct store_entry){.kind = STORE_LINK,
                                .state = STORE_OK,
                                .path = path,
                                .size = result.size,
                                .mtime = result.mtime};
    return true;
}

/* Hashes the target of a touched link again; its state is then known. */
static void settle_touched(const struct store *s, const char *hash, struct store_entry *entry)
{
    struct hash_result result;
    struct err e = {0};

    if (hash_file(s, entry->path, &cached, &result, &e) != 0) {
        entry->state = e.code == ERR_CHANGED ? STORE_STALE : STORE_UNREADABLE;
        return;
    }
    entry->size = result.size;
    entry->mtime = result.mtime;
    entry->state = strcmp(result.hash, hash) == 0 ? STORE_OK : STORE_STALE;
    /* Not being able to write in somebody else's store does not keep the file from being read. */
    if (entry->state == STORE_OK)
        store_refresh_link(s, hash, entry->path, entry->size, entry->mtime, &e);
}

int store_find(const struct store *s, const struct kachery_uri *uri, struct store_entry *out,
               struct err *e)
{
    struct store_entry found = {0}, located;

    if (store_lookup(s, uri->hash, &found, e) != 0)
        return -1;
    if (found.kind == STORE_COPY && found.state == STORE_OK) {
        *out = found;
        return 0;
    }
    for (size_t i = 0; i < KACHERY_URI_LOCATIONS; i++) {
        if (is_at_location(s, uri->hash, uri->locations[i], &located)) {
            store_entry_deinit(&found);
            *out = located;
            return 0;
        }
    }
    if (found.state == STORE_TOUCHED)
        settle_touched(s, uri->hash, &found);
    *out = found;
    return 0;
}

int store_refresh_link(const struct store *s, const char *hash, const char *path, int64_t size,
                       double mtime, struct err *e)
{
    struct buf file = {0};
    struct record r = {0};
    int status = -1;

    store_put_link_path(s, hash, &file);
    if (buf_cstr(&file), buf_check(&file, e) != 0 || record_read(buf_cstr(&file), &r, e) != 0)
        goto out;
    status = 0;
    if (strcmp(r.path, path) != 0 || r.size != size || r.mtime == mtime)
        goto out; /* linked elsewhere meanwhile, which wins, or refreshed already */
    r.mtime = mtime;
    status = record_write(s, buf_cstr(&file), &r, 0, e);
out:
    record_deinit(&r);
    buf_free(&file);
    return status;
}
