/* The common part of the zone client's commands: local store, keys, gateway; getting a file with a
 * bar. */
#ifndef CMD_REMOTE_H
#define CMD_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/progress.h"
#include "http/http_client.h"
#include "store/store.h"
#include "zone/gateway.h"
#include "zone/transfer.h"

struct remote_bar;

/* For an owner that shows nothing itself but passes on what happens. */
struct remote_hooks {
    void (*on_progress)(void *ctx, enum transfer_phase phase, int64_t bytes, int64_t size);
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
    struct zone_call how; /* for calls of the zone */
    struct remote_bar *bar; /* shown now, or NULL */
    bool has_no_bar;        /* while something is downloaded: it is printed to the terminal */
    int64_t deadline_ms;    /* or CLOCK_NEVER_MS */
    struct remote_hooks hooks; /* all zeros: none */
};

enum remote_keys {
    REMOTE_KEYS_NEEDED,   /* an error without */
    REMOTE_KEYS_IF_THERE, /* anonymous without; a warning when they cannot be used */
    REMOTE_KEYS_SILENTLY, /* the same without the warning: somebody else gave it */
    REMOTE_KEYS_LATER     /* the command sees to them */
};

/* Opens store, keys and gateway. `remote` is not moved until remote_close; `name` is borrowed. With
 * -v, repeated calls and a wrong clock are reported on stderr. On failure there is nothing to
 * close. */
int remote_open(struct remote *remote, const char *name, enum remote_keys keys, struct err *e);

/* Keeps what was learned of the gateway for later commands, and closes everything. */
void remote_close(struct remote *remote);

/* Sets hooks that replace the bar and the words on stderr; called before any work. */
void remote_set_hooks(struct remote *remote, struct remote_hooks hooks);

/* Gets a file like fetch_file, with a progress bar. Sets ask_every_ms and the callbacks of
 * `transfer`. Ctrl-C leaves only files with which a later run can go on. *path is the caller's to
 * free. */
int remote_fetch(struct remote *remote, struct transfer *transfer, char **path, struct err *e);

/* A progress bar for the bytes of one file; zeros but for is_quiet at the start. */
struct remote_bar {
    struct progress progress;
    bool is_quiet;
};

/* Shows `bytes` of `size` (0 or less: unknown). `what`, borrowed, says what is done; the counters
 * begin anew when it changes. */
void remote_bar_show(struct remote_bar *bar, const char *what, int64_t bytes, int64_t size);

/* Removes the bar, so that other output can follow. */
void remote_bar_end(struct remote_bar *bar);

/* Lets calls of the gateway be repeated for a while, and reports that unless `is_quiet`: for a
 * command whose user waits anyway. */
void remote_set_waiting(struct remote *remote, bool is_quiet);

/* Sets when calls of the gateway are given up (clock_now_ms()). */
void remote_set_deadline(struct remote *remote, int64_t deadline_ms);

/* Returns whether that time is over: then a call that failed was given up. */
bool remote_is_late(const struct remote *remote);

/* Returns the milliseconds between two questions for the state of an upload: fewer while a bar is
 * watched. */
int64_t remote_ask_every_ms(bool is_quiet);

#endif
