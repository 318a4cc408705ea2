#include "doctor/doctor.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/interval_table.h"
#include "base/json.h"
#include "doctor/probe.h"
#include "loop/loop.h"
#include "proc/child.h"

/* The checks of a probe, in the order in which it makes them. */
enum { MAX_PROBE_CHECKS = 12 };

static const struct probe_row {
    probe_run *run;
    bool has_secrets; /* of the environment: it asks servers, or looks which are set */
    enum doctor_check checks[MAX_PROBE_CHECKS];
    size_t count;
    const char *silent_cure; /* when it does not answer */
} probe_rows[] = {
#define CHECKS(...)                                                                                \
    .checks = {__VA_ARGS__},                                                                       \
    .count = sizeof((const enum doctor_check[]){__VA_ARGS__}) / sizeof(enum doctor_check)
#define FOLDER_CURE                                                                                \
    "the file system of the config's folder does not answer: see `mount` and `dmesg`, and ask "    \
    "those who run the file server"
#define STORE_CURE                                                                                 \
    "the file system of the store (KACHERY_CLOUD_DIR) or of the linked files does not answer: "    \
    "see `mount` and `dmesg`, and ask those who run the file server"
#define SERVER_CURE                                                                                \
    "see the file systems (config, store, certificates) and the load of this host; then run "      \
    "doctor again"
    {config_probe_run, .silent_cure = FOLDER_CURE, CHECKS(CHECK_CONFIG, CHECK_ENVIRONMENT)},
    {folder_probe_run, .silent_cure = FOLDER_CURE, CHECKS(CHECK_FOLDER)},
    {lease_probe_run, .silent_cure = FOLDER_CURE, CHECKS(CHECK_LEASE)},
    {keys_probe_run, true, .silent_cure = STORE_CURE, CHECKS(CHECK_KEYS)},
    {store_probe_run, .silent_cure = STORE_CURE, CHECKS(CHECK_STORE)},
    {links_probe_run, .silent_cure = STORE_CURE, CHECKS(CHECK_LINKS)},
    {limits_probe_run, .silent_cure = STORE_CURE, CHECKS(CHECK_LIMITS)},
    {gateway_probe_run, true, .silent_cure = SERVER_CURE,
     CHECKS(CHECK_NAMES, CHECK_HTTP_PROXY, CHECK_TLS, CHECK_GATEWAY, CHECK_CLOCK, CHECK_ZONE,
            CHECK_CLIENT, CHECK_UPLOAD, CHECK_UPLOAD_URL)},
    {proxy_probe_run, true, .silent_cure = SERVER_CURE,
     CHECKS(CHECK_NAMES, CHECK_HTTP_PROXY, CHECK_TLS, CHECK_PROXY, CHECK_SECRET, CHECK_NAME,
            CHECK_REACHABLE)},
    {cron_probe_run, true, .silent_cure = FOLDER_CURE, CHECKS(CHECK_CRON)},
#undef CHECKS
};

enum { PROBES = sizeof probe_rows / sizeof probe_rows[0] };

enum probe_outcome { PROBE_RUNS, PROBE_THROUGH, PROBE_LOST };

struct doctor;

/* A child, and what it has reported. */
struct patient {
    struct doctor *doctor;
    const struct probe_row *row;
    struct probe probe;
    struct child *child;
    enum probe_outcome outcome;
    bool is_reported[DOCTOR_CHECKS];
    bool is_in_trouble; /* since the check `trouble` */
    enum doctor_check trouble;
    char words[CHILD_MAX_WORDS_BYTES]; /* PROBE_LOST: why */
    struct buf place; /* the path that it looks at; empty: none */
};

struct doctor {
    const struct doctor_options *options;
    struct doctor_line *lines;
    bool has_line[DOCTOR_CHECKS];
    struct loop *loop;
    struct loop_timer alarm;
    struct patient patients[PROBES];
    bool is_late;
};

#define ROW(name, ms) {#name, offsetof(struct doctor_times, name), ms}
static const struct interval_row time_rows[] = {ROW(all_ms, 8500), ROW(answer_ms, 3000),
                                                ROW(sample_ms, 3000), ROW(lease_ms, 6000)};
#undef ROW

int doctor_load_times(struct doctor_times *times, struct err *e)
{
    static const struct interval_table table = {time_rows, sizeof time_rows / sizeof time_rows[0]};

    return interval_table_load(&table, times, "KACHERY_RESOURCE_TEST_DOCTOR", e);
}

/* ---- lines ---- */

