/*
 * What link, store-local and store print: one line `URI<TAB>path` per file, or with --json one
 * array of {"uri","path","size","error"}. Printed as it comes; a file that fails is told on stderr
 * and the others go on.
 */
#ifndef CMD_URI_LIST_H
#define CMD_URI_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct uri_list {
    const char *name; /* of the command */
    bool is_json, is_begun, has_failed;
};

/* Files are added in the order of the input. `path` is absolute. */
void uri_list_add(struct uri_list *list, const char *path, const char *uri, int64_t size);

/* `e` names the cause alone, without the path. */
void uri_list_fail(struct uri_list *list, const char *path, const struct err *e);

/* Ends the output; gives the exit status. */
int uri_list_end(struct uri_list *list);

#endif
