/* request: ask a resource to put a file into the zone, and say how far it is. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/remote.h"
#include "store/hash.h"
#include "zone/gateway_memory.h"
#include "zone/hub_file.h"
#include "zone/resource.h"

enum {
    DEFAULT_TIMEOUT_MS = 5000,
    MAX_TIMEOUT_S = 24 * 3600,
    LAST_GRACE_MS = 1000 /* with --wait: an answer that comes with the end is still taken */
};

/* The final answer. Its source matters: see `request --json` in --help. */
struct answer {
    enum { AT_RESOURCE, IN_STORE, IN_ZONE } where;
    enum upload_state state;
    int64_t size, bytes_uploaded; /* MESSAGE_ABSENT: not known */
    char error[ERR_MESSAGE_SIZE];
};

struct request {
    struct kachery_uri uri;
    const char *resource;
    int64_t timeout_ms; /* -1: not given */
    bool is_wait, is_json, is_quiet;
};

static void put_flag(struct buf *out, const char *key, bool is_null, bool value)
{
    if (is_null)
        json_put_null(out, key);
    else
        json_put_bool(out, key, value);
}

/* The result that the Python client's request_file gives. */
static void put_answer_json(struct buf *out, const struct answer *answer)
{
    bool is_near = answer->where != AT_RESOURCE;
    enum upload_state state = answer->state;

    json_open(out, '{');
    json_put_bool(out, "found", state != UPLOAD_NOT_FOUND && state != UPLOAD_ERROR);
    put_flag(out, "queued", is_near, state == UPLOAD_QUEUED);
    put_flag(out, "completed", answer->where == IN_STORE, state == UPLOAD_COMPLETED);
    put_flag(out, "running", is_near, state == UPLOAD_RUNNING);
    json_put_bool(out, "local", answer->where == IN_STORE);
    json_put_bool(out, "errored", state == UPLOAD_ERROR);
    json_put_str(out, "error_message", str_of(answer->error));
    json_put_count(out, "size", answer->size);
    json_put_count(out, "bytes_uploaded", answer->bytes_uploaded);
    json_close(out, '}');
    buf_putc(out, '\n');
}

/* While a resource is asked. */
struct asking {
    struct remote *remote;
    const char *hash;
    bool is_warned; /* that the file is too large for the gateway */
};

static void put_answer_line(struct buf *out, const struct answer *answer)
{
    buf_puts(out, answer->where == IN_STORE ? "local" : message_state_name(answer->state));
    if (answer->state == UPLOAD_RUNNING && answer->size > 0 && answer->bytes_uploaded >= 0)
        buf_printf(out, " %lld of %lld bytes", (long long)answer->bytes_uploaded,
                   (long long)answer->size);
    buf_putc(out, '\n');
}

static int request_exit_status(enum upload_state state)
{
    switch (state) {
    case UPLOAD_COMPLETED: return CMD_OK;
    case UPLOAD_NOT_FOUND: return CMD_NOT_FOUND;
    case UPLOAD_QUEUED:
    case UPLOAD_RUNNING: return CMD_UNFINISHED;
    default: return CMD_FAILED;
    }
}

static int report_answer(const struct request *request, const struct answer *answer)
{
    struct buf out = {0};

    if (answer->state == UPLOAD_ERROR) {
        struct err e;
        err_set(&e, ERR_FAILED, "sha1://%s: %s", request->uri.hash, answer->error);
        cmd_warn("request", &e);
    }
    if (request->is_json)
        put_answer_json(&out, answer);
    else
        put_answer_line(&out, answer);
    cmd_print_buf(&out);
    buf_free(&out);
    return cmd_finish("request", request_exit_status(answer->state));
}

/* Deployed hosts find out only at the end that the gateway does not take so much. */
static void warn_of_size(struct asking *asking, int64_t size)
{
    struct err e;

    if (asking->is_warned || gateway_check_size(&asking->remote->gateway, size, &e) == 0)
        return;
    asking->is_warned = true;
    remote_bar_end(asking->remote->bar);
    err_wrap(&e, "sha1://%s", asking->hash);
    cmd_warn("request", &e);
}

/* Adds the cure that a deployed host does not name. */
static void add_cure(const struct gateway *g, struct answer *answer)
{
    static const char cure[] =
        ": a hub of your own (kachery-resource hub) has no limit but its disk";
    size_t len = strlen(answer->error);

    if (gateway_is_deployed(g) && strstr(answer->error, "File too large") != NULL &&
        strstr(answer->error, cure) == NULL && len + sizeof cure <= sizeof answer->error)
        memcpy(answer->error + len, cure, sizeof cure);
}

static void show_status(void *ctx, const struct upload_status *status)
{
    struct asking *asking = ctx;

    warn_of_size(asking, status->size);
    remote_bar_show(asking->remote->bar,
                    status->state == UPLOAD_QUEUED ? "queued at the host" : "the host uploads",
                    status->bytes_uploaded, status->size);
}

