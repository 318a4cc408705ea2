#include "daemon/lease.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/ready.h"

enum {
    MAX_CLAIMS = 100,      /* takers of one record, one after the other, that have died */
    AGAIN_AT_ONCE_MS = 20, /* something changed meanwhile */
    MAX_CHANGES = 500,     /* of these in a row */
    MAX_LOOKS = 3,         /* at a record that cannot be read */
    CACHED_SECONDS = 120   /* file systems do not cache names for longer */
};

/* Appends "FOLDER/after.TOKEN", "FOLDER/after.TOKEN.1", … */
static void put_claim_path(struct buf *out, const struct lease *l, const char *token,
                           unsigned number)
{
    buf_printf(out, "%s/after.%s", l->folder, token);
    if (number > 0)
        buf_printf(out, ".%u", number);
}

static bool is_ours(const struct lease *l, const struct lease_record *record)
{
    return strcmp(record->token, l->self.token) == 0;
}

static bool is_damaged(const struct lease_record *record)
{
    return strcmp(record->token, LEASE_NO_TOKEN) == 0;
}

/* --- refusals --- */

static int refuse_taken_lease(const struct lease_record *other, struct err *e)
{
    return err_set(e, ERR_TAKEN, "the resource is already shared by %s (process %lld)",
                   other->host, (long long)other->pid);
}

/* Two configs in one folder: the other resource is shared, ours is not. */
static int refuse_folder(const struct lease_record *other, struct err *e)
{
    return err_set(e, ERR_FAILED,
                   "resource %s is shared from this folder, by %s (process %lld): each resource "
                   "wants a folder of its own for its config",
                   other->resource, other->host, (long long)other->pid);
}

static int refuse_held_lease(const struct lease *l, const struct lease_record *other,
                             struct err *e)
{
    bool is_for_another =
        other->resource[0] != '\0' && strcmp(other->resource, l->self.resource) != 0;

    return is_for_another ? refuse_folder(other, e) : refuse_taken_lease(other, e);
}

/* --- our record --- */

static bool find_record_file(const struct lease *l, struct stat *st)
{
    struct buf path = {0};

    lease_record_put_path(&path, l->folder);
    const char *name = buf_path(&path, ERR_IGNORED);
    bool is_there = name != NULL && stat(name, st) == 0;
    buf_free(&path);
    return is_there;
}

static void remember_file(struct lease *l)
{
    struct stat st;

    if (find_record_file(l, &st)) {
        l->device = st.st_dev;
        l->inode = st.st_ino;
    }
}

static bool is_same_file(const struct lease *l, const struct stat *st)
{
    return st->st_dev == l->device && st->st_ino == l->inode;
}

bool lease_is_elsewhere(const struct lease *l)
{
    struct stat st;

    return find_record_file(l, &st) && !is_same_file(l, &st);
}

static int put_own_record(struct lease *l, int64_t counter, struct buf *out, struct err *e)
{
    l->self.counter = counter > l->self.counter ? counter : l->self.counter;
    l->self.counter++;
    l->self.renewed_ms = clock_wall_ms();
    l->self.renewed_boot_ms = clock_now_ms();
    lease_record_put(out, &l->self);
    return buf_check(out, e);
}

/* A lease names no hash, so all may read it; in a folder of a group, each of its members may take
 * it over. */
static mode_t record_mode(const char *path)
{
    return newfile_is_in_group_folder(path) ? 0664 : 0644;
}

int lease_make_folder(const char *folder, struct err *e)
{
    mode_t mode = newfile_is_in_group_folder(folder) ? 02775 : 0755;

    if (place_check(folder, e) != 0)
        return -1;
    return newfile_make_dir(folder, mode, e);
}

/* Creates the file of that name, whole from the start where the file system has hard links.
 * ERR_TAKEN when there is one. */
