#include "daemon/range_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "daemon/reason.h"
#include "store/hash.h"
#include "store/link.h"
#include "zone/identity.h"

/* ---- opening ---- */

static enum range_state range_state_of_store(enum store_state state)
{
    switch (state) {
    case STORE_OK:
    case STORE_TOUCHED: return RANGE_FOUND; /* its blocks show it */
    case STORE_ABSENT: return RANGE_NOT_FOUND;
    case STORE_MISSING: return RANGE_ERROR; /* its disk may just not be mounted */
    case STORE_STALE:
    case STORE_DAMAGED: return RANGE_CHANGED;
    default: return RANGE_ERROR;
    }
}

/* Opens the file of an entry, if its bytes may leave the host. A file that would have to
 * be hashed before is proven by its blocks. */
static int open_entry(const struct store_entry *entry, struct range_file *out, struct err *e)
{
    bool must_prove;

    if (hash_open(entry->path, NULL, &out->fd, &out->opened, e) != 0)
        return -1;
    if (store_check_open(entry, out->fd, &out->opened, &must_prove, e) == 0)
        return 0;
    close(out->fd);
    out->fd = -1;
    return -1;
}

/* The size that the file of the entry had when it was linked; -1: that is not known. */
static int64_t linked_size(const struct store_entry *entry)
{
    for (size_t n = 0; entry->link != NULL && n < entry->link->count; n++)
        if (strcmp(entry->link->paths[n].path, entry->path) == 0)
            return entry->link->paths[n].size;
    return -1;
}

/* Says why the file of an entry is not read. Returns -1. */
static int refuse_range_entry(const struct store_entry *entry, struct err *e)
{
    const int64_t before = entry->path == NULL ? -1 : linked_size(entry);

    if (entry->state == STORE_STALE && before >= 0)
        return err_set(e, ERR_NOT_FOUND, "%s has changed: it has %lld bytes, and had %lld when it "
                                         "was linked: `link` it again", entry->path,
                       (long long)entry->size, (long long)before);
    if (entry->path != NULL)
        return err_set(e, ERR_NOT_FOUND, "%s: %s", entry->path, store_state_name(entry->state));
    return err_set(e, ERR_NOT_FOUND, "%s", store_state_name(entry->state));
}

static int find_entry(const struct store *s, const char *hash, struct store_entry *entry,
                      enum range_state *state, struct err *e)
{
    if (store_lookup(s, hash, entry, e) != 0) {
        *state = RANGE_ERROR;
        return -1;
    }
    *state = range_state_of_store(entry->state);
    if (*state == RANGE_FOUND)
        return 0;
    refuse_range_entry(entry, e);
    if (entry->state == STORE_ABSENT && identity_is_away(s->key_dir)) {
        *state = RANGE_ERROR;
        err_set(e, ERR_FAILED, REASON_STORE);
    }
    store_entry_deinit(entry);
    return -1;
}

int range_file_open(const struct store *s, const char *hash, struct range_file *out,
                    enum range_state *state, int64_t *size, struct err *e)
{
    struct store_entry entry = {0};
    int result = -1;

    memset(out, 0, sizeof *out);
    out->fd = -1;
    out->page = UINT64_MAX;
    memcpy(out->hash, hash, SHA1_HEX);
    if (find_entry(s, hash, &entry, state, e) != 0)
        return -1;
    do
        result = open_entry(&entry, out, e);
    while (result != 0 && store_next_target(&entry));
    if (result == 0 && (out->path = strdup(entry.path)) == NULL) {
        result = err_set(e, ERR_FAILED, "out of memory");
        range_file_close(out);
    }
    if (result != 0)
        *state = e->code == ERR_CHANGED ? RANGE_CHANGED : RANGE_ERROR;
    store_entry_deinit(&entry);
    if (result != 0)
        return -1;
    *size = (int64_t)out->opened.st_size;
    if (!manifest_is_for(*size))
        return 0;
    result = manifest_file_open(s, hash, &out->manifest, e);
    out->has_manifest = result == 0;
    if (result == 0 && out->manifest.head.size == *size)
        return 0;
    /* Another size: the file's own is wrong if the manifest counts. */
    *state = result == 0 ? RANGE_CHANGED : RANGE_BUILDING;
    if (result == 0)
        err_set(e, ERR_CHANGED, "%s has %lld bytes, its manifest is of %lld: `link` it again",
                out->path, (long long)*size, (long long)out->manifest.head.size);
    range_file_close(out);
    return -1;
}

void range_file_close(struct range_file *file)
{
    if (file->has_manifest)
        manifest_file_close(&file->manifest);
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    file->path = NULL;
    file->fd = -1;
    file->has_manifest = false;
}

enum range_state range_file_look(const struct store *s, const char *hash, int64_t *size,
                                 char root[RANGE_ROOT_DIGITS + 1], struct err *e)
{
    struct store_entry entry = {0};
    struct manifest_file manifest;
    enum range_state state;

    root[0] = '\0';
    *size = -1;
    if (find_entry(s, hash, &entry, &state, e) != 0)
        return state;
    *size = entry.size;
    store_entry_deinit(&entry);
    if (!manifest_is_for(*size))
        return RANGE_FOUND;
    if (manifest_file_open(s, hash, &manifest, e) != 0)
        return RANGE_BUILDING;
    if (manifest.head.size == *size)
        hex_encode(manifest.head.root, sizeof manifest.head.root, root);
    else
        state = RANGE_CHANGED;
    manifest_file_close(&manifest);
    return state;
}

