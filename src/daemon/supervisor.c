#include "daemon/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/builder.h"
#include "daemon/child_log.h"
#include "daemon/credits.h"
#include "daemon/deeds.h"
#include "daemon/jobs.h"
#include "daemon/keeper.h"
#include "daemon/lines.h"
#include "daemon/lookup_worker.h"
#include "daemon/lookups.h"
#include "daemon/reason.h"
#include "daemon/registration.h"
#include "daemon/session.h"
#include "daemon/status_writer.h"
#include "daemon/uploads.h"
#include "proc/process.h"
#include "proto/kachery_uri.h"

/* The keeper writes its last lines in the first; the second is more than any callback of the loop
 * takes, on a slow machine and with sanitizers (where alone it is looked at). */
enum { KEEPER_WAIT_MS = 1000, CALL_LIMIT_MS = 5000 };

struct supervisor {
    const struct supervisor_options *options;
    struct loop *loop;
    struct session *session;
    struct jobs *jobs;
    struct lookups *lookups;
    struct uploads *uploads;
    struct lines *lines;
    struct builder *builder;
    struct keeper *keeper;
    struct lookup_worker_options lookup_worker;
    struct deeds deeds;
    struct credits *credits; /* NULL: no rate is set */
    struct registration registration;
    struct loop_call settling; /* once at the end of a round, whatever that brought */
    struct loop_timer alarm;
    struct loop_fd signals; /* fd 0: none */
    bool is_stopping, is_closing, is_hushed;
    bool is_lapsed;   /* the lease was not renewed for too long: nothing is served */
    bool is_doubtful; /* ... or another's record is in its place */
    int64_t held_until_ms;         /* the lease, unless it is renewed */
    struct loop_timer lease_alarm; /* for that */
    struct err end; /* why it makes no sense to go on */
    int64_t stop_at_ms;
    struct status_writer status;
    bool is_lease_lost;
    char stop_cause[ERR_MESSAGE_SIZE]; /* why begin_stop was called */
};

/* --- requests --- */

static const char *config_value_of_supervisor(const struct supervisor *s, enum config_key key)
{
    return s->options->config->values[key];
}

static int check_request(const struct supervisor *s, const struct message *m,
                         struct kachery_uri *uri, struct err *e)
{
    if (!str_equal(m->resource_name, str_of(config_value_of_supervisor(s, CONFIG_NAME))))
        return err_set(e, ERR_REFUSED, "Resource name mismatch: %.*s <> %s",
                       STR_ARG(m->resource_name), config_value_of_supervisor(s, CONFIG_NAME));
    if (m->has_zone && !str_equal(m->zone, str_of(config_value_of_supervisor(s, CONFIG_ZONE))))
        return err_set(e, ERR_REFUSED, "Zone mismatch: %.*s <> %s", STR_ARG(m->zone),
                       config_value_of_supervisor(s, CONFIG_ZONE));
    return kachery_uri_parse(uri, m->uri, KACHERY_URI_DAEMON, e);
}

/* Called before anything in the table of jobs changes, and after a change of anything that the
 * status shows. */
static void touch_jobs(void *owner)
{
    struct supervisor *s = owner;

    if (s->is_closing)
        return;
    jobs_set_time(s->jobs, loop_now_ms(s->loop), clock_wall_ms());
    loop_defer(s->loop, &s->settling);
}

/* Ends the daemon, as it makes no sense to go on. */
static void end_supervisor(void *owner, const struct err *reason)
{
    struct supervisor *s = owner;

    if (s->is_closing)
        return;
    s->end = *reason;
    loop_stop(s->loop);
}

static void answer_request_error(struct supervisor *s, const struct message *m, const char *hash,
                                 const char *reason)
{
    struct upload_status status = message_status(UPLOAD_ERROR);

    status.error = str_of(reason);
    s->status.history->totals.failed++;
    session_respond(s->session, m->request_id, &status, STR(""));
    deeds_refused(&s->deeds, hash, m->asker, reason);
}

static void refuse_request(struct supervisor *s, const struct message *m, const struct err *why)
{
    s->status.history->totals.failed++;
    session_respond(s->session, m->request_id, NULL, str_of(why->msg));
    deeds_refused(&s->deeds, NULL, m->asker, why->msg);
}

