/*
 * The work of commands once their options are read: shared by the commands of main.c's table and
 * the names of the Python tools (cloud.c). `name` is the command's, for messages.
 */
#ifndef CMD_ACTIONS_H
#define CMD_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cmd/remote.h"
#include "cmd/sources.h"
#include "cmd/uri_list.h"
#include "store/batch.h"

/* The options of link and store-local. */
struct add_files {
    const char *name;
    struct sources_options sources;
    enum batch_work work;
    const char *label; /* NULL: none */
    bool is_labelled_by_name; /* each by its file's base name */
    unsigned jobs;     /* 0: one per core */
    bool is_without_manifests, makes_indexes;
    enum uri_list_form form;
    bool is_quiet;
};

/* Adds the files to the local store and prints their URIs. Returns the exit status; all errors,
 * also that of a label that is no UTF-8, are reported. */
int add_files_run(const struct add_files *what);

/* The options of store. */
struct store_files {
    const char *name;
    const char *const *paths;
    size_t count;
    const char *label; /* NULL: none */
    bool cache_locally;
    enum uri_list_form form;
    bool is_quiet;
};

/* Uploads the files and prints their URIs. Returns the exit status; all errors are reported. */
int store_run(const struct store_files *what);

/* Gets the file (see remote_fetch) and prints its path as it is. */
int load_run(const char *name, struct transfer *transfer, struct err *e);

/* The bytes [start, end) of a file; end -1: up to its end. */
struct cat_range {
    int64_t start, end;
};

/* Writes a range of the file to standard output: instead of wanted->range, which is not read.
 * ERR_CHANGED when all of it was written and does not have the hash. */
int cat_run(const char *name, const struct transfer *wanted, struct cat_range range,
            struct err *e);

/* Writes the file at `path`, which needs to be in no store, to standard output. */
int cat_path(const char *path, struct err *e);

enum info_form {
    INFO_LINES,   /* one "name: value" a member */
    INFO_JSON,    /* on one line */
    INFO_INDENTED /* as Python's json.dumps(indent=4) */
};

/* Prints what the zone knows of a file. ERR_NOT_FOUND when neither it nor a connected host has the
 * file; then only INFO_JSON prints the zone's answer. */
int info_run(const char *name, const struct kachery_uri *uri, enum info_form form, struct err *e);

/* Makes keys where there are none, and registers them if the gateway can be asked for that. Then
 * client->is_found, or *link (appended to) is the URL that a user must open. After an error a *link
 * that is not empty is for later: see register_tell_refused. The caller frees both. */
int register_begin(struct remote *remote, struct str label, struct gateway_client *client,
                   struct buf *link, struct err *e);

/* Writes to standard error how the link is used later; nothing for an empty one. */
void register_tell_refused(struct str link);

/* Asks the gateway until client->is_found. A line at the descriptor `input` (-1: none), or its end,
 * makes it ask at once and for the last time. Returns -1 and *e for an error that does not pass. */
int register_wait(struct remote *remote, int input, struct gateway_client *client, struct err *e);

enum { REGISTER_LABEL_SIZE = 256 };

/* Returns the host's name, in `name`, as the deployed clients do; "client" if it is no UTF-8. */
struct str register_default_label(char name[REGISTER_LABEL_SIZE]);

#endif
