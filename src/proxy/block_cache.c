#include "proxy/block_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fingerprint.h"
#include "base/fs.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/sha1.h"
#include "base/sha256.h"

enum {
    FILE_SLOTS = 4096,
    SEGMENT_SLOTS = 16384,
    BITS_BYTES = BLOCK_SEGMENT_BLOCKS / 8,
    FILE_NAME_BYTES = SHA1_HEX + 1 + 2 * BLOCK_ROOT_BYTES,
    MAX_SEGMENT_DIGITS = 8
};

static const off_t bits_offset = (off_t)BLOCK_BYTES * BLOCK_SEGMENT_BLOCKS;

struct block_file {
    struct block_file *next; /* in its slot */
    size_t opened, segments;
    int64_t size; /* in bytes; -1: not told, it is known from the disk alone */
    char name[FILE_NAME_BYTES + 1];
};

/* Of blocks that had their hashes: whether the disk still has them is then quickly known. */
struct fingerprints {
    unsigned char bits[BITS_BYTES]; /* for each that is there */
    unsigned char of[BLOCK_SEGMENT_BLOCKS][FINGERPRINT_SIZE];
};

struct segment {
    struct segment *next;          /* in its slot */
    struct segment *older, *newer; /* by last use */
    struct block_file *file;
    uint32_t index;
    uint32_t count; /* of its blocks that are there */
    unsigned char bits[BITS_BYTES];
    struct fingerprints *prints; /* NULL: there are none */
};

struct memory_block {
    struct block_file *file; /* NULL: free */
    uint32_t i;
    size_t len;
    uint64_t used; /* counts up with each use */
    unsigned char *bytes;
};

struct block_cache {
    char *dir;
    int64_t max_disk_bytes, disk_bytes;
    struct block_file *files[FILE_SLOTS];
    struct segment *segments[SEGMENT_SLOTS];
    struct segment *oldest, *newest;
    size_t segment_count, print_count; /* of segments that have fingerprints */
    struct fingerprint_key key;
    struct memory_block memory[BLOCK_CACHE_MEMORY_BLOCKS];
    uint64_t uses;
    int64_t write_again_ms; /* after a write that failed */
};

/* ---- files ---- */

static size_t file_slot_of(struct str name)
{
    uint32_t digits = 0;

    for (size_t i = 0; i < 6; i++)
        digits = digits << 4 | (uint32_t)hex_digit(name.p[i]);
    return digits % FILE_SLOTS;
}

static bool is_file_name(struct str name)
{
    return name.len == FILE_NAME_BYTES && name.p[SHA1_HEX] == '-' &&
           hex_is_lower(str_slice(name, 0, SHA1_HEX), SHA1_HEX) &&
           hex_is_lower(str_slice(name, SHA1_HEX + 1, name.len), 2 * BLOCK_ROOT_BYTES);
}

static struct block_file *get_block_file(struct block_cache *cache, struct str name)
{
    struct block_file **slot = &cache->files[file_slot_of(name)];
    struct block_file *file = *slot;

    while (file != NULL && !str_equal(str_of(file->name), name))
        file = file->next;
    if (file != NULL)
        return file;
    file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    memcpy(file->name, name.p, FILE_NAME_BYTES);
    file->size = -1;
    file->next = *slot;
    *slot = file;
    return file;
}

static void forget_memory(struct block_cache *cache, const struct block_file *file)
{
    for (size_t i = 0; i < BLOCK_CACHE_MEMORY_BLOCKS; i++)
        if (cache->memory[i].file == file)
            cache->memory[i].file = NULL;
}

/* Frees the file if it is neither open nor has blocks on the disk. */
static void trim_file(struct block_cache *cache, struct block_file *file)
{
    struct block_file **link = &cache->files[file_slot_of(str_of(file->name))];

    if (file->opened > 0 || file->segments > 0)
        return;
    forget_memory(cache, file);
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    free(file);
}

bool block_cache_has_some(const struct block_cache *cache, struct str sha1)
{
    const struct block_file *file = cache->files[file_slot_of(sha1)];

    while (file != NULL &&
           !(file->segments > 0 && str_equal(str_slice(str_of(file->name), 0, SHA1_HEX), sha1)))
        file = file->next;
    return file != NULL;
}

