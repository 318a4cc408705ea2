/* The environment: variables that are set here and would be missing under cron, which starts the
 * daemon with next to nothing; where the daemon runs, those that it does not have, and those that
 * it alone has. Values that may be secrets are never shown. */
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/fs.h"
#include "base/str.h"
#include "doctor/holder.h"
#include "doctor/probe.h"

enum { VARIABLES = 18, ENVIRONMENT_BYTES = 1 << 20 };

static const struct cron_variable {
    const char *name;
    bool is_secret;    /* or may have a password in it */
    bool has_ca_file;  /* caFile of the config does the same */
} variables[VARIABLES] = {
    {"KACHERY_GATEWAY_URL", true, false},
    {"KACHERY_CLOUD_DIR", false, false},
    {"KACHERY_CLOUD_USE_SANDBOX", false, false},
    {"KACHERY_CLOUD_SANDBOX_DIR", false, false},
    {"KACHERY_CLOUD_CLIENT_ID", false, false},
    {"KACHERY_CLOUD_PRIVATE_KEY", true, false},
    {"https_proxy", true, false},
    {"HTTPS_PROXY", true, false},
    {"http_proxy", true, false},
    {"HTTP_PROXY", true, false},
    {"all_proxy", true, false},
    {"ALL_PROXY", true, false},
    {"no_proxy", false, false},
    {"NO_PROXY", false, false},
    {"SSL_CERT_FILE", false, true},
    {"SSL_CERT_DIR", false, true},
    {"CURL_CA_BUNDLE", false, true},
    {"REQUESTS_CA_BUNDLE", false, true},
};

/* A value without '@' has no password. */
static bool may_show(const struct cron_variable *v, const char *value)
{
    return !v->is_secret || (strchr(value, '@') == NULL && strstr(v->name, "KEY") == NULL);
}

/* Finds the value of a variable in the environment of a process, "A=1\0B=2\0". */
static bool find_value(struct str environment, const char *name, struct str *value)
{
    while (environment.len > 0) {
        struct str one = str_slice(environment, 0, str_find(environment, '\0'));
        environment = str_slice(environment, one.len + 1, environment.len);
        size_t equals = str_find(one, '=');
        if (!str_equal(str_slice(one, 0, equals), str_of(name)))
            continue;
        *value = str_slice(one, equals + 1, one.len);
        return true;
    }
    return false;
}

/* Returns whether the daemon lacks a variable that is set here, or has it with another value. It
 * overwrites values that have passwords. */
static bool is_lacking(struct str environment, const struct cron_variable *v, const char *here)
{
    struct str there;

    if (!find_value(environment, v->name, &there))
        return true;
    return may_show(v, here) && !str_equal(there, str_of(here));
}

/* Reads the environment of this folder's daemon, if it runs on this host as this user. */
static bool read_daemon_environment(struct probe *p, struct buf *out, int64_t *pid)
{
    char path[64];
    struct holder holder;

    if (holder_find(p, &holder, ERR_IGNORED) != 0 || holder.state != HOLDER_ALIVE ||
        !holder.is_here)
        return false;
    *pid = holder.pid;
    snprintf(path, sizeof path, "/proc/%lld/environ", (long long)holder.pid);
    return fs_read_file(path, ENVIRONMENT_BYTES, out, ERR_IGNORED) == 0;
}

static void put_variable(const struct cron_variable *v, const char *value, struct buf *names,
                         struct buf *cure)
{
    buf_printf(names, "%s%s", names->len > 0 ? ", " : "", v->name);
    buf_printf(cure, " %s=%s", v->name, may_show(v, value) ? value : "(its value)");
    if (v->has_ca_file)
        buf_puts(cure, " (or caFile into the config)");
}

/* Reports variables that the daemon has and this shell has not: the other checks look at another
 * store, say, than the daemon's. */
static void judge_shell(struct probe *p, struct str environment, int64_t pid)
{
    struct buf names = {0}, cure = {0}, value = {0};
    struct str there;

    buf_puts(&cure, "run doctor as the daemon runs, with");
    for (size_t i = 0; i < VARIABLES; i++) {
        const struct cron_variable *v = &variables[i];
        if (env_get(v->name) != NULL || !find_value(environment, v->name, &there) ||
            there.len == 0)
            continue;
        buf_clear(&value);
        buf_put(&value, there);
        buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", v->name);
        buf_printf(&cure, " %s=%s", v->name,
                   may_show(v, buf_cstr(&value)) ? buf_cstr(&value) : "(its value)");
    }
    if (names.len > 0)
        probe_warn(p, CHECK_ENVIRONMENT, buf_cstr(&cure),
                   "the daemon that runs (process %lld) has variables that this shell lacks, so "
                   "that other checks may not be of its store and servers: %s",
                   (long long)pid, buf_cstr(&names));
    buf_free(&names);
    buf_wipe(&value);
    buf_free(&cure);
}

void cron_probe_run(struct probe *p)
{
    struct buf names = {0}, cure = {0}, daemon = {0};
    bool is_loaded = probe_load_config(p, ERR_IGNORED) == 0;
    bool has_ca_file = is_loaded && p->config.values[CONFIG_CA_FILE] != NULL;
    int64_t pid = 0;
    bool is_known = read_daemon_environment(p, &daemon, &pid);

    if (is_known)
        judge_shell(p, buf_str(&daemon), pid);
    buf_puts(&cure, "if cron starts `share`, put into the crontab (crontab -e), above its line:");
    for (size_t i = 0; i < VARIABLES; i++) {
        const struct cron_variable *v = &variables[i];
        const char *value = env_get(v->name);
        if (value != NULL && !(v->has_ca_file && has_ca_file) &&
            (!is_known || is_lacking(buf_str(&daemon), v, value)))
            put_variable(v, value, &names, &cure);
    }
    if (names.len > 0 && is_known)
        probe_warn(p, CHECK_CRON, buf_cstr(&cure),
                   "the daemon that runs (process %lld) has not, or otherwise than here: %s",
                   (long long)pid, buf_cstr(&names));
    else if (names.len > 0)
        probe_warn(p, CHECK_CRON, buf_cstr(&cure), "set here, and not under cron: %s",
                   buf_cstr(&names));
    else if (is_known)
        probe_ok(p, CHECK_CRON, "the daemon that runs (process %lld) has the variables of this "
                 "shell", (long long)pid);
    else
        probe_ok(p, CHECK_CRON, "no variable is set here that cron would lack");
    buf_free(&names);
    buf_free(&cure);
    buf_wipe(&daemon);
}
