/* gateway rm: take objects out of a hub's folder. */
#include <stdint.h>
#include <stdio.h>

#include "cmd/commands.h"
#include "cmd/gateway_folder.h"

static const char name[] = "gateway rm";

struct object_removal {
    size_t removed, missing, failed;
};

static void remove_named_object(const struct gateway_folder *folder, struct str key,
                                struct object_removal *r)
{
    struct err e = {0};
    int64_t size;
    bool is_kept;
    enum object_state state = object_remove(&folder->dir, key, &size, &is_kept, &e);

    if (state == OBJECT_UNKNOWN) {
        cmd_warn(name, &e);
        r->failed++;
        return;
    }
    if (is_kept)
        fprintf(stderr, "kachery-resource gateway rm: %.*s: the damaged one is gone; a good one "
                        "came in its place meanwhile and stays\n", STR_ARG(key));
    r->removed += state != OBJECT_MISSING;
    r->missing += state == OBJECT_MISSING;
    gateway_folder_print(state, size, key);
}

/* All URIs are read before anything is removed: a wrong one is told at once. */
static int remove_named_objects(const struct gateway_folder *folder, const struct cmd_args *args)
{
    struct object_removal r = {0, 0, 0};
    struct buf key = {0};
    struct err e = {0};

    for (int is_real = 0; is_real < 2; is_real++)
        for (size_t i = 0; i < args->operand_count; i++) {
            buf_clear(&key);
            if (gateway_folder_put_key(folder, args->operands[i], &key, &e) != 0) {
                buf_free(&key);
                return cmd_fail(name, &e);
            }
            if (is_real)
                remove_named_object(folder, buf_str(&key), &r);
        }
    buf_free(&key);
    if (r.failed > 0)
        return CMD_FAILED;
    return r.removed == 0 ? CMD_NOT_FOUND : CMD_OK;
}

int cmd_gateway_rm(int argc, char **argv)
{
    struct gateway_folder folder = {0};
    const struct cmd_option options[] = {
        {.name = "data", .value = &folder.data},
        {.name = "zone", .value = &folder.zone_name},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = SIZE_MAX};
    struct err e = {0};
    int status = cmd_parse(name, argc, argv, &args);

    if (status >= 0)
        return status;
    if (gateway_folder_open(&folder, &e) != 0)
        return cmd_fail(name, &e);
    status = remove_named_objects(&folder, &args);
    gateway_folder_close(&folder);
    return cmd_finish(name, status);
}
