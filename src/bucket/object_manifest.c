#include "bucket/object_manifest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "base/newfile.h"

/* ---- those that are there ---- */

static void put_key_hash(struct str key, char hash[SHA1_HEX + 1])
{
    struct str digits = str_slice(key, key.len - SHA1_HEX, key.len);

    memcpy(hash, digits.p, SHA1_HEX);
    hash[SHA1_HEX] = '\0';
}

/* By the hash alone: it says nothing of a zone. No part of it is named as one of an object. */
static void put_object_manifest_path(const struct data_dir *dir, struct str key, struct buf *out)
{
    char hash[SHA1_HEX + 1];

    put_key_hash(key, hash);
    buf_printf(out, "%s/" DATA_DIR_MANIFESTS "/%.2s/%s.manifest", dir->path, hash, hash);
}

int object_manifest_open(const struct data_dir *dir, struct str key)
{
    struct buf path = {0};

    put_object_manifest_path(dir, key, &path);
    const char *name = buf_path(&path, ERR_IGNORED);
    int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    buf_free(&path);
    return fd;
}

bool object_manifest_is_there(const struct data_dir *dir, struct str key, int64_t size)
{
    char hash[SHA1_HEX + 1];
    struct manifest_file file;
    int fd;

    if (!manifest_is_for(size))
        return true;
    put_key_hash(key, hash);
    fd = object_manifest_open(dir, key);
    if (fd < 0)
        return false;
    if (manifest_file_open_fd(fd, hash, &file, ERR_IGNORED) != 0) {
        close(fd);
        return false;
    }
    bool is_whole = file.head.size == size;
    manifest_file_close(&file);
    return is_whole;
}

void object_manifest_remove(const struct data_dir *dir, struct str key)
{
    struct buf path = {0};

    put_object_manifest_path(dir, key, &path);
    const char *name = buf_path(&path, ERR_IGNORED);
    if (name != NULL)
        unlink(name);
    buf_free(&path);
}

/* ---- making one ---- */

bool object_manifest_begin(struct object_manifest *m, const struct data_dir *dir, int64_t size)
{
    const char *beside;

    *m = (struct object_manifest){.dir = dir};
    if (!manifest_is_for(size))
        return false;
    buf_printf(&m->beside, "%s/" DATA_DIR_NEW_MANIFEST, dir->path);
    beside = buf_path(&m->beside, ERR_IGNORED);
    if (beside == NULL)
        return false;
    manifest_writer_init_beside(&m->writer, beside);
    manifest_writer_begin(&m->writer, size);
    m->is_begun = true;
    return true;
}

/* Ends the making of one that fails. */
static void give_up_manifest(struct object_manifest *m, const struct err *e)
{
    log_line(LOG_WARN, "no manifest of an object: %s", e->msg);
    object_manifest_discard(m);
}

static bool make_window(struct object_manifest *m)
{
    size_t lanes = sha256_lanes(), blocks = (size_t)manifest_leaf_count(m->writer.size);

    if (lanes > OBJECT_MANIFEST_LANES)
        lanes = OBJECT_MANIFEST_LANES;
    m->room = (blocks < lanes ? blocks : lanes) * MANIFEST_LEAF_BYTES;
    m->window = malloc(m->room);
    return m->window != NULL;
}

static bool empty_window(struct object_manifest *m)
{
    const struct str bytes = {(const char *)m->window, m->filled};
    struct err e = {0};

    m->filled = 0;
    if (manifest_writer_add(&m->writer, bytes, &e) == 0)
        return true;
    give_up_manifest(m, &e);
    return false;
}

void object_manifest_add(struct object_manifest *m, struct str bytes)
{
    if (m->is_begun && m->window == NULL && !make_window(m))
        give_up_manifest(m, &(struct err){ERR_FAILED, "out of memory"});
    while (m->is_begun && bytes.len > 0) {
        size_t len = m->room - m->filled < bytes.len ? m->room - m->filled : bytes.len;
        memcpy(m->window + m->filled, bytes.p, len);
        m->filled += len;
        bytes = str_slice(bytes, len, bytes.len);
        if (m->filled == m->room && !empty_window(m))
            return;
    }
}

void object_manifest_end(struct object_manifest *m, struct str hash)
{
    unsigned char sha1[SHA1_SIZE];
    struct err e = {0};

    if (!m->is_begun || !hex_decode(hash, sha1, sizeof sha1) ||
        (m->filled > 0 && !empty_window(m)))
        return;
    if (manifest_writer_end(&m->writer, sha1, &e) != 0)
        give_up_manifest(m, &e);
}

/* Of an object that had another size than it was said to have, there is no head. */
static bool is_manifest_complete(const struct object_manifest *m)
{
    return m->is_begun && m->writer.head.size == m->writer.size && m->writer.size > 0;
}

static int publish_at(struct object_manifest *m, const char *path, struct err *e)
{
    struct buf root = {0};
    int result = path == NULL ? -1 : 0;

    buf_printf(&root, "%s/" DATA_DIR_MANIFESTS, m->dir->path);
    const char *top = buf_path(&root, e);
    if (result != 0 || top == NULL || newfile_make_parents(top, path, e) != 0)
        result = -1;
    else
        result = manifest_writer_publish(&m->writer, path, e);
    buf_free(&root);
    return result;
}

enum object_manifest_end object_manifest_publish(struct object_manifest *m, struct str key,
                                                 struct err *e)
{
    enum object_manifest_end end = OBJECT_MANIFEST_KEPT;
    enum manifest_file_state state;
    char hash[SHA1_HEX + 1];
    struct buf path = {0};

    if (is_manifest_complete(m)) {
        put_key_hash(key, hash);
        put_object_manifest_path(m->dir, key, &path);
        const char *name = buf_path(&path, e);
        state = manifest_file_check_at(name, hash, m->writer.size, m->writer.head.root);
        if (state != MANIFEST_FILE_OK)
            end = publish_at(m, name, e) != 0       ? OBJECT_MANIFEST_FAILED
                  : state == MANIFEST_FILE_DAMAGED ? OBJECT_MANIFEST_MENDED
                                                   : OBJECT_MANIFEST_MADE;
        buf_free(&path);
    }
    object_manifest_discard(m);
    return end;
}

void object_manifest_discard(struct object_manifest *m)
{
    if (m->is_begun)
        manifest_writer_discard(&m->writer);
    m->is_begun = false;
    buf_free(&m->beside);
    free(m->window);
    m->window = NULL;
    m->filled = 0;
}
