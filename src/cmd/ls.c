/* ls: what is in the local store, without reading the files. */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/entry_list.h"
#include "cmd/large_files.h"

/* The list has no word for it, so it is said beside the list. */
static void warn_if_unreadable(const char *hash, const struct store_entry *entry)
{
    struct err e;

    if (entry->state != STORE_UNREADABLE)
        return;
    err_set(&e, ERR_FAILED, "cannot be looked at now");
    cmd_warn_file("ls", entry->path != NULL ? entry->path : hash, &e);
}

static int list_all(const struct store *s, struct entry_list *list, struct large_files *large,
                    struct err *e)
{
    struct store_list *entries = store_list_open(s, e);
    int status = CMD_OK, step;

    if (entries == NULL)
        return cmd_fail("ls", e);
    do {
        char hash[SHA1_HEX + 1];
        struct store_entry entry = {0};
        step = store_list_next(entries, hash, &entry, e);
        if (step > 0) {
            warn_if_unreadable(hash, &entry);
            enum manifest_file_state manifest = manifest_file_look(s, hash, entry.size);
            if (entry.state == STORE_OK && manifest == MANIFEST_FILE_DAMAGED)
                entry.state = STORE_DAMAGED;
            if (manifest == MANIFEST_FILE_UNKNOWN) {
                err_set(e, ERR_FAILED, "its manifest cannot be looked at now");
                cmd_warn_file("ls", entry.path != NULL ? entry.path : hash, e);
            }
            if (entry.path != NULL)
                large_files_note(large, entry.path, entry.size);
            entry_list_add(list, hash, &entry, manifest);
        } else if (step < 0) {
            status = cmd_fail("ls", e);
        }
        store_entry_deinit(&entry);
    } while (step != 0 && !ferror(stdout));
    store_list_close(entries);
    return entry_list_end(list, status);
}

int cmd_ls(int argc, char **argv)
{
    struct entry_list list = {.name = "ls"};
    struct large_files large = {0};
    const struct cmd_option options[] = {
        {.name = "json", .flag = &list.is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options};
    struct store s;
    struct err e;

    int status = cmd_parse("ls", argc, argv, &args);
    if (status >= 0)
        return status;
    if (store_init(&s, &e) != 0)
        return cmd_fail("ls", &e);
    status = list_all(&s, &list, &large, &e);
    if (!args.is_quiet)
        large_files_warn(&large, "ls", &s);
    large_files_deinit(&large);
    store_deinit(&s);
    return status;
}
