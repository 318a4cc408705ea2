#include "zone/upload.h"

#include "base/clock.h"
#include "zone/bucket_answer.h"
#include "zone/gateway_memory.h"
#include "zone/retry.h"
#include "zone/upload_source.h"

/* One upload under way. */
struct zone_upload {
    struct gateway *gateway;
    struct zone_call how;
    const struct upload_options *options;
    struct retry retry;
    struct gateway_upload target;
    struct upload_source source; /* of this attempt */
    int64_t reported_ms;
    bool is_url_new;     /* of the target: got because the bucket refused the one before */
    bool has_begun;      /* on_begun was called */
    bool is_never_asked; /* the bucket does not understand Expect */
    bool was_proven;     /* all of `source` was hashed before it was sent */
    struct stat proven;  /* the file that was */
};

enum result {
    RESULT_DONE,
    RESULT_AGAIN,  /* at once */
    RESULT_FAILED, /* of the PUT: may be tried again if its error may pass */
    RESULT_OVER    /* of something else */
};

static void report_upload_progress(struct zone_upload *upload, int64_t bytes)
{
    upload->reported_ms = clock_now_ms();
    if (upload->options->on_progress != NULL)
        upload->options->on_progress(upload->options->ctx, bytes);
}

static void on_call_step(void *ctx, const struct http_call *call)
{
    struct zone_upload *upload = ctx;

    if (clock_now_ms() - upload->reported_ms >= UPLOAD_PROGRESS_MS)
        report_upload_progress(upload, http_call_delivered(call));
}

static enum io next_chunk(void *ctx, struct str *chunk, struct err *e)
{
    return upload_source_next(&((struct zone_upload *)ctx)->source, chunk, e);
}

/* The file from its start: nothing of an earlier attempt is believed. */
static int open_source(struct zone_upload *upload, struct err *e)
{
    const struct upload_options *options = upload->options;

    upload_source_deinit(&upload->source);
    return upload_source_open(&upload->source, options->path, options->hash, options->size, e);
}

static struct http_call *put_once(struct zone_upload *upload, struct err *e)
{
    const struct patience *patience = &upload->gateway->patience;
    bool asks = upload->source.size >= UPLOAD_EXPECT_BYTES && !upload->is_never_asked;
    const struct http_call_options options = {
        .method = STR("PUT"),
        .url = str_of(upload->target.url),
        .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
        .deadline_ms = CLOCK_NEVER_MS,
        .stall_ms = patience->stall_ms,
        .answer_ms = patience->answer_ms,
        .expect_ms = asks ? patience->expect_ms : 0,
        .source = next_chunk,
        .body_size = upload->source.size,
        .ctx = upload,
    };

    return retry_call(upload->gateway->http, &options, &upload->how.watch, on_call_step, e);
}

/* Decides what follows an answer other than 200. */
static enum result take_put_refusal(struct zone_upload *upload, const struct http_call *call,
                                    struct err *e)
{
    int status = http_call_head(call)->status;

    bucket_answer_refusal(call, e);
    if (status == 417 && !upload->is_never_asked) {
        upload->is_never_asked = true;
        return RESULT_AGAIN;
    }
    if (status == 403 && !upload->is_url_new) {
        gateway_upload_deinit(&upload->target);
        upload->is_url_new = true;
        return RESULT_AGAIN;
    }
    if (status != 403)
        upload->is_url_new = false; /* it was good: when it is refused later, it has expired */
    return RESULT_FAILED;
}

static enum result put_upload(struct zone_upload *upload, struct err *e)
{
    enum result result = RESULT_DONE;
    struct http_call *call = put_once(upload, e);

    if (call == NULL) {
        upload->is_url_new = false;
        return RESULT_FAILED;
    }
    retry_note_answer(&upload->retry, http_call_head(call));
    const struct http_reply answer = http_call_answer(call, "bucket", NULL);
    if (http_call_head(call)->status != 200) {
        result = take_put_refusal(upload, call, e);
    } else if (http_answer_is_page(&answer) && http_answer_explain(&answer, e)) {
        result = RESULT_FAILED;
    } else if (!upload_source_is_at_end(&upload->source)) {
        err_set(e, ERR_PROTOCOL, "the bucket answered 200 after %lld of %lld bytes",
                (long long)upload->source.bytes_given, (long long)upload->source.size);
        result = RESULT_FAILED;
    }
    http_call_free(call);
    return result;
}

/* Appends the cure to the gateway's refusal of a file that is too large for it. */
static int explain_size(const struct zone_upload *upload, struct err *e)
{
    const struct err refusal = *e;
    struct err size = {0};

    if (gateway_check_size(upload->gateway, upload->options->size, &size) != 0)
        err_set(e, ERR_REFUSED, "%s: %s", refusal.msg, size.msg);
    return -1;
}

/* Asks where to put the file, again and again while somebody else is uploading it. */
static int initiate_upload(struct zone_upload *upload, struct err *e)
{
    const struct upload_options *options = upload->options;
    struct gateway *g = upload->gateway;
    struct gateway_upload *target = &upload->target;
    int64_t end_ms = clock_now_ms() + g->patience.pending_total_ms;

    for (;;) {
        if (gateway_initiate_upload(g, &upload->how, options->hash, options->size, target, e) != 0)
            return e->code != ERR_REFUSED ? -1 : explain_size(upload, e);
        if (target->already_exists || !target->already_pending)
            return 0;
        gateway_upload_deinit(target);
        if (clock_now_ms() + g->patience.pending_every_ms > end_ms)
            return err_set(e, ERR_TIMEOUT, "somebody else's upload of this file does not end");
        if (retry_wait(&upload->how.watch, g->patience.pending_every_ms, e) != 0)
            return -1;
    }
}

