#include "store/manifest_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/newfile.h"
#include "store/manifest_file.h"
#include "store/store.h"

enum { SYNC_EACH_SIZE = 1 << 20 }; /* as of a copy: synced by the process that wrote it */

static int open_manifest_temporary(struct manifest_writer *w, struct err *e)
{
    struct buf base = {0};
    int status = -1;

    if (w->store == NULL)
        return newfile_open(&w->file, w->beside, 0600, e);
    store_put_manifest_staging_path(w->store, &base);
    const char *path = buf_path(&base, e);
    if (path != NULL)
        status = store_open_own_temporary(w->store, path, &w->file, e);
    buf_free(&base);
    if (status == 0)
        newfile_hold(w->file.fd);
    return status;
}

static int write_manifest_at(const struct manifest_writer *w, struct str data, int64_t at,
                             struct err *e)
{
    while (data.len > 0) {
        ssize_t n = pwrite(w->file.fd, data.p, data.len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "cannot write the manifest %s",
                             w->file.name.data);
        data = str_slice(data, (size_t)n, data.len);
        at += n;
    }
    return 0;
}

/* manifest_maker.take_page */
static int take_manifest_page(void *owner, uint64_t j, struct str leaves, struct err *e)
{
    struct manifest_writer *w = owner;

    if (w->store == NULL && w->beside == NULL)
        return 0;
    if (manifest_page_count(w->size) == 1) { /* it stays in the maker, which gets no more */
        w->only_page = leaves;
        return 0;
    }
    if (w->file.fd < 0 && open_manifest_temporary(w, e) != 0)
        return -1;
    return write_manifest_at(w, leaves, manifest_page_offset(w->size, j), e);
}

void manifest_writer_init(struct manifest_writer *w, const struct store *store)
{
    memset(w, 0, sizeof *w);
    w->store = store;
    w->file.fd = -1;
    w->maker.take_page = take_manifest_page;
    w->maker.owner = w;
}

void manifest_writer_init_beside(struct manifest_writer *w, const char *path)
{
    manifest_writer_init(w, NULL);
    w->beside = path;
}

void manifest_writer_begin(struct manifest_writer *w, int64_t size)
{
    newfile_discard(&w->file);
    manifest_maker_init(&w->maker);
    w->size = size;
    w->head = (struct manifest_head){0};
    w->only_page = STR("");
}

int manifest_writer_take(struct manifest_writer *w, const unsigned char (*leaves)[SHA256_SIZE],
                         int64_t bytes, struct err *e)
{
    return manifest_maker_take(&w->maker, leaves, bytes, e);
}

int manifest_writer_add(struct manifest_writer *w, struct str data, struct err *e)
{
    unsigned char leaves[SHA256_LANES][SHA256_SIZE];
    int status = 0;

    while (status == 0 && data.len > 0) {
        struct str blocks[SHA256_LANES] = {{NULL, 0}};
        int64_t bytes = 0;
        size_t n = 0;
        for (; n < SHA256_LANES && data.len > 0; n++) {
            blocks[n] = str_slice(data, 0, MANIFEST_LEAF_BYTES);
            data = str_slice(data, blocks[n].len, data.len);
            bytes += (int64_t)blocks[n].len;
        }
        manifest_hash_blocks(blocks, n, leaves);
        status = manifest_writer_take(w, (const unsigned char(*)[SHA256_SIZE])leaves, bytes, e);
    }
    return status;
}

int manifest_writer_end(struct manifest_writer *w, const unsigned char sha1[SHA1_SIZE],
                        struct err *e)
{
    if (w->maker.size != w->size)
        return 0;
    return manifest_maker_end(&w->maker, sha1, &w->head, e);
}

static int write_head(struct manifest_writer *w, struct err *e)
{
    unsigned char head[MANIFEST_HEAD_BYTES];
    struct buf text = {0};
    int status;

    manifest_put_head(&w->head, head);
    buf_append(&text, head, sizeof head);
    buf_put_buf(&text, &w->maker.page_hashes);
    buf_put(&text, w->only_page);
    status = buf_check(&text, e);
    if (status == 0)
        status = write_manifest_at(w, buf_str(&text), 0, e);
    buf_free(&text);
    return status;
}

static bool is_manifest_there(const struct manifest_writer *w)
{
    char hash[SHA1_HEX + 1];

    hex_encode(w->head.sha1, SHA1_SIZE, hash);
    return manifest_file_check(w->store, hash, w->size, w->head.root) == MANIFEST_FILE_OK;
}

int manifest_writer_stage(struct manifest_writer *w, char suffix[MANIFEST_SUFFIX_SIZE],
                          struct err *e)
{
    struct buf base = {0};
    int status = 0;

    suffix[0] = '\0';
    if (!is_manifest_there(w)) {
        store_put_manifest_staging_path(w->store, &base);
        status = buf_check(&base, e);
        if (status == 0 && w->file.fd < 0)
            status = open_manifest_temporary(w, e);
        if (status == 0)
            status = write_head(w, e);
        if (status == 0)
            status = newfile_close(&w->file, manifest_length(w->size) >= SYNC_EACH_SIZE,
                                   w->file.name.data, e);
        if (status == 0) {
            snprintf(suffix, MANIFEST_SUFFIX_SIZE, "%s", w->file.name.data + base.len);
            newfile_leave(&w->file);
        }
        buf_free(&base);
    }
    manifest_writer_discard(w);
    return status;
}

int manifest_writer_publish(struct manifest_writer *w, const char *path, struct err *e)
{
    int status = path == NULL ? -1 : 0;

    if (status == 0 && w->file.fd < 0)
        status = open_manifest_temporary(w, e);
    if (status == 0)
        status = write_head(w, e);
    if (status == 0)
        status = newfile_commit(&w->file, false, path, e);
    manifest_writer_discard(w);
    return status;
}

void manifest_writer_discard(struct manifest_writer *w)
{
    newfile_discard(&w->file);
    manifest_maker_deinit(&w->maker);
}