static void on_session_request(void *owner, const struct message *m)
{
    struct supervisor *s = owner;
    struct kachery_uri uri;
    struct err e = {0};

    touch_jobs(s);
    int result = check_request(s, m, &uri, &e);
    if (result != 0 || !message_is_question(uri.hash))
        s->status.history->totals.requests++;
    if (result != 0)
        refuse_request(s, m, &e);
    else if (s->is_stopping)
        answer_request_error(s, m, uri.hash, REASON_STOPPING);
    else if (jobs_request(s->jobs, uri.hash, m->request_id, m->asker,
                          loop_now_ms(s->loop) + message_patience_ms(m), &e) != 0)
        answer_request_error(s, m, uri.hash, e.msg);
}

static void log_start(const struct supervisor *s)
{
    log_line(LOG_INFO, "sharing resource=%s zone=%s proxy=%s uploads=%d pid=%lld",
             config_value_of_supervisor(s, CONFIG_NAME), config_value_of_supervisor(s, CONFIG_ZONE),
             config_value_of_supervisor(s, CONFIG_PROXY), (int)s->options->config->max_uploads,
             (long long)getpid());
    if (s->options->log_more != NULL)
        s->options->log_more();
}

static void on_session_ready(void *owner)
{
    struct supervisor *s = owner;

    if (!s->is_hushed)
        return;
    s->is_hushed = false;
    log_set_level(s->options->log_level);
    log_start(s);
    registration_start(&s->registration);
}

static void on_session_lost(void *owner, const char *cause)
{
    struct supervisor *s = owner;

    touch_jobs(s);
    history_add_cause(&s->status.history->ends, reason_names_path(cause) ? "see the log" : cause,
                      clock_wall_ms());
    jobs_forget_waiters(s->jobs);
}

static void on_answer(void *owner, const struct jobs_answer *answer)
{
    struct supervisor *s = owner;

    session_respond(s->session, answer->request_id, answer->status, STR(""));
    deeds_answered(&s->deeds, answer);
    if (answer->status->state == UPLOAD_NOT_FOUND && !message_is_question(answer->hash))
        history_add_absent(s->status.history, answer->hash, answer->asker, clock_wall_ms());
}

static void note_upload_end(void *owner, const struct audit_event *event)
{
    struct supervisor *s = owner;

    deeds_note(&s->deeds, event);
}

static void on_found(void *owner, uint64_t id, int64_t size, struct str path)
{
    struct supervisor *s = owner;

    touch_jobs(s);
    jobs_set_path(s->jobs, id, path);
    jobs_found(s->jobs, id, size);
}

static void on_absent(void *owner, uint64_t id, const char *hash, const char *note)
{
    struct supervisor *s = owner;

    if (note != NULL)
        log_line(LOG_WARN, "not shared sha1=%s: %s", hash, note);
    touch_jobs(s);
    jobs_not_found(s->jobs, id);
}

static void on_lookup_failed(void *owner, uint64_t id, const char *hash, const char *reason)
{
    struct supervisor *s = owner;

    log_line(LOG_WARN, "cannot share sha1=%s: %s", hash, reason);
    touch_jobs(s);
    if (reason_is_change(str_of(reason)))
        s->status.history->totals.changed++;
    else
        s->status.history->totals.failed++;
    jobs_failed(s->jobs, id, reason);
}

/* Notes that a child of that name was lost. */
static void on_child_lost(void *owner, const char *name, const char *words)
{
    struct supervisor *s = owner;
    char cause[HISTORY_CAUSE_BYTES];

    if (s->is_closing)
        return;
    snprintf(cause, sizeof cause, "%s: %s", name, words);
    history_add_cause(&s->status.history->lost, cause, clock_wall_ms());
    touch_jobs(s);
}

/* --- reading in parts --- */

/* The questions for files, whose answers have to know more than their number. */
static void on_ask_file(void *owner, const struct range_message *m)
{
    struct supervisor *s = owner;
    struct range_message answer = range_message(RANGE_FILE_IS);
    char hash[SHA1_HEX + 1];
    struct err e = {0};

    snprintf(hash, sizeof hash, "%.*s", STR_ARG(m->sha1));
    if (!s->is_stopping && lookups_add_file(s->lookups, (uint64_t)m->ask_id, hash, &e) == 0)
        return;
    answer.ask_id = m->ask_id;
    answer.state = RANGE_ERROR;
    session_answer_file(s->session, &answer);
}

