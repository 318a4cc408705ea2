/*
 * The output of ls and verify: one line `STATE KIND SIZE MANIFEST URI PATH` per entry of the store,
 * in aligned columns on a terminal, else separated by tabs for programs; or with --json one array
 * of {"uri","path","size","kind","state","manifest"}. Printed as it comes.
 */
#ifndef CMD_ENTRY_LIST_H
#define CMD_ENTRY_LIST_H

#include <stdbool.h>

#include "store/manifest_file.h"
#include "store/store.h"

struct entry_list {
    const char *name; /* of the command */
    bool is_json, is_begun;
};

/* Prints an entry. An entry that is STORE_ABSENT has only its URI and is "missing". */
void entry_list_add(struct entry_list *list, const char *hash, const struct store_entry *entry,
                    enum manifest_file_state manifest);

/* Ends the output. Returns the exit status, which is `status` unless stdout failed. */
int entry_list_end(struct entry_list *list, int status);

#endif
