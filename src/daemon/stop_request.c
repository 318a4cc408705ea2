#include "daemon/stop_request.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"

enum { MAX_REQUEST_BYTES = 1024, MAX_HOST = 64 };

struct stop_fields {
    struct str token;
    char host[STOP_REQUEST_HOST];
};

static const struct field stop_fields[] = {
    {.name = "token", .kind = FIELD_STRING, .at = offsetof(struct stop_fields, token), .min = 1},
    {.name = "host", .kind = FIELD_CHARS, .at = offsetof(struct stop_fields, host),
     .max = STOP_REQUEST_HOST - 1},
    {.kind = FIELD_OTHERS},
};

static void put_stop_path(struct buf *out, const char *folder)
{
    buf_printf(out, "%s/stop", folder);
}

void stop_request_make(const char *folder)
{
    struct buf path = {0};
    int fd = -1;

    put_stop_path(&path, folder);
    if (buf_path(&path, ERR_IGNORED) != NULL)
        fd = open(path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0) {
        newfile_adopt(folder, fd);
        close(fd); /* nothing was written */
    }
    buf_free(&path);
}

void stop_request_remove(const char *folder)
{
    struct buf path = {0};

    put_stop_path(&path, folder);
    if (buf_path(&path, ERR_IGNORED) != NULL)
        unlink(path.data);
    buf_free(&path);
}

static int write_stop_file(const char *path, struct str text, struct err *e)
{
    int fd = openat(AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int result;

    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_FAILED, "the daemon takes no requests to end from other hosts: "
                                         "run `kachery-resource stop` on its own");
    if (fd < 0)
        return err_errno(e, ERR_FAILED, errno, "cannot open %s", path);
    result = fs_write_all(fd, text, path, e);
    if (close(fd) != 0 && result == 0 && errno != EINTR)
        result = err_errno(e, ERR_FAILED, errno, "cannot write %s", path);
    return result == 0 ? fs_sync_file(path, e) : -1;
}

int stop_request_write(const char *folder, const char *token, struct err *e)
{
    struct stop_fields request = {.token = str_of(token)};
    struct buf path = {0}, text = {0};
    int result;

    if (gethostname(request.host, MAX_HOST) != 0)
        snprintf(request.host, sizeof request.host, "another host");
    fields_put(&text, stop_fields, &request);
    put_stop_path(&path, folder);
    result = buf_path(&path, e) == NULL ? -1 : buf_check(&text, e);
    if (result == 0)
        result = write_stop_file(path.data, buf_str(&text), e);
    buf_free(&path);
    buf_free(&text);
    return result;
}

/* Appends the file's text, mostly nothing, by few system calls: each renewal does this. */
static void read_stop_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    char text[MAX_REQUEST_BYTES];
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);

    if (n > 0)
        buf_append(out, text, (size_t)n);
    if (fd >= 0)
        close(fd);
}

bool stop_request_came(const char *folder, const char *token, char host[STOP_REQUEST_HOST])
{
    struct stop_fields request;
    struct buf path = {0}, text = {0};
    struct json *root = NULL;
    bool has_come;

    put_stop_path(&path, folder);
    if (buf_path(&path, ERR_IGNORED) != NULL)
        read_stop_file(path.data, &text);
    if (text.len > 0)
        root = json_parse(buf_str(&text), JSON_STRICT, ERR_IGNORED);
    has_come = fields_read(stop_fields, root, &request, NULL, ERR_IGNORED) == 0 &&
               str_equal(request.token, str_of(token));
    if (has_come)
        memcpy(host, request.host, STOP_REQUEST_HOST);
    json_free(root);
    buf_free(&text);
    buf_free(&path);
    return has_come;
}
