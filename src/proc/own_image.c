#include "proc/own_image.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The linker's: where this program's ELF header is in memory. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

struct range {
    uintptr_t start, end; /* of whole pages */
};

static struct range pages_of(uintptr_t address, size_t len)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    return (struct range){address & ~(page - 1), (address + len + page - 1) & ~(page - 1)};
}

static int protection_of(const ElfW(Phdr) *segment)
{
    return ((segment->p_flags & PF_R) != 0 ? PROT_READ : 0) |
           ((segment->p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
           ((segment->p_flags & PF_X) != 0 ? PROT_EXEC : 0);
}

/* Copies whole pages; memcpy would report what lies between variables in a build with sanitizers,
 * and the barrier keeps the compiler from calling it. */
__attribute__((no_sanitize_address)) static void copy_pages(char *to, const char *from, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
        *(uint64_t *)(void *)(to + i) = *(const uint64_t *)(const void *)(from + i);
        __asm__ volatile("" : : : "memory");
    }
}

/* Puts a copy in the place of a segment; both hold the same at each moment, so that this code may
 * be in it. The pages behind p_filesz have no file. */
static int replace_segment(uintptr_t base, const ElfW(Phdr) *segment)
{
    const struct range r = pages_of(base + segment->p_vaddr, segment->p_filesz);
    const size_t len = r.end - r.start;
    char *copy = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (copy == MAP_FAILED)
        return -1;
    copy_pages(copy, (const char *)r.start, len);
    __builtin___clear_cache(copy, copy + len);
    if (mprotect(copy, len, protection_of(segment)) == 0 &&
        mremap(copy, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)r.start) != MAP_FAILED)
        return 0;
    munmap(copy, len);
    return -1;
}

/* Makes the pages read-only again that the start of the program relocated. */
static void protect_relocated(uintptr_t base, const ElfW(Phdr) *segment)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t start = base + segment->p_vaddr;
    const uintptr_t end = (start + segment->p_memsz) & ~(page - 1);

    if (end > start)
        mprotect((void *)(start & ~(page - 1)), end - (start & ~(page - 1)), PROT_READ);
}

int own_image_copy(void)
{
    const ElfW(Ehdr) *header = (const void *)__ehdr_start;
    const ElfW(Phdr) *segments = (const void *)(__ehdr_start + header->e_phoff);
    const uintptr_t base = (uintptr_t)__ehdr_start;
    int result = 0;

    for (unsigned i = 0; i < header->e_phnum && result == 0; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_filesz > 0)
            result = replace_segment(base, &segments[i]);
    for (unsigned i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_GNU_RELRO)
            protect_relocated(base, &segments[i]);
    return result;
}

/* Network file systems of labs, by the numbers of statfs(2). */
static bool may_be_taken_away(void)
{
    static const uint32_t kinds[] = {
        0x6969,     /* NFS */
        0x65735546, /* FUSE: sshfs, CernVM-FS, gluster */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0x19830326, /* BeeGFS */
        0x00c36400, /* Ceph */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 and 3 */
        0x5346414f, /* AFS */
        0x6b414653, /* AFS of the kernel */
        0x01021997, /* 9P */
        0x7461636f, /* OCFS2 */
        0x01161970, /* GFS2 */
        0xaad7aaea, /* PanFS */
        0x20030528, /* OrangeFS */
        0x0000517b, /* SMB 1 */
    };
    struct statfs fs;

    if (statfs("/proc/self/exe", &fs) != 0)
        return errno != ENOENT; /* which is a system without /proc */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((uint32_t)fs.f_type == kinds[i])
            return true;
    return false;
}

void own_image_detach(void)
{
    if (may_be_taken_away())
        (void)own_image_copy();
}
