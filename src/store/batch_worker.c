#include "store/batch_worker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ready.h"
#include "proc/frame.h"
#include "store/add.h"
#include "store/batch_message.h"
#include "store/hash_file.h"

/* A job of which files are in hand, or that has ended. */
struct worker_job {
    int64_t id;
    struct follow follow;
    bool is_alone;
    struct json *doc;        /* NULL: ended, or never used */
    const struct json *next; /* the path to begin; NULL: all were begun */
    int64_t begun;           /* paths */
    size_t in_hand;          /* files that were begun and not answered */
    uint64_t ended;          /* the how manieth */
    /* The parent may not have read of all of them, if it lets go. */
    struct add_staged staged[BATCH_WORKER_PATHS];
    size_t staged_count;
};

/* A file that is hashed beside others. */
struct worker_lane {
    struct batch_worker *worker;
    struct worker_job *job; /* NULL: the lane is free */
    int64_t index;          /* of the path in the job */
    char *path;
    struct hash_watch watch;
    int64_t bytes;
    struct hash_file file;
};

struct batch_worker {
    const struct batch_options *options;
    int fd;
    size_t lane_count;
    struct worker_lane *lanes;
    struct worker_job *jobs; /* as many: each in hand has a file in a lane, or one to begin */
    size_t busy;             /* lanes */
    uint64_t ends;           /* of jobs */
    bool is_over;            /* the work is not wanted any more */
    int64_t reported_ms;
    struct buf in, out;
};

static void send_batch_message(struct batch_worker *w, const struct worker_job *job,
                               struct batch_message m)
{
    m.id = job->id;
    batch_message_put(&w->out, &m);
    if (w->out.failed || frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED) != IO_DONE)
        w->is_over = true;
}

/* A parent that lets go shuts its side down and waits a moment. */
static void look_for_parent(struct batch_worker *w)
{
    if (ready_look(w->fd, READY_HANGUP) != 0)
        w->is_over = true;
}

/* --- answers --- */

static void report_job_bytes(struct batch_worker *w, const struct worker_job *job)
{
    struct batch_message m = {.type = BATCH_MESSAGE_BYTES};

    for (size_t i = 0; i < w->lane_count; i++)
        m.bytes += w->lanes[i].job == job ? w->lanes[i].bytes : 0;
    send_batch_message(w, job, m);
}

/* hash_watch.go_on */
static bool report_bytes(void *ctx, int64_t bytes)
{
    struct worker_lane *lane = ctx;
    struct batch_worker *w = lane->worker;
    const int64_t now_ms = clock_now_ms();

    lane->bytes = bytes;
    if (!w->is_over && now_ms - w->reported_ms >= BATCH_REPORT_MS) {
        w->reported_ms = now_ms;
        look_for_parent(w);
        for (size_t i = 0; i < w->lane_count && !w->is_over; i++)
            if (w->jobs[i].in_hand > 0)
                report_job_bytes(w, &w->jobs[i]);
    }
    return !w->is_over;
}

static void send_path_failed(struct batch_worker *w, const struct worker_job *job, int64_t index,
                             const struct err *e)
{
    send_batch_message(
        w, job,
        (struct batch_message){.type = BATCH_MESSAGE_FAILED,
                               .index = index,
                               .code = e->code == ERR_NONE ? ERR_FAILED : e->code,
                               .text = str_of(e->msg)});
}

static void send_hashed(struct batch_worker *w, struct worker_job *job, int64_t index,
                        const struct add_staged *staged, enum manifest_file_state manifest)
{
    job->staged[job->staged_count++] = *staged;
    send_batch_message(w, job,
                       (struct batch_message){.type = BATCH_MESSAGE_HASHED,
                                              .index = index,
                                              .hash = str_of(staged->hash),
                                              .size = staged->size,
                                              .mtime = staged->mtime,
                                              .suffix = str_of(staged->suffix),
                                              .manifest = str_of(staged->manifest),
                                              .manifest_state = manifest,
                                              .device = staged->id.device,
                                              .inode = staged->id.inode,
                                              .owner = staged->id.owner});
}

/* Ends a job of which nothing is left to do. */
static void end_job_if_done(struct batch_worker *w, struct worker_job *job)
{
    if (job->next != NULL || job->in_hand > 0)
        return;
    json_free(job->doc);
    job->doc = NULL;
    job->ended = ++w->ends;
}

/* --- files --- */

static struct hash_options options_of(const struct worker_lane *lane)
{
    const struct batch_options *options = lane->worker->options;
    const bool only_hashes = options->work == BATCH_HASH;
    const struct hash_options made = {.flags = only_hashes                ? HASH_CHECK_MANIFEST
                                               : options->makes_manifests ? HASH_MAKE_MANIFEST
                                                                          : 0,
                                      .watch = &lane->watch,
                                      .follow = &lane->job->follow};