struct block_file *block_cache_open(struct block_cache *cache, struct str sha1,
                                    const unsigned char root[BLOCK_ROOT_BYTES], int64_t size,
                                    struct err *e)
{
    char digits[2 * BLOCK_ROOT_BYTES + 1], name[FILE_NAME_BYTES + 1];

    hex_encode(root, BLOCK_ROOT_BYTES, digits);
    snprintf(name, sizeof name, "%.*s-%s", STR_ARG(sha1), digits);
    struct block_file *file = get_block_file(cache, str_of(name));
    if (file == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    file->size = size;
    file->opened++;
    return file;
}

void block_cache_close(struct block_cache *cache, struct block_file *file)
{
    file->opened--;
    trim_file(cache, file);
}

/* ---- segments ---- */

static size_t segment_slot(const struct block_file *file, uint32_t index)
{
    return (file_slot_of(str_of(file->name)) * 31 + index) % SEGMENT_SLOTS;
}

static struct segment *find_segment(const struct block_cache *cache, const struct block_file *file,
                                    uint32_t index)
{
    struct segment *s = cache->segments[segment_slot(file, index)];

    while (s != NULL && (s->file != file || s->index != index))
        s = s->next;
    return s;
}

static void unlink_from_uses(struct block_cache *cache, struct segment *s)
{
    *(s->older != NULL ? &s->older->newer : &cache->oldest) = s->newer;
    *(s->newer != NULL ? &s->newer->older : &cache->newest) = s->older;
}

static void link_as_newest(struct block_cache *cache, struct segment *s)
{
    s->newer = NULL;
    s->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = s;
    cache->newest = s;
}

static void use_segment(struct block_cache *cache, struct segment *s)
{
    unlink_from_uses(cache, s);
    link_as_newest(cache, s);
}

static struct segment *add_segment(struct block_cache *cache, struct block_file *file,
                                   uint32_t index)
{
    struct segment *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    struct segment **slot = &cache->segments[segment_slot(file, index)];
    s->file = file;
    s->index = index;
    s->next = *slot;
    *slot = s;
    link_as_newest(cache, s);
    file->segments++;
    cache->segment_count++;
    return s;
}

static void put_file_folder(const struct block_cache *cache, const struct block_file *file,
                            struct buf *path)
{
    buf_printf(path, "%s/%s", cache->dir, file->name);
}

static void put_segment_path(const struct block_cache *cache, const struct segment *s,
                             struct buf *path)
{
    put_file_folder(cache, s->file, path);
    buf_printf(path, "/%u", (unsigned)s->index);
}

static void remove_from_disk(const struct block_cache *cache, const struct segment *s)
{
    struct buf path = {0};
    const char *name;

    put_segment_path(cache, s, &path);
    name = buf_path(&path, ERR_IGNORED);
    if (name != NULL)
        unlink(name);
    buf_clear(&path);
    put_file_folder(cache, s->file, &path);
    name = buf_path(&path, ERR_IGNORED);
    if (name != NULL && s->file->segments == 1)
        rmdir(name);
    buf_free(&path);
}

static void free_prints(struct block_cache *cache, struct segment *s)
{
    if (s->prints != NULL)
        cache->print_count--;
    free(s->prints);
    s->prints = NULL;
}

static void drop_segment(struct block_cache *cache, struct segment *s)
{
    struct segment **link = &cache->segments[segment_slot(s->file, s->index)];
    struct block_file *file = s->file;

    free_prints(cache, s);
    remove_from_disk(cache, s);
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    unlink_from_uses(cache, s);
    cache->disk_bytes -= (int64_t)s->count * BLOCK_BYTES;
    cache->segment_count--;
    file->segments--;
    free(s);
    trim_file(cache, file);
}

static bool has_bit(const struct segment *s, uint32_t i)
{
    uint32_t bit = i % BLOCK_SEGMENT_BLOCKS;

    return (s->bits[bit / 8] >> bit % 8 & 1) != 0;
}

static void flip_bit(struct block_cache *cache, struct segment *s, uint32_t i)
{
    uint32_t bit = i % BLOCK_SEGMENT_BLOCKS;

    s->bits[bit / 8] ^= (unsigned char)(1 << bit % 8);
    s->count += has_bit(s, i) ? 1 : -1u;
    cache->disk_bytes += has_bit(s, i) ? BLOCK_BYTES : -BLOCK_BYTES;
}

/* ---- fingerprints ---- */

static bool has_print(const struct segment *s, uint32_t i)
{
    uint32_t bit = i % BLOCK_SEGMENT_BLOCKS;

    return s->prints != NULL && (s->prints->bits[bit / 8] >> bit % 8 & 1) != 0;
}

/* For one more segment, that which was not used for longest loses them. */
static void make_print_room(struct block_cache *cache)
{
    struct segment *s = cache->oldest;

    while (cache->print_count >= BLOCK_CACHE_MAX_PRINTS && s != NULL) {
        free_prints(cache, s);
        s = s->newer;
    }
}

/* Remembers what block i, which has its hash, looks like. */
static void keep_print(struct block_cache *cache, struct segment *s, uint32_t i, struct str bytes)
{
    uint32_t bit = i % BLOCK_SEGMENT_BLOCKS;

    if (s->prints == NULL) {
        make_print_room(cache);
        s->prints = calloc(1, sizeof *s->prints);
        cache->print_count += s->prints != NULL;
    }
    if (s->prints == NULL)
        return; /* it is hashed at each reading */
    fingerprint_of(&cache->key, bytes, s->prints->of[bit]);
    s->prints->bits[bit / 8] |= (unsigned char)(1u << bit % 8);
}

static void forget_print(struct segment *s, uint32_t i)
{
    uint32_t bit = i % BLOCK_SEGMENT_BLOCKS;

    if (s->prints != NULL)
        s->prints->bits[bit / 8] &= (unsigned char)~(1u << bit % 8);
}

static bool has_its_print(const struct block_cache *cache, const struct segment *s, uint32_t i,
                          struct str bytes)
{
    unsigned char print[FINGERPRINT_SIZE];

