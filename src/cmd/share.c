/* share: what has to be right before the daemon runs, then the daemon. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/quote.h"
#include "base/secret.h"
#include "base/setting.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "daemon/cron_record.h"
#include "daemon/keeper.h"
#include "daemon/status_writer.h"
#include "daemon/supervisor.h"
#include "proc/process.h"
#include "proto/url.h"
#include "store/store.h"
#include "x509/trust.h"
#include "zone/gateway.h"

enum { LOG_BYTES = 10 * 1000 * 1000, LOGS_KEPT = 5 };

struct share_command {
    const char *config_path;
    struct log_file_options log; /* path NULL: standard error */
    const char *audit_path;      /* NULL: none */
    bool is_cron;
    enum log_level log_level;
    struct config config;
    struct intervals intervals;
    struct lease lease;
    /* absolute; config_file is the config itself, behind symbolic links */
    struct buf log_path, audit_file, config_file;
    struct buf status_path, lease_path, ca_file;
    struct history history;
};

static int load_config(struct share_command *share, struct err *e)
{
    const char *path = share->config_path;

    if (config_load(&share->config, path, e) != 0) {
        if (e->code == ERR_NOT_FOUND)
            return err_set(e, ERR_FAILED, "there is no %s: run `kachery-resource init`", path);
        return -1;
    }
    if (config_complete(&share->config, path, e) != 0 ||
        config_resolve_users(&share->config, path, e) != 0)
        return -1;
    char *secret = share->config.values[CONFIG_SECRET];
    if (secret_add(secret, strlen(secret), e) != 0)
        return -1;
    return config_check_zone(&share->config, e);
}

/* The daemon itself needs no key, its workers do: better said now than at the first request. */
static int check_client_keys(struct err *e)
{
    struct identity identity;
    struct store store;
    int result;

    if (store_init(&store, e) != 0)
        return -1;
    result = identity_load(&identity, store.key_dir, e);
    identity_wipe(&identity);
    store_deinit(&store);
    return result;
}

static int check_gateway(const struct share_command *share, struct err *e)
{
    struct gateway g = {0};
    int result = gateway_init(&g, NULL, share->config.values[CONFIG_ZONE], e);

    gateway_deinit(&g);
    return result;
}

static bool is_tls(const char *text)
{
    struct url url;

    return url_parse(&url, str_of(text), ERR_IGNORED) == 0 && url_is_tls(&url);
}

/* Once for this process and all its children. */
static int load_trust(struct share_command *share, struct err *e)
{
    if (share->config.values[CONFIG_CA_FILE] != NULL) {
        config_put_ca_file(&share->config, share->config_path, &share->ca_file);
        const char *path = buf_path(&share->ca_file, e);
        if (path == NULL)
            return -1;
        trust_use_file(config_key_name(CONFIG_CA_FILE), path);
    }
    if (!is_tls(share->config.values[CONFIG_PROXY]) && !is_tls(gateway_default_url()))
        return 0;
    return trust_of_process(e) == NULL ? -1 : 0;
}

static enum supervisor_hangup hangup_mode(const struct share_command *share)
{
    struct sigaction action;

