#include "daemon/registration.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha1.h"
#include "daemon/child_log.h"
#include "proc/child.h"
#include "proc/frame.h"
#include "store/store.h"
#include "zone/gateway.h"

enum { MAX_DOUBLINGS = 4, STOPPED_MS = 60000 };

static const char child_name[] = "kachery-check";

/* The one message, from the child. */
struct check_answer {
    struct str clock;   /* a warning of this host's clock; "" */
    struct str failed;  /* why it is not known; "" */
    struct str refused; /* why it may not upload; "" */
    bool has_answered, has_clock, is_found, may_upload;
    int64_t ahead_ms;
};

#define AT(member) offsetof(struct check_answer, member)

static const struct field check_fields[] = {
    {.name = "clock", .kind = FIELD_STRING, .at = AT(clock)},
    {.name = "failed", .kind = FIELD_STRING, .at = AT(failed)},
    {.name = "refused", .kind = FIELD_STRING, .at = AT(refused)},
    {.name = "hasAnswered", .kind = FIELD_BOOL, .at = AT(has_answered)},
    {.name = "hasClock", .kind = FIELD_BOOL, .at = AT(has_clock)},
    {.name = "aheadMs", .kind = FIELD_SIGNED, .at = AT(ahead_ms)},
    {.name = "found", .kind = FIELD_BOOL, .at = AT(is_found)},
    {.name = "mayUpload", .kind = FIELD_BOOL, .at = AT(may_upload)},
    {.kind = FIELD_END}};

/* Begins an upload of the empty file, which leaves nothing behind: the gateway checks the rights
 * first. */
static int ask_for_upload(struct gateway *g, bool *may_upload, struct err *refusal, struct err *e)
{
    static const char empty[] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    const struct zone_call how = {.patience = ZONE_ASKED};
    struct gateway_upload upload = {0};
    struct err why = {0};

    *may_upload = gateway_initiate_upload(g, &how, empty, 0, &upload, &why) == 0;
    gateway_upload_deinit(&upload);
    if (*may_upload)
        return 0;
    if (why.code != ERR_REFUSED)
        return err_copy(e, &why);
    *refusal = why;
    return 0;
}

/* Asks the gateway, in the child. */
static int ask_gateway_for_client(struct gateway *g, const char *key_dir, bool *is_found,
                                  struct err *e)
{
    const struct zone_call how = {.patience = ZONE_ASKED};
    struct gateway_client client = {0};

    if (identity_load(&g->identity, key_dir, e) != 0 ||
        gateway_client_info(g, &how, g->identity.client_id, &client, e) != 0)
        return -1;
    *is_found = client.is_found;
    gateway_client_deinit(&client);
    return *is_found ? 0 : gateway_check_zone(g, &how, e);
}

static void send_check_answer(int fd, const struct gateway *g, struct check_answer *answer,
                              const struct err *refusal, const struct err *e)
{
    struct buf out = {0}, clock = {0};

    gateway_put_clock(g, &clock);
    answer->clock = buf_str(&clock);
    answer->failed = str_of(e->msg);
    answer->refused = str_of(refusal->msg);
    answer->has_answered = gateway_has_answered(g);
    answer->has_clock = g->has_clock;
    answer->ahead_ms = g->ahead_ms;
    fields_put(&out, check_fields, answer);
    if (!out.failed && !clock.failed) /* without an answer it is asked again */
        frame_send(fd, buf_str(&out), -1, ERR_IGNORED);
    buf_free(&out);
    buf_free(&clock);
}

static int run_check(int fd, void *ctx)
{
    const struct registration *r = ctx;
    struct loop *loop = NULL;
    struct http_client *http = NULL;
    struct gateway g = {0};
    struct store store = {0};
    struct check_answer answer = {.is_found = false};
    struct err e = {0}, refusal = {0};
    int result = store_init(&store, &e);

    if (result == 0 && (loop = loop_new(NULL, &e)) != NULL)
        http = http_client_new(loop, &e);
    if (http == NULL)
        result = -1;
    if (result == 0)
        result = gateway_init(&g, http, r->config->values[CONFIG_ZONE], &e);
    if (result == 0)
        result = ask_gateway_for_client(&g, store.key_dir, &answer.is_found, &e);
    if (result == 0 && answer.is_found && r->asks_upload)
        (void)!ask_for_upload(&g, &answer.may_upload, &refusal, &e);
    send_check_answer(fd, &g, &answer, &refusal, &e);
    gateway_deinit(&g);
    store_deinit(&store);
    http_client_free(http);
    loop_free(loop);
    return 0;
}