    fingerprint_of(&cache->key, bytes, print);
    return memcmp(print, s->prints->of[i % BLOCK_SEGMENT_BLOCKS], sizeof print) == 0;
}

/* ---- the disk ---- */

static int open_segment(const struct block_cache *cache, const struct segment *s, int flags)
{
    struct buf path = {0};
    const char *name;

    put_segment_path(cache, s, &path);
    name = buf_path(&path, ERR_IGNORED);
    int fd = name == NULL ? -1 : open(name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    buf_free(&path);
    return fd;
}

static off_t offset_of(uint32_t i)
{
    return (off_t)(i % BLOCK_SEGMENT_BLOCKS) * BLOCK_BYTES;
}

static bool read_block_at(int fd, unsigned char *bytes, size_t len, off_t offset)
{
    size_t done = 0;
    ssize_t got = 1;

    while (done < len && got > 0) {
        got = pread(fd, bytes + done, len - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            done += (size_t)got;
    }
    return done == len;
}

static bool read_disk_block(const struct block_cache *cache, const struct segment *s, uint32_t i,
                            unsigned char *bytes, size_t len)
{
    int fd = open_segment(cache, s, O_RDONLY);
    bool is_read = fd >= 0 && read_block_at(fd, bytes, len, offset_of(i));

    if (fd >= 0)
        close(fd);
    return is_read;
}

static bool write_segment_bytes(int fd, const void *data, size_t len, off_t offset)
{
    const char *bytes = data;

    while (len > 0) {
        ssize_t put = pwrite(fd, bytes, len, offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        bytes += put;
        len -= (size_t)put;
        offset += put;
    }
    return true;
}

static int make_cache_folder(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* Makes the cache's own folder, and the one that it is in: either may have been removed by hand. */
static int make_own_folders(const struct block_cache *cache)
{
    struct buf path = {0};
    const char *above, *slash = strrchr(cache->dir, '/');
    int result = make_cache_folder(cache->dir);

    if (result == 0 || errno != ENOENT || slash == NULL || slash == cache->dir)
        return result;
    buf_append(&path, cache->dir, (size_t)(slash - cache->dir));
    above = buf_path(&path, ERR_IGNORED);
    if (above != NULL && make_cache_folder(above) == 0)
        result = make_cache_folder(cache->dir);
    buf_free(&path);
    return result;
}

static int make_segment(const struct block_cache *cache, const struct segment *s)
{
    struct buf path = {0};
    const char *folder;
    int fd = open_segment(cache, s, O_RDWR | O_CREAT);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    put_file_folder(cache, s->file, &path);
    folder = buf_path(&path, ERR_IGNORED);
    if (folder != NULL && make_own_folders(cache) == 0 && make_cache_folder(folder) == 0)
        fd = open_segment(cache, s, O_RDWR | O_CREAT);
    int number = errno;
    buf_free(&path);
    errno = number;
    return fd;
}

/* The block first, then the bit that tells of it. */
static bool write_block(struct block_cache *cache, struct segment *s, uint32_t i, struct str bytes)
{
    int fd = make_segment(cache, s);
    bool is_written = fd >= 0 && write_segment_bytes(fd, bytes.p, bytes.len, offset_of(i));

    if (is_written) {
        if (!has_bit(s, i))
            flip_bit(cache, s, i);
        is_written = write_segment_bytes(fd, s->bits, sizeof s->bits, bits_offset);
        if (!is_written)
            flip_bit(cache, s, i);
    }
    int number = errno;
    if (fd >= 0)
        close(fd);
    errno = number;
    return is_written;
}

static void forget_block(struct block_cache *cache, struct segment *s, uint32_t i)
{
    if (!has_bit(s, i))
        return;
    flip_bit(cache, s, i);
    forget_print(s, i);
    if (s->count == 0)
        drop_segment(cache, s);
}

static void make_disk_room(struct block_cache *cache, const struct segment *keep, int64_t bytes)
{
    while (cache->oldest != NULL && cache->oldest != keep &&
           (cache->disk_bytes + bytes > cache->max_disk_bytes ||
            cache->segment_count > BLOCK_CACHE_MAX_SEGMENTS))
        drop_segment(cache, cache->oldest);
}

static void note_unwritable(struct block_cache *cache)
{
    log_line(LOG_WARN, "cannot keep blocks in %s: %s; they are read from the hosts again",
             cache->dir, strerror(errno));
    cache->write_again_ms = clock_now_ms() + BLOCK_CACHE_REST_MS;
}

/* On a disk that others have filled, what was not used for longest makes room. */
static bool write_for_room(struct block_cache *cache, struct segment *s, uint32_t i,
                           struct str bytes)
{
    if (write_block(cache, s, i, bytes))
        return true;
    if ((errno != ENOSPC && errno != EDQUOT) || cache->oldest == s)
        return false;
    drop_segment(cache, cache->oldest);
    return write_block(cache, s, i, bytes);
}

static void keep_on_disk(struct block_cache *cache, struct block_file *file, uint32_t i,
                         struct str bytes)
{
    struct segment *s = find_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);

    if (cache->max_disk_bytes < BLOCK_BYTES || clock_now_ms() < cache->write_again_ms ||
        (s != NULL && has_bit(s, i)))
        return;
    if (s == NULL)
        s = add_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);
    if (s == NULL)
        return;
    use_segment(cache, s);
    make_disk_room(cache, s, BLOCK_BYTES);
    bool has_room = cache->disk_bytes + BLOCK_BYTES <= cache->max_disk_bytes;
    if (has_room && write_for_room(cache, s, i, bytes))
        keep_print(cache, s, i, bytes);
    else if (has_room)
        note_unwritable(cache);
    if (s->count == 0)
        drop_segment(cache, s);
}

/* ---- what the disk has at the start ---- */

struct found {
    int64_t written_ms;
    struct block_file *file;
    uint32_t index;
    unsigned char bits[BITS_BYTES];
};

struct scan {
    struct found *items;
    size_t count, cap;
};

static bool add_found(struct scan *scan, const struct found *one)
{
    if (scan->count == scan->cap) {
        size_t cap = scan->cap == 0 ? 64 : 2 * scan->cap;
        struct found *items = realloc(scan->items, cap * sizeof *items);
        if (items == NULL)
            return false;
        scan->items = items;
        scan->cap = cap;
    }
    scan->items[scan->count++] = *one;
    return true;
}

/* False if it is no segment: nothing that is kept is lost with it. */
static bool read_found(int folder, const char *name, struct found *one)
{
    struct stat st;
    uint64_t index;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool is_one = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                  strlen(name) <= MAX_SEGMENT_DIGITS &&
                  str_to_uint(str_of(name), UINT32_MAX / BLOCK_SEGMENT_BLOCKS, &index) &&
                  pread(fd, one->bits, sizeof one->bits, bits_offset) == sizeof one->bits;

    if (fd >= 0)
        close(fd);
    if (!is_one)
        return false;
    one->index = (uint32_t)index;
    one->written_ms = fs_mtime_ms(&st);
    return true;
}

static int scan_folder(struct block_cache *cache, int parent, struct block_file *file,
                       struct scan *scan, struct err *e)
{
    int fd = openat(parent, file->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct found one = {.file = file};
    const size_t before = scan->count;
    int result = 0;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        trim_file(cache, file);
        return 0;
    }
    for (struct dirent *entry; result == 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (!read_found(dirfd(dir), entry->d_name, &one))
            unlinkat(dirfd(dir), entry->d_name, 0);
        else if (!add_found(scan, &one))
            result = err_set(e, ERR_FAILED, "out of memory");
    }
    closedir(dir);
    if (result == 0 && scan->count == before) {
        unlinkat(parent, file->name, AT_REMOVEDIR);
        trim_file(cache, file);
    }
    return result;
}

static int by_time(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->written_ms > y->written_ms) - (x->written_ms < y->written_ms);
}

static int take_found_segments(struct block_cache *cache, const struct scan *scan, struct err *e)
{
    for (size_t n = 0; n < scan->count; n++) {
        const struct found *one = &scan->items[n];
        struct segment *s = add_segment(cache, one->file, one->index);
        if (s == NULL)
            return err_set(e, ERR_FAILED, "out of memory");
        for (uint32_t i = 0; i < BLOCK_SEGMENT_BLOCKS; i++)
            if ((one->bits[i / 8] >> i % 8 & 1) != 0)
                flip_bit(cache, s, i);
    }
    make_disk_room(cache, NULL, 0);
    return 0;
}

static int scan_disk(struct block_cache *cache, const struct block_cache_options *options,
                     struct err *e)
{
    DIR *dir = make_own_folders(cache) == 0 ? opendir(cache->dir) : NULL;
    struct scan scan = {0};
    int result = 0;

    if (dir == NULL) {
        note_unwritable(cache);
        return 0;
    }
    for (struct dirent *entry; result == 0 && (entry = readdir(dir)) != NULL;) {
        struct str name = str_of(entry->d_name);
        if (!is_file_name(name) ||
            (options->is_ours != NULL &&
             !options->is_ours(options->owner, str_slice(name, 0, SHA1_HEX))))
            continue;
        struct block_file *file = get_block_file(cache, name);
        result = file == NULL ? err_set(e, ERR_FAILED, "out of memory")
                              : scan_folder(cache, dirfd(dir), file, &scan, e);
    }
    closedir(dir);
    if (result == 0 && scan.count > 0)
        qsort(scan.items, scan.count, sizeof *scan.items, by_time);
    if (result == 0)
        result = take_found_segments(cache, &scan, e);
    free(scan.items);
    return result;
}

struct block_cache *block_cache_new(const struct block_cache_options *options, struct err *e)
{
    struct block_cache *cache = calloc(1, sizeof *cache);

    if (cache == NULL || (cache->dir = strdup(options->dir)) == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        block_cache_free(cache);
        return NULL;
    }
    cache->max_disk_bytes = options->max_disk_bytes;
    fingerprint_draw(&cache->key);
    if (scan_disk(cache, options, e) != 0) {
        block_cache_free(cache);
        return NULL;
    }
    return cache;
}

void block_cache_free(struct block_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < BLOCK_CACHE_MEMORY_BLOCKS; i++)
        block_cache_free_memory(cache->memory[i].bytes);
    for (struct segment *s = cache->oldest, *newer; s != NULL; s = newer) {
        newer = s->newer;
        free(s->prints);
        free(s);
    }
    for (size_t i = 0; i < FILE_SLOTS; i++)
        for (struct block_file *file = cache->files[i], *next; file != NULL; file = next) {
            next = file->next;
            free(file);
        }
    free(cache->dir);
    free(cache);
}

/* ---- memory ---- */

/* A child that was forked would else keep a second copy of what changes here. */
unsigned char *block_cache_new_memory(void)
{
    void *memory = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0);

    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, BLOCK_BYTES, MADV_DONTFORK);
    return memory;
}