static void on_file_looked_at(void *owner, uint64_t id, const char *hash,
                              const struct lookup_result *file)
{
    struct supervisor *s = owner;
    struct range_message answer = range_message(RANGE_FILE_IS);

    answer.ask_id = (int64_t)id;
    answer.state = file->state;
    answer.size = file->file_size;
    answer.root = str_of(file->root);
    if (file->state == RANGE_CHANGED && file->reason != NULL)
        log_line(LOG_WARN, "range of sha1://%s: %s", hash, file->reason);
    if (file->state == RANGE_BUILDING && builder_has_failed(s->builder, str_of(hash))) {
        answer.state = RANGE_ERROR;
    } else if (file->state == RANGE_BUILDING) {
        builder_want(s->builder, str_of(hash));
        answer.done = builder_done(s->builder, str_of(hash));
    }
    session_answer_file(s->session, &answer);
}

static void on_open_line(void *owner, struct str url, const struct range_message *m)
{
    struct supervisor *s = owner;

    if (!s->is_stopping)
        lines_open(s->lines, url, m->ticket, m->line_class);
}

static void on_missing(void *owner, struct str hash, int64_t size)
{
    struct supervisor *s = owner;

    (void)size;
    builder_want(s->builder, hash);
}

static void on_opened(void *owner, const struct range_worker_message *m)
{
    struct supervisor *s = owner;

    deeds_note(&s->deeds, &(struct audit_event){.event = "open",
                                                .hash = m->hash,
                                                .path = m->path,
                                                .outcome = STR("opened"),
                                                .asker = m->asker,
                                                .size = m->size,
                                                .ms = m->ms});
}

static int open_ranges(struct supervisor *s, struct err *e)
{
    const struct supervisor_options *o = s->options;
    const struct intervals *t = o->intervals;

    s->lines = lines_new(&(struct lines_options){.loop = s->loop,
                                                 .config = o->config,
                                                 .credits = s->credits,
                                                 .max_cpu_ms = t->worker_cpu_ms,
                                                 .max_files = o->config->max_streams,
                                                 .connect_ms = t->connect_ms,
                                                 .ping_ms = t->ping_ms,
                                                 .dead_ms = t->dead_ms,
                                                 .idle_ms = t->line_idle_ms,
                                                 .leave_ms = t->line_leave_ms,
                                                 .stuck_ms = t->upload_stopped_ms,
                                                 .on_missing = on_missing,
                                                 .on_opened = o->audit_path == NULL ? NULL
                                                                                    : on_opened,
                                                 .on_counts = touch_jobs,
                                                 .owner = s},
                         e);
    if (s->lines == NULL)
        return -1;
    s->builder = builder_new(&(struct builder_options){.loop = s->loop,
                                                       .config = o->config,
                                                       .stopped_ms = t->upload_stopped_ms,
                                                       .on_change = touch_jobs,
                                                       .owner = s},
                             e);
    return s->builder == NULL ? -1 : 0;
}

/* --- the lease --- */

static void pause_serving(struct supervisor *s, const char *why)
{
    s->is_lapsed = true;
    session_pause(s->session, why);
    lines_drop(s->lines);
    touch_jobs(s);
}

/* Also at every wake, before any socket is read: this process may have been stopped for longer than
 * a lease lasts. */
static void check_lease(void *owner)
{
    struct supervisor *s = owner;

    if (s->is_lapsed || s->is_closing || s->session == NULL ||
        loop_now_ms(s->loop) < s->held_until_ms)
        return;
    log_line(LOG_WARN, "the lease was not renewed for %.0f s: not connected until it is",
             (double)s->options->intervals->lease_hold_ms / 1000);
    pause_serving(s, "the lease cannot be renewed");
}

static void hold_lease(struct supervisor *s, int64_t since_ms)
{
    s->held_until_ms = since_ms + s->options->intervals->lease_hold_ms;
    loop_set_timer(s->loop, &s->lease_alarm, s->held_until_ms);
}

static void on_lease_doubt(void *owner, const char *why)
{
    struct supervisor *s = owner;

    if (s->is_closing || s->session == NULL)
        return;
    log_line(LOG_WARN, "the lease is in doubt: %s; not connected until it is clear", why);
    s->is_doubtful = true;
    pause_serving(s, why);
}

static void on_lease_lost(void *owner, const struct err *reason)
{
    struct supervisor *s = owner;

    s->is_lease_lost = true;
    end_supervisor(s, reason);
}

