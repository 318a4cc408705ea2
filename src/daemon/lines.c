#include "daemon/lines.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/child_log.h"
#include "daemon/right_of_way.h"
#include "proc/child.h"

enum { CLASSES = 2, KILL_MS = 10000 };

struct line_worker {
    struct lines *lines;
    enum range_class line_class;
    struct child *child; /* NULL: it does not run */
    struct range_worker_options options;
    int64_t line_count, files, bytes;
    int64_t past_bytes; /* of workers that ended */
    bool is_spent; /* it ends, and gets no further line */
    struct loop_timer leave;
};

struct lines {
    struct lines_options options;
    struct line_worker workers[CLASSES];
    struct right_of_way *way;
    struct buf text;
};

struct lines *lines_new(const struct lines_options *options, struct err *e)
{
    struct lines *lines = calloc(1, sizeof *lines);
    int64_t for_bulk = options->max_files / 2;

    if (lines == NULL) {
        err_set(e, ERR_FAILED, "out of memory");
        return NULL;
    }
    lines->options = *options;
    lines->way = right_of_way_new();
    for (int n = 0; n < CLASSES; n++) {
        int64_t files = n == RANGE_BULK ? for_bulk : options->max_files - for_bulk;
        lines->workers[n] = (struct line_worker){
            .lines = lines,
            .line_class = (enum range_class)n,
            .options = {.config = options->config,
                        .max_files = files > 0 ? files : 1,
                        .connect_ms = options->connect_ms,
                        .ping_ms = options->ping_ms,
                        .dead_ms = options->dead_ms,
                        .idle_ms = options->idle_ms,
                        .max_cpu_ms = options->max_cpu_ms,
                        .reports_opened = options->on_opened != NULL,
                        .is_metered = options->credits != NULL,
                        .is_bulk = n == RANGE_BULK,
                        .way = lines->way}};
    }
    return lines;
}

void lines_drop(struct lines *lines)
{
    for (int n = 0; n < CLASSES; n++) {
        struct line_worker *worker = &lines->workers[n];
        loop_clear_timer(lines->options.loop, &worker->leave);
        child_free(worker->child);
        worker->child = NULL;
        worker->past_bytes += worker->bytes;
        worker->line_count = worker->files = worker->bytes = 0;
        worker->is_spent = false;
    }
}

void lines_free(struct lines *lines)
{
    if (lines == NULL)
        return;
    lines_drop(lines);
    right_of_way_free(lines->way);
    buf_wipe(&lines->text);
    free(lines);
}

struct lines_counts lines_counts(const struct lines *lines)
{
    struct lines_counts counts = {.lines = 0};

    for (int n = 0; n < CLASSES; n++) {
        const struct line_worker *worker = &lines->workers[n];
        counts.lines += worker->line_count;
        counts.files += worker->files;
        counts.bytes += worker->bytes + worker->past_bytes;
    }
    return counts;
}

static void report_counts(struct line_worker *worker)
{
    worker->lines->options.on_counts(worker->lines->options.owner);
}

/* ---- a worker ---- */

static void on_leave_time(void *owner)
{
    struct line_worker *worker = owner;

    child_leave(worker->child, loop_now_ms(worker->lines->options.loop) + KILL_MS);
}

static void take_counts(struct line_worker *worker, const struct range_worker_message *m)
{
    struct loop *loop = worker->lines->options.loop;

    worker->line_count = m->lines;
    worker->files = m->files;
    worker->bytes = m->bytes;
    worker->is_spent = m->is_spent;
    if (m->lines == 0)
        loop_set_timer(loop, &worker->leave, loop_now_ms(loop) + worker->lines->options.leave_ms);
    else
        loop_clear_timer(loop, &worker->leave);
    child_watch(worker->child, m->lines > 0);
    report_counts(worker);
}

static void give_line_credit(void *owner, uint64_t id, const struct credit *credit)
{
    struct lines *lines = owner;
    struct line_worker *worker = &lines->workers[id];
    const struct range_worker_message m = {.bytes = credit->bytes, .unsent = credit->unsent};

    buf_clear(&lines->text);
    fields_put(&lines->text, range_worker_messages[RANGE_WORKER_CREDIT], &m);
    if (worker->child != NULL && !lines->text.failed)
        child_send(worker->child, buf_str(&lines->text), -1, ERR_IGNORED);
}

