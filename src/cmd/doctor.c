/* doctor: what keeps a daemon from its work, with the cure; src/doctor looks, this prints. */
#include <stdio.h>

#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "daemon/config.h"
#include "doctor/doctor.h"

static void put_json_line(struct buf *out, enum doctor_check check, const struct doctor_line *line)
{
    json_open(out, '{');
    json_put_str(out, "check", str_of(finding_check_name(check)));
    json_put_bool(out, "ok", line->level != DOCTOR_FAIL);
    json_put_buf(out, "detail", &line->detail);
    json_put_buf(out, "cure", &line->cure);
    json_put_str(out, "level", str_of(finding_level_name(line->level)));
    json_close(out, '}');
}

static void put_text_line(struct buf *out, enum doctor_check check, const struct doctor_line *line)
{
    buf_printf(out, "%-4s  %-14s  ", finding_level_name(line->level), finding_check_name(check));
    buf_put_buf(out, &line->detail);
    if (line->cure.len > 0) {
        buf_puts(out, "  ");
        buf_put_buf(out, &line->cure);
    }
    buf_putc(out, '\n');
}

static void print_doctor_lines(const struct doctor_line lines[DOCTOR_CHECKS], bool is_json,
                               bool is_quiet)
{
    struct buf out = {0};

    if (is_json)
        json_open(&out, '[');
    for (int i = 0; i < DOCTOR_CHECKS; i++) {
        if (is_json)
            put_json_line(&out, (enum doctor_check)i, &lines[i]);
        else if (!is_quiet || lines[i].level != DOCTOR_OK)
            put_text_line(&out, (enum doctor_check)i, &lines[i]);
    }
    if (is_json) {
        json_close(&out, ']');
        buf_putc(&out, '\n');
    }
    cmd_print_buf(&out);
    buf_free(&out);
}

static int status_of_lines(const struct doctor_line lines[DOCTOR_CHECKS])
{
    for (int i = 0; i < DOCTOR_CHECKS; i++)
        if (lines[i].level == DOCTOR_FAIL)
            return CMD_FAILED;
    return CMD_OK;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor_options doctor = {.config_path = CONFIG_DEFAULT_PATH};
    struct doctor_line lines[DOCTOR_CHECKS];
    bool is_json = false;
    const struct cmd_option options[] = {
        {.name = "config", .value = &doctor.config_path, .is_path = true},
        {.name = "json", .flag = &is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options};
    struct err e = {0};
    int status = cmd_parse("doctor", argc, argv, &args);

    if (status >= 0)
        return status;
    if (doctor_load_times(&doctor.times, &e) != 0)
        return cmd_fail("doctor", &e);
    if (doctor_run(&doctor, lines, &e) == 0) {
        print_doctor_lines(lines, is_json, args.is_quiet);
        status = status_of_lines(lines);
    } else {
        cmd_warn("doctor", &e);
        status = CMD_FAILED;
    }
    doctor_free_lines(lines);
    return cmd_finish("doctor", status);
}
