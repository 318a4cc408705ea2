#include "daemon/upload_worker.h"

#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/ready.h"
#include "daemon/reason.h"
#include "daemon/upload_message.h"
#include "net/meter.h"
#include "net/stream.h"
#include "proc/cpu_budget.h"
#include "proc/frame.h"
#include "proc/process.h"
#include "store/hash_cache.h"
#include "store/store.h"
#include "zone/gateway.h"
#include "zone/gateway_memory.h"
#include "proto/gateway_message.h"
#include "zone/upload.h"

/* A link that is silent for a minute or two loses no upload: nobody watches this side. */
enum { ASKING_LEAST = 3 };

/* A worker that waits for its turn is not taken for dead. */
enum { STILL_HERE_MS = 60000 };

struct upload_process {
    int fd;
    int64_t max_cpu_ms;
    struct store store;
    struct vouchers vouchers;
    struct loop *loop;
    struct http_client *http;
    struct gateway gateway;
    int64_t id; /* of the job in hand */
    char hash[SHA1_HEX + 1];
    int64_t started_ms;
    struct buf in, out;
    bool is_alone; /* the supervisor is gone */
    struct meter meter;
    struct loop_fd supervisor; /* read in the loop while a credit is awaited */
    enum gateway_kind { GATEWAY_UNKNOWN, GATEWAY_DEPLOYED, GATEWAY_OURS } kept_kind;
};

static void send_upload_message(struct upload_process *w, struct upload_message m)
{
    m.id = w->id;
    m.hash = str_of(w->hash);
    upload_message_put(&w->out, &m);
    if (w->out.failed || frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED) != IO_DONE)
        w->is_alone = true;
}

static void send_progress(void *ctx, int64_t bytes)
{
    send_upload_message(ctx,
                        (struct upload_message){.type = UPLOAD_MESSAGE_PROGRESS, .bytes = bytes});
}

/* Sends a text for the log of this host. */
static void send_log_note(void *ctx, const char *text)
{
    send_upload_message(ctx,
                        (struct upload_message){.type = UPLOAD_MESSAGE_NOTE, .text = str_of(text)});
}

/* The same, but of no file: the supervisor logs it once, whichever worker comes upon it. */
static void send_warning(void *ctx, const char *text)
{
    send_upload_message(
        ctx, (struct upload_message){.type = UPLOAD_MESSAGE_WARNING, .text = str_of(text)});
}

/* The supervisor's end of the socket is closed: the upload is for nobody. */
static bool is_upload_cancelled(void *ctx)
{
    struct upload_process *w = ctx;

    if ((ready_look(w->fd, 0) & READY_FAILED) != 0)
        w->is_alone = true;
    return w->is_alone;
}

/* `reason` is for the requester, `detail` (may be "") for this host's log alone. */
static void send_upload_failed(struct upload_process *w, const char *reason, const char *detail)
{
    send_upload_message(w, (struct upload_message){.type = UPLOAD_MESSAGE_FAILED,
                                                   .reason = str_of(reason),
                                                   .detail = str_of(detail),
                                                   .is_spent = cpu_budget_is_spent(w->max_cpu_ms)});
}

static void send_completed(struct upload_process *w, const struct upload_result *result)
{
    send_upload_message(w, (struct upload_message){.type = UPLOAD_MESSAGE_COMPLETED,
                                                   .size = result->size,
                                                   .existed = result->already_existed,
                                                   .ms = clock_now_ms() - w->started_ms,
                                                   .is_spent = cpu_budget_is_spent(w->max_cpu_ms)});
}

/* ---- bytes that may be sent ---- */

/* Receives the supervisor's next message, without its texts. An upload is then the one in hand. */
static bool receive_upload_message(struct upload_process *w, struct upload_message *m)
{
    struct json *doc = NULL;
    bool is_good = frame_receive(w->fd, &w->in, NULL, ERR_IGNORED) == IO_DONE &&
                   (doc = json_parse(buf_str(&w->in), JSON_STRICT, ERR_IGNORED)) != NULL &&
                   upload_message_read(m, doc, ERR_IGNORED) == 0;

    if (is_good && m->type == UPLOAD_MESSAGE_UPLOAD) {
        w->id = m->id;
        memcpy(w->hash, m->hash.p, SHA1_HEX);
        w->hash[SHA1_HEX] = '\0';
    }
    json_free(doc);
    m->hash = STR("");
    return is_good;
}

static void take_credit(struct upload_process *w, const struct upload_message *m)
{
    loop_remove(w->loop, &w->supervisor);
    w->meter.unsent_bytes = m->unsent < INT32_MAX ? (int)m->unsent : INT32_MAX;
    stream_give_bytes(m->bytes);
}