static bool on_line_worker_frame(void *owner, struct str frame, int fd)
{
    struct line_worker *worker = owner;
    const struct lines_options *options = &worker->lines->options;
    struct range_worker_message m = {0};
    struct json *doc = json_parse(frame, JSON_SURROGATE_ESCAPE, ERR_IGNORED);
    int type = doc == NULL || fd >= 0
                   ? -1
                   : fields_read_one_of(range_worker_messages, doc, &m, ERR_IGNORED);

    if (type == RANGE_WORKER_COUNTS)
        take_counts(worker, &m);
    else if (type == RANGE_WORKER_MISSING)
        options->on_missing(options->owner, m.hash, m.size);
    else if (type == RANGE_WORKER_NOTE)
        log_line(LOG_WARN, "range of sha1://%.*s: %.*s", STR_ARG(m.hash), STR_ARG(m.text));
    else if (type == RANGE_WORKER_OPENED && options->on_opened != NULL)
        options->on_opened(options->owner, &m);
    else if (type == RANGE_WORKER_ASKS && options->credits != NULL)
        credits_ask(options->credits, give_line_credit, worker->lines, worker->line_class);
    else
        type = -1;
    json_free(doc);
    return type >= 0;
}

static const char *line_worker_name(enum range_class line_class)
{
    return line_class == RANGE_SMALL ? "small ranges" : "bulk ranges";
}

static void on_line_worker_event(void *owner, enum child_event event, const char *words)
{
    struct line_worker *worker = owner;
    bool is_expected =
        worker->is_spent || loop_timer_at_ms(&worker->leave) == CLOCK_NEVER_MS;

    if (event != CHILD_ENDED)
        log_line(LOG_WARN, "range worker %s", words);
    else if (worker->line_count > 0 || !is_expected)
        log_line(LOG_WARN, "range worker %s; its lines are opened again", words);
    if (event == CHILD_KILLED ||
        (event == CHILD_ENDED && !is_expected && !child_was_killed(worker->child)))
        child_log_lost(line_worker_name(worker->line_class), words);
    if (event != CHILD_ENDED)
        return;
    worker->past_bytes += worker->bytes;
    worker->line_count = worker->files = worker->bytes = 0;
    worker->child = NULL;
    worker->is_spent = false;
    loop_clear_timer(worker->lines->options.loop, &worker->leave);
    report_counts(worker);
}

static int start_line_worker(struct line_worker *worker, struct err *e)
{
    const struct lines_options *options = &worker->lines->options;
    const struct child_options child = {
        .loop = options->loop,
        .process = {.name = line_worker_name(worker->line_class),
                    .run = range_worker_run,
                    .ctx = &worker->options,
                    .asks_servers = true,
                    .niceness = config_nice(options->config, 0)},
        .policy = {.stopped_ms = options->stuck_ms},
        .on_frame = on_line_worker_frame,
        .on_event = on_line_worker_event,
        .owner = worker};

    worker->leave = (struct loop_timer){.call = on_leave_time, .owner = worker};
    worker->child = child_start(&child, e);
    return worker->child == NULL ? -1 : 0;
}

void lines_open(struct lines *lines, struct str url, struct str ticket,
                enum range_class line_class)
{
    struct line_worker *worker = &lines->workers[line_class];
    const struct range_worker_message m = {
        .url = url, .ticket = ticket, .line_class = (int64_t)line_class};
    struct err e = {0};
    int result = 0;

    if (worker->child != NULL && (worker->is_spent || !child_takes_messages(worker->child)))
        return; /* it leaves: the hub asks again */
    if (worker->child == NULL)
        result = start_line_worker(worker, &e);
    buf_clear(&lines->text);
    fields_put(&lines->text, range_worker_messages[RANGE_WORKER_LINE], &m);
    if (result == 0 && (result = buf_check(&lines->text, &e)) == 0)
        result = child_send(worker->child, buf_str(&lines->text), -1, &e);
    buf_wipe(&lines->text);
    if (result != 0)
        log_line(LOG_WARN, "no line to the hub: %s", e.msg);
}