void block_cache_free_memory(unsigned char *memory)
{
    if (memory != NULL)
        munmap(memory, BLOCK_BYTES);
}

static struct memory_block *find_memory(struct block_cache *cache, const struct block_file *file,
                                        uint32_t i)
{
    for (size_t n = 0; n < BLOCK_CACHE_MEMORY_BLOCKS; n++) {
        struct memory_block *block = &cache->memory[n];
        if (block->file == file && block->i == i) {
            block->used = ++cache->uses;
            return block;
        }
    }
    return NULL;
}

/* A free place, or one that was released, else one that has no memory yet, else the one that was
 * not used for longest. NULL without any memory. */
static struct memory_block *take_memory(struct block_cache *cache)
{
    struct memory_block *best = NULL;

    for (size_t n = 0; n < BLOCK_CACHE_MEMORY_BLOCKS; n++) {
        struct memory_block *block = &cache->memory[n];
        if (block->bytes == NULL && (best == NULL || best->file != NULL))
            block->bytes = block_cache_new_memory();
        if (block->bytes == NULL)
            continue;
        if (block->file == NULL || block->used == 0) {
            best = block;
            break;
        }
        if (best == NULL || block->used < best->used)
            best = block;
    }
    if (best != NULL)
        best->file = NULL;
    return best;
}