/* Appends a text behind others, in one line, unless it is among them already. */
static void join_text(struct buf *out, struct str text)
{
    struct buf shown = {0};

    fs_put_printable(&shown, text);
    if (shown.len > 0 && !out->failed &&
        (out->len == 0 || memmem(out->data, out->len, shown.data, shown.len) == NULL)) {
        if (out->len > 0)
            buf_puts(out, "; ");
        buf_put_buf(out, &shown);
    }
    buf_free(&shown);
}

/* The worst findings of a check make its line. */
static void add_finding(struct doctor *d, const struct doctor_finding *f)
{
    struct doctor_line *line = &d->lines[f->check];

    if (d->has_line[f->check] && f->level < line->level)
        return;
    if (!d->has_line[f->check] || f->level > line->level) {
        buf_clear(&line->detail);
        buf_clear(&line->cure);
        line->level = f->level;
    }
    d->has_line[f->check] = true;
    join_text(&line->detail, f->detail);
    join_text(&line->cure, f->cure);
}

void doctor_free_lines(struct doctor_line lines[DOCTOR_CHECKS])
{
    for (int i = 0; i < DOCTOR_CHECKS; i++) {
        buf_free(&lines[i].detail);
        buf_free(&lines[i].cure);
    }
}

/* ---- children ---- */

/* A child that hangs for ever in a dead file system must not hold the output of doctor open, whose
 * reader waits for its end. */
static void leave_standard_streams(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd <= 2; fd++)
        if (null < 0 || dup2(null, fd) < 0)
            close(fd);
    if (null > 2)
        close(null);
}

static int run_probe(int fd, void *ctx)
{
    struct patient *patient = ctx;

    leave_standard_streams();
    patient->probe.fd = fd;
    patient->row->run(&patient->probe);
    probe_end(&patient->probe);
    return 0;
}

static void end_patient(struct patient *patient, enum probe_outcome outcome)
{
    patient->outcome = outcome;
    child_free(patient->child);
    patient->child = NULL;
}

static bool on_patient_frame(void *owner, struct str frame, int fd)
{
    struct patient *patient = owner;
    struct json *doc;
    struct doctor_finding f;

    if (fd >= 0)
        close(fd);
    if (finding_read(&f, frame, &doc, ERR_IGNORED) != 0)
        return false;
    if (f.check == DOCTOR_CHECKS) {
        end_patient(patient, PROBE_THROUGH);
    } else if (f.check == DOCTOR_PLACE) {
        buf_clear(&patient->place);
        buf_put(&patient->place, f.detail);
    } else {
        patient->is_reported[f.check] = true;
        if (f.level != DOCTOR_OK) {
            patient->is_in_trouble = true;
            patient->trouble = f.check;
        }
        add_finding(patient->doctor, &f);
    }
    json_free(doc);
    return true;
}

static void on_patient_event(void *owner, enum child_event event, const char *words)
{
    struct patient *patient = owner;

    if (event != CHILD_ENDED)
        return;
    snprintf(patient->words, sizeof patient->words, "%s", words);
    patient->child = NULL;
    patient->outcome = PROBE_LOST;
}

/* A child that cannot be started is one that ended early. */
static void start_patient(struct doctor *d, struct patient *patient, const struct probe_row *row,
                          const struct probe_limits *limits)
{
    struct err e = {0};
    const struct child_options options = {
        .loop = d->loop,
        .process = {.name = "kachery-doctor",
                    .run = run_probe,
                    .ctx = patient,
                    .address_space_bytes = (size_t)512 << 20,
                    .asks_servers = row->has_secrets},
        .on_frame = on_patient_frame,
        .on_event = on_patient_event,
        .owner = patient};

    *patient = (struct patient){.doctor = d,
                                .row = row,
                                .probe = {.options = d->options,
                                          .limits = *limits,
                                          .deadline_ms = clock_now_ms() +
                                                         d->options->times.all_ms}};
    patient->child = child_start(&options, &e);
    if (patient->child != NULL)
        return;
    patient->outcome = PROBE_LOST;
    snprintf(patient->words, sizeof patient->words, "%.*s",
             STR_ARG(str_cut(str_of(e.msg), sizeof patient->words - 1)));
}

static bool is_doctor_through(void *owner)
{
    const struct doctor *d = owner;
    bool is_running = false;

    for (size_t i = 0; i < PROBES; i++)
        is_running = is_running || d->patients[i].outcome == PROBE_RUNS;
    return d->is_late || !is_running;
}

static void on_doctor_late(void *owner)
{
    struct doctor *d = owner;

    d->is_late = true;
}

/* ---- what no child reported ---- */

static void add_cut_finding(struct doctor *d, const struct patient *patient,
                            enum doctor_check check)
{
    struct buf detail = {0};
    struct str cure = str_of(patient->row->silent_cure);