static int link_record(const char *path, struct str bytes, struct err *e)
{
    struct newfile f = NEWFILE_NONE;
    int result = -1, number;

    if (newfile_open(&f, path, 0644, e) != 0)
        return -1;
    (void)!fchmod(f.fd, record_mode(path)); /* some file systems have no modes */
    if (newfile_write(&f, bytes, path, e) != 0 || newfile_close(&f, true, path, e) != 0)
        goto out;
    if (link(f.name.data, path) == 0) {
        result = 0;
        goto out;
    }
    number = errno;
    if (number != EEXIST) { /* no hard links here: a name that is free for a moment will do */
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, record_mode(path));
        number = fd < 0 ? errno : 0;
        if (fd >= 0)
            close(fd); /* nothing was written */
    }
    if (number == 0)
        result = lease_record_write_over(path, bytes, e);
    else
        err_errno(e, number == EEXIST ? ERR_TAKEN : ERR_FAILED, number, "cannot create %s", path);
out:
    newfile_discard(&f);
    return result;
}

static bool is_folder_gone(const struct lease *l)
{
    return access(l->folder, F_OK) != 0 && errno == ENOENT;
}

/* Some file systems count no names: they have none for the folder around the lease either. */
static bool counts_names(const struct lease *l)
{
    const char *slash = strrchr(l->folder, '/');
    struct buf around = {0};
    struct stat st;

    buf_put(&around, (struct str){l->folder, slash == NULL ? 0 : (size_t)(slash - l->folder)});
    buf_puts(&around, slash == NULL ? "." : "/");
    const char *path = buf_path(&around, ERR_IGNORED);
    bool is_counted = path != NULL && stat(path, &st) == 0 && st.st_nlink > 0;
    buf_free(&around);
    return is_counted;
}

/* Writes over a record that readers find, in the file `fd`, which it closes. ERR_NOT_FOUND: it was
 * deleted, which this host's cache does not show for a while: another node may have made a new
 * one. */
static int write_named_fd(const struct lease *l, int fd, const char *path, struct str bytes,
                          struct err *e)
{
    bool is_deleted = false;

    if (lease_record_write_fd(fd, path, bytes, &is_deleted, e) != 0)
        return -1;
    return is_deleted && counts_names(l) ? err_set(e, ERR_NOT_FOUND, "%s was deleted", path) : 0;
}

static int write_over_named(const struct lease *l, const char *path, struct str bytes,
                            struct err *e)
{
    int fd = lease_record_open(path, O_WRONLY, e);

    return fd < 0 ? -1 : write_named_fd(l, fd, path, bytes, e);
}

/* Where the disk is not mounted any more there is no lease, too: another node has it. */
static int check_config_is_there(const struct lease *l, struct err *e)
{
    if (l->config == NULL || access(l->config, F_OK) == 0)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "the lease is gone, and so is %s: is its disk mounted?",
                     l->config);
}

/* Becomes the owner where there is none. ERR_TAKEN: there is one by now. ERR_NOT_FOUND: the last
 * one has just removed the folder. */
static int create_owner(struct lease *l, struct err *e)
{
    struct buf path = {0}, bytes = {0};
    struct err cause = {0};
    int result;

    if (check_config_is_there(l, e) != 0 || lease_make_folder(l->folder, e) != 0)
        return -1;
    lease_record_put_path(&path, l->folder);
    result = put_own_record(l, 0, &bytes, &cause);
    if (result == 0)
        result = buf_path(&path, &cause) == NULL ? -1
                                                 : link_record(path.data, buf_str(&bytes), &cause);
    if (result == 0)
        remember_file(l);
    else
        err_from(e, cause.code == ERR_FAILED && is_folder_gone(l) ? ERR_NOT_FOUND : cause.code,
                 &cause);
    buf_free(&path);
    buf_free(&bytes);
    return result;
}

/* Shows readers that have the file's name cached that it is of no use any more. */
static void mark_released(const struct lease *l, const char *path)
{
    struct lease_record last = l->self;
    struct buf bytes = {0};

    last.is_released = true;
    lease_record_put(&bytes, &last);
    if (!bytes.failed)
        (void)!lease_record_write_over(path, buf_str(&bytes), ERR_IGNORED);
    buf_free(&bytes);
}