    if (share->log.path != NULL || share->audit_path != NULL)
        return HANGUP_REOPENS_LOG;
    if (sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        return HANGUP_IGNORED; /* nohup */
    return HANGUP_STOPS;
}

/* --- paths --- */

/* The variables that name a file or a folder; what was given, if it was relative. */
static struct {
    const char *variable;
    char given[QUOTE_SIZE];
} path_variables[] = {{"KACHERY_CLOUD_DIR", ""},  {"KACHERY_CLOUD_SANDBOX_DIR", ""},
                      {"HOME", ""},               {"SSL_CERT_FILE", ""},
                      {"CURL_CA_BUNDLE", ""},     {"REQUESTS_CA_BUNDLE", ""}};

enum { PATH_VARIABLES = sizeof path_variables / sizeof path_variables[0] };

/* The working directory may be deleted and put back while the daemon runs. A value that is refused
 * is left as it is: its reader reports it. */
static int make_variables_absolute(struct err *e)
{
    for (size_t i = 0; i < PATH_VARIABLES; i++) {
        const char *variable = path_variables[i].variable, *value = env_get(variable);
        char *path = NULL;
        if (value == NULL || value[0] == '/' || setting_path(variable, &path, ERR_IGNORED) != 0 ||
            path == NULL)
            continue;
        quote_str(path_variables[i].given, str_of(value));
        int result = setenv(variable, path, 1);
        free(path);
        if (result != 0)
            return err_set(e, ERR_FAILED, "out of memory");
    }
    return 0;
}

/* Makes the path of an option absolute, if there is one; it is then borrowed from *kept. */
static int make_option_absolute(const char **path, struct buf *kept, struct err *e)
{
    if (*path == NULL)
        return 0;
    if (fs_absolute_path(*path, kept, e) != 0)
        return -1;
    *path = buf_path(kept, e);
    return *path == NULL ? -1 : 0;
}

/* Makes every path absolute, and those beside the config: status file and lease. */
static int find_paths(struct share_command *share, struct err *e)
{
    if (make_variables_absolute(e) != 0 ||
        config_put_real_path(share->config_path, &share->config_file, e) != 0)
        return -1;
    if (make_option_absolute(&share->log.path, &share->log_path, e) != 0 ||
        make_option_absolute(&share->audit_path, &share->audit_file, e) != 0)
        return -1;
    config_put_sibling(buf_cstr(&share->config_file), KEEPER_STATUS_FILE, &share->status_path);
    config_put_sibling(buf_cstr(&share->config_file), LEASE_FOLDER, &share->lease_path);
    return buf_path(&share->status_path, e) == NULL || buf_path(&share->lease_path, e) == NULL ? -1
                                                                                               : 0;
}

/* --- the start --- */

static int read_config(struct share_command *share, struct err *e)
{
    if (intervals_load(&share->intervals, e) != 0 || find_paths(share, e) != 0 ||
        load_config(share, e) != 0)
        return -1;
    if (share->intervals.worker_cpu_ms < 0)
        share->intervals.worker_cpu_ms = share->config.processor_s * 1000;
    return 0;
}

static void log_typo(void *ctx, const struct err *warning)
{
    (void)ctx;
    log_line(LOG_WARN, "%s", warning->msg);
}

/* Logs the settings that a daemon in another folder would understand differently. */
static void log_settings(void)
{
    for (size_t i = 0; i < PATH_VARIABLES; i++)
        if (path_variables[i].given[0] != '\0')
            log_line(LOG_INFO, "%s is relative: \"%s\" is taken for %s", path_variables[i].variable,
                     path_variables[i].given, env_get(path_variables[i].variable));
    setting_report_typos(log_typo, NULL);
}

/* Returns whether the log can be written; creates it if it is missing. */
static int check_log_file(const struct log_file_options *log, struct err *e)
{
    struct log_file file = LOG_FILE_CLOSED;

    if (log_file_open(&file, log, e) != 0)
        return -1;
    log_file_close(&file);
    return 0;
}

/* Reads files elsewhere, which may hang. */
static int prepare_share(struct share_command *share, struct err *e)
{
    if (check_client_keys(e) != 0 || check_gateway(share, e) != 0 || load_trust(share, e) != 0)
        return -1;
    if (share->log.path != NULL && check_log_file(&share->log, e) != 0)
        return -1;
    const struct log_file_options audit = {.path = share->audit_path, .is_private = true};
    return audit.path == NULL ? 0 : check_log_file(&audit, e);
}

static int supervise_share(struct share_command *share, struct err *e)
{
    const struct supervisor_options options = {.config = &share->config,
                                               .intervals = &share->intervals,
                                               .lease = &share->lease,
                                               .status_path = share->status_path.data,
                                               .history = &share->history,
                                               .log = &share->log,
                                               .audit_path = share->audit_path,
                                               .on_hangup = hangup_mode(share),
                                               .yields = share->is_cron,
                                               .log_level = share->log_level,
                                               .log_more = log_settings};

    status_writer_read(&share->history, share->status_path.data,
                       share->config.values[CONFIG_NAME]);
    return supervisor_run(&options, e);
}

/* Says why the command seems to hang. */
static void report_watched_lease(const struct lease_watch *watch)
{
    struct err e;

    err_set(&e, ERR_TAKEN,
            "%s (process %lld) has the lease; looking whether it renews it, for at most %lld s",
            watch->record.host, (long long)watch->record.pid,
            (long long)((watch->left_ms + 999) / 1000));
    cmd_warn("share", &e);
}

/* Records what this run of cron did, as it does not say so itself. Without a config there is no
 * folder to say it in. */
static void note_cron_run(const struct share_command *share, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void note_cron_run(const struct share_command *share, const char *format, ...)
{
    const char *folder = share->lease_path.data, *config = share->config_file.data;
    char outcome[ERR_MESSAGE_SIZE];
    va_list arguments;

    if (!share->is_cron || folder == NULL || share->lease_path.failed || access(config, F_OK) != 0)
        return;
    va_start(arguments, format);
    vsnprintf(outcome, sizeof outcome, format, arguments);
    va_end(arguments);
    if (lease_make_folder(folder, ERR_IGNORED) == 0)
        (void)!cron_record_write(folder, outcome, ERR_IGNORED); /* it is for `status` alone */
}

/* A run that ended before it shared anything. */
static void note_cron_failure(const struct share_command *share, const struct err *e)
{
    const struct lease_record *holder = &share->lease.watch.record;

    if (e->code == ERR_TAKEN && holder->host[0] != '\0')
        note_cron_run(share, "left it to %s (process %lld)", holder->host, (long long)holder->pid);
    else if (e->code == ERR_TAKEN)
        note_cron_run(share, "left it to another process: %s", e->msg);
    else
        note_cron_run(share, "failed: %s", e->msg);
}

static int take_share_lease(struct share_command *share, struct err *e)
{
    if (lease_init(&share->lease, share->lease_path.data, share->config.values[CONFIG_NAME],
                   &share->intervals, e) != 0)
        return -1;
    share->lease.config = share->config_file.data;
    return lease_take(&share->lease, share->is_cron ? NULL : report_watched_lease, e);
}

/* The lease comes first: while the storage of the keys or the log hangs, cron's attempts end at
 * the lease of the one that shares, instead of hanging too, one more every few minutes. */
static int run_share(struct share_command *share, struct err *e)
{
    process_ignore_foreign_signals(); /* from here on: it may watch a lease for a while */
    int result = read_config(share, e);

    if (result != 0 || take_share_lease(share, e) != 0) {
        result = -1;
    } else if (prepare_share(share, e) != 0) {
        lease_release(&share->lease);
        result = -1;
    } else {
        note_cron_run(share, "began to share (process %lld)", (long long)getpid());
        result = supervise_share(share, e);
    }
    if (result != 0)
        note_cron_failure(share, e);
    return share->is_cron && result != 0 && e->code == ERR_TAKEN ? 0 : result;
}

static int run_parsed_share(struct share_command *share)
{
    struct err e = {0};

    log_set_level(share->log_level);
    if (run_share(share, &e) == 0)
        return CMD_OK;
    cmd_warn("share", &e);
    return CMD_FAILED;
}

static void free_share(struct share_command *share)
{
    secret_remove(share->config.values[CONFIG_SECRET]);
    config_deinit(&share->config);
    lease_deinit(&share->lease);
    buf_free(&share->log_path);
    buf_free(&share->audit_file);
    buf_free(&share->config_file);
    buf_free(&share->status_path);
    buf_free(&share->lease_path);
    buf_free(&share->ca_file);
    free(share);
}

/* The state is large, hardly used, and lasts: on the stack of this process, and of each child,
 * it would take pages that nothing is in. */
int cmd_share(int argc, char **argv)
{
    struct share_command *share = calloc(1, sizeof *share);
    int64_t logs_kept = LOGS_KEPT;
    struct err e;

    if (share == NULL) {
        err_set(&e, ERR_FAILED, "out of memory");
        return cmd_fail("share", &e);
    }
    share->config_path = CONFIG_DEFAULT_PATH;
    share->log.max_bytes = LOG_BYTES;
    const struct cmd_option options[] = {
        {.name = "config", .value = &share->config_path, .is_path = true},
        {.name = "log", .value = &share->log.path, .is_path = true},
        {.name = "log-size", .bytes = &share->log.max_bytes, .max = INT64_MAX},
        {.name = "log-keep", .number = &logs_kept, .max = LOG_FILE_MAX_KEPT},
        {.name = "audit", .value = &share->audit_path, .is_path = true},
        {.name = "cron", .flag = &share->is_cron},
        {0},
    };
    struct cmd_args args = {.options = options};
    int status = cmd_parse("share", argc, argv, &args);

    if (status < 0) {
        share->log.kept = (unsigned)logs_kept;
        share->log_level = args.is_verbose ? LOG_DEBUG : args.is_quiet ? LOG_WARN : LOG_INFO;
        status = cmd_finish("share", run_parsed_share(share));
    }
    free_share(share);
    return status;
}