    return only_hashes ? made : add_reading(&made);
}

/* The result of a file that was only to be hashed. */
static struct add_staged staged_nothing(const struct hash_result *hashed)
{
    struct add_staged staged = {
        .size = hashed->size, .mtime = hashed->mtime, .id = hashed->id};

    memcpy(staged.hash, hashed->hash, sizeof staged.hash);
    return staged;
}

static int end_batch_file(struct worker_lane *lane, struct add_staged *staged,
                    enum manifest_file_state *manifest, struct err *e)
{
    const struct batch_options *options = lane->worker->options;
    struct hash_result hashed;

    if (hash_file_end(&lane->file, &hashed, e) != 0)
        return -1;
    if (options->work == BATCH_LINK)
        return add_stage_hashed(options->store, lane->path, &hashed, staged, e);
    *staged = staged_nothing(&hashed);
    *manifest = hashed.manifest_state;
    return 0;
}

static void free_lane(struct worker_lane *lane)
{
    free(lane->path);
    lane->path = NULL;
    lane->job->in_hand--;
    lane->job = NULL;
    lane->worker->busy--;
}

/* Answers for a file that does not read any more, and frees its lane. */
static void finish_lane(struct worker_lane *lane)
{
    struct batch_worker *w = lane->worker;
    struct worker_job *job = lane->job;
    enum manifest_file_state manifest = MANIFEST_FILE_NEEDLESS;
    struct add_staged staged;
    struct err e;

    if (end_batch_file(lane, &staged, &manifest, &e) == 0)
        send_hashed(w, job, lane->index, &staged, manifest);
    else
        send_path_failed(w, job, lane->index, &e);
    free_lane(lane);
    end_job_if_done(w, job);
}

/* There is one. */
static struct worker_lane *take_lane(struct batch_worker *w, struct worker_job *job, int64_t index,
                                     char *path)
{
    struct worker_lane *lane = w->lanes;

    while (lane->job != NULL)
        lane++;
    lane->worker = w;
    lane->job = job;
    lane->index = index;
    lane->path = path;
    lane->watch = (struct hash_watch){report_bytes, lane};
    lane->bytes = 0;
    job->in_hand++;
    w->busy++;
    return lane;
}

static void begin_batch_file(struct worker_lane *lane)
{
    const struct hash_options options = options_of(lane);

    hash_file_begin(&lane->file, lane->worker->options->store, lane->path, &options);
    if (lane->file.progress != HASH_READS)
        finish_lane(lane);
}

/* A copy is made at once, from its first byte to its last. */
static void copy_batch_file(struct worker_lane *lane)
{
    const struct hash_options options = options_of(lane);
    struct batch_worker *w = lane->worker;
    struct worker_job *job = lane->job;
    struct add_staged staged;
    struct err e;

    if (add_stage(w->options->store, STORE_COPY, lane->path, &options, &staged, &e) == 0)
        send_hashed(w, job, lane->index, &staged, MANIFEST_FILE_NEEDLESS);
    else
        send_path_failed(w, job, lane->index, &e);
    free_lane(lane);
    end_job_if_done(w, job);
}

/* Begins with the next path of a job. */
static void begin_path(struct batch_worker *w, struct worker_job *job)
{
    const int64_t index = job->begun++;
    struct str path = STR("");
    struct err e;

    if (index == 0 && w->busy > 0)
        report_job_bytes(w, job);
    (void)json_str(job->next, &path); /* it is one: is_batch_work */
    job->next = json_next(job->next);
    char *name = strndup(path.p, path.len);
    if (name == NULL) {
        err_set(&e, ERR_FAILED, "out of memory");
        send_path_failed(w, job, index, &e);
        end_job_if_done(w, job);
    } else if (w->options->work == BATCH_COPY) {
        copy_batch_file(take_lane(w, job, index, name));
    } else {
        begin_batch_file(take_lane(w, job, index, name));
    }
}

/* Reads some bytes of all files in hand. */
static void step_lanes(struct batch_worker *w)
{
    struct hash_file *files[SHA1_LANES] = {NULL};
    size_t n = 0;

    for (size_t i = 0; i < w->lane_count; i++)
        if (w->lanes[i].job != NULL)
            files[n++] = &w->lanes[i].file;
    hash_file_step(files, n);
    for (size_t i = 0; i < w->lane_count && !w->is_over; i++)
        if (w->lanes[i].job != NULL && w->lanes[i].file.progress != HASH_READS)
            finish_lane(&w->lanes[i]);
}

/* --- jobs --- */

/* Finds a place for a job: that of the job that ended first. When all places are used, the parent
 * has read that one's answers: it gives a worker no more jobs than there are places. */
static struct worker_job *find_job_place(const struct batch_worker *w)
{
    struct worker_job *place = NULL;