/* While an upload runs, nothing but credits comes. */
static void on_credit(void *owner)
{
    struct upload_process *w = owner;
    struct upload_message m;

    if (receive_upload_message(w, &m) && m.type == UPLOAD_MESSAGE_CREDIT) {
        take_credit(w, &m);
        return;
    }
    loop_remove(w->loop, &w->supervisor);
    w->is_alone = true;
}

static void ask_for_credit(void *owner)
{
    struct upload_process *w = owner;

    send_upload_message(w, (struct upload_message){.type = UPLOAD_MESSAGE_ASKS});
    if (!w->supervisor.is_added &&
        loop_add(w->loop, &w->supervisor, LOOP_READ, ERR_IGNORED) != 0)
        w->is_alone = true;
}

static void open_meter(struct upload_process *w)
{
    w->supervisor = (struct loop_fd){.fd = w->fd, .call = on_credit, .owner = w};
    w->meter = (struct meter){
        .loop = w->loop, .on_empty = ask_for_credit, .owner = w, .is_open = true};
    meter_use(&w->meter);
}

/* The first bytes are here: the supervisor decides when the upload may go on. */
static int wait_for_turn(void *ctx, struct err *e)
{
    struct upload_process *w = ctx;

    struct upload_message m;

    send_upload_message(w, (struct upload_message){.type = UPLOAD_MESSAGE_BEGUN});
    while (!w->is_alone) {
        if (ready_wait(w->fd, READY_READ, STILL_HERE_MS) == 0)
            send_progress(w, 0);
        else if (!receive_upload_message(w, &m))
            w->is_alone = true;
        else if (m.type == UPLOAD_MESSAGE_CREDIT)
            take_credit(w, &m); /* it came late */
        else
            return 0;
    }
    return err_set(e, ERR_FAILED, "cancelled");
}

static int open_upload_worker(struct upload_process *w, const struct config *config, struct err *e)
{
    w->vouchers = config_vouchers(config);
    if (store_init(&w->store, e) != 0)
        return -1;
    w->store.vouchers = &w->vouchers;
    if ((w->loop = loop_new(NULL, e)) == NULL ||
        (w->http = http_client_new(w->loop, e)) == NULL)
        return -1;
    if (gateway_init(&w->gateway, w->http, config->values[CONFIG_ZONE], e) != 0)
        return -1;
    return identity_load(&w->gateway.identity, w->store.key_dir, e);
}

static void close_upload_worker(struct upload_process *w)
{
    gateway_deinit(&w->gateway);
    http_client_free(w->http);
    loop_free(w->loop);
    store_deinit(&w->store);
    buf_free(&w->in);
    buf_free(&w->out);
    process_reap(NULL, NULL); /* then the supervisor's sum has the time of what hashed, too */
}

/* One try at one of the paths that the hash has. */
struct try {
    struct upload_process *w;
    const struct store_entry *entry;
    bool is_refused; /* the opened file must not leave this host */
};

static int on_upload_opened(void *ctx, int fd, const struct stat *st, bool *must_prove,
                            struct err *e)
{
    struct try *try = ctx;
    int status = store_check_open(try->entry, fd, st, must_prove, e);

    try->is_refused = status != 0;
    return status;
}

static int on_upload_begun(void *ctx, struct err *e)
{
    return wait_for_turn(((struct try *)ctx)->w, e);
}

static void on_upload_progress(void *ctx, int64_t bytes)
{
    send_progress(((struct try *)ctx)->w, bytes);
}

static int upload_entry(struct upload_process *w, const struct store_entry *entry, bool has_begun,
                        struct upload_result *result, struct err *e)
{
    const struct zone_call how = {.watch = {.is_cancelled = is_upload_cancelled,
                                            .on_note = send_log_note,
                                            .on_warning = send_warning,
                                            .ctx = w},
                                  .least = ASKING_LEAST};
    struct try try = {.w = w, .entry = entry};
    struct err why = {0};
    const struct upload_options options = {.hash = w->hash,
                                           .path = entry->path,
                                           .size = entry->size,
                                           .on_opened = on_upload_opened,
                                           .on_begun = has_begun ? NULL : on_upload_begun,
                                           .on_progress = on_upload_progress,
                                           .ctx = &try};

