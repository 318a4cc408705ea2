/* The environment: what is set here and would be missing under cron, which starts the daemon with
 * next to nothing. Values that may be secrets are never shown. */
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/str.h"
#include "doctor/probe.h"

enum { VARIABLES = 18 };

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

void cron_probe_run(struct probe *p)
{
    struct buf names = {0}, cure = {0};
    bool is_loaded = probe_load_config(p, ERR_IGNORED) == 0;
    bool has_ca_file = is_loaded && p->config.values[CONFIG_CA_FILE] != NULL;

    buf_puts(&cure, "if cron starts `share`, put into the crontab (crontab -e), above its line:");
    for (size_t i = 0; i < VARIABLES; i++) {
        const struct cron_variable *v = &variables[i];
        const char *value = env_get(v->name);
        if (value == NULL || (v->has_ca_file && has_ca_file))
            continue;
        buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", v->name);
        buf_printf(&cure, " %s=%s", v->name, may_show(v, value) ? value : "(its value)");
        if (v->has_ca_file)
            buf_puts(&cure, " (or caFile into the config)");
    }
    if (names.len == 0)
        probe_ok(p, CHECK_CRON, "no variable is set here that cron would lack");
    else
        probe_warn(p, CHECK_CRON, buf_cstr(&cure), "set here, and not under cron: %s",
                   buf_cstr(&names));
    buf_free(&names);
    buf_free(&cure);
}