/* ---- reading ---- */

static int refuse_changed(const struct range_file *file, struct err *e, const char *how)
{
    return err_set(e, ERR_CHANGED, "%s has changed: it %s", file->path, how);
}

static int check_unchanged(const struct range_file *file, struct err *e)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return err_errno(e, ERR_FAILED, errno, "%s", file->path);
    if (st.st_size != file->opened.st_size)
        return err_set(e, ERR_CHANGED, "%s has changed: it has %lld bytes, and had %lld",
                       file->path, (long long)st.st_size, (long long)file->opened.st_size);
    if (st.st_mtim.tv_sec != file->opened.st_mtim.tv_sec ||
        st.st_mtim.tv_nsec != file->opened.st_mtim.tv_nsec)
        return refuse_changed(file, e, "was written while it was being read");
    return 0;
}

static int read_bytes(const struct range_file *file, int64_t offset, unsigned char *data,
                      size_t len, struct err *e)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(file->fd, data + done, len - done, (off_t)offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, ERR_FAILED, errno, "%s: cannot read", file->path);
        if (n == 0)
            return refuse_changed(file, e, "became shorter");
        done += (size_t)n;
    }
    return 0;
}

static int load_page(struct range_file *file, uint64_t j, struct err *e)
{
    if (file->page == j)
        return 0;
    file->page = UINT64_MAX;
    if (manifest_file_read_page(&file->manifest, j, file->leaves, e) != 0)
        return -1;
    file->page = j;
    return 0;
}

/* Checks bytes by their leaf, or the only block by the file's SHA-1. */
static int check_bytes(struct range_file *file, uint32_t i, struct str bytes, struct err *e)
{
    unsigned char digest[SHA256_SIZE], address[SHA1_SIZE];

    if (!file->has_manifest) {
        sha1_of(bytes, digest);
        if (hex_decode(str_of(file->hash), address, sizeof address) &&
            memcmp(digest, address, sizeof address) == 0)
            return 0;
        return refuse_changed(file, e, "does not have its hash");
    }
    if (load_page(file, i / MANIFEST_PAGE_LEAVES, e) != 0)
        return -1;
    sha256_of(bytes, digest);
    if (memcmp(digest, file->leaves + (size_t)(i % MANIFEST_PAGE_LEAVES) * SHA256_SIZE,
               SHA256_SIZE) == 0)
        return 0;
    return refuse_changed(file, e, "does not have the hashes that it had when it was linked");
}

int range_file_read(struct range_file *file, uint32_t i, unsigned char *data, size_t *len,
                    struct err *e)
{
    *len = manifest_block_bytes((int64_t)file->opened.st_size, i);
    if (*len == 0)
        return err_set(e, ERR_NOT_FOUND, "%s has no block %u", file->path, (unsigned)i);
    if (check_unchanged(file, e) != 0 ||
        read_bytes(file, (int64_t)i * MANIFEST_LEAF_BYTES, data, *len, e) != 0)
        return -1;
    return check_bytes(file, i, (struct str){(const char *)data, *len}, e);
}

int range_file_read_many(struct range_file *file, uint32_t first, size_t count,
                         unsigned char *data, struct err *e)
{
    struct str bytes[SHA256_LANES] = {{NULL, 0}};
    unsigned char digests[SHA256_LANES][SHA256_SIZE];

    if (check_unchanged(file, e) != 0)
        return -1;
    for (size_t n = 0; n < count; n++) {
        unsigned char *at = data + n * LINE_LEAF_BYTES;
        size_t len = manifest_block_bytes((int64_t)file->opened.st_size, first + n);
        if (read_bytes(file, (int64_t)(first + n) * MANIFEST_LEAF_BYTES, at, len, e) != 0)
            return -1;
        bytes[n] = (struct str){(const char *)at, len};
    }
    sha256_of_many(bytes, count, digests);
    for (size_t n = 0; n < count; n++) {
        uint32_t i = first + (uint32_t)n;
        if (load_page(file, i / MANIFEST_PAGE_LEAVES, e) != 0)
            return -1;
        if (memcmp(digests[n], file->leaves + (size_t)(i % MANIFEST_PAGE_LEAVES) * SHA256_SIZE,
                   SHA256_SIZE) != 0)
            return refuse_changed(file, e, "does not have the hashes that it had");
    }
    return 0;
}

int range_file_page(struct range_file *file, uint32_t j, struct str *leaves, struct err *e)
{
    size_t count =
        file->has_manifest ? manifest_leaves_in_page((int64_t)file->opened.st_size, j) : 0;

    if (count == 0)
        return err_set(e, ERR_NOT_FOUND, "%s has no page %u", file->path, (unsigned)j);
    if (load_page(file, j, e) != 0)
        return -1;
    *leaves = (struct str){(const char *)file->leaves, count * SHA256_SIZE};
    return 0;
}
