/* stop: ends the daemon of a config, from any host that sees its folder. */
#include <string.h>

#include "base/clock.h"
#include "base/time_text.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/look.h"
#include "daemon/config.h"

enum { WAIT_MS = 15000, MAX_WAIT_S = 86400, PAUSE_MS = 200, WATCH_MS = 1000 };

struct stop_command {
    const char *config_path;
    int64_t wait_ms;
    struct intervals intervals;
    struct status_look *look;
    struct status_found asked; /* the daemon as it was when it was asked to end */
};

static void put_cron_note(struct buf *out, const struct cron_record *cron)
{
    if (cron->at_ms == 0)
        return;
    buf_puts(out, "cron would start it again: `share --cron` last ran on ");
    buf_puts(out, cron->host);
    buf_puts(out, " at ");
    time_text_put_near(out, cron->at_ms, clock_wall_ms());
    buf_puts(out, "; take its line out of the crontab there\n");
}

static bool is_another(const struct lease_record *a, const struct lease_record *b)
{
    return strcmp(a->token, b->token) != 0;
}

/* The holder has gone, whether or not another one has come. */
static bool has_ended(const struct stop_command *c, const struct status_found *now)
{
    return now->life.verdict == LIVENESS_NONE || !now->life.has_record ||
           is_another(&now->life.record, &c->asked.life.record);
}

static void print_end(const struct stop_command *c, const struct status_found *now)
{
    struct buf out = {0};

    look_put_holder(&out, &c->asked);
    buf_puts(&out, " has ended\n");
    if (now->life.verdict != LIVENESS_NONE && now->life.has_record) {
        look_put_holder(&out, now);
        buf_puts(&out, " shares it now\n");
    }
    put_cron_note(&out, &c->asked.cron);
    cmd_print_buf(&out);
    buf_free(&out);
}

static int report_running(const struct stop_command *c)
{
    struct buf text = {0}, note = {0};
    struct err e;

    look_put_holder(&text, &c->asked);
    buf_printf(&text, " was asked to end and has not within %lld s%s%s",
               (long long)c->wait_ms / 1000,
               c->asked.life.verdict == LIVENESS_UNCLEAR ? ": " : "",
               c->asked.life.verdict == LIVENESS_UNCLEAR ? c->asked.life.reason : "");
    err_set(&e, ERR_TIMEOUT, "%s", cmd_words(&text));
    cmd_warn("stop", &e);
    put_cron_note(&note, &c->asked.cron);
    cmd_print_buf(&note);
    buf_free(&text);
    buf_free(&note);
    return CMD_UNFINISHED;
}

/* A file system that does not answer for a while is asked again until the time is up. */
static int wait_for_daemon_end(struct stop_command *c)
{
    int64_t until_ms = clock_now_ms() + c->wait_ms;
    const struct status_question question = {.pause_ms = PAUSE_MS, .watch_ms = WATCH_MS};
    struct err e;

    while (clock_now_ms() < until_ms) {
        struct status_found now;
        int result = status_look_run(c->look, &question, &now, &e);
        bool is_over = result == 0 ? has_ended(c, &now) : e.code == ERR_NOT_FOUND;
        if (is_over)
            print_end(c, &now);
        status_found_deinit(&now);
        if (is_over)
            return CMD_OK;
        if (result != 0 && e.code != ERR_TIMEOUT)
            return look_fail("stop", &e);
    }
    return report_running(c);
}

static int report_nothing(const struct stop_command *c)
{
    struct buf note = {0};
    struct err e;

    err_set(&e, ERR_NOT_FOUND, "nothing runs: %s", c->asked.life.reason);
    cmd_warn("stop", &e);
    put_cron_note(&note, &c->asked.cron);
    cmd_print_buf(&note);
    buf_free(&note);
    return CMD_NOT_FOUND;
}

static int stop_daemon(struct stop_command *c)
{
    const struct status_question question = {.watch_ms = WATCH_MS, .is_stop = true};
    struct err e = {0};

    if (intervals_load(&c->intervals, &e) != 0)
        return cmd_fail("stop", &e);
    c->look = status_look_new(c->config_path, &c->intervals, &e);
    if (c->look == NULL)
        return cmd_fail("stop", &e);
    if (status_look_run(c->look, &question, &c->asked, &e) != 0)
        return look_fail("stop", &e);
    if (c->asked.life.verdict == LIVENESS_NONE || !c->asked.life.has_record)
        return report_nothing(c);
    return wait_for_daemon_end(c);
}

int cmd_stop(int argc, char **argv)
{
    struct stop_command c = {.config_path = CONFIG_DEFAULT_PATH, .wait_ms = WAIT_MS};
    const struct cmd_option options[] = {
        {.name = "config", .value = &c.config_path, .is_path = true},
        {.name = "wait", .ms = &c.wait_ms, .max = MAX_WAIT_S},
        {0},
    };
    struct cmd_args args = {.options = options};
    int status = cmd_parse("stop", argc, argv, &args);

    if (status >= 0)
        return status;
    status = stop_daemon(&c);
    status_found_deinit(&c.asked);
    status_look_free(c.look);
    return cmd_finish("stop", status);
}