static void on_lease_renewed(void *owner, int64_t started_ms)
{
    struct supervisor *s = owner;

    if (s->is_closing)
        return;
    hold_lease(s, started_ms);
    if (!s->is_lapsed || loop_now_ms(s->loop) >= s->held_until_ms)
        return;
    log_line(LOG_INFO, "the lease is renewed again");
    session_resume(s->session, s->is_doubtful);
    s->is_lapsed = s->is_doubtful = false;
    touch_jobs(s);
}

/* --- start and end --- */

static void take_signals(void *owner);
static void on_stop_request(void *owner, const char *host);
static void settle_supervisor(void *owner);

static int open_supervisor_signals(struct supervisor *s, struct err *e)
{
    static const int taken[] = {SIGTERM, SIGHUP, SIGCHLD, SIGINT};

    signal(SIGPIPE, SIG_IGN);
    /* An ignored signal does not reach the signalfd. A shell ignores SIGINT in what it starts in
     * the background of a script: that is left so. */
    for (size_t i = 0; i < sizeof taken / sizeof taken[0] && taken[i] != SIGINT; i++)
        signal(taken[i], SIG_DFL);
    s->signals = (struct loop_fd){
        .fd = process_signal_fd(taken, sizeof taken / sizeof taken[0], e),
        .call = take_signals,
        .owner = s};
    return s->signals.fd < 0 ? -1 : loop_add(s->loop, &s->signals, LOOP_READ, e);
}

/* The soft limit kills with SIGXCPU what could go on up to the hard one. */
static void raise_cpu_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_CPU, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CPU, &limit);
}

static int open_credits(struct supervisor *s, struct err *e)
{
    const struct rate_plan *rates = &s->options->config->rates;

    if (!rate_plan_limits(rates))
        return 0;
    s->credits = credits_new(s->loop, rates, e);
    return s->credits == NULL ? -1 : 0;
}