/* --- after another --- */

/* Returns true for a record that is written over: readers that have the file's name cached see that
 * at once. A record without counter, and one that is about to be removed, is replaced by another
 * file. */
static bool is_written_over(const char *path, const struct lease_record *previous)
{
    return previous->counter > 0 && !previous->is_released && access(path, W_OK) == 0;
}

static int write_after(struct lease *l, const struct lease_record *previous, bool *is_new_file,
                       struct err *e)
{
    struct buf path = {0}, bytes = {0};
    int result = put_own_record(l, previous->counter, &bytes, e);

    lease_record_put_path(&path, l->folder);
    const char *name = buf_path(&path, e);
    if (name == NULL)
        result = -1;
    if (result == 0) {
        *is_new_file = !is_written_over(name, previous);
        result = *is_new_file ? newfile_put_mode(name, buf_str(&bytes), NEWFILE_DURABLE,
                                                 record_mode(name), e)
                              : write_over_named(l, name, buf_str(&bytes), e);
    }
    if (result == 0)
        remember_file(l);
    buf_free(&path);
    buf_free(&bytes);
    return result;
}

/* Reads the record again, under the claim. ERR_NOT_FOUND: it is not the one that was judged. */
static int check_same_holder(const struct lease *l, const struct lease_record *previous,
                           struct err *e)
{
    struct lease_record now;

    if (lease_record_read(l->folder, &now, NULL, e) != 0)
        return -1;
    if (strcmp(now.token, previous->token) == 0 && now.counter == previous->counter)
        return 0;
    return err_set(e, ERR_NOT_FOUND, "the lease changed hands");
}

/* Another may hold this process's claim for dead when it was stopped for so long. */
static bool is_claim_old(const struct lease *l, int64_t since_ms)
{
    return clock_now_ms() - since_ms > l->intervals->lease_claim_ms / 2;
}

/* Ends claims 0 to `last`. They are removed where every reader sees that the record has another
 * token; else they say so, until names that are cached have been forgotten. */
static void end_claims(const struct lease *l, const char *token, unsigned last, bool is_new_file)
{
    bool is_kept = is_new_file && strcmp(token, LEASE_NO_TOKEN) != 0;

    for (unsigned number = 0; number <= last; number++) {
        struct buf path = {0};
        put_claim_path(&path, l, token, number);
        const char *name = buf_path(&path, ERR_IGNORED);
        if (name != NULL && is_kept)
            mark_released(l, name);
        else if (name != NULL)
            unlink(name);
        buf_free(&path);
    }
}

/* Becomes the owner under a claim of this process's. 0 with *again_ms when something changed. */
static int succeed_holder(struct lease *l, const struct lease_record *previous, int64_t claimed_ms,
                          int64_t *again_ms, struct err *e)
{
    struct err cause = {0};
    bool is_new_file = false, is_deleted = false;
    int result = check_same_holder(l, previous, &cause);

    if (result == 0 && is_claim_old(l, claimed_ms))
        result = err_set(&cause, ERR_NOT_FOUND, "it took too long");
    if (result == 0) {
        result = write_after(l, previous, &is_new_file, &cause);
        is_deleted = result != 0 && cause.code == ERR_NOT_FOUND;
    }
    end_claims(l, previous->token, l->dead_claims, result == 0 && is_new_file);
    if (result == 0)
        return 0;
    if (cause.code != ERR_NOT_FOUND)
        return err_copy(e, &cause);
    *again_ms = is_deleted ? l->intervals->lease_look_ms : AGAIN_AT_ONCE_MS;
    return 0;
}

/* Creates a claim, with this process's record in it. ERR_TAKEN when another has. */
static int create_claim(struct lease *l, const char *path, struct err *e)
{
    struct buf bytes = {0};
    int result = put_own_record(l, 0, &bytes, e), fd = -1;

    if (result == 0 &&
        (fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666)) < 0)
        result = err_errno(e,
                           errno == EEXIST   ? ERR_TAKEN
                           : errno == ENOENT ? ERR_NOT_FOUND
                                             : ERR_FAILED,
                           errno, "cannot create %s", path);
    if (fd >= 0) {
        newfile_adopt(l->folder, fd);
        (void)!write(fd, bytes.data, bytes.len); /* shows sooner that this process has died */
        close(fd);
    }
    buf_free(&bytes);
    return result;
}