    if (upload_file(&w->gateway, &how, &options, result, &why) != 0)
        return err_from(e, try.is_refused ? ERR_NOT_FOUND : why.code, &why);
    /* All of it was read and has the hash, only the time or the file was another: not to be hashed
     * again. */
    if ((entry->state == STORE_TOUCHED || entry->is_other_file) &&
        (result->was_proven || !result->already_existed)) {
        const struct file_id id = file_id_of(&result->file);
        (void)!store_refresh_link(&w->store, w->hash, entry->path, result->size,
                                  fs_mtime(&result->file), &id, ERR_IGNORED);
    }
    return 0;
}

/* The failure and its file go to this host's log, a reason without the path to the requester. */
static void send_refusal(struct upload_process *w, const struct store_entry *entry,
                         const struct err *e)
{
    const char *reason = reason_of_error(e, entry->kind);
    struct buf detail = {0}, told = {0};

    buf_puts(&detail, entry->path);
    if (reason != e->msg)
        buf_printf(&detail, ": %s", e->msg);
    /* The requester learns whose registration and rights the reason is about. */
    if (e->code == ERR_REFUSED && gateway_message_is_about_client(str_of(reason)))
        buf_puts(&told, "the file's host may not upload: ");
    buf_puts(&told, reason);
    send_upload_failed(w, buf_cstr(&told), buf_cstr(&detail));
    buf_free(&detail);
    buf_free(&told);
}

/* The file at one path after the other, until one is what was shared. */
static void upload_one_of(struct upload_process *w, struct store_entry *entry)
{
    struct upload_result result;
    bool has_begun = false;

    for (;;) {
        struct err e = {0};
        if (upload_entry(w, entry, has_begun, &result, &e) == 0) {
            send_completed(w, &result);
            return;
        }
        /* It may have its old size and time: then linking it again would believe the cache. */
        if (e.code == ERR_CHANGED)
            hash_cache_forget(&w->store, entry->path);
        if ((e.code != ERR_CHANGED && e.code != ERR_NOT_FOUND) || !store_next_target(entry)) {
            send_refusal(w, entry, &e);
            return;
        }
        has_begun = true;
        send_log_note(w, e.msg);
    }
}

static void do_upload_job(struct upload_process *w)
{
    struct store_entry entry = {0};
    struct err e = {0};

    w->started_ms = clock_now_ms();
    if (store_lookup(&w->store, w->hash, &entry, &e) != 0) {
        send_upload_failed(w, REASON_STORE, e.msg);
        return;
    }
    const char *reason =
        entry.state == STORE_ABSENT ? REASON_GONE : reason_of_state(entry.state);
    if (reason != NULL)
        send_upload_failed(w, reason,
                           entry.refusal != NULL ? entry.refusal
                           : entry.path != NULL  ? entry.path
                                                 : "");
    else
        upload_one_of(w, &entry);
    store_entry_deinit(&entry);
}

/* Reports the gateway's kind if it is another than after the job before. */
static void keep_in_mind(struct upload_process *w)
{
    enum gateway_kind kind = !gateway_has_answered(&w->gateway)  ? GATEWAY_UNKNOWN
                             : gateway_is_deployed(&w->gateway) ? GATEWAY_DEPLOYED
                                                                : GATEWAY_OURS;

    if (kind != w->kept_kind)
        gateway_memory_keep(&w->store, &w->gateway);
    w->kept_kind = kind;
}

/* Does a job. Only what that sends is limited: between two of them no credit is to be had. */
static void do_metered_job(struct upload_process *w)
{
    bool is_metered = meter_of_process() != NULL;

    w->meter.is_open = false;
    do_upload_job(w);
    w->meter.is_open = true;
    if (!is_metered)
        return;
    meter_forget(&w->meter);
    loop_remove(w->loop, &w->supervisor);
}

int upload_worker_run(int fd, void *ctx)
{
    const struct upload_worker *options = ctx;
    struct upload_process w = {.fd = fd, .max_cpu_ms = options->max_cpu_ms};
    struct upload_message m;
    struct err e = {0};
    int opened, status = 0;

    opened = open_upload_worker(&w, options->config, &e);
    if (opened == 0 && options->is_metered)
        open_meter(&w);
    while (!w.is_alone && receive_upload_message(&w, &m)) {
        if (opened == 0 && m.type == UPLOAD_MESSAGE_CREDIT) {
            take_credit(&w, &m); /* of an upload that is over */
            continue;
        }
        if (m.type != UPLOAD_MESSAGE_UPLOAD) {
            status = 1;
            break;
        }
        if (opened == 0) {
            do_metered_job(&w);
            keep_in_mind(&w);
            continue;
        }
        send_upload_failed(
            &w, "the host cannot sign its requests: ask its owner to look at its keys", e.msg);
        break;
    }
    close_upload_worker(&w);
    return status;
}
