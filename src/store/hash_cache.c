#include "store/hash_cache.h"

#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hex.h"
#include "store/record.h"
#include "store/voucher.h"

void hash_cache_put_path(const struct store *s, const char *path, struct buf *out)
{
    unsigned char digest[SHA1_SIZE];
    char name[SHA1_HEX + 1];

    sha1_of(str_of(path), digest);
    hex_encode(digest, SHA1_SIZE, name);
    buf_printf(out, "%s/mutables/@compute_sha1_cache/%s", s->dir, name);
}

/* A stranger's word would make us call the file by the address of other bytes. */
static bool is_believed(const struct store *s, const char *file, uid_t writer,
                        const struct stat *target)
{
    const struct voucher_author author = {writer, true};

    return voucher_is_own(s->vouchers, author) || writer == target->st_uid ||
           voucher_place(s, file) == VOUCHER_PRIVATE;
}

bool hash_cache_get(const struct store *s, const char *path, const struct stat *st,
                    char hash[SHA1_HEX + 1])
{
    struct record r = {0};
    struct buf file = {0};
    struct err ignored = {0};
    struct stat written;
    bool is_valid = false;

    if (st->st_size < HASH_CACHE_MIN_SIZE)
        return false;
    hash_cache_put_path(s, path, &file);
    const char *name = buf_path(&file, ERR_IGNORED);
    if (record_read_stat(name, true, &r, &written, &ignored) == 0) {
        is_valid = is_believed(s, name, written.st_uid, st) &&
                   strcmp(r.path, path) == 0 && r.size == st->st_size &&
                   r.mtime == fs_mtime(st);
        if (is_valid)
            memcpy(hash, r.hash, sizeof r.hash);
    }
    record_deinit(&r);
    buf_free(&file);
    return is_valid;
}

void hash_cache_put(const struct store *s, const char *path, const struct stat *st,
                    const char *hash, int64_t began_ms)
{
    int64_t mtime_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    struct record r = {.path = (char *)path, .size = st->st_size, .mtime = fs_mtime(st)};
    struct buf file = {0};
    struct err ignored = {0};

    if (st->st_size < HASH_CACHE_MIN_SIZE || began_ms - mtime_ms < HASH_CACHE_MIN_AGE_MS)
        return;
    memcpy(r.hash, hash, sizeof r.hash);
    hash_cache_put_path(s, path, &file);
    /* Without it the file is hashed again. */
    (void)!record_write(s, buf_path(&file, ERR_IGNORED), &r, 0, &ignored);
    buf_free(&file);
}

void hash_cache_forget(const struct store *s, const char *path)
{
    struct buf file = {0};

    hash_cache_put_path(s, path, &file);
    const char *name = buf_path(&file, ERR_IGNORED);
    if (name != NULL)
        unlink(name);
    buf_free(&file);
}
