/* The common part of the zone client's commands: local store, keys, gateway; getting a file with a
 * bar. */
#ifndef CMD_REMOTE_H
#define CMD_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/progress.h"
#include "http/http_client.h"
#include "proto/kachery_uri.h"
#include "store/store.h"
#include "zone/fetch.h"
#include "zone/gateway.h"

struct remote_bar;

/* For who shows nothing itself but passes on what happens. */
struct remote_hooks {
    void (*on_progress)(void *ctx, enum fetch_phase phase, int64_t bytes, int64_t size);
    void (*on_note)(void *ctx, const char *text);
    bool (*is_given_up)(void *ctx); /* asked often in every wait */
    void *ctx;
};

struct remote {
    const char *name; /* of the command */
    struct store store;
    struct loop *loop;
    struct http_client *http;
    struct gateway gateway;
    struct remote_bar *bar; /* shown now, or NULL */
    bool has_no_bar;        /* while something is downloaded */
    int64_t deadline_ms;    /* or CLOCK_NEVER_MS */
    struct remote_hooks hooks; /* all zeros: none */
};

enum remote_keys {
    REMOTE_KEYS_NEEDED,   /* an error without */
    REMOTE_KEYS_IF_THERE, /* anonymous without; a warning when they cannot be used */
    REMOTE_KEYS_SILENTLY, /* the same without the warning: somebody else gave it */
    REMOTE_KEYS_LATER     /* the command sees to them */
};

/* `remote` stays where it is until remote_close. With -v, what is tried again and a wrong clock are
 * told on stderr. On failure there is nothing to close. */
int remote_open(struct remote *remote, const char *name, enum remote_keys keys, struct err *e);
void remote_close(struct remote *remote);

/* Instead of a bar and words on stderr. Before anything is done with it. */
void remote_set_hooks(struct remote *remote, struct remote_hooks hooks);

struct remote_fetch {
    struct kachery_uri uri;
    const char *resource, *to_file, *known_at; /* as in struct fetch_options */
    int64_t max_bytes; /* the same */
    const struct bucket_range *range;
    bool *is_proven; /* with range; as in struct fetch_options */
    bool is_in_folder, keeps_copy, no_request, is_quiet;
    bool has_no_bar; /* while a range comes: standard output is the terminal too */
};

/* fetch_file with a progress bar; Ctrl-C leaves nothing behind that no later run can go on with.
 * *path is the caller's to free. */
int remote_fetch(struct remote *remote, const struct remote_fetch *fetch, char **path,
                 struct err *e);

/* Shows the bytes of one thing in `what` words; the counters begin anew when `what` changes. */
struct remote_bar {
    struct progress progress;
    bool is_quiet;
};
void remote_bar_show(struct remote_bar *bar, const char *what, int64_t bytes, int64_t size);
void remote_bar_end(struct remote_bar *bar);

/* The user waits anyway: what does not answer is asked for a while, and that is said. */
void remote_set_waiting(struct remote *remote, bool is_quiet);

/* Calls of the gateway are given up at that time (clock_now_ms()). A call that fails when
 * remote_is_late failed because of it. */
void remote_set_deadline(struct remote *remote, int64_t deadline_ms);
bool remote_is_late(const struct remote *remote);

/* How often a resource is asked for the state: more often when somebody is watching a bar. */
int64_t remote_ask_every_ms(bool is_quiet);

#endif