    if (patient->outcome == PROBE_RUNS)
        buf_printf(&detail, "no answer within %.1f s", (double)d->options->times.all_ms / 1000);
    if (patient->outcome == PROBE_RUNS && patient->place.len > 0)
        buf_printf(&detail, ": the look at %.*s hangs", STR_ARG(buf_str(&patient->place)));
    else if (patient->outcome != PROBE_RUNS)
        buf_printf(&detail, "the process of this check ended early: %s",
                   patient->outcome == PROBE_LOST ? patient->words : "it reported nothing");
    if (patient->outcome != PROBE_RUNS)
        cure = STR("run doctor again; if it stays, see the memory and the limits of this host "
                   "(`ulimit -a`, for processes `ulimit -u`, `dmesg`)");
    add_finding(d, &(struct doctor_finding){check, DOCTOR_FAIL, buf_str(&detail), cure});
    buf_free(&detail);
}

static void add_blocked_finding(struct doctor *d, enum doctor_check check, enum doctor_check cause)
{
    struct buf detail = {0}, cure = {0};

    buf_printf(&detail, "not checked, because of `%s`", finding_check_name(cause));
    buf_printf(&cure, "cure `%s`, then run doctor again", finding_check_name(cause));
    add_finding(d, &(struct doctor_finding){check, DOCTOR_WARN, buf_str(&detail), buf_str(&cure)});
    buf_free(&detail);
    buf_free(&cure);
}

/* The config hangs or is faulty, so that a probe which needs it could not begin. */
static bool is_config_to_blame(const struct doctor *d, const struct patient *patient)
{
    return patient->row->run != config_probe_run &&
           !patient->is_reported[patient->row->checks[0]] && d->has_line[CHECK_CONFIG] &&
           d->lines[CHECK_CONFIG].level == DOCTOR_FAIL;
}

/* A probe that ended early did so for the last trouble that it reported. Where it hangs or died,
 * the first check that it did not come to is to blame, and those behind that were not made. */
static void complete_patient(struct doctor *d, const struct patient *patient)
{
    const struct probe_row *row = patient->row;
    bool has_stopped = patient->outcome == PROBE_THROUGH && patient->is_in_trouble;
    bool is_blocked = has_stopped || is_config_to_blame(d, patient);
    enum doctor_check cause = has_stopped ? patient->trouble : CHECK_CONFIG;

    for (size_t i = 0; i < row->count; i++) {
        enum doctor_check check = row->checks[i];
        if (patient->is_reported[check])
            continue;
        if (!is_blocked) {
            add_cut_finding(d, patient, check);
            is_blocked = true;
            cause = check;
        } else if (!d->has_line[check]) {
            add_blocked_finding(d, check, cause);
        }
    }
}

static void read_probe_limits(struct probe_limits *limits)
{
    static const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    *limits = (struct probe_limits){none, none, none, none, none};
    getrlimit(RLIMIT_CPU, &limits->processor);
    getrlimit(RLIMIT_NOFILE, &limits->files);
    getrlimit(RLIMIT_AS, &limits->address_space);
    getrlimit(RLIMIT_FSIZE, &limits->file_size);
    getrlimit(RLIMIT_STACK, &limits->stack);
}

static int run_patients(struct doctor *d, struct err *e)
{
    struct probe_limits limits;
    int result;

    read_probe_limits(&limits);
    d->alarm = (struct loop_timer){.call = on_doctor_late, .owner = d};
    loop_set_timer(d->loop, &d->alarm, clock_now_ms() + d->options->times.all_ms);
    for (size_t i = 0; i < PROBES; i++)
        start_patient(d, &d->patients[i], &probe_rows[i], &limits);
    result = loop_run_until(d->loop, is_doctor_through, d, e);
    for (size_t i = 0; i < PROBES && result == 0; i++)
        complete_patient(d, &d->patients[i]);
    for (size_t i = 0; i < PROBES; i++) {
        child_free(d->patients[i].child);
        buf_free(&d->patients[i].place);
    }
    loop_clear_timer(d->loop, &d->alarm);
    return result;
}

int doctor_run(const struct doctor_options *options, struct doctor_line lines[DOCTOR_CHECKS],
               struct err *e)
{
    struct doctor d = {.options = options, .lines = lines};
    int result = -1;

    memset(lines, 0, DOCTOR_CHECKS * sizeof *lines);
    d.loop = loop_new(NULL, e);
    if (d.loop != NULL)
        result = run_patients(&d, e);
    loop_free(d.loop);
    for (int i = 0; i < DOCTOR_CHECKS && result == 0; i++)
        if (buf_check(&lines[i].detail, e) != 0 || buf_check(&lines[i].cure, e) != 0)
            result = -1;
    return result;
}
