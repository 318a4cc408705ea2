/*
 * The output of link, store-local and store. Each line is printed at once; a file that fails is
 * reported on stderr and the others go on.
 */
#ifndef CMD_URI_LIST_H
#define CMD_URI_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum uri_list_form {
    URI_LIST_PATHS, /* one line `URI<TAB>path` per file */
    URI_LIST_JSON,  /* one array of {"uri","path","size","error"} */
    URI_LIST_BARE   /* the URI alone, as the Python tools print it */
};

struct uri_list {
    const char *name; /* of the command */
    enum uri_list_form form;
    bool is_begun, has_failed;
};

/* Prints a file, in the order of the input. `path` is absolute; a size of -1 is not known. */
void uri_list_add(struct uri_list *list, const char *path, const char *uri, int64_t size);

/* Reports a file that failed; `e` names the cause alone, without the path. */
void uri_list_fail(struct uri_list *list, const char *path, const struct err *e);

/* Ends the output. Returns the exit status: CMD_FAILED when a file failed or stdout did. */
int uri_list_end(struct uri_list *list);

#endif
