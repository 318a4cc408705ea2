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

/* link and store-local, store: what is told of each file, and how. */
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

/* Both give the exit status; a wrong label is told here. */
int add_files_run(const struct add_files *what);

struct store_files {
    const char *name;
    const char *const *paths;
    size_t count;
    const char *label; /* NULL: none */
    bool cache_locally;
    enum uri_list_form form;
    bool is_quiet;
};
int store_run(const struct store_files *what);

/* load: gets the file and prints its path as it is. */
int load_run(const char *name, const struct remote_fetch *fetch, struct err *e);

/* cat: [start, end) of the file; end -1: up to its end. */
struct cat_range {
    int64_t start, end;
};
int cat_run(const char *name, const struct remote_fetch *fetch, struct cat_range range,
            struct err *e);

/* Writes a file that is no part of any store, as it is. */
int cat_path(const char *path, struct err *e);

enum info_form {
    INFO_LINES,   /* one "name: value" a member */
    INFO_JSON,    /* on one line */
    INFO_INDENTED /* as Python's json.dumps(indent=4) */
};

/* info: prints what the zone knows. ERR_NOT_FOUND when it does not have the file; then only
 * INFO_JSON prints its answer. */
int info_run(const char *name, const struct kachery_uri *uri, enum info_form form, struct err *e);

/* register, in two parts. The first makes keys where there are none, and registers them if the
 * gateway can be asked for that; *client is then found, or *link is what a user must open. After an
 * error, *link is for later, if it is not empty: register_tell_refused writes it to standard error.
 * The second asks until the client is found; somebody's Enter at `input` (-1: none), or its end,
 * makes it ask at once and for the last time. Caller deinits. */
int register_begin(struct remote *remote, struct str label, struct gateway_client *client,
                   struct buf *link, struct err *e);
void register_tell_refused(struct str link);
int register_wait(struct remote *remote, int input, struct gateway_client *client, struct err *e);

/* The host's name, as the deployed clients do; what is no UTF-8 cannot be a label. */
enum { REGISTER_LABEL_SIZE = 256 };
struct str register_default_label(char name[REGISTER_LABEL_SIZE]);

#endif