/* The zone has the file already: is it of the right size? */
static int check_existing(struct zone_upload *upload, struct err *e)
{
    const struct upload_options *options = upload->options;
    struct gateway_file file = {0};
    struct err why = {0};
    int result = 0;

    if (gateway_find_file(upload->gateway, &upload->how, options->hash, &file, &why) != 0) {
        /* A client that may upload may be forbidden to download: then there is nothing to
         * compare. */
        return why.code == ERR_REFUSED ? 0 : err_copy(e, &why);
    }
    if (!file.is_found)
        result = err_set(e, ERR_PROTOCOL, "the zone has the file and does not find it");
    else if (file.size >= 0 && file.size != options->size)
        result =
            err_set(e, ERR_REFUSED, "the zone has %lld bytes under this hash, the file has %lld",
                    (long long)file.size, (long long)options->size);
    gateway_file_deinit(&file);
    return result;
}

static int begin_job(struct zone_upload *upload, struct err *e)
{
    if (upload->has_begun || upload->options->on_begun == NULL)
        return 0;
    upload->has_begun = true;
    return upload->options->on_begun(upload->options->ctx, e);
}

static bool is_same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Says while a file is hashed that this goes on; ends when the upload is for nobody. */
static int show_reading(void *ctx, struct err *e)
{
    struct zone_upload *upload = ctx;
    const struct zone_watch *watch = &upload->how.watch;

    if (clock_now_ms() - upload->reported_ms >= UPLOAD_PROGRESS_MS) {
        report_upload_progress(upload, 0);
        if (watch->is_cancelled != NULL && watch->is_cancelled(watch->ctx))
            return err_set(e, ERR_FAILED, "cancelled");
    }
    return 0;
}

/* Asks whether the open file may be sent as it is read. */
static int ask_about(struct zone_upload *upload, bool *must_prove, struct err *e)
{
    const struct upload_options *options = upload->options;
    const struct upload_source *source = &upload->source;

    *must_prove = false;
    if (options->on_opened == NULL)
        return 0;
    return options->on_opened(options->ctx, source->fd, &source->before, must_prove, e);
}

/* Proves the file by its hash before any byte leaves, if it is another one than was linked. */
static int prove_file(struct zone_upload *upload, struct err *e)
{
    struct upload_source *source = &upload->source;

    if (upload->was_proven && is_same_stat(&upload->proven, &source->before))
        return 0;
    upload->was_proven = false;
    if (upload_source_prove(source, show_reading, upload, e) != 0)
        return -1;
    upload->was_proven = true;
    upload->proven = source->before;
    return 0;
}

/* Opens the file and reads its first bytes, waits for the turn, and makes sure that it may be
 * sent. */
static int prepare_attempt(struct zone_upload *upload, struct err *e)
{
    bool must_prove;

    if (open_source(upload, e) != 0 || ask_about(upload, &must_prove, e) != 0 ||
        begin_job(upload, e) != 0)
        return -1;
    return must_prove ? prove_file(upload, e) : 0;
}

/* Uploads from the file's first byte to the bucket's 200, or to the zone's word that it has the
 * file. */
static enum result attempt_upload(struct zone_upload *upload, struct err *e)
{
    enum result result = RESULT_AGAIN;

    while (result == RESULT_AGAIN) {
        if (prepare_attempt(upload, e) != 0 ||
            (upload->target.url == NULL && initiate_upload(upload, e) != 0))
            return RESULT_OVER;
        if (upload->target.already_exists)
            return check_existing(upload, e) == 0 ? RESULT_DONE : RESULT_OVER;
        upload->how.patience = ZONE_WORKING; /* from now on much may be lost */
        result = put_upload(upload, e);
    }
    return result;
}

int upload_file(struct gateway *g, const struct zone_call *how,
                const struct upload_options *options, struct upload_result *result, struct err *e)
{
    struct zone_upload upload = {
        .gateway = g, .how = *how, .options = options, .source = {.fd = -1}};
    struct upload_result made = {.size = options->size};
    struct err why = {0};
    enum result got;
    int status;

    retry_init(&upload.retry, &g->patience, &upload.how.watch, CLOCK_NEVER_MS);
    while ((got = attempt_upload(&upload, &why)) == RESULT_FAILED &&
           retry_again(&upload.retry, &why) == 0)
        report_upload_progress(&upload, 0);
    status = got == RESULT_DONE ? 0 : -1;
    made.file = upload.source.before;
    made.was_proven = upload.was_proven;
    made.already_existed = upload.target.already_exists;
    if (status == 0 && !made.already_existed) {
        report_upload_progress(&upload, options->size);
        status = gateway_finalize_upload(g, &upload.how, options->hash, options->size,
                                         upload.target.object_key, &why);
    }
    if (status == 0)
        *result = made;
    else
        err_copy(e, &why);
    gateway_upload_deinit(&upload.target);
    upload_source_deinit(&upload.source);
    return status;
}