/* Looks at the claim of another. 0 with *again_ms while it may be alive. */
static int look_at_claim(struct lease *l, const char *path, int64_t *again_ms, struct err *e)
{
    const struct intervals *t = l->intervals;
    enum lease_verdict verdict;

    if (l->claim.intervals == NULL)
        lease_watch_init_claim(&l->claim, path, t);
    if (lease_watch_look(&l->claim, &verdict, e) != 0)
        return -1;
    if (verdict == LEASE_DEAD)
        l->dead_claims++;
    else if (verdict == LEASE_FREE)
        newfile_remove_left(path, CACHED_SECONDS);
    if (verdict != LEASE_WATCHING)
        lease_watch_deinit(&l->claim);
    int64_t look_ms = t->lease_claim_ms / 10;
    *again_ms = verdict == LEASE_DEAD        ? AGAIN_AT_ONCE_MS
                : look_ms < t->lease_look_ms ? look_ms
                                             : t->lease_look_ms;
    return 0;
}

/* Tries to become the owner after `previous`, who is dead or has left. */
static int try_to_succeed(struct lease *l, const struct lease_record *previous, int64_t *again_ms,
                          struct err *e)
{
    const int64_t started_ms = clock_now_ms();
    struct err cause = {0};
    struct buf path = {0};
    int result = -1;

    if (strcmp(l->claimed, previous->token) != 0) {
        snprintf(l->claimed, sizeof l->claimed, "%s", previous->token);
        l->dead_claims = 0;
        lease_watch_deinit(&l->claim);
    }
    put_claim_path(&path, l, previous->token, l->dead_claims);
    const char *name = buf_path(&path, e);
    if (name == NULL || l->dead_claims >= MAX_CLAIMS)
        result = err_set(e, ERR_FAILED, "cannot take the lease in %s: %u others died of it",
                         l->folder, l->dead_claims);
    else if (create_claim(l, name, &cause) == 0)
        result = succeed_holder(l, previous, started_ms, again_ms, e);
    else if (cause.code == ERR_TAKEN)
        result = look_at_claim(l, name, again_ms, e);
    else
        err_copy(e, &cause);
    buf_free(&path);
    return result;
}

/* --- taking --- */