static struct str bytes_of(const struct memory_block *block)
{
    return (struct str){(const char *)block->bytes, block->len};
}

static void fill_memory(struct block_cache *cache, struct memory_block *block,
                        struct block_file *file, uint32_t i, size_t len)
{
    block->file = file;
    block->i = i;
    block->len = len;
    block->used = ++cache->uses;
}

static size_t length_of(const struct block_file *file, uint32_t i)
{
    int64_t left = file->size - (int64_t)i * BLOCK_BYTES;

    return left <= 0 ? 0 : left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
}

bool block_cache_has_hash(struct str bytes, struct str hash)
{
    unsigned char digest[BLOCK_ROOT_BYTES];

    if (hash.len == SHA1_SIZE)
        sha1_of(bytes, digest);
    else
        sha256_of(bytes, digest);
    return memcmp(digest, hash.p, hash.len) == 0;
}

static void drop_damaged(struct block_cache *cache, const struct block_file *file,
                         struct segment *s, uint32_t i)
{
    log_line(LOG_WARN, "block %u of sha1://%.*s in %s is damaged: it is fetched again", (unsigned)i,
             SHA1_HEX, file->name, cache->dir);
    forget_block(cache, s, i);
}

/* A block of the disk in memory, not checked yet. NULL if it is not there, or is in memory, or need
 * not be hashed. */
