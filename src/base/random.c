#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hex.h"

static size_t read_from_device(unsigned char *out, size_t len)
{
    size_t have = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && have < len) {
        ssize_t n = read(fd, out + have, len - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    return have;
}

void random_bytes(void *out, size_t len)
{
    unsigned char *p = out;
    size_t have = 0;

    while (have < len) {
        long n = syscall(SYS_getrandom, p + have, len - have, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (have < len)
        have += read_from_device(p + have, len - have);
    if (have < len)
        abort();
}

uint64_t random_below(uint64_t below)
{
    uint64_t value, limit = UINT64_MAX - UINT64_MAX % below;

    do
        random_bytes(&value, sizeof value);
    while (value >= limit);
    return value % below;
}

void random_hex(char *out, size_t digits)
{
    unsigned char bytes[32];

    while (digits > 0) {
        size_t n = digits / 2 < sizeof bytes ? digits / 2 : sizeof bytes;
        random_bytes(bytes, n);
        hex_encode(bytes, n, out);
        out += 2 * n;
        digits -= 2 * n;
    }
}