int lease_init(struct lease *l, const char *folder, const char *resource,
               const struct intervals *intervals, struct err *e)
{
    *l = (struct lease){.folder = folder == NULL ? NULL : strdup(folder), .intervals = intervals};
    if (l->folder == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    lease_process_describe(&l->self);
    snprintf(l->self.resource, sizeof l->self.resource, "%s", resource);
    return 0;
}

void lease_deinit(struct lease *l)
{
    free(l->folder);
    lease_watch_deinit(&l->watch);
    lease_watch_deinit(&l->claim);
    buf_free(&l->written);
    *l = (struct lease){0};
}

/* The last holder is about to remove its record. */
static bool is_leaving(const struct lease *l)
{
    const struct lease_watch *w = &l->watch;

    return w->record.is_released && w->process != LEASE_PROCESS_DEAD &&
           w->unchanged_ms < l->intervals->lease_claim_ms;
}

static int take_free_lease(struct lease *l, int64_t *again_ms, struct err *e)
{
    const struct lease_record previous = l->watch.record;
    struct err cause = {0};
    int result = 0;

    if (is_leaving(l))
        *again_ms = AGAIN_AT_ONCE_MS;
    else
        result = previous.token[0] == '\0' ? create_owner(l, &cause)
                                           : try_to_succeed(l, &previous, again_ms, &cause);
    if (result == 0)
        return 0;
    if (cause.code != ERR_TAKEN && cause.code != ERR_NOT_FOUND)
        return err_copy(e, &cause);
    *again_ms = AGAIN_AT_ONCE_MS;
    return 0;
}

/* Another may have taken the lease over since it was read. */
static int check_hurry(const struct lease *l, int64_t started_ms, struct err *e)
{
    if (clock_now_ms() - started_ms <= l->intervals->lease_hold_ms / 2)
        return 0;
    return err_set(e, ERR_TIMEOUT, "the lease in %s could not be read in time", l->folder);
}

static void remember_written(struct lease *l, const struct buf *bytes)
{
    buf_clear(&l->written);
    buf_put_buf(&l->written, bytes);
}

static int renew_own_record(struct lease *l, int64_t counter, int64_t started_ms, struct err *e)
{
    struct buf path = {0}, bytes = {0};
    int result = put_own_record(l, counter, &bytes, e);

    lease_record_put_path(&path, l->folder);
    if (result == 0)
        result = check_hurry(l, started_ms, e);
    if (result == 0)
        result = write_over_named(l, buf_path(&path, e), buf_str(&bytes), e);
    if (result == 0)
        remember_written(l, &bytes);
    buf_free(&path);
    buf_free(&bytes);
    return result;
}

/* Finds a record of this process's. It is looked for again when it was deleted. */
static int keep_own_record(struct lease *l, int64_t *again_ms, struct err *e)
{
    struct err cause = {0};

    if (renew_own_record(l, l->watch.record.counter, clock_now_ms(), &cause) == 0)
        remember_file(l);
    else if (cause.code == ERR_NOT_FOUND)
        *again_ms = l->intervals->lease_look_ms;
    else
        return err_copy(e, &cause);
    return 0;
}

int lease_try(struct lease *l, int64_t *again_ms, struct err *e)
{
    enum lease_verdict verdict;
    int result = 0;

    *again_ms = 0;
    if (l->watch.intervals == NULL)
        lease_watch_init(&l->watch, l->folder, l->intervals);
    if (lease_watch_look(&l->watch, &verdict, e) != 0)
        return -1;
    if (is_ours(l, &l->watch.record)) {
        result = keep_own_record(l, again_ms, e);
    } else if (verdict == LEASE_WATCHING) {
        *again_ms = l->intervals->lease_look_ms;
        return 0;
    } else {
        result = verdict == LEASE_HELD ? refuse_held_lease(l, &l->watch.record, e)
                                       : take_free_lease(l, again_ms, e);
    }
    if (result == 0 && *again_ms == 0)
        lease_watch_deinit(&l->watch);
    return result;
}

/* Removes what killed processes left in the folder, which is all ours. */
static void clean_lease_folder(const char *folder, int seconds)
{
    struct dirent *entry;
    DIR *dir = opendir(folder);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct str name = str_of(entry->d_name);
        struct buf path = {0};
        if (!str_starts_with(name, STR("after.")) && !newfile_is_temporary(name))
            continue;
        buf_printf(&path, "%s/%s", folder, entry->d_name);
        newfile_remove_left(buf_path(&path, ERR_IGNORED), seconds);
        buf_free(&path);
    }
    if (dir != NULL)
        closedir(dir);
}

int lease_take(struct lease *l, void (*on_watch)(const struct lease_watch *watch), struct err *e)
{
    unsigned changes = 0;
    int64_t again_ms;
    int result;

    while ((result = lease_try(l, &again_ms, e)) == 0 && again_ms > 0) {
        changes = again_ms > AGAIN_AT_ONCE_MS ? 0 : changes + 1;
        if (changes > MAX_CHANGES)
            return err_set(e, ERR_FAILED, "the lease in %s changes all the time", l->folder);
        if (on_watch != NULL && again_ms > AGAIN_AT_ONCE_MS) {
            on_watch(&l->watch);
            on_watch = NULL;
        }
        ready_sleep(again_ms);
    }
    if (result == 0)
        clean_lease_folder(l->folder, NEWFILE_LEFT_SECONDS);
    return result;
}

/* --- holding --- */

