#include "cmd/large_files.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "zone/gateway_memory.h"

void large_files_note(struct large_files *l, const char *path, int64_t size)
{
    if (size <= GATEWAY_DEPLOYED_MAX_BYTES)
        return;
    l->count++;
    if (l->first == NULL) {
        l->first = strdup(path);
        l->size = size;
    }
}

void large_files_warn(const struct large_files *l, const char *name, const struct store *s)
{
    struct buf shown = {0};
    struct err e;

    if (l->first == NULL || !gateway_memory_is_deployed(s, &shown) || buf_cstr(&shown)[0] == '\0')
        goto out;
    gateway_refuse_size(buf_cstr(&shown), l->size, &e);
    if (l->count > 1)
        err_wrap(&e, "and %zu more", l->count - 1);
    err_wrap(&e, "warning");
    cmd_warn_file(name, l->first, &e);
out:
    buf_free(&shown);
}

void large_files_deinit(struct large_files *l)
{
    free(l->first);
    *l = (struct large_files){0};
}