/* Sets when it is asked again: soon where something is wrong. */
static void ask_again_later(struct registration *r)
{
    bool is_well = r->view.state == REGISTRATION_DONE && r->view.failed_ms == 0;
    int64_t pause_ms = r->retry_ms << r->attempts;

    if (is_well) {
        pause_ms = r->asks_upload ? r->check_ms : r->first_ms;
        r->attempts = 0;
    } else if (r->attempts < MAX_DOUBLINGS) {
        r->attempts++;
    }
    r->asks_upload = r->asks_upload || is_well;
    loop_set_timer(r->loop, &r->alarm, loop_now_ms(r->loop) + pause_ms);
    r->view.next_try_ms = clock_wall_ms() + pause_ms;
    r->on_change(r->owner);
}

static void log_once(struct registration *r, const struct err *what)
{
    if (strcmp(r->told.msg, what->msg) != 0)
        log_line(LOG_WARN, "%s", what->msg);
    r->told = *what;
}

static void note_failure(struct registration *r, struct str cause)
{
    struct err what = {0};

    if (r->view.failed_ms == 0)
        r->view.failed_ms = clock_wall_ms();
    err_set(&r->view.failure, ERR_FAILED, "%.*s", STR_ARG(cause));
    err_set(&what, ERR_FAILED, "cannot tell whether this client is registered: %.*s",
            STR_ARG(cause));
    log_once(r, &what);
}

/* Not the link: its signature is for the owner of the keys, logs are for more people. */
static void note_missing(struct registration *r)
{
    if (r->view.state != REGISTRATION_MISSING)
        log_line(LOG_WARN,
                 "this client is not registered in zone %s: uploads will be refused until "
                 "`kachery-resource register` has been run here, with the same environment",
                 r->config->values[CONFIG_ZONE]);
    r->view.state = REGISTRATION_MISSING;
}

static void note_registered(struct registration *r)
{
    if (r->view.state != REGISTRATION_DONE || r->view.failed_ms != 0)
        log_line(LOG_INFO, "this client is registered in zone %s",
                 r->config->values[CONFIG_ZONE]);
    r->view.state = REGISTRATION_DONE;
}

static void note_upload_right(struct registration *r, const struct check_answer *answer)
{
    struct err what = {0};

    if (!answer->may_upload && answer->refused.len == 0)
        return; /* it was not asked */
    r->view.is_upload_known = true;
    r->view.may_upload = answer->may_upload;
    err_set(&r->view.refusal, ERR_REFUSED, "%.*s", STR_ARG(answer->refused));
    if (answer->may_upload)
        return;
    err_set(&what, ERR_REFUSED, "this client may not upload: %.*s", STR_ARG(answer->refused));
    log_once(r, &what);
}

static void take_check_answer(struct registration *r, const struct check_answer *answer)
{
    if (answer->clock.len > 0)
        log_line(LOG_WARN, "%.*s", STR_ARG(answer->clock));
    if (answer->has_answered)
        r->view.answered_ms = clock_wall_ms();
    r->view.has_clock = r->view.has_clock || answer->has_clock;
    if (answer->has_clock)
        r->view.ahead_ms = answer->ahead_ms;
    if (answer->is_found)
        note_registered(r);
    else if (answer->failed.len == 0)
        note_missing(r);
    note_upload_right(r, answer);
    if (answer->failed.len > 0) {
        note_failure(r, answer->failed);
    } else {
        r->view.failed_ms = 0;
        r->view.failure = (struct err){0};
    }
    r->on_change(r->owner);
}

static bool on_check_frame(void *owner, struct str frame, int fd)
{
    struct json *document = json_parse(frame, JSON_STRICT, ERR_IGNORED);
    struct check_answer answer;
    bool is_message = fields_read(check_fields, document, &answer, NULL, ERR_IGNORED) == 0;

    if (fd >= 0)
        close(fd);
    if (is_message)
        take_check_answer(owner, &answer);
    json_free(document);
    return is_message;
}

/* Logs the child's end, which follows its answer, and plans the next one. */
static void on_check_event(void *owner, enum child_event event, const char *words)
{
    struct registration *r = owner;

    child_log_event(r->child, event, child_name, words);
    if (event != CHILD_ENDED)
        return;
    r->child = NULL;
    ask_again_later(r);
}

static void start_client_check(void *owner)
{
    struct registration *r = owner;
    const struct child_options options = {
        .loop = r->loop,
        .process = {.name = child_name, .run = run_check, .ctx = r, .asks_servers = true},
        .policy = {.stopped_ms = STOPPED_MS},
        .on_frame = on_check_frame,
        .on_event = on_check_event,
        .owner = r};

    r->child = child_start(&options, ERR_IGNORED);
    if (r->child == NULL)
        ask_again_later(r);
    else
        child_watch(r->child, true);
}

void registration_start(struct registration *r)
{
    r->alarm = (struct loop_timer){.call = start_client_check, .owner = r};
    loop_set_timer(r->loop, &r->alarm, 0);
}

void registration_cancel(struct registration *r)
{
    if (r->loop == NULL)
        return;
    loop_clear_timer(r->loop, &r->alarm);
    child_free(r->child);
    r->child = NULL;
}
