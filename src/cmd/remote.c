#include "cmd/remote.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/quote.h"
#include "base/setting.h"
#include "cmd/cmd.h"
#include "cmd/interrupt.h"
#include "zone/fetch.h"
#include "zone/gateway_memory.h"

enum { ASK_WATCHED_MS = 1000, ASK_UNWATCHED_MS = 10000 };

static int load_keys(struct remote *remote, enum remote_keys keys, struct err *e)
{
    struct err why = {0};

    if (keys == REMOTE_KEYS_LATER ||
        identity_load(&remote->gateway.identity, remote->store.key_dir, &why) == 0)
        return 0;
    /* A user who sets keys does not want to be anonymous instead. */
    if (keys == REMOTE_KEYS_NEEDED || env_get("KACHERY_CLOUD_CLIENT_ID") != NULL)
        return err_set(e, ERR_FAILED, "%s", why.msg);
    if (why.code != ERR_NOT_FOUND && keys != REMOTE_KEYS_SILENTLY) {
        err_wrap(&why, "going on without the client's keys");
        cmd_warn(remote->name, &why);
    }
    return 0;
}

static void show_note(void *ctx, const char *text)
{
    struct remote *remote = ctx;
    struct err note;

    if (remote->hooks.on_note != NULL) {
        remote->hooks.on_note(remote->hooks.ctx, text);
        return;
    }
    if (remote->bar != NULL)
        remote_bar_end(remote->bar);
    err_set(&note, ERR_NONE, "%s", text);
    cmd_warn(remote->name, &note);
}

bool remote_is_late(const struct remote *remote)
{
    return remote->deadline_ms != CLOCK_NEVER_MS && clock_now_ms() >= remote->deadline_ms;
}

/* Asked often in every wait: the bar moves too. */
static bool is_remote_given_up(void *ctx)
{
    const struct remote *remote = ctx;

    if (remote->bar != NULL && remote->bar->progress.what != NULL)
        progress_tick(&remote->bar->progress);
    return remote_is_late(remote) || (remote->hooks.is_given_up != NULL &&
                                      remote->hooks.is_given_up(remote->hooks.ctx));
}

void remote_set_waiting(struct remote *remote, bool is_quiet)
{
    remote->how.patience = ZONE_WAITED_FOR;
    remote->how.watch.on_note = is_quiet && !cmd_is_verbose() ? NULL : show_note;
}

void remote_set_deadline(struct remote *remote, int64_t deadline_ms)
{
    remote->deadline_ms = deadline_ms;
}

void remote_set_hooks(struct remote *remote, struct remote_hooks hooks)
{
    remote->hooks = hooks;
}

/* Before anybody is asked for anything. */
static int check_resource(struct err *e)
{
    static const char variable[] = "KACHERY_RESOURCE_URL";
    char quoted[QUOTE_SIZE];
    const char *where;

    if (setting_text(variable, &where, e) != 0)
        return -1;
    if (where != NULL && strchr(where, '/') != NULL && strstr(where, "://") == NULL)
        return err_set(e, ERR_FAILED,
                       "%s \"%s\": no scheme: want https://HOST/r/NAME, http://HOST/r/NAME, or the "
                       "resource's name alone",
                       variable, quote_str(quoted, str_of(where)));
    return 0;
}

int remote_open(struct remote *remote, const char *name, enum remote_keys keys, struct err *e)
{
    *remote = (struct remote){.name = name, .deadline_ms = CLOCK_NEVER_MS};
    if (check_resource(e) != 0 || store_init(&remote->store, e) != 0)
        return -1;
    if ((remote->loop = loop_new(NULL, e)) != NULL &&
        (remote->http = http_client_new(remote->loop, e)) != NULL &&
        gateway_init(&remote->gateway, remote->http, NULL, e) == 0 &&
        load_keys(remote, keys, e) == 0) {
        /* Somebody who waits at a terminal wants to know why. */
        bool is_told = cmd_is_verbose() || isatty(STDERR_FILENO);
        remote->how.watch = (struct zone_watch){.is_cancelled = is_remote_given_up,
                                                .on_note = is_told ? show_note : NULL,
                                                .on_warning = show_note,
                                                .ctx = remote};
        return 0;
    }
    remote_close(remote);
    return -1;
}

void remote_close(struct remote *remote)
{
    if (remote->store.dir != NULL)
        gateway_memory_keep(&remote->store, &remote->gateway);
    gateway_deinit(&remote->gateway);
    http_client_free(remote->http);
    loop_free(remote->loop);
    store_deinit(&remote->store);
}

void remote_bar_show(struct remote_bar *bar, const char *what, int64_t bytes, int64_t size)
{
    if (bar->progress.what == NULL)
        progress_init(&bar->progress, what, bar->is_quiet);
    else if (strcmp(bar->progress.what, what) != 0)
        progress_begin_part(&bar->progress, what);
    bar->progress.bytes_total = size > 0 ? (uint64_t)size : 0;
    progress_update(&bar->progress, 0, bytes > 0 ? (uint64_t)bytes : 0);
}

void remote_bar_end(struct remote_bar *bar)
{
    if (bar->progress.what != NULL)
        progress_clear(&bar->progress);
}

int64_t remote_ask_every_ms(bool is_quiet)
{
    return !is_quiet && isatty(STDERR_FILENO) ? ASK_WATCHED_MS : ASK_UNWATCHED_MS;
}

static void show_phase(void *ctx, enum transfer_phase phase, int64_t bytes, int64_t size)
{
    static const char *const words[] = {
        [TRANSFER_ASKING_ZONE] = "asking the zone",
        [TRANSFER_ASKING_RESOURCE] = "asking the resource",
        [TRANSFER_CHECKING] = "checking",
        [TRANSFER_COPYING] = "copying",
        [TRANSFER_QUEUED] = "queued at the host",
        [TRANSFER_UPLOADING] = "the host uploads",
        [TRANSFER_WAITING_FOR_HOST] = "waiting for a host that is away",
        [TRANSFER_BUILDING] = "the host prepares",
        [TRANSFER_DOWNLOADING] = "downloading",
    };

    struct remote *remote = ctx;

    if (remote->has_no_bar && phase == TRANSFER_DOWNLOADING)
        remote_bar_end(remote->bar);
    else if (remote->hooks.on_progress != NULL)
        remote->hooks.on_progress(remote->hooks.ctx, phase, bytes, size);
    else
        remote_bar_show(remote->bar, words[phase], bytes, size);
}

/* A worker is ended by its parent, and cleans up itself. */
static void guard_temporary(void *ctx, const char *temporary)
{
    const struct remote *remote = ctx;

    if (remote->hooks.is_given_up == NULL)
        interrupt_guard(NULL, temporary);
}

int remote_fetch(struct remote *remote, struct transfer *transfer, char **path, struct err *e)
{
    struct remote_bar bar = {.is_quiet = transfer->is_quiet};
    int result;

    transfer->ask_every_ms = remote_ask_every_ms(transfer->is_quiet);
    transfer->on_progress = show_phase;
    transfer->on_temporary = guard_temporary;
    transfer->ctx = remote;
    remote->bar = &bar;
    remote_set_waiting(remote, transfer->is_quiet);
    result = fetch_file(&remote->gateway, &remote->how, &remote->store, transfer, path, e);
    remote->bar = NULL;
    remote_bar_end(&bar);
    return result;
}
