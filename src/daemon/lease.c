#include "daemon/lease.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/random.h"

enum {
    MAX_RECORD = 4096,
    MAX_ATTEMPTS = 8,
    CLAIM_STALE_MS = 60000 /* the creator of an after.TOKEN that is so old has died */
};

#define NOBODY "none"

/* "FOLDER/NAME.SUFFIX" (no dot without a suffix); caller frees. */
static char *path_in_lease(const char *folder, const char *name, const char *suffix)
{
    struct buf path = {0};

    buf_printf(&path, "%s/%s%s%s", folder, name, *suffix ? "." : "", suffix);
    return buf_take(&path);
}

static void read_proc_text(const char *path, char out[LEASE_TEXT])
{
    struct buf text = {0};

    if (fs_read_file(path, LEASE_TEXT - 1, &text, ERR_IGNORED) == 0)
        snprintf(out, LEASE_TEXT, "%.*s",
                 STR_ARG(str_slice(buf_str(&text), 0, str_find(buf_str(&text), '\n'))));
    buf_free(&text);
}

/* Field 22 of /proc/PID/stat (proc(5)), counted behind the name, which may hold anything. */
static int64_t process_started(int64_t pid)
{
    char path[64], *at;
    struct buf text = {0};
    int64_t ticks = 0;

    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (fs_read_file(path, MAX_RECORD, &text, ERR_IGNORED) == 0 &&
        (at = strrchr(buf_cstr(&text), ')')) != NULL) {
        for (int field = 2; field < 22 && at != NULL; field++)
            at = strchr(at + 1, ' ');
        ticks = at == NULL ? 0 : strtoll(at, NULL, 10);
    }
    buf_free(&text);
    return ticks;
}

static void describe_self(struct lease_holder *self)
{
    ssize_t n;

    *self = (struct lease_holder){.pid = getpid(), .since_ms = clock_wall_ms()};
    if (gethostname(self->host, sizeof self->host - 1) != 0)
        snprintf(self->host, sizeof self->host, "unknown host");
    self->pid_started = process_started(self->pid);
    read_proc_text("/proc/sys/kernel/random/boot_id", self->boot);
    n = readlink("/proc/self/ns/pid", self->pid_namespace, sizeof self->pid_namespace - 1);
    if (n < 0)
        self->pid_namespace[0] = '\0';
    random_hex(self->token, LEASE_TOKEN_DIGITS);
}

static bool is_token(const void *text)
{
    return strspn(text, "0123456789abcdef") == LEASE_TOKEN_DIGITS;
}

#define AT(member) offsetof(struct lease_holder, member)
#define TEXT(name_, member)                                                                        \
    .name = name_, .kind = FIELD_CHARS, .at = AT(member), .max = LEASE_TEXT - 1
static const struct field owner_fields[] = {
    {TEXT("resource", resource), .is_optional = true},
    {TEXT("host", host)},
    {.name = "pid", .kind = FIELD_INT, .at = AT(pid)},
    {.name = "pidStarted", .kind = FIELD_INT, .at = AT(pid_started)},
    {TEXT("boot", boot)},
    {TEXT("pidNamespace", pid_namespace)},
    {.name = "token", .kind = FIELD_CHARS, .at = AT(token), .min = LEASE_TOKEN_DIGITS,
     .max = LEASE_TOKEN_DIGITS, .is_good = is_token},
    {.name = "sinceMs", .kind = FIELD_INT, .at = AT(since_ms)},
    {.name = NULL, .kind = FIELD_OTHERS},
};
/* The members that count in a record that is not whole. */
static const struct field name_fields[] = {
    {TEXT("resource", resource), .is_optional = true},
    {TEXT("host", host), .is_optional = true},
    {.name = NULL, .kind = FIELD_OTHERS},
};
#undef TEXT
#undef AT

static void put_holder(struct buf *out, const struct lease_holder *h)
{
    fields_put(out, owner_fields, h);
    buf_putc(out, '\n');
}

static void take_owner(struct lease_holder *out, const struct json *root)
{
    static const struct lease_holder unknown = {.host = "unknown host", .token = NOBODY};

    *out = unknown;
    if (fields_read(owner_fields, root, out, NULL, ERR_IGNORED) == 0)
        return;
    *out = unknown;
    (void)!fields_read(name_fields, root, out, NULL, ERR_IGNORED);
}

/* ERR_NOT_FOUND when there is no owner. A record that cannot be understood is an owner without a
 * name, who is judged by the record's age. */