/* One question, or with --wait as many as it takes. */
static int ask_resource(struct remote *remote, const struct request *request, int64_t began_ms,
                        struct answer *answer, struct err *e)
{
    struct asking asking = {.remote = remote, .hash = request->uri.hash};
    struct resource_wait wait = {.every_ms = remote_ask_every_ms(request->is_quiet),
                                 .deadline_ms = CLOCK_NEVER_MS,
                                 .gateway = &remote->gateway,
                                 .watch = &remote->how.watch,
                                 .on_status = show_status,
                                 .ctx = &asking};
    int64_t timeout_ms = request->timeout_ms < 0 ? DEFAULT_TIMEOUT_MS : request->timeout_ms;
    struct resource resource = {0};
    struct upload_status status;
    struct buf text = {0};
    int result;

    remote_bar_show(remote->bar, "asking the resource", 0, 0);
    if (resource_init(&resource, &remote->gateway, &remote->how, request->resource, e) != 0)
        return -1;
    if (request->timeout_ms >= 0)
        wait.deadline_ms = began_ms + request->timeout_ms;
    if (request->is_wait)
        result = resource_request_wait(&resource, request->uri.hash, &wait, &status, &text, e);
    else
        result = resource_request(&resource, &remote->gateway, &remote->how.watch,
                                  request->uri.hash, timeout_ms, &status, &text, e);
    if (result == 0) {
        answer->state = status.state;
        answer->size = status.size;
        answer->bytes_uploaded = status.bytes_uploaded;
        if (status.state == UPLOAD_ERROR) {
            snprintf(answer->error, sizeof answer->error, "%.*s",
                     STR_ARG(str_cut(status.error, sizeof answer->error - 1)));
            add_cure(&remote->gateway, answer);
        } else {
            warn_of_size(&asking, status.size);
        }
    }
    resource_deinit(&resource);
    buf_free(&text);
    return result;
}

/* A link whose file was touched is hashed again. */
static bool on_bytes_checked(void *ctx, int64_t bytes)
{
    struct remote *remote = ctx;

    remote_bar_show(remote->bar, "checking", bytes, 0);
    return !remote_is_late(remote);
}

/* Looks in the local store, in the zone, and asks the resource. */
static int find_answer(struct remote *remote, const struct request *request, struct answer *answer,
                       struct err *e)
{
    int64_t began_ms = clock_now_ms();
    const struct hash_watch watch = {on_bytes_checked, remote};
    struct store_entry entry = {0};
    struct gateway_file file = {0};
    bool is_local, is_in_zone;

    *answer = (struct answer){.where = IN_STORE, .state = UPLOAD_COMPLETED, .bytes_uploaded = -1};
    if (store_find(&remote->store, &request->uri, &watch, &entry, e) != 0)
        return -1;
    is_local = entry.state == STORE_OK;
    answer->size = entry.size;
    store_entry_deinit(&entry);
    if (is_local)
        return 0;

    answer->where = IN_ZONE;
    remote_bar_show(remote->bar, "asking the zone", 0, 0);
    if (gateway_find_file(&remote->gateway, &remote->how, request->uri.hash, &file, e) != 0)
        return -1;
    is_in_zone = file.is_found && !hub_file_is_at_host(&remote->gateway, &file);
    answer->size = file.size;
    gateway_file_deinit(&file);
    if (is_in_zone)
        return 0;

    answer->where = AT_RESOURCE;
    return ask_resource(remote, request, began_ms, answer, e);
}

static int run_request(const struct request *request)
{
    struct remote_bar bar = {.is_quiet = request->is_quiet};
    struct answer answer;
    struct remote remote;
    struct err e = {0};
    int result;

    if (remote_open(&remote, "request", REMOTE_KEYS_IF_THERE, &e) != 0)
        return cmd_fail("request", &e);
    if (request->is_wait)
        remote_set_waiting(&remote, request->is_quiet);
    if (request->is_wait && request->timeout_ms >= 0)
        remote_set_deadline(&remote, clock_now_ms() + request->timeout_ms + LAST_GRACE_MS);
    remote.bar = &bar;
    result = find_answer(&remote, request, &answer, &e);
    remote_bar_end(&bar);
    if (result != 0) {
        if (remote_is_late(&remote))
            err_set(&e, ERR_TIMEOUT, "no answer within %g s",
                    (double)request->timeout_ms / 1000);
        if (e.code == ERR_USAGE) {
            remote_close(&remote);
            return cmd_fail("request", &e);
        }
        /* No party answered that the file is not there. */
        answer = (struct answer){.state = UPLOAD_ERROR, .size = -1, .bytes_uploaded = -1};
        memcpy(answer.error, e.msg, sizeof answer.error);
    }
    remote_close(&remote);
    return report_answer(request, &answer);
}

int cmd_request(int argc, char **argv)
{
    struct request request = {.timeout_ms = -1};
    const struct cmd_option options[] = {
        {.name = "resource", .value = &request.resource},
        {.name = "timeout", .ms = &request.timeout_ms, .max = MAX_TIMEOUT_S},
        {.name = "wait", .flag = &request.is_wait},
        {.name = "json", .flag = &request.is_json},
        {0},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    int status = cmd_parse("request", argc, argv, &args);
    struct err e;

    if (status >= 0)
        return status;
    if (kachery_uri_parse(&request.uri, str_of(args.operands[0]), KACHERY_URI_USER, &e) != 0)
        return cmd_fail("request", &e);
    request.is_quiet = args.is_quiet;
    return run_request(&request);
}
