#include "cmd/new_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/newfile.h"
#include "base/random.h"

/* Letters and digits only: they survive shells, YAML and hand-copying. */
static void put_characters(struct buf *out)
{
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    enum { COUNT = sizeof characters - 1, LIMIT = 256 / COUNT * COUNT };
    unsigned char random;

    while (out->len < NEW_SECRET_CHARACTERS && !out->failed) {
        random_bytes(&random, 1);
        if (random < LIMIT) /* each is as likely as the others */
            buf_putc(out, characters[random % COUNT]);
    }
    buf_putc(out, '\n');
}

static int cannot_make(const char *path, struct err *e)
{
    const char *cure = errno == ENOENT ? ": its folder is not there: make that first" : "";

    return err_set(e, ERR_FAILED, "cannot make %s: %s%s", path, strerror(errno), cure);
}

/* For file systems without hard links: others may see it empty for a moment. */
static int copy_to(const char *path, struct str text, bool *was_made, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    int result = 0;

    if (fd < 0)
        return errno == EEXIST ? 0 : cannot_make(path, e);
    result = fs_write_all(fd, text, path, e);
    if (result == 0 && fsync(fd) != 0)
        result = cannot_make(path, e);
    close(fd);
    if (result != 0)
        unlink(path);
    *was_made = result == 0;
    return result;
}

/* Not renamed, which would replace what somebody else just made: two servers may start at once. */
static int give_name(const char *temporary, const char *path, struct str text, bool *was_made,
                     struct err *e)
{
    if (link(temporary, path) == 0) {
        *was_made = true;
        return 0;
    }
    return errno == EEXIST ? 0 : copy_to(path, text, was_made, e);
}

static int write_secret(struct newfile *f, const char *path, bool *was_made, struct err *e)
{
    struct buf text = {0};
    int result = -1;

    put_characters(&text);
    if (buf_check(&text, e) == 0 && newfile_write(f, buf_str(&text), path, e) == 0 &&
        newfile_close(f, true, path, e) == 0)
        result = give_name(f->name.data, path, buf_str(&text), was_made, e);
    buf_wipe(&text);
    return result;
}

int new_secret_make(const char *path, bool *was_made, struct err *e)
{
    struct newfile f = NEWFILE_NONE;
    struct stat st;
    int result;

    *was_made = false;
    if (lstat(path, &st) == 0 || errno != ENOENT)
        return 0; /* its reader reports what is wrong with it */
    if (newfile_open(&f, path, S_IRUSR | S_IWUSR, e) != 0)
        return cannot_make(path, e);
    result = write_secret(&f, path, was_made, e);
    newfile_discard(&f);
    if (result == 0 && *was_made) /* if it is lost in a crash, the next start makes another */
        (void)!fs_sync_parent(path, ERR_IGNORED);
    return result;
}
