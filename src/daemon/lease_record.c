#include "daemon/lease_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"

enum { MAX_RECORD_BYTES = 4096 };

void lease_record_put_path(struct buf *out, const char *folder)
{
    buf_printf(out, "%s/owner", folder);
}

/* --- the text --- */

static bool is_lease_token(const void *text)
{
    return strspn(text, "0123456789abcdef") == LEASE_TOKEN_DIGITS;
}

#define AT(member) offsetof(struct lease_record, member)
#define TEXT(name_, member)                                                                        \
    .name = name_, .kind = FIELD_CHARS, .at = AT(member), .max = LEASE_TEXT - 1
#define NUMBER(name_, member) .name = name_, .kind = FIELD_INT, .at = AT(member)
static const struct field record_fields[] = {
    {TEXT("resource", resource), .is_optional = true},
    {TEXT("host", host)},
    {NUMBER("pid", pid)},
    {NUMBER("pidStarted", pid_started)},
    {TEXT("boot", boot)},
    {TEXT("pidNamespace", pid_namespace)},
    {TEXT("timeNamespace", time_namespace), .is_optional = true},
    {.name = "token", .kind = FIELD_CHARS, .at = AT(token), .min = LEASE_TOKEN_DIGITS,
     .max = LEASE_TOKEN_DIGITS, .is_good = is_lease_token},
    {NUMBER("sinceMs", since_ms)},
    {NUMBER("counter", counter), .is_optional = true},
    {NUMBER("renewedMs", renewed_ms), .is_optional = true},
    {NUMBER("renewedBootMs", renewed_boot_ms), .is_optional = true},
    {.name = "released", .kind = FIELD_BOOL, .at = AT(is_released), .is_optional = true},
    {.kind = FIELD_OTHERS},
};
/* The members that count in a record that is not whole. */
static const struct field name_fields[] = {
    {TEXT("resource", resource), .is_optional = true},
    {TEXT("host", host), .is_optional = true},
    {.kind = FIELD_OTHERS},
};
#undef NUMBER
#undef TEXT
#undef AT

static void take_lease_record(struct lease_record *out, const struct json *root)
{
    static const struct lease_record unknown = {.host = "unknown host", .token = LEASE_NO_TOKEN};

    *out = unknown;
    if (fields_read(record_fields, root, out, NULL, ERR_IGNORED) == 0)
        return;
    *out = unknown;
    (void)!fields_read(name_fields, root, out, NULL, ERR_IGNORED);
}

void lease_record_put(struct buf *out, const struct lease_record *record)
{
    size_t start = out->len;

    fields_put(out, record_fields, record);
    if (out->len - start >= LEASE_RECORD_BYTES)
        out->failed = true;
    size_t blanks = LEASE_RECORD_BYTES - 1 - (out->len - start);
    if (!out->failed && buf_reserve(out, blanks)) {
        memset(out->data + out->len, ' ', blanks);
        out->len += blanks;
    }
    buf_putc(out, '\n');
}

/* --- the file --- */

int lease_record_read_file(const char *path, struct lease_record *out, struct buf *raw,
                           struct err *e)
{
    struct buf text = {0};
    struct err cause = {0};
    int result = fs_read_file(path, MAX_RECORD_BYTES, &text, e);
    struct json *root = result == 0 ? json_parse(buf_str(&text), JSON_STRICT, &cause) : NULL;

    if (cause.code == ERR_FAILED)
        result = err_set(e, ERR_FAILED, "cannot read %s: %s", path, cause.msg);
    if (result == 0) {
        take_lease_record(out, root);
        out->is_empty = text.len == 0;
    }
    if (result == 0 && raw != NULL)
        buf_put_buf(raw, &text);
    json_free(root);
    buf_free(&text);
    return result;
}

int lease_record_read(const char *folder, struct lease_record *out, struct buf *raw, struct err *e)
{
    struct buf path = {0};

    lease_record_put_path(&path, folder);
    int result = lease_record_read_file(buf_path(&path, e), out, raw, e);
    buf_free(&path);
    return result;
}

static int write_over_start(int fd, struct str bytes)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = pwrite(fd, bytes.p + done, bytes.len - done, (off_t)done);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            done += (size_t)n;
    }
    while (fdatasync(fd) != 0) /* the length never changes */
        if (errno != EINTR)
            return errno == EINVAL || errno == ENOTSUP ? 0 : -1;
    return 0;
}

int lease_record_open(const char *path, int flags, struct err *e)
{
    if (path == NULL)
        return buf_no_path(e);
    int fd = openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, errno, "cannot open %s",
                         path);
    return fd;
}

int lease_record_write_over(const char *path, struct str bytes, struct err *e)
{
    int fd = lease_record_open(path, O_WRONLY, e);

    return fd < 0 ? -1 : lease_record_write_fd(fd, path, bytes, NULL, e);
}

int lease_record_write_fd(int fd, const char *path, struct str bytes, bool *is_deleted,
                          struct err *e)
{
    struct stat st;
    int result = write_over_start(fd, bytes), number = errno;
    /* Behind the write: what is known of the file from before may be a minute old. */
    if (is_deleted != NULL)
        *is_deleted = result == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0;
    if (close(fd) != 0 && errno != EINTR && result == 0) {
        result = -1;
        number = errno;
    }
    return result == 0 ? 0 : err_errno(e, ERR_FAILED, number, "cannot write %s", path);
}