static int open_children(struct supervisor *s, struct err *e)
{
    const struct supervisor_options *o = s->options;
    const struct intervals *t = o->intervals;

    s->lookup_worker = (struct lookup_worker_options){.vouchers = config_vouchers(o->config),
                                                      .max_cpu_ms = o->intervals->worker_cpu_ms,
                                                      .has_paths = o->audit_path != NULL};
    s->lookups = lookups_new(&(struct lookups_options){
        .loop = s->loop,
        .process = {.name = "kachery-lookup",
                    .run = lookup_worker_run,
                    .ctx = &s->lookup_worker},
        .slow_ms = t->lookup_slow_ms,
        .lost_ms = t->lookup_lost_ms,
        .on_found = on_found,
        .on_absent = on_absent,
        .on_failed = on_lookup_failed,
        .on_file = on_file_looked_at,
        .owner = s});
    if (s->lookups == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    return lookups_start(s->lookups, e);
}

static int open_parts(struct supervisor *s, struct err *e)
{
    const struct supervisor_options *o = s->options;
    const struct intervals *t = o->intervals;

    s->jobs = jobs_new(&(struct jobs_options){.max_running = (unsigned)o->config->max_uploads,
                                              .recall_ms = t->upload_recall_ms,
                                              .keep_result_ms = t->keep_result_ms,
                                              .answer = on_answer,
                                              .owner = s});
    s->session = session_new(&(struct session_options){.loop = s->loop,
                                                       .config = o->config,
                                                       .intervals = t,
                                                       .on_request = on_session_request,
                                                       .on_open_line = on_open_line,
                                                       .on_ask_file = on_ask_file,
                                                       .on_lost = on_session_lost,
                                                       .on_ready = on_session_ready,
                                                       .on_change = touch_jobs,
                                                       .on_end = end_supervisor,
                                                       .yields = o->yields,
                                                       .owner = s});
    if (s->jobs == NULL || s->session == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    s->uploads = uploads_new(&(struct uploads_options){.loop = s->loop,
                                                       .jobs = s->jobs,
                                                       .config = o->config,
                                                       .intervals = t,
                                                       .credits = s->credits,
                                                       .on_touch = touch_jobs,
                                                       .on_end = note_upload_end,
                                                       .owner = s},
                             e);
    s->registration = (struct registration){.loop = s->loop,
                                            .config = o->config,
                                            .retry_ms = t->registration_ms,
                                            .first_ms = t->gateway_first_ms,
                                            .check_ms = t->gateway_check_ms,
                                            .on_change = touch_jobs,
                                            .owner = s};
    if (!s->is_hushed)
        registration_start(&s->registration);
    return s->uploads == NULL ? -1 : 0;
}

static int open_supervisor(struct supervisor *s, struct err *e)
{
    const struct supervisor_options *o = s->options;

    raise_cpu_limit();
    s->is_hushed = o->yields && o->log_level == LOG_INFO;
    if (s->is_hushed)
        log_set_level(LOG_WARN);
    status_writer_init(&s->status, o->intervals, o->history);
    child_log_observe(on_child_lost, s);
    s->settling = (struct loop_call){.call = settle_supervisor, .owner = s};
    s->alarm = (struct loop_timer){.call = settle_supervisor, .owner = s};
    if ((s->loop = loop_new(NULL, e)) == NULL || open_supervisor_signals(s, e) != 0)
        return -1;
    loop_limit_calls(s->loop, CALL_LIMIT_MS);
    s->lease_alarm = (struct loop_timer){.call = check_lease, .owner = s};
    loop_set_guard(s->loop, check_lease, s);
    hold_lease(s, clock_now_ms());
    s->keeper = keeper_new(&(struct keeper_options){.loop = s->loop,
                                                    .lease = o->lease,
                                                    .status_path = o->status_path,
                                                    .log = o->log,
                                                    .audit_path = o->audit_path,
                                                    .renew_ms = o->intervals->lease_refresh_ms,
                                                    .stopped_ms = o->intervals->keeper_stopped_ms,
                                                    .on_renewed = on_lease_renewed,
                                                    .on_doubt = on_lease_doubt,
                                                    .on_lost = on_lease_lost,
                                                    .on_stop = on_stop_request,
                                                    .owner = s},
                           e);
    s->deeds = (struct deeds){.keeper = s->keeper, .has_audit = o->audit_path != NULL};
    if (s->keeper == NULL || open_credits(s, e) != 0 || open_children(s, e) != 0 ||
        open_ranges(s, e) != 0 || open_parts(s, e) != 0)
        return -1;
    if (!s->is_hushed)
        log_start(s);
    touch_jobs(s);
    return 0;
}

static void close_supervisor(struct supervisor *s)
{
    s->is_closing = true;
    child_log_observe(NULL, NULL);
    if (s->loop != NULL) {
        loop_undefer(s->loop, &s->settling);
        loop_clear_timer(s->loop, &s->alarm);
        loop_clear_timer(s->loop, &s->lease_alarm);
    }
    credits_free(s->credits);
    lookups_free(s->lookups);
    lines_free(s->lines);
    builder_free(s->builder);
    registration_cancel(&s->registration);
    session_free(s->session);
    uploads_free(s->uploads); /* runs the loop */
    jobs_free(s->jobs);
    if (s->keeper == NULL)
        lease_release(s->options->lease);
    keeper_free(s->keeper, KEEPER_WAIT_MS); /* runs the loop */
    deeds_deinit(&s->deeds);
    if (s->signals.is_added)
        loop_remove(s->loop, &s->signals);
    loop_free(s->loop);
    process_reap(NULL, NULL);
    status_writer_deinit(&s->status);
    if (s->signals.fd > 0)
        close(s->signals.fd);
}

/* --- the loop --- */

/* Asked twice, it does not wait any longer. */
static void begin_stop(struct supervisor *s, const char *why)
{
    int64_t now_ms = loop_now_ms(s->loop);

    log_line(LOG_INFO, "stopping (%s)%s", why, s->is_stopping ? " at once" : "");
    s->stop_at_ms = s->is_stopping ? now_ms : now_ms + s->options->intervals->stop_ms;
    s->is_stopping = true;
    snprintf(s->stop_cause, sizeof s->stop_cause, "%s", why);
    touch_jobs(s);
    jobs_fail_all(s->jobs, false, REASON_STOPPING);
    registration_cancel(&s->registration);
}

static void on_stop_request(void *owner, const char *host)
{
    struct supervisor *s = owner;
    struct err why;

    err_set(&why, ERR_NONE, "asked on %s", host);
    if (!s->is_stopping && !s->is_closing)
        begin_stop(s, why.msg);
}

static void on_hangup(struct supervisor *s)
{
    if (s->options->on_hangup == HANGUP_STOPS)
        begin_stop(s, "SIGHUP");
    else if (s->options->on_hangup == HANGUP_REOPENS_LOG)
        keeper_reopen_log(s->keeper);
}

static void take_signals(void *owner)
{
    struct supervisor *s = owner;
    int number;

    while ((number = process_next_signal(s->signals.fd)) != 0) {
        if (number == SIGCHLD)
            process_reap(NULL, NULL);
        else if (s->is_closing)
            continue;
        else if (number == SIGHUP)
            on_hangup(s);
        else
            begin_stop(s, number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

/* True when the running uploads have ended, or have had their time, and the session is closed. */
static bool has_stopped(struct supervisor *s)
{
    if (!s->is_stopping)
        return false;
    if (jobs_count(s->jobs).running > 0 && loop_now_ms(s->loop) < s->stop_at_ms)
        return false;
    jobs_fail_all(s->jobs, true, REASON_STOPPING);
    session_close(s->session);
    return session_is_closed(s->session);
}

static void feed_jobs(struct supervisor *s)
{
    struct jobs_work work;
    struct err e;

    while (jobs_next_lookup(s->jobs, &work))
        if (lookups_add(s->lookups, work.id, work.hash, &e) != 0)
            jobs_failed(s->jobs, work.id, e.msg);
    uploads_feed(s->uploads);
}

static struct status_view describe_supervisor(const struct supervisor *s)
{
    return (struct status_view){.config = s->options->config,
                                .holder = &s->options->lease->self,
                                .jobs = s->jobs,
                                .gateway = &s->registration.view,
                                .session = session_describe(s->session),
                                .uploads = uploads_totals(s->uploads),
                                .ranges = lines_counts(s->lines),
                                .is_stopping = s->is_stopping};
}

static void write_changed_status(struct supervisor *s, int64_t now_ms)
{
    struct status_view view;

    if (!status_writer_is_due(&s->status, now_ms))
        return;
    view = describe_supervisor(s);
    status_writer_step(&s->status, &view, s->keeper, now_ms);
}

/* A lease that is another's has another's status beside it. */
static void write_last_status(struct supervisor *s, int result, const struct err *e)
{
    struct status_view view;
    char ending[ERR_MESSAGE_SIZE];

    if (s->uploads == NULL || s->is_lease_lost)
        return;
    if (result == 0)
        snprintf(ending, sizeof ending, "stopped: %.400s", s->stop_cause);
    else
        snprintf(ending, sizeof ending, "%s", e->msg);
    view = describe_supervisor(s);
    view.ending = ending;
    status_writer_end(&s->status, &view, s->keeper);
}

static void set_supervisor_alarm(struct supervisor *s, int64_t now_ms)
{
    int64_t at_ms = jobs_next_ms(s->jobs);

    if (s->is_stopping && s->stop_at_ms > now_ms)
        at_ms = clock_earlier(at_ms, s->stop_at_ms);
    at_ms = clock_earlier(at_ms, status_writer_next_ms(&s->status, now_ms));
    loop_set_timer(s->loop, &s->alarm, at_ms);
}

/* Does all that follows from the events of a round, and from the time. */
static void settle_supervisor(void *owner)
{
    struct supervisor *s = owner;
    int64_t now_ms = loop_now_ms(s->loop);

    jobs_set_time(s->jobs, now_ms, clock_wall_ms());
    jobs_step(s->jobs);
    feed_jobs(s);
    write_changed_status(s, now_ms);
    set_supervisor_alarm(s, now_ms);
    if (has_stopped(s))
        loop_stop(s->loop);
}

/* Leaves the name to another daemon. */
static void log_refusal(const struct supervisor *s, const char *why)
{
    log_line(LOG_WARN, "not sharing: %s: %s; the next run from cron tries again",
             config_value_of_supervisor(s, CONFIG_PROXY), why);
}

int supervisor_run(const struct supervisor_options *options, struct err *e)
{
    struct supervisor s = {.options = options};
    int result = open_supervisor(&s, e);

    if (result == 0)
        result = loop_run(s.loop, e);
    if (s.end.code != ERR_NONE)
        result = err_set(e, s.end.code, "%s", s.end.msg);
    log_end();
    if (s.keeper != NULL && result == 0)
        log_line(LOG_INFO, "stopped");
    else if (s.keeper != NULL && e->code == ERR_TAKEN)
        log_refusal(&s, e->msg);
    else if (s.keeper != NULL && options->log->path != NULL)
        log_line(LOG_ERROR, "%s", e->msg);
    write_last_status(&s, result, e);
    close_supervisor(&s);
    return result;
}
