/*
 * old_kernel COMMAND [ARG...]: run COMMAND as on Linux 3.10, the oldest kernel that is promised to
 * work. Every system call that is newer answers ENOSYS, O_TMPFILE answers as a kernel that does not
 * know it. What older calls have learned since is not hidden.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* From <linux/filter.h>, <linux/seccomp.h> and <linux/audit.h>, which musl does not bring along. */
struct instruction {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t k;
};
struct program {
    unsigned short len;
    const struct instruction *filter;
};
struct call {
    int32_t nr;
    uint32_t arch;
    uint64_t instruction_pointer;
    uint64_t args[6];
};
enum { LOAD = 0x20, EQUAL = 0x15, AT_LEAST = 0x35, ANY_BIT = 0x45, RETURN = 0x06 };
enum { MODE_FILTER = 2 };
#define ALLOW 0x7fff0000u
#define FAIL(error) (0x00050000u | (error))

#if defined(__x86_64__)
#define ARCH 0xc000003eu /* AUDIT_ARCH_X86_64 */
#define FIRST_NEWER 314  /* sched_setattr, 3.14 */
#define NR_OPENAT 257
#define NR_OPEN 2
#elif defined(__aarch64__)
#define ARCH 0xc00000b7u /* AUDIT_ARCH_AARCH64 */
#define FIRST_NEWER 274  /* sched_setattr, 3.14 */
#define NR_OPENAT 56
#define NR_OPEN (-1)
#else
#error "old_kernel: no system call numbers for this machine"
#endif
#define TMPFILE_BIT 020000000 /* of O_TMPFILE, whose other bit is O_DIRECTORY */

#define ARG_LOW(i) (offsetof(struct call, args) + 8 * (i))

static const struct instruction filter[] = {
    {LOAD, 0, 0, offsetof(struct call, arch)},
    {EQUAL, 0, 6, ARCH},
    {LOAD, 0, 0, offsetof(struct call, nr)},
    {AT_LEAST, 5, 0, FIRST_NEWER},
    {EQUAL, 5, 0, NR_OPENAT},
    {EQUAL, 0, 2, (uint32_t)NR_OPEN},
    {LOAD, 0, 0, ARG_LOW(1)},
    {ANY_BIT, 4, 0, TMPFILE_BIT},
    {RETURN, 0, 0, ALLOW},
    {RETURN, 0, 0, FAIL(ENOSYS)},
    {LOAD, 0, 0, ARG_LOW(2)},
    {ANY_BIT, 0, 1, TMPFILE_BIT},
    {RETURN, 0, 0, FAIL(EISDIR)},
    {RETURN, 0, 0, ALLOW},
};

int main(int argc, char **argv)
{
    const struct program program = {sizeof filter / sizeof filter[0], filter};

    if (argc < 2) {
        fputs("usage: old_kernel COMMAND [ARG...]\n", stderr);
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, MODE_FILTER, &program, 0, 0) != 0) {
        fprintf(stderr, "old_kernel: no system call filter: %s\n", strerror(errno));
        return 125;
    }
    execvp(argv[1], argv + 1);
    fprintf(stderr, "old_kernel: %s: %s\n", argv[1], strerror(errno));
    return 127;
}