/* Returns true when the file has what this process wrote last. */
static bool has_last_bytes(const struct lease *l, int fd)
{
    char bytes[LEASE_RECORD_BYTES + 1];

    return l->written.len == LEASE_RECORD_BYTES &&
           pread(fd, bytes, sizeof bytes, 0) == LEASE_RECORD_BYTES &&
           memcmp(bytes, l->written.data, LEASE_RECORD_BYTES) == 0;
}

/* Renews the record in one opening if nobody else has touched it. False: nothing was done, and the
 * record has to be understood. */
static bool renew_untouched_record(struct lease *l, int64_t started_ms, int *result, struct err *e)
{
    struct buf path = {0}, bytes = {0};
    struct stat st;

    lease_record_put_path(&path, l->folder);
    int fd = lease_record_open(buf_path(&path, ERR_IGNORED), O_RDWR, ERR_IGNORED);
    bool is_untouched =
        fd >= 0 && fstat(fd, &st) == 0 && is_same_file(l, &st) && has_last_bytes(l, fd);
    if (is_untouched) {
        *result = put_own_record(l, 0, &bytes, e) != 0 || check_hurry(l, started_ms, e) != 0 ? -1
                                                                                              : 0;
        if (*result == 0) {
            *result = write_named_fd(l, fd, path.data, buf_str(&bytes), e);
            fd = -1;
        }
        if (*result == 0)
            remember_written(l, &bytes);
    }
    if (fd >= 0)
        close(fd);
    buf_free(&path);
    buf_free(&bytes);
    return is_untouched;
}

static int write_lost_record(struct lease *l, struct err *e)
{
    int64_t again_ms;
    int result = lease_try(l, &again_ms, e);

    return result != 0 || again_ms == 0
               ? result
               : err_set(e, ERR_FAILED, "the lease in %s changes while it is written", l->folder);
}

/* Reads the record; looks again at one that cannot be read, which may just be being written. */
static int read_record_patiently(const struct lease *l, struct lease_record *now, struct err *e)
{
    for (int look = 1;; look++) {
        int result = lease_record_read(l->folder, now, NULL, e);
        if (result != 0 || !is_damaged(now) || look == MAX_LOOKS)
            return result;
        ready_sleep(AGAIN_AT_ONCE_MS);
    }
}

static int renew_read_record(struct lease *l, int64_t started_ms, bool *is_anew, struct err *e)
{
    struct lease_record now;
    struct err cause = {0};
    int result = read_record_patiently(l, &now, &cause);

    *is_anew = result != 0 || is_damaged(&now) || lease_is_elsewhere(l);
    if (result != 0 && cause.code == ERR_NOT_FOUND) {
        result = write_lost_record(l, &cause);
        if (result != 0 && cause.code == ERR_FAILED)
            err_from(&cause, ERR_NOT_FOUND, &cause);
    } else if (result == 0 && (is_ours(l, &now) || is_damaged(&now))) {
        result = renew_own_record(l, now.counter, started_ms, &cause);
    } else if (result == 0) {
        result = refuse_taken_lease(&now, &cause);
    }
    if (result == 0)
        remember_file(l);
    return result == 0 ? 0 : err_copy(e, &cause);
}

int lease_renew(struct lease *l, bool *is_anew, struct err *e)
{
    const int64_t started_ms = clock_now_ms();
    int result;

    *is_anew = false;
    if (renew_untouched_record(l, started_ms, &result, e))
        return result;
    return renew_read_record(l, started_ms, is_anew, e);
}

bool lease_release(const struct lease *l)
{
    struct lease_record owner;
    struct buf path = {0};

    lease_record_put_path(&path, l->folder);
    const char *name = buf_path(&path, ERR_IGNORED);
    bool was_ours = name != NULL && lease_record_read(l->folder, &owner, NULL, ERR_IGNORED) == 0 &&
                    is_ours(l, &owner);
    if (was_ours) {
        mark_released(l, name);
        unlink(name);
        clean_lease_folder(l->folder, CACHED_SECONDS);
        rmdir(l->folder);
    }
    buf_free(&path);
    return was_ours;
}
