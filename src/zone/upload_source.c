#include "zone/upload_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/child.h"
#include "proc/hasher.h"

enum { BUFFER_BYTES = UPLOAD_CHUNK_BYTES + UPLOAD_HOLD_BACK_BYTES };

static int refuse_unreadable(int number, struct err *e)
{
    return err_errno(e, ERR_FAILED, number, "the file cannot be read");
}

static int check_stat(struct upload_source *source, struct stat *st, struct err *e)
{
    if (fstat(source->fd, st) != 0)
        return refuse_unreadable(errno, e);
    if (!S_ISREG(st->st_mode))
        return err_set(e, ERR_CHANGED, "it is no regular file any more");
    if (st->st_size != source->size)
        return err_set(e, ERR_CHANGED,
                       "the file has changed: it has %lld bytes now, it had %lld",
                       (long long)st->st_size, (long long)source->size);
    return 0;
}

static int lose_hash(const struct upload_source *source, struct err *e)
{
    char words[CHILD_MAX_WORDS_BYTES];

    hasher_put_end(source->hasher, words);
    return err_set(e, ERR_FAILED, "the process that hashes the file was lost: %s", words);
}

/* Reads `size` bytes, or what the file still has. A short file is an error: fewer came than the
 * size. */
static int read_source(struct upload_source *source, char *to, size_t size, struct err *e)
{
    const int64_t left = source->size - source->bytes_read;
    size_t have = 0;

    if ((int64_t)size > left)
        size = (size_t)left;
    while (have < size) {
        ssize_t n = read(source->fd, to + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse_unreadable(errno, e);
        if (n == 0)
            return err_set(e, ERR_CHANGED, "the file became shorter while it was read");
        have += (size_t)n;
        source->bytes_read += n;
    }
    return 0;
}

/* Checks, when all bytes were read, that it is still the file that was linked. */
static int compare_hash(struct upload_source *source, struct sha1 *sha1, struct err *e)
{
    char hash[SHA1_HEX + 1];
    struct stat st;

    if (check_stat(source, &st, e) != 0)
        return -1;
    sha1_final_hex(sha1, hash);
    if (strcmp(hash, source->hash) != 0)
        return err_set(e, ERR_CHANGED, "the file has changed: its SHA-1 is %s now", hash);
    return 0;
}

static int check_hash(struct upload_source *source, struct err *e)
{
    if (source->hasher != NULL && !hasher_state(source->hasher, &source->sha1))
        return lose_hash(source, e);
    if (compare_hash(source, &source->sha1, e) != 0)
        return -1;
    source->is_right = true;
    return 0;
}

/* Reads until the buffer is full or the file at its end; then sets how much may be given out. */
static int fill_source(struct upload_source *source, struct err *e)
{
    int64_t held_from = source->size - UPLOAD_HOLD_BACK_BYTES;
    int64_t data_from = source->bytes_read;
    char *const to = source->data + source->len;

    if (read_source(source, to, BUFFER_BYTES - source->len, e) != 0)
        return -1;
    sha1_update(&source->sha1, to, (size_t)(source->bytes_read - data_from));
    source->len += (size_t)(source->bytes_read - data_from);
    if (source->bytes_read == source->size && !source->is_right && check_hash(source, e) != 0)
        return -1;
    data_from = source->bytes_read - (int64_t)source->len; /* the offset of data[0] in the file */
    if (source->is_right || source->bytes_read <= held_from)
        source->ready = source->len;
    else
        source->ready = held_from > data_from ? (size_t)(held_from - data_from) : 0;
    return 0;
}

int upload_source_open(struct upload_source *source, const char *path, const char *hash,
                       int64_t size, struct err *e)
{
    *source = (struct upload_source){.fd = -1, .hash = hash, .size = size};
    sha1_init(&source->sha1);
    source->data = malloc(BUFFER_BYTES);
    if (source->data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    /* O_NONBLOCK for the open alone: of a FIFO it would wait for a writer. */
    source->fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(e, ERR_CHANGED, "the file is not there any more");
    if (source->fd < 0)
        return refuse_unreadable(errno, e);
    if (check_stat(source, &source->before, e) != 0)
        return -1;
    if (fcntl(source->fd, F_SETFL, 0) != 0)
        return refuse_unreadable(errno, e);
    return fill_source(source, e);
}

int upload_source_prove(struct upload_source *source, int (*on_chunk)(void *ctx, struct err *e),
                        void *ctx, struct err *e)
{
    char *data;
    struct sha1 sha1;
    int64_t at = 0;
    int status = 0;

    if (source->is_right)
        return 0; /* it is so short that it was read already */
    data = malloc(UPLOAD_CHUNK_BYTES);
    if (data == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    sha1_init(&sha1);
    while (status == 0 && at < source->size) {
        ssize_t n = pread(source->fd, data, UPLOAD_CHUNK_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = refuse_unreadable(errno, e);
        else if (n == 0)
            status = err_set(e, ERR_CHANGED, "the file became shorter while it was read");
        else {
            sha1_update(&sha1, data, (size_t)n);
            at += n;
            status = on_chunk(ctx, e);
        }
    }
    free(data);
    return status == 0 ? compare_hash(source, &sha1, e) : -1;
}

/* The first bytes were hashed before anything was sent; what is left, if it is much, is hashed
 * beside the sending. */
static void begin_hasher(struct upload_source *source)
{
    if (!source->has_begun)
        source->hasher = hasher_new(&source->sha1, source->size - source->bytes_read);
    source->has_begun = true;
}

static enum io give_out(struct upload_source *source, struct str bytes, struct str *chunk)
{
    *chunk = bytes;
    source->bytes_given += (int64_t)bytes.len;
    return IO_DONE;
}

/* Returns how many bytes of the piece may be given out. */
static size_t ready_of_piece(const struct upload_source *source)
{
    const int64_t held_from = source->size - UPLOAD_HOLD_BACK_BYTES;
    const int64_t piece_from = source->bytes_read - (int64_t)source->piece.len;

    if (source->is_right || source->bytes_read <= held_from)
        return source->piece.len;
    return held_from > piece_from ? (size_t)(held_from - piece_from) : 0;
}

/* Reads a piece to where the hasher has it, too. The end of the one before, if it is held back,
 * stays there: it is shorter than a piece, so that only one more can come. */
static int read_piece_of_source(struct upload_source *source, struct err *e)
{
    const int64_t from = source->bytes_read;
    char *const to = hasher_piece(source->hasher);

    if (to == NULL)
        return lose_hash(source, e);
    if (read_source(source, to, HASHER_PIECE_BYTES, e) != 0)
        return -1;
    source->held = source->piece;
    source->piece = (struct str){to, (size_t)(source->bytes_read - from)};
    return hasher_give(source->hasher, source->piece.len) ? 0 : lose_hash(source, e);
}

/* upload_source_next with a hasher: nothing is left in `data`. */
static enum io next_of_ring(struct upload_source *source, struct str *chunk, struct err *e)
{
    for (;;) {
        const struct str held = source->held, piece = source->piece;
        const size_t ready = ready_of_piece(source);
        if (source->is_right && held.len > 0) {
            source->held = STR("");
            return give_out(source, held, chunk);
        }
        if (ready > 0) {
            source->piece = str_slice(piece, ready, piece.len);
            return give_out(source, str_slice(piece, 0, ready), chunk);
        }
        if (upload_source_is_at_end(source))
            return IO_EOF;
        if ((source->bytes_read == source->size ? check_hash(source, e)
                                                : read_piece_of_source(source, e)) != 0)
            return IO_ERR;
    }
}

enum io upload_source_next(struct upload_source *source, struct str *chunk, struct err *e)
{
    while (source->hasher == NULL) {
        if (source->ready > source->out) {
            const struct str ready = {source->data + source->out, source->ready - source->out};
            source->out = source->ready;
            return give_out(source, ready, chunk);
        }
        if (upload_source_is_at_end(source))
            return IO_EOF;
        memmove(source->data, source->data + source->out, source->len - source->out);
        source->len -= source->out;
        source->out = source->ready = 0;
        begin_hasher(source);
        if (source->hasher == NULL && fill_source(source, e) != 0)
            return IO_ERR;
    }
    return next_of_ring(source, chunk, e);
}

bool upload_source_is_at_end(const struct upload_source *source)
{
    return source->is_right && source->bytes_given == source->size;
}

void upload_source_deinit(struct upload_source *source)
{
    if (source->data != NULL && source->fd >= 0)
        close(source->fd);
    hasher_free(source->hasher);
    free(source->data);
    *source = (struct upload_source){.fd = -1};
}
