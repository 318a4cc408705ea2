#include "proxy/openings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sha256.h"
#include "base/str.h"

/* A record is SHA-1, count, leaves, and the first bytes of the SHA-256 of these: one that was
 * written in part is none. */
enum {
    COUNT_AT = SHA1_SIZE,
    LEAVES_AT = COUNT_AT + 4,
    SUM_AT = LEAVES_AT + 4 * RANGE_MAX_ALSO,
    SUM_BYTES = 8,
    RECORD_BYTES = SUM_AT + SUM_BYTES
};

int openings_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        log_line(LOG_WARN, "cannot keep which leaves are read first in %s: %s", path,
                 strerror(errno));
    return fd;
}

static off_t record_offset(const unsigned char *address)
{
    return (off_t)((address[1] << 8 | address[2]) % OPENINGS_SLOTS) * RECORD_BYTES;
}

static void put_number(unsigned char *at, uint32_t number)
{
    for (int n = 0; n < 4; n++)
        at[n] = (unsigned char)(number >> 8 * n);
}

static uint32_t get_opening_number(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void sum_opening_record(const unsigned char *record, unsigned char sum[SHA256_SIZE])
{
    sha256_of((struct str){(const char *)record, SUM_AT}, sum);
}

size_t openings_get(int fd, const unsigned char address[SHA1_SIZE],
                    uint32_t leaves[RANGE_MAX_ALSO])
{
    unsigned char record[RECORD_BYTES], sum[SHA256_SIZE];

    if (fd < 0 || pread(fd, record, sizeof record, record_offset(address)) != RECORD_BYTES ||
        memcmp(record, address, SHA1_SIZE) != 0)
        return 0;
    sum_opening_record(record, sum);
    uint32_t count = get_opening_number(record + COUNT_AT);
    if (memcmp(record + SUM_AT, sum, SUM_BYTES) != 0 || count > RANGE_MAX_ALSO)
        return 0;
    for (uint32_t n = 0; n < count; n++)
        leaves[n] = get_opening_number(record + LEAVES_AT + (size_t)4 * n);
    return count;
}

void openings_put(int fd, const unsigned char address[SHA1_SIZE], const uint32_t *leaves,
                  size_t count)
{
    unsigned char record[RECORD_BYTES] = {0}, sum[SHA256_SIZE];

    if (fd < 0)
        return;
    memcpy(record, address, SHA1_SIZE);
    put_number(record + COUNT_AT, (uint32_t)count);
    for (size_t n = 0; n < count; n++)
        put_number(record + LEAVES_AT + 4 * n, leaves[n]);
    sum_opening_record(record, sum);
    memcpy(record + SUM_AT, sum, SUM_BYTES);
    (void)!pwrite(fd, record, sizeof record, record_offset(address));
}
