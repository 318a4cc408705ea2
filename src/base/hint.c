#include "base/hint.h"

#include <errno.h>
#include <stddef.h>

static const struct hint {
    int number;
    const char *text;
} hints[] = {
    {EMFILE, ": raise the limit of open files (ulimit -n)"},
    {ENFILE, ": the whole machine has too many files open"},
    {ENOSPC, ": free some room on that file system (df -h; df -i for the number of files)"},
    {EDQUOT, ": your quota or your group's on that file system is used up (quota -s)"},
    {EROFS, ": that file system cannot be written now; use another place (for the local store "
            "KACHERY_CLOUD_DIR)"},
    {EFBIG, ": a limit of the size of files (ulimit -f), or the file system's own"},
    {ESTALE, ": the file server has lost it, most likely replaced or mounted anew: try again, or "
             "leave the folder and enter it again"},
    {EIO, ": the storage failed, see the kernel's log (dmesg)"},
    {ENAMETOOLONG, ": a name may have 255 bytes, a path 4095"},
    {ELOOP, ": symbolic links that lead in a circle"},
};

const char *hint_of(int number)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (hints[i].number == number)
            return hints[i].text;
    return "";
}
