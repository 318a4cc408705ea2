#include "bucket/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct names){.items = NULL};
}

void names_add(struct names *names, struct str name)
{
    char *copy = strndup(name.p, name.len);

    if (names->count == names->cap) {
        size_t cap = names->cap == 0 ? 16 : 2 * names->cap;
        char **items = realloc(names->items, cap * sizeof *items);
        if (items != NULL) {
            names->items = items;
            names->cap = cap;
        }
    }
    names->failed |= copy == NULL || names->count == names->cap;
    if (names->failed)
        free(copy);
    else
        names->items[names->count++] = copy;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(struct names *names)
{
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, by_bytes);
}

/* DT_DIR, DT_REG or another; what goes meanwhile is another. */
static unsigned char entry_type(DIR *folder, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
}

static void add_marked(struct names *names, DIR *folder, struct dirent *entry)
{
    char marked[sizeof entry->d_name + 1];
    size_t len = strlen(entry->d_name);
    unsigned char type = entry_type(folder, entry);

    memcpy(marked, entry->d_name, len);
    if (type == DT_DIR)
        marked[len++] = '/';
    if (type == DT_DIR || type == DT_REG)
        names_add(names, (struct str){marked, len});
}

int names_read_folder(const char *path, bool marks_folders, struct names *names, struct err *e)
{
    DIR *folder = path == NULL ? NULL : opendir(path);
    struct dirent *entry;
    int result = 0;

    if (path == NULL)
        return -1;
    if (folder == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_errno(e, ERR_FAILED, errno, "cannot read %s", path);
    for (errno = 0; (entry = readdir(folder)) != NULL; errno = 0) {
        if (entry->d_name[0] == '.')
            continue;
        if (marks_folders)
            add_marked(names, folder, entry);
        else
            names_add(names, str_of(entry->d_name));
    }
    if (errno != 0)
        result = err_errno(e, ERR_FAILED, errno, "cannot read %s", path);
    else if (names->failed)
        result = err_set(e, ERR_FAILED, "out of memory");
    closedir(folder);
    names_sort(names);
    return result;
}
