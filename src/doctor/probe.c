#include "doctor/probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proc/frame.h"
#include "x509/trust.h"

static void send_finding(struct probe *p, const struct doctor_finding *f)
{
    struct buf out = {0};

    finding_put(&out, f);
    if (!out.failed) /* else the parent names the check as one without an answer */
        frame_send(p->fd, buf_str(&out), -1, ERR_IGNORED);
    buf_free(&out);
}

static void report_finding(struct probe *p, enum doctor_check check, enum doctor_level level,
                           const char *cure, const char *format, va_list arguments)
{
    char detail[FINDING_MAX_BYTES];

    vsnprintf(detail, sizeof detail, format, arguments);
    send_finding(p, &(struct doctor_finding){check, level, str_of(detail),
                                      str_cut(str_of(cure), FINDING_MAX_BYTES)});
}

void probe_ok(struct probe *p, enum doctor_check check, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report_finding(p, check, DOCTOR_OK, NULL, format, arguments);
    va_end(arguments);
}

void probe_warn(struct probe *p, enum doctor_check check, const char *cure, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report_finding(p, check, DOCTOR_WARN, cure, format, arguments);
    va_end(arguments);
}

void probe_fail(struct probe *p, enum doctor_check check, const char *cure, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    report_finding(p, check, DOCTOR_FAIL, cure, format, arguments);
    va_end(arguments);
}

void probe_look_at(struct probe *p, const char *path)
{
    send_finding(p, &(struct doctor_finding){DOCTOR_PLACE, DOCTOR_OK,
                                             str_cut(str_of(path), FINDING_MAX_BYTES), STR("")});
}

void probe_end(struct probe *p)
{
    send_finding(p, &(struct doctor_finding){DOCTOR_CHECKS, DOCTOR_OK, STR(""), STR("")});
    config_deinit(&p->config);
    buf_free(&p->ca_file);
}

int probe_load_config(struct probe *p, struct err *e)
{
    probe_look_at(p, p->options->config_path);
    if (config_load(&p->config, p->options->config_path, e) != 0)
        return -1;
    probe_look_at(p, "");
    (void)!config_complete(&p->config, p->options->config_path, ERR_IGNORED); /* config's check */
    if (p->config.values[CONFIG_CA_FILE] == NULL)
        return 0;
    struct buf path = {0};
    if (config_put_real_path(p->options->config_path, &path, e) == 0 && buf_check(&path, e) == 0)
        config_put_ca_file(&p->config, buf_cstr(&path), &p->ca_file);
    buf_free(&path);
    const char *ca_file = buf_path(&p->ca_file, e);
    if (ca_file == NULL)
        return -1;
    trust_use_file(config_key_name(CONFIG_CA_FILE), ca_file);
    return 0;
}

int64_t probe_answer_deadline_ms(const struct probe *p)
{
    return clock_earlier(p->deadline_ms, clock_now_ms() + p->options->times.answer_ms);
}