static struct memory_block *read_unchecked(struct block_cache *cache, struct block_file *file,
                                           uint32_t i)
{
    struct segment *s = find_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);
    size_t len = length_of(file, i);
    struct memory_block *block;

    if (s == NULL || len == 0 || !has_bit(s, i) || has_print(s, i) ||
        find_memory(cache, file, i) != NULL || (block = take_memory(cache)) == NULL)
        return NULL;
    if (!read_disk_block(cache, s, i, block->bytes, len)) {
        drop_damaged(cache, file, s, i);
        return NULL;
    }
    use_segment(cache, s);
    fill_memory(cache, block, file, i, len);
    return block;
}

/* Looks which of the blocks have their hashes; they are checked side by side. */
static void check_blocks(struct memory_block *const *blocks, const struct str *hashes, size_t count,
                         bool *is_right)
{
    unsigned char digests[SHA256_LANES][SHA256_SIZE];
    struct str bytes[SHA256_LANES] = {{NULL, 0}};

    if (count == 1) {
        is_right[0] = block_cache_has_hash(bytes_of(blocks[0]), hashes[0]);
        return;
    }
    for (size_t k = 0; k < count; k++)
        bytes[k] = bytes_of(blocks[k]);
    sha256_of_many(bytes, count, digests);
    for (size_t k = 0; k < count; k++)
        is_right[k] = memcmp(digests[k], hashes[k].p, SHA256_SIZE) == 0;
}

void block_cache_load(struct block_cache *cache, struct block_file *file, uint32_t first,
                      const struct str *hashes, size_t count)
{
    struct memory_block *blocks[SHA256_LANES] = {NULL};
    bool is_right[SHA256_LANES] = {false};
    size_t n = 0;

    while (n < count && (blocks[n] = read_unchecked(cache, file, first + (uint32_t)n)) != NULL)
        n++;
    check_blocks(blocks, hashes, n, is_right);
    for (size_t k = 0; k < n; k++) {
        uint32_t i = first + (uint32_t)k;
        struct segment *s = find_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);
        if (is_right[k]) {
            keep_print(cache, s, i, bytes_of(blocks[k]));
        } else {
            blocks[k]->file = NULL;
            drop_damaged(cache, file, s, i);
        }
    }
}

