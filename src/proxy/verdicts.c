#include "proxy/verdicts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { REFUTED, PROVEN, KINDS };

/* On the disk as in memory. The sum is of the rest and the kind: a record that was written in part,
 * or is in another's place, is none. */
struct root_verdict {
    unsigned char address[SHA1_SIZE], root[SHA256_SIZE], sum[12];
};

enum { VERDICT_HAS_NO_HOLES = 1 / (sizeof(struct root_verdict) == 64) };

struct verdicts {
    int fd; /* -1: none are kept */
    struct root_verdict of[KINDS][VERDICTS_SLOTS];
};

static void sum_verdict(const struct root_verdict *verdict, int kind, unsigned char sum[12])
{
    unsigned char digest[SHA256_SIZE], name = (unsigned char)kind;
    struct sha256 h;

    sha256_init(&h);
    sha256_update(&h, &name, 1);
    sha256_update(&h, verdict->address, sizeof verdict->address);
    sha256_update(&h, verdict->root, sizeof verdict->root);
    sha256_final(&h, digest);
    memcpy(sum, digest, 12);
}

/* Proven roots are found by the address, of which only one is; refuted ones by themselves. */
static size_t slot_of_verdict(int kind, const unsigned char *address, const unsigned char *root)
{
    const unsigned char *digest = kind == PROVEN ? address + 4 : root;

    return (size_t)(digest[0] << 8 | digest[1]) % VERDICTS_SLOTS;
}

static void read_verdicts(struct verdicts *v)
{
    unsigned char sum[12];

    if (v->fd < 0 || pread(v->fd, v->of, sizeof v->of, 0) <= 0)
        return;
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t n = 0; n < VERDICTS_SLOTS; n++) {
            struct root_verdict *verdict = &v->of[kind][n];
            sum_verdict(verdict, kind, sum);
            if (memcmp(verdict->sum, sum, sizeof sum) != 0)
                memset(verdict, 0, sizeof *verdict);
        }
}

struct verdicts *verdicts_open(const char *path)
{
    struct verdicts *v = calloc(1, sizeof *v);

    if (v == NULL)
        return NULL;
    v->fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (path != NULL && v->fd < 0)
        log_line(LOG_WARN, "cannot keep which files are proven in %s: %s", path, strerror(errno));
    read_verdicts(v);
    return v;
}

void verdicts_close(struct verdicts *v)
{
    if (v != NULL && v->fd >= 0)
        close(v->fd);
    free(v);
}

static bool is_verdict_on(const struct root_verdict *verdict, const unsigned char *address)
{
    static const unsigned char none[SHA256_SIZE];

    return memcmp(verdict->address, address, SHA1_SIZE) == 0 &&
           memcmp(verdict->root, none, sizeof none) != 0;
}

int verdicts_find(const struct verdicts *v, const unsigned char address[SHA1_SIZE],
                  const unsigned char root[SHA256_SIZE])
{
    const struct root_verdict *proven = &v->of[PROVEN][slot_of_verdict(PROVEN, address, root)];
    const struct root_verdict *refuted = &v->of[REFUTED][slot_of_verdict(REFUTED, address, root)];

    if (is_verdict_on(proven, address))
        return memcmp(proven->root, root, SHA256_SIZE) == 0 ? 1 : -1;
    return is_verdict_on(refuted, address) && memcmp(refuted->root, root, SHA256_SIZE) == 0 ? -1
                                                                                            : 0;
}

void verdicts_put(struct verdicts *v, const unsigned char address[SHA1_SIZE],
                  const unsigned char root[SHA256_SIZE], bool is_right)
{
    int kind = is_right ? PROVEN : REFUTED;
    size_t slot = slot_of_verdict(kind, address, root);
    struct root_verdict *verdict = &v->of[kind][slot];

    if (memcmp(verdict->address, address, SHA1_SIZE) == 0 &&
        memcmp(verdict->root, root, SHA256_SIZE) == 0)
        return;
    memcpy(verdict->address, address, SHA1_SIZE);
    memcpy(verdict->root, root, SHA256_SIZE);
    sum_verdict(verdict, kind, verdict->sum);
    if (v->fd >= 0)
        (void)!pwrite(v->fd, verdict, sizeof *verdict,
                      (off_t)(((size_t)kind * VERDICTS_SLOTS + slot) * sizeof *verdict));
}