    for (size_t i = 0; i < w->lane_count; i++)
        if (w->jobs[i].doc == NULL && (place == NULL || w->jobs[i].ended < place->ended))
            place = &w->jobs[i];
    return place;
}

static bool is_batch_work(const struct batch_message *m)
{
    struct str path;

    if (m->type != BATCH_MESSAGE_WORK || json_count(m->paths) > BATCH_WORKER_PATHS)
        return false;
    for (const struct json *p = json_first(m->paths); p != NULL; p = json_next(p))
        if (!json_str(p, &path))
            return false;
    return json_first(m->paths) != NULL;
}

/* Takes the document over. */
static bool take_job(struct batch_worker *w, struct json *doc)
{
    struct worker_job *job = find_job_place(w);
    struct batch_message m;

    if (job == NULL || batch_message_read(&m, doc, ERR_IGNORED) != 0 || !is_batch_work(&m)) {
        json_free(doc);
        return false;
    }
    job->id = m.id;
    job->follow = (struct follow){.kind = (enum follow_kind)m.follow_kind,
                                  .root_len = (size_t)m.root_len,
                                  .root_device = m.root_device,
                                  .root_inode = m.root_inode};
    job->is_alone = m.is_alone;
    job->doc = doc;
    job->next = json_first(m.paths);
    job->begun = 0;
    job->staged_count = 0;
    return true;
}

/* Receives a job; waits for one if nothing is in hand. False when there is none now. */
static bool receive_job(struct batch_worker *w)
{
    if (w->busy > 0 && ready_look(w->fd, READY_READ) == 0)
        return false;
    if (frame_receive(w->fd, &w->in, NULL, ERR_IGNORED) != IO_DONE ||
        !take_job(w, json_parse(buf_str(&w->in), JSON_SURROGATE_ESCAPE, ERR_IGNORED)))
        w->is_over = true;
    return !w->is_over;
}

/* The job that has paths to begin with; there is one at most. */
static struct worker_job *job_to_begin(const struct batch_worker *w)
{
    for (size_t i = 0; i < w->lane_count; i++)
        if (w->jobs[i].doc != NULL && w->jobs[i].next != NULL)
            return &w->jobs[i];
    return NULL;
}

static bool is_alone_in_hand(const struct batch_worker *w)
{
    for (size_t i = 0; i < w->lane_count; i++)
        if (w->lanes[i].job != NULL && w->lanes[i].job->is_alone)
            return true;
    return false;
}

/* Begins as many files as may be in hand. */
static void fill_lanes(struct batch_worker *w)
{
    while (!w->is_over && w->busy < w->lane_count && !is_alone_in_hand(w)) {
        struct worker_job *job = job_to_begin(w);
        if (job == NULL) {
            if (!receive_job(w))
                return;
            continue;
        }
        if (job->is_alone && w->busy > 0)
            return;
        look_for_parent(w);
        if (!w->is_over)
            begin_path(w, job);
    }
}

/* Gives up what is in hand, and removes the temporary files of which only we know. Published ones
 * have lost that name. */
static void discard_work(struct batch_worker *w)
{
    for (size_t i = 0; i < w->lane_count; i++) {
        struct hash_result hashed;
        if (w->lanes[i].job == NULL)
            continue;
        if (hash_file_end(&w->lanes[i].file, &hashed, ERR_IGNORED) == 0) {
            struct add_staged staged = staged_nothing(&hashed);
            memcpy(staged.manifest, hashed.manifest, sizeof staged.manifest);
            add_discard(w->options->store, &staged);
        }
        free_lane(&w->lanes[i]);
    }
    for (size_t i = 0; i < w->lane_count; i++) {
        for (size_t k = 0; k < w->jobs[i].staged_count; k++)
            add_discard(w->options->store, &w->jobs[i].staged[k]);
        json_free(w->jobs[i].doc);
    }
}

int batch_worker_run(int fd, void *ctx)
{
    struct batch_worker w = {.options = ctx, .fd = fd};

    w.lane_count = batch_worker_lanes(w.options);
    w.lanes = calloc(w.lane_count, sizeof *w.lanes);
    w.jobs = calloc(w.lane_count, sizeof *w.jobs);
    w.is_over = w.lanes == NULL || w.jobs == NULL;
    const int status = w.is_over ? 1 : 0;
    while (!w.is_over) {
        fill_lanes(&w);
        if (!w.is_over && w.busy > 0)
            step_lanes(&w);
    }
    if (status == 0)
        discard_work(&w);
    free(w.lanes);
    free(w.jobs);
    buf_free(&w.in);
    buf_free(&w.out);
    return status;
}

size_t batch_worker_lanes(const struct batch_options *options)
{
    return options->work == BATCH_COPY ? 1 : sha1_lanes();
}
