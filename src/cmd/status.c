/* status: whether the daemon of a config runs, from any host that sees its folder, and how it
 * does. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/look.h"
#include "daemon/config.h"
#include "daemon/status_text.h"

struct status_command {
    const char *config_path;
    bool is_json, is_watch, is_verbose;
    struct intervals intervals;
};

static int exit_status_of(enum liveness_verdict verdict)
{
    switch (verdict) {
    case LIVENESS_ALIVE: return CMD_OK;
    case LIVENESS_NONE: return CMD_NOT_FOUND;
    case LIVENESS_UNCLEAR: break;
    }
    return CMD_FAILED;
}

/* --- JSON --- */

static void put_cron_member(struct buf *out, const struct cron_record *cron)
{
    if (cron->at_ms == 0 && cron->outcome[0] == '\0') {
        json_put_null(out, "cron");
        return;
    }
    json_open_member(out, "cron", '{');
    if (cron->at_ms != 0) {
        json_put_str(out, "host", str_of(cron->host));
        json_put_int(out, "ms", cron->at_ms);
    }
    json_put_str(out, "outcome", str_of(cron->outcome));
    json_close(out, '}');
}

/* The members that this command puts itself. */
static bool is_own_member(struct str key, bool has_record)
{
    static const char *const own[] = {"alive", "leaseAgeMs", "reason", "statusTrouble", "cron"};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (str_equal(key, str_of(own[i])))
            return true;
    return has_record && (str_equal(key, STR("host")) || str_equal(key, STR("pid")));
}

/* Host and process are the holder's; those of the status file where there is none. */
static void put_file_members(struct buf *out, const struct status_found *found)
{
    for (const struct json *value = json_first(found->status); value != NULL;
         value = json_next(value)) {
        struct buf key = {0};
        buf_put(&key, json_key(value));
        if (!is_own_member(buf_str(&key), found->life.has_record))
            json_put_value(out, buf_cstr(&key), value);
        buf_free(&key);
    }
}

static void put_verdict_members(struct buf *out, const struct liveness *life, bool has_file)
{
    if (life->verdict == LIVENESS_UNCLEAR)
        json_put_null(out, "alive");
    else
        json_put_bool(out, "alive", life->verdict == LIVENESS_ALIVE);
    if (life->has_record && life->age_ms >= 0)
        json_put_int(out, "leaseAgeMs", life->age_ms);
    else
        json_put_null(out, "leaseAgeMs");
    json_put_str(out, "reason", str_of(life->reason));
    if (life->has_record) {
        json_put_str(out, "host", str_of(life->record.host));
        json_put_int(out, "pid", life->record.pid);
    } else if (!has_file) { /* else the file has them */
        json_put_null(out, "host");
        json_put_null(out, "pid");
    }
}

static void put_status_json(struct buf *out, const struct status_found *found)
{
    json_open(out, '{');
    put_verdict_members(out, &found->life, found->status != NULL);
    put_file_members(out, found);
    if (found->trouble[0] != '\0')
        json_put_str(out, "statusTrouble", str_of(found->trouble));
    put_cron_member(out, &found->cron);
    json_close(out, '}');
    buf_putc(out, '\n');
}

/* --- the command --- */

static void print_found(const struct status_command *c, const struct status_found *found)
{
    struct buf out = {0};

    if (c->is_json)
        put_status_json(&out, found);
    else
        status_text_put(&out, &(struct status_text){.life = &found->life,
                                                    .status = found->status,
                                                    .status_trouble = found->trouble,
                                                    .cron = &found->cron,
                                                    .now_ms = clock_wall_ms(),
                                                    .is_verbose = c->is_verbose});
    cmd_print_buf(&out);
    buf_free(&out);
}

/* Without an answer of the file system nothing is known. */
static void print_unclear(const struct err *e)
{
    struct status_found nothing = {.life = {.verdict = LIVENESS_UNCLEAR, .age_ms = -1}};
    struct buf out = {0};

    if (e->code == ERR_NOT_FOUND)
        nothing.life.verdict = LIVENESS_NONE;
    snprintf(nothing.life.reason, sizeof nothing.life.reason, "%s", e->msg);
    put_status_json(&out, &nothing);
    cmd_print_buf(&out);
    buf_free(&out);
}

static int show_once(const struct status_command *c, struct status_look *look, int64_t pause_ms)
{
    const struct status_question question = {.pause_ms = pause_ms,
                                             .watch_ms = c->intervals.look_watch_ms};
    struct status_found found;
    struct err e = {0};
    int status;

    if (status_look_run(look, &question, &found, &e) == 0) {
        if (c->is_watch && isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        print_found(c, &found);
        status = exit_status_of(found.life.verdict);
    } else {
        if (c->is_json)
            print_unclear(&e);
        status = look_fail("status", &e);
    }
    status_found_deinit(&found);
    return status;
}

/* Until a signal, or nobody reads it any more. */
static int show_again_and_again(const struct status_command *c, struct status_look *look)
{
    int status = show_once(c, look, 0);

    while (fflush(stdout) == 0 && !ferror(stdout)) {
        if (!isatty(STDOUT_FILENO))
            putchar('\n');
        status = show_once(c, look, c->intervals.look_again_ms);
    }
    return status;
}

static int show_daemon_status(struct status_command *c)
{
    struct status_look *look;
    struct err e = {0};
    int status;

    if (intervals_load(&c->intervals, &e) != 0)
        return cmd_fail("status", &e);
    look = status_look_new(c->config_path, &c->intervals, &e);
    if (look == NULL)
        return cmd_fail("status", &e);
    status = c->is_watch ? show_again_and_again(c, look) : show_once(c, look, 0);
    status_look_free(look);
    return status;
}

int cmd_status(int argc, char **argv)
{
    struct status_command c = {.config_path = CONFIG_DEFAULT_PATH};
    const struct cmd_option options[] = {
        {.name = "config", .value = &c.config_path, .is_path = true},
        {.name = "json", .flag = &c.is_json},
        {.name = "watch", .flag = &c.is_watch},
        {0},
    };
    struct cmd_args args = {.options = options};
    int status = cmd_parse("status", argc, argv, &args);

    if (status >= 0)
        return status;
    if (c.is_json && c.is_watch)
        return cmd_usage_error("status", "--json prints once, --watch again and again: want one");
    c.is_verbose = args.is_verbose;
    return cmd_finish("status", show_daemon_status(&c));
}