size_t block_cache_read(struct block_cache *cache, struct block_file *file, int fd, uint32_t first,
                        const struct str *hashes, size_t count)
{
    struct memory_block *blocks[SHA256_LANES] = {NULL};
    bool is_right[SHA256_LANES] = {false};
    size_t n = 0, right = 0;

    for (; n < count; n++) {
        uint32_t i = first + (uint32_t)n;
        size_t len = length_of(file, i);
        if (len == 0 || find_memory(cache, file, i) != NULL ||
            (blocks[n] = take_memory(cache)) == NULL ||
            !read_block_at(fd, blocks[n]->bytes, len, (off_t)i * BLOCK_BYTES))
            break;
        fill_memory(cache, blocks[n], file, i, len);
    }
    if (n > 0)
        check_blocks(blocks, hashes, n, is_right);
    while (right < n && is_right[right])
        right++;
    for (size_t k = right; k < n; k++)
        blocks[k]->file = NULL;
    return right;
}

/* Whether these bytes of the disk are those of block i. */
static bool check_disk_block(struct block_cache *cache, struct segment *s, uint32_t i,
                             struct str bytes, struct str hash)
{
    if (has_print(s, i))
        return has_its_print(cache, s, i, bytes);
    if (!block_cache_has_hash(bytes, hash))
        return false;
    keep_print(cache, s, i, bytes);
    return true;
}

struct str block_cache_get(struct block_cache *cache, struct block_file *file, uint32_t i,
                           struct str hash)
{
    struct memory_block *block = find_memory(cache, file, i);
    struct segment *s = find_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);
    size_t len = length_of(file, i);

    if (block != NULL)
        return bytes_of(block);
    if (s == NULL || len == 0 || !has_bit(s, i) || (block = take_memory(cache)) == NULL)
        return STR("");
    block->len = len;
    use_segment(cache, s);
    if (!read_disk_block(cache, s, i, block->bytes, len) ||
        !check_disk_block(cache, s, i, bytes_of(block), hash)) {
        drop_damaged(cache, file, s, i);
        return STR("");
    }
    fill_memory(cache, block, file, i, len);
    return bytes_of(block);
}

void block_cache_release(struct block_cache *cache, const struct block_file *file, uint32_t i)
{
    struct memory_block *block = find_memory(cache, file, i);

    if (block != NULL)
        block->used = 0;
}

bool block_cache_is_in_memory(const struct block_cache *cache, const struct block_file *file,
                              uint32_t i)
{
    for (size_t n = 0; n < BLOCK_CACHE_MEMORY_BLOCKS; n++)
        if (cache->memory[n].file == file && cache->memory[n].i == i)
            return true;
    return false;
}

bool block_cache_may_have(const struct block_cache *cache, const struct block_file *file,
                          uint32_t i)
{
    const struct segment *s = find_segment(cache, file, i / BLOCK_SEGMENT_BLOCKS);

    return (s != NULL && has_bit(s, i)) || block_cache_is_in_memory(cache, file, i);
}

/* The memory for block i. NULL without any. */
static struct memory_block *memory_for(struct block_cache *cache, struct block_file *file,
                                       uint32_t i)
{
    struct memory_block *block = find_memory(cache, file, i);

    return block != NULL ? block : take_memory(cache);
}

bool block_cache_put(struct block_cache *cache, struct block_file *file, uint32_t i,
                     struct str bytes)
{
    struct memory_block *block =
        bytes.len == length_of(file, i) ? memory_for(cache, file, i) : NULL;

    if (block == NULL)
        return false;
    memcpy(block->bytes, bytes.p, bytes.len);
    fill_memory(cache, block, file, i, bytes.len);
    keep_on_disk(cache, file, i, bytes_of(block));
    return true;
}

bool block_cache_exchange(struct block_cache *cache, struct block_file *file, uint32_t i,
                          unsigned char **bytes, size_t len)
{
    struct memory_block *block = len == length_of(file, i) ? memory_for(cache, file, i) : NULL;

    if (block == NULL)
        return false;
    unsigned char *before = block->bytes;
    block->bytes = *bytes;
    *bytes = before;
    fill_memory(cache, block, file, i, len);
    keep_on_disk(cache, file, i, bytes_of(block));
    return true;
}

int64_t block_cache_disk_bytes(const struct block_cache *cache)
{
    return cache->disk_bytes;
}