static int read_owner(const char *folder, struct lease_holder *out, struct err *e)
{
    char *path = path_in_lease(folder, "owner", "");
    struct buf text = {0};
    struct err cause = {0};
    int result =
        path == NULL ? err_set(e, ERR_FAILED, "out of memory") : fs_read_file(path, MAX_RECORD,
                                                                              &text, e);
    struct json *root = result == 0 ? json_parse(buf_str(&text), JSON_STRICT, &cause) : NULL;

    if (cause.code == ERR_FAILED)
        result = err_set(e, ERR_FAILED, "cannot read %s: %s", path, cause.msg);
    take_owner(out, root);
    json_free(root);
    buf_free(&text);
    free(path);
    return result;
}

/* Finds how long ago a file was written, by the clock of the host that keeps the folder. A file
 * from the future was written before the clock was set back: it counts as written now, so that its
 * age does not wait for that time. ERR_NOT_FOUND: it is gone. */
static int age_of_file_ms(const char *folder, const char *file, int64_t *age, struct err *e)
{
    char *probe = path_in_lease(folder, "probe", "");
    struct stat then;
    int64_t now_ms;
    int result = probe == NULL ? err_set(e, ERR_FAILED, "out of memory")
                               : newfile_time_beside(probe, &now_ms, e);

    free(probe);
    if (result != 0)
        return -1;
    if (stat(file, &then) != 0)
        return err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, errno,
                         "cannot look at %s", file);
    *age = now_ms - fs_mtime_ms(&then);
    if (*age >= 0)
        return 0;
    *age = 0;
    return utimensat(AT_FDCWD, file, NULL, 0) == 0
               ? 0
               : err_errno(e, ERR_FAILED, errno, "cannot renew %s", file);
}

static bool is_of_this_boot(const struct lease_holder *h)
{
    struct lease_holder self;

    describe_self(&self);
    return h->boot[0] != '\0' && h->pid_namespace[0] != '\0' && strcmp(h->boot, self.boot) == 0 &&
           strcmp(h->pid_namespace, self.pid_namespace) == 0;
}

static bool is_process_running(const struct lease_holder *h)
{
    int64_t started = process_started(h->pid);

    return (kill((pid_t)h->pid, 0) == 0 || errno == EPERM) &&
           (started == 0 || h->pid_started == 0 || started == h->pid_started);
}

/* Does the holder still hold it? ERR_NOT_FOUND: the owner is gone. */
static int judge_holder(const char *folder, const struct lease_holder *h, int64_t stale_ms,
                        bool *is_alive, struct err *e)
{
    char *path;
    int64_t age;
    int result;

    if (h->pid > 0 && is_of_this_boot(h)) {
        *is_alive = is_process_running(h);
        return 0;
    }
    path = path_in_lease(folder, "owner", "");
    result = path == NULL ? err_set(e, ERR_FAILED, "out of memory")
                          : age_of_file_ms(folder, path, &age, e);
    if (result == 0)
        *is_alive = age < stale_ms;
    free(path);
    return result;
}

static int refuse_taken_lease(const struct lease_holder *other, struct err *e)
{
    return err_set(e, ERR_TAKEN, "the resource is already shared by %s (process %lld)",
                   other->host, (long long)other->pid);
}

/* Two configs in one folder: the other resource is shared, ours is not. */
static int refuse_folder(const struct lease_holder *other, struct err *e)
{
    return err_set(e, ERR_FAILED,
                   "resource %s is shared from this folder, by %s (process %lld): each resource "
                   "wants a folder of its own for its config",
                   other->resource, other->host, (long long)other->pid);
}

static bool is_for_another(const struct lease *l, const struct lease_holder *other)
{
    return other->resource[0] != '\0' && strcmp(other->resource, l->self.resource) != 0;
}

/* Creates after.TOKEN. ERR_TAKEN when another has it in hand. */
static int open_claim(const char *folder, const char *path, struct err *e)
{
    int64_t age;

    for (int attempt = 0; attempt < 2; attempt++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            newfile_adopt(folder, fd);
            close(fd); /* nothing was written */
            return 0;
        }
        if (errno != EEXIST)
            return err_errno(e, ERR_FAILED, errno, "cannot create %s", path);
        if (age_of_file_ms(folder, path, &age, e) != 0)
            return -1;
        if (age < CLAIM_STALE_MS)
            break;
        unlink(path);
    }
    return err_set(e, ERR_TAKEN, "another process is just starting to share the resource");
}

static int write_owner(const struct lease *l, struct err *e)
{
    char *path = path_in_lease(l->folder, "owner", "");
    struct buf text = {0};

    put_holder(&text, &l->self);
    int result = path == NULL ? err_set(e, ERR_FAILED, "out of memory") : buf_check(&text, e);
    if (result == 0)
        result = newfile_put_mode(path, buf_str(&text), 0,
                                    newfile_is_in_group_folder(path) ? 0664 : 0644, e);
    buf_free(&text);
    free(path);
    return result;
}

