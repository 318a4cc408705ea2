#include "proc/hasher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/ready.h"
#include "proc/child.h"
#include "proc/frame.h"
#include "proc/process.h"

/* A child that needs so long for a piece is stopped or hangs. */
enum { LATE_MS = 60000 };

enum { ENDING_MS = 500, LOOK_MS = 10 };

struct ring {
    struct sha1 sha1; /* the child's, until it has answered for every piece */
    unsigned char pieces[HASHER_PIECES][HASHER_PIECE_BYTES];
};

struct hasher {
    struct process child;
    struct ring *ring;
    size_t filled;          /* of the piece that is not given yet */
    uint64_t given, hashed; /* pieces */
    bool is_lost;
    struct buf message;
};

static const struct field piece_fields[] = {
    {.name = "bytes", .kind = FIELD_INT, .min = 1, .max = HASHER_PIECE_BYTES},
    {.kind = FIELD_END},
};

/* Returns the bytes of a message, or 0. */
static size_t read_piece(struct str message)
{
    struct json *doc = json_parse(message, JSON_STRICT, ERR_IGNORED);
    int64_t bytes = 0;

    if (doc == NULL || fields_read(piece_fields, doc, &bytes, NULL, ERR_IGNORED) != 0)
        bytes = 0;
    json_free(doc);
    return (size_t)bytes;
}

/* process_options.run */
static int run_hasher(int fd, void *ctx)
{
    struct ring *ring = ctx;
    struct buf message = {0};
    size_t bytes;

    for (uint64_t i = 0; frame_receive(fd, &message, NULL, ERR_IGNORED) == IO_DONE; i++) {
        bytes = read_piece(buf_str(&message));
        if (bytes == 0)
            break;
        sha1_update(&ring->sha1, ring->pieces[i % HASHER_PIECES], bytes);
        if (frame_send(fd, buf_str(&message), -1, ERR_IGNORED) != IO_DONE)
            break;
    }
    buf_free(&message);
    return 0;
}

static bool is_worth_it(int64_t bytes)
{
    return bytes >= HASHER_MIN_BYTES && sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

struct hasher *hasher_new(const struct sha1 *begun, int64_t bytes)
{
    struct hasher *h = is_worth_it(bytes) ? calloc(1, sizeof *h) : NULL;

    if (h == NULL)
        return NULL;
    h->ring =
        mmap(NULL, sizeof *h->ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (h->ring == MAP_FAILED) {
        free(h);
        return NULL;
    }
    h->ring->sha1 = *begun;
    const struct process_options options = {
        .name = "kachery-hasher", .run = run_hasher, .ctx = h->ring};
    if (process_start(&h->child, &options, ERR_IGNORED) == 0)
        return h;
    hasher_free(h);
    return NULL;
}

/* Waits for one answer. */
static void await_answer(struct hasher *h)
{
    const int64_t end_ms = clock_now_ms() + LATE_MS;
    int64_t left_ms = LATE_MS;
    enum io io = IO_WANT_READ;

    while (io == IO_WANT_READ && left_ms > 0) {
        ready_wait(h->child.fd, READY_READ, left_ms);
        io = frame_receive(h->child.fd, &h->message, NULL, ERR_IGNORED);
        left_ms = end_ms - clock_now_ms();
    }
    h->is_lost = io != IO_DONE;
    h->hashed++;
}

static void give_piece(struct hasher *h)
{
    const int64_t bytes = (int64_t)h->filled;

    buf_clear(&h->message);
    json_open(&h->message, '{');
    fields_put_members(&h->message, piece_fields, &bytes);
    json_close(&h->message, '}');
    h->is_lost = h->message.failed ||
                 frame_send(h->child.fd, buf_str(&h->message), -1, ERR_IGNORED) != IO_DONE;
    h->given++;
    h->filled = 0;
}

char *hasher_piece(struct hasher *h)
{
    while (h->given - h->hashed == HASHER_PIECES && !h->is_lost)
        await_answer(h);
    return h->is_lost ? NULL : (char *)h->ring->pieces[h->given % HASHER_PIECES];
}

bool hasher_give(struct hasher *h, size_t bytes)
{
    h->filled = bytes;
    if (!h->is_lost)
        give_piece(h);
    return !h->is_lost;
}

bool hasher_add(struct hasher *h, struct str data)
{
    while (data.len > 0 && !h->is_lost) {
        const size_t room = HASHER_PIECE_BYTES - h->filled, len = data.len < room ? data.len : room;
        if (h->filled == 0 && h->given - h->hashed == HASHER_PIECES) {
            await_answer(h);
            continue;
        }
        memcpy(h->ring->pieces[h->given % HASHER_PIECES] + h->filled, data.p, len);
        h->filled += len;
        data = str_slice(data, len, data.len);
        if (h->filled == HASHER_PIECE_BYTES)
            give_piece(h);
    }
    return !h->is_lost;
}

size_t hasher_room(const struct hasher *h)
{
    if (h->is_lost)
        return SIZE_MAX;
    return (size_t)(HASHER_PIECES - (h->given - h->hashed)) * HASHER_PIECE_BYTES - h->filled;
}

int hasher_fd(const struct hasher *h)
{
    return h->child.fd;
}

bool hasher_look(struct hasher *h)
{
    enum io io = IO_DONE;

    while (io == IO_DONE && h->hashed < h->given && !h->is_lost) {
        io = frame_receive(h->child.fd, &h->message, NULL, ERR_IGNORED);
        h->hashed += io == IO_DONE;
        h->is_lost = io != IO_DONE && io != IO_WANT_READ;
    }
    return !h->is_lost;
}

bool hasher_finish(struct hasher *h)
{
    if (h->filled > 0 && !h->is_lost)
        give_piece(h);
    return h->hashed == h->given && !h->is_lost;
}

bool hasher_state(struct hasher *h, struct sha1 *out)
{
    if (h->filled > 0 && !h->is_lost)
        give_piece(h);
    while (h->hashed < h->given && !h->is_lost)
        await_answer(h);
    if (!h->is_lost)
        *out = h->ring->sha1;
    return !h->is_lost;
}

/* The socket of a child that ends is closed a moment before its exit status is there. */
void hasher_put_end(const struct hasher *h, char *out)
{
    const int64_t end_ms = clock_now_ms() + ENDING_MS;
    bool has_ended;
    int status;

    while (!(has_ended = process_get_status(&h->child, &status)) && clock_now_ms() < end_ms)
        ready_sleep(LOOK_MS);
    if (has_ended)
        child_put_status(status, out);
    else
        snprintf(out, CHILD_MAX_WORDS_BYTES, "it does not answer");
}

void hasher_free(struct hasher *h)
{
    if (h == NULL)
        return;
    process_kill(&h->child);
    munmap(h->ring, sizeof *h->ring);
    buf_free(&h->message);
    free(h);
}
