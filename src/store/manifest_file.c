#include "store/manifest_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "store/store.h"
#include "store/voucher.h"

static int read_at(int fd, void *to, size_t len, int64_t at, struct err *e)
{
    char *p = to;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot read the manifest");
        if (n == 0)
            return err_set(e, ERR_PROTOCOL, "the manifest was cut");
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A file of this user that this user may not read is a failure, not another one's manifest. */
static bool is_our_file(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_uid == geteuid();
}

static int check_own(int fd, struct stat *st, struct err *e)
{
    if (fstat(fd, st) != 0)
        return err_errno(e, ERR_FAILED, errno, "cannot stat the manifest");
    if (S_ISREG(st->st_mode) && voucher_is_own(NULL, voucher_author(st)))
        return 0;
    return err_set(e, ERR_NOT_FOUND,
                   "the manifest is another user's, or others can write into it");
}

/* Opens one that counts. */
static int open_own(const char *path, int *fd, struct stat *st, struct err *e)
{
    int opened;

    if (path == NULL)
        return buf_no_path(e);
    opened = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (opened < 0) {
        int number = errno;
        bool is_missing = number == ENOENT || number == ENOTDIR || number == ELOOP ||
                          (number == EACCES && !is_our_file(path));
        return err_errno(e, is_missing ? ERR_NOT_FOUND : ERR_FAILED, number,
                         "cannot read the manifest");
    }
    if (check_own(opened, st, e) == 0) {
        *fd = opened;
        return 0;
    }
    close(opened);
    return -1;
}

static int read_head(int fd, const char *hash, const struct stat *st, struct manifest_head *out,
                     struct err *e)
{
    unsigned char bytes[MANIFEST_HEAD_BYTES], sha1[SHA1_SIZE];
    size_t len = st->st_size < MANIFEST_HEAD_BYTES ? (size_t)st->st_size : sizeof bytes;

    if (read_at(fd, bytes, len, 0, e) != 0 ||
        manifest_parse_head(out, (struct str){(const char *)bytes, len}, e) != 0)
        return -1;
    if (!hex_decode(str_of(hash), sha1, SHA1_SIZE) || memcmp(sha1, out->sha1, SHA1_SIZE) != 0)
        return err_set(e, ERR_PROTOCOL, "the manifest is of another content");
    if (st->st_size != manifest_length(out->size))
        return err_set(e, ERR_PROTOCOL, "the manifest has %lld bytes, want %lld",
                       (long long)st->st_size, (long long)manifest_length(out->size));
    return 0;
}

/* Reads all page hashes and checks the root over them. */
static int read_hashes(struct manifest_file *file, struct err *e)
{
    const size_t len = (size_t)manifest_page_count(file->head.size) * SHA256_SIZE;
    unsigned char root[SHA256_SIZE];

    if (!buf_reserve(&file->page_hashes, len))
        return err_set(e, ERR_FAILED, "out of memory");
    if (read_at(file->fd, file->page_hashes.data, len, manifest_hash_offset(0), e) != 0)
        return -1;
    file->page_hashes.len = len;
    manifest_root_of(file->head.size, file->head.sha1, buf_str(&file->page_hashes), root);
    if (memcmp(root, file->head.root, SHA256_SIZE) != 0)
        return err_set(e, ERR_PROTOCOL, "the manifest's root is not that of its page hashes");
    return 0;
}

/* `fd` stays the caller's on failure. */
static int read_manifest(int fd, const struct stat *st, const char *hash,
                         struct manifest_file *out, struct err *e)
{
    struct manifest_file file = {.fd = fd};

    if (read_head(fd, hash, st, &file.head, e) == 0 && read_hashes(&file, e) == 0) {
        *out = file;
        return 0;
    }
    buf_free(&file.page_hashes);
    return -1;
}

int manifest_file_open_at(const char *path, const char *hash, struct manifest_file *out,
                          struct err *e)
{
    struct stat st;
    int fd;

    if (open_own(path, &fd, &st, e) != 0)
        return -1;
    if (read_manifest(fd, &st, hash, out, e) == 0)
        return 0;
    close(fd);
    return -1;
}

int manifest_file_open_fd(int fd, const char *hash, struct manifest_file *out, struct err *e)
{
    struct stat st;

    return check_own(fd, &st, e) != 0 ? -1 : read_manifest(fd, &st, hash, out, e);
}

int manifest_file_open(const struct store *s, const char *hash, struct manifest_file *out,
                       struct err *e)
{
    struct buf path = {0};
    int result;

    store_put_manifest_path(s, hash, &path);
    result = manifest_file_open_at(buf_path(&path, e), hash, out, e);
    buf_free(&path);
    return result;
}

void manifest_file_close(struct manifest_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    buf_free(&file->page_hashes);
    file->fd = -1;
}

int manifest_file_read_page(const struct manifest_file *file, uint64_t j,
                            unsigned char leaves[MANIFEST_PAGE_BYTES], struct err *e)
{
    const size_t len = manifest_leaves_in_page(file->head.size, j) * SHA256_SIZE;
    unsigned char hash[SHA256_SIZE];

    if (len == 0)
        return err_set(e, ERR_FAILED, "the manifest has no page %llu", (unsigned long long)j);
    if (read_at(file->fd, leaves, len, manifest_page_offset(file->head.size, j), e) != 0)
        return -1;
    sha256_of((struct str){(const char *)leaves, len}, hash);
    if (memcmp(hash, file->page_hashes.data + j * SHA256_SIZE, SHA256_SIZE) != 0)
        return err_set(e, ERR_PROTOCOL, "page %llu of the manifest does not have its hash",
                       (unsigned long long)j);
    return 0;
}

static enum manifest_file_state state_of_error(const struct err *e)
{
    if (e->code == ERR_NOT_FOUND)
        return MANIFEST_FILE_ABSENT;
    return e->code == ERR_PROTOCOL ? MANIFEST_FILE_DAMAGED : MANIFEST_FILE_UNKNOWN;
}

enum manifest_file_state manifest_file_look(const struct store *s, const char *hash, int64_t size)
{
    struct manifest_head head;
    struct buf path = {0};
    struct err e = {0};
    struct stat st;
    int fd, status;

    if (!manifest_is_for(size))
        return MANIFEST_FILE_NEEDLESS;
    store_put_manifest_path(s, hash, &path);
    status = open_own(buf_path(&path, &e), &fd, &st, &e);
    buf_free(&path);
    if (status != 0)
        return state_of_error(&e);
    status = read_head(fd, hash, &st, &head, &e);
    close(fd);
    if (status != 0)
        return state_of_error(&e);
    return head.size == size ? MANIFEST_FILE_OK : MANIFEST_FILE_DAMAGED;
}

bool manifest_file_is_whole(const struct store *s, const char *hash, int64_t size)
{
    struct manifest_file file;

    if (manifest_file_open(s, hash, &file, ERR_IGNORED) != 0)
        return false;
    bool is_whole = file.head.size == size;
    manifest_file_close(&file);
    return is_whole;
}

enum manifest_file_state manifest_file_check_at(const char *path, const char *hash, int64_t size,
                                                const unsigned char *root)
{
    unsigned char leaves[MANIFEST_PAGE_BYTES];
    struct manifest_file file;
    struct err e = {0};

    if (!manifest_is_for(size))
        return MANIFEST_FILE_NEEDLESS;
    if (manifest_file_open_at(path, hash, &file, &e) != 0)
        return state_of_error(&e);
    bool is_good = file.head.size == size &&
                   (root == NULL || memcmp(root, file.head.root, SHA256_SIZE) == 0);
    for (uint64_t j = 0; is_good && j < manifest_page_count(size); j++)
        is_good = manifest_file_read_page(&file, j, leaves, &e) == 0;
    manifest_file_close(&file);
    if (is_good)
        return MANIFEST_FILE_OK;
    return e.code == ERR_NONE ? MANIFEST_FILE_DAMAGED : state_of_error(&e);
}

enum manifest_file_state manifest_file_check(const struct store *s, const char *hash, int64_t size,
                                             const unsigned char *root)
{
    enum manifest_file_state state;
    struct buf path = {0};

    store_put_manifest_path(s, hash, &path);
    state = manifest_file_check_at(buf_path(&path, ERR_IGNORED), hash, size, root);
    buf_free(&path);
    return state;
}