/* Becomes the owner after `previous`. ERR_NOT_FOUND: the owner changed meanwhile; look again. */
static int replace_owner(const struct lease *l, const char *previous, struct err *e)
{
    struct lease_holder now;
    char *path = path_in_lease(l->folder, "after", previous);
    int result = path == NULL ? err_set(e, ERR_FAILED, "out of memory")
                              : open_claim(l->folder, path, e);

    if (result != 0)
        goto out;
    struct err why = {0};
    if (read_owner(l->folder, &now, &why) != 0 && why.code != ERR_NOT_FOUND)
        result = err_copy(e, &why);
    else if (strcmp(now.token, previous) != 0)
        result = err_set(e, ERR_NOT_FOUND, "the lease changed hands");
    else
        result = write_owner(l, e);
    unlink(path);
out:
    free(path);
    return result;
}

/* Names no hash, so all may read it; in a folder of a group, each of its members may take over. */
static int make_lease_folder(const char *folder, struct err *e)
{
    mode_t mode = newfile_is_in_group_folder(folder) ? 02775 : 0755;

    if (place_check(folder, e) != 0)
        return -1;
    return newfile_make_dir(folder, mode, e);
}

/* One attempt. ERR_NOT_FOUND: something changed meanwhile, try again. */
static int try_to_take(const struct lease *l, struct lease_holder *other, struct err *e)
{
    bool is_alive = false;

    if (make_lease_folder(l->folder, e) != 0)
        return -1;
    int result = read_owner(l->folder, other, e);
    if (result != 0 && e->code != ERR_NOT_FOUND)
        return -1;
    if (result == 0 && strcmp(other->token, l->self.token) == 0)
        return 0;
    if (result == 0 && judge_holder(l->folder, other, l->stale_ms, &is_alive, e) != 0)
        return -1;
    if (is_alive)
        return is_for_another(l, other) ? refuse_folder(other, e) : refuse_taken_lease(other, e);
    return replace_owner(l, other->token, e);
}

static int take_lease(const struct lease *l, struct lease_holder *other, struct err *e)
{
    int result = -1;

    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        result = try_to_take(l, other, e);
        /* ERR_FAILED with the folder gone: its last owner has just removed it. */
        if (result == 0 || (e->code != ERR_NOT_FOUND && access(l->folder, F_OK) == 0))
            break;
    }
    return result;
}

/* Removes what killed processes left in the folder, which is all ours. */
static void clean_folder(const char *folder)
{
    struct dirent *entry;
    DIR *dir = opendir(folder);

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct str name = str_of(entry->d_name);
        if (!str_starts_with(name, STR("after.")) && !newfile_is_temporary(name))
            continue;
        char *path = path_in_lease(folder, entry->d_name, "");
        if (path != NULL)
            newfile_remove_left(path, NEWFILE_LEFT_SECONDS);
        free(path);
    }
    if (dir != NULL)
        closedir(dir);
}

int lease_take(struct lease *l, const char *folder, const char *resource, int64_t stale_ms,
               struct lease_holder *other, struct err *e)
{
    struct err cause = {0};

    *l = (struct lease){.folder = folder == NULL ? NULL : strdup(folder), .stale_ms = stale_ms};
    if (l->folder == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    describe_self(&l->self);
    snprintf(l->self.resource, sizeof l->self.resource, "%s", resource);
    if (take_lease(l, other, &cause) == 0) {
        clean_folder(folder);
        return 0;
    }
    err_copy(e, &cause);
    lease_deinit(l);
    return -1;
}

int lease_renew(const struct lease *l, struct lease_holder *other, struct err *e)
{
    struct err cause = {0};
    char *path = path_in_lease(l->folder, "owner", "");
    int result = -1;

    if (path == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    if (read_owner(l->folder, other, &cause) != 0) {
        if (cause.code == ERR_NOT_FOUND)
            result = take_lease(l, other, &cause);
    } else if (strcmp(other->token, l->self.token) != 0) {
        refuse_taken_lease(other, &cause);
    } else if (utimensat(AT_FDCWD, path, NULL, 0) != 0) {
        err_errno(&cause, ERR_FAILED, errno, "cannot renew %s", path);
    } else {
        result = 0;
    }
    if (result != 0)
        err_copy(e, &cause);
    free(path);
    return result;
}

bool lease_release(const struct lease *l)
{
    struct lease_holder owner;
    char *path = path_in_lease(l->folder, "owner", "");
    bool is_ours = path != NULL && read_owner(l->folder, &owner, ERR_IGNORED) == 0 &&
                   strcmp(owner.token, l->self.token) == 0;

    if (is_ours) {
        unlink(path);
        rmdir(l->folder);
    }
    free(path);
    return is_ours;
}

void lease_deinit(struct lease *l)
{
    free(l->folder);
    *l = (struct lease){0};
}
