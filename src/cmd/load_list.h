/*
 * `load` of several URIs: worker processes get them, one line URI<TAB>path is printed for each in
 * the order given. A file that fails is reported, the others go on.
 */
#ifndef CMD_LOAD_LIST_H
#define CMD_LOAD_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "zone/transfer.h"

enum { LOAD_LIST_MAX_BYTES = 256 << 20, LOAD_LIST_DEFAULT_JOBS = 4 };

struct load_list_options {
    const char *name; /* of the command */
    const char *const *uris;
    size_t count;
    const char *list;     /* more of them, one a line: a file, "-" for standard input, or NULL */
    const char *folder;   /* files go there, called by their labels; NULL: the local store */
    unsigned jobs;        /* 0: LOAD_LIST_DEFAULT_JOBS */
    const struct transfer *each; /* the options of each, but for uri and place */
    bool is_bare; /* there is one URI, and the path alone is printed */
};

/* Gets the files and prints the lines. Returns the exit status: 0, 3 when all files that failed
 * were not found, else 1. Dies by the signal that ended it. */
int load_list_run(const struct load_list_options *options);

#endif
