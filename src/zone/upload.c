#include "zone/upload.h"

#include <poll.h>

#include "base/clock.h"
#include "base/fs.h"
#include "zone/bucket.h"
#include "zone/upload_source.h"

enum { UPLOAD_CANCEL_POLL_MS = 100 };

/* One upload under way. */
struct upload {
    struct gateway *gateway;
    const struct upload_options *options;
    struct upload_source source;
    int64_t taken, reported, reported_ms; /* bytes, and when the latter were told */
};

static bool is_cancelled(const struct upload_options *options)
{
    return options->is_cancelled != NULL && options->is_cancelled(options->ctx);
}

/* Tells how far it is, now and then. */
static void report(struct upload *upload)
{
    int64_t now_ms = clock_now_ms();

    if (upload->options->on_progress == NULL || upload->reported == upload->taken ||
        now_ms - upload->reported_ms < UPLOAD_PROGRESS_MS)
        return;
    upload->reported_ms = now_ms;
    upload->reported = upload->taken;
    upload->options->on_progress(upload->options->ctx, upload->taken);
}

/* Asked also while the bucket takes nothing. */
static bool cancelled(void *ctx)
{
    struct upload *upload = ctx;

    report(upload);
    return is_cancelled(upload->options);
}

/* The body of the PUT. When it is asked for more, all that it gave before was taken. */
static enum io next_chunk(void *ctx, struct str *chunk, struct err *e)
{
    struct upload *upload = ctx;

    upload->taken = upload->source.bytes_given;
    report(upload);
    return upload_source_next(&upload->source, chunk, e);
}

static int put(struct upload *upload, const char *url, struct err *e)
{
    struct http_call_options options = {
        .method = STR("PUT"),
        .url = str_of(url),
        .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
        .deadline_ms = CLOCK_NEVER_MS,
        .stall_ms = UPLOAD_STALL_MS,
        .source = next_chunk,
        .body_size = upload->source.size,
        .ctx = upload,
    };
    struct http_call *call = bucket_perform(upload->gateway->http, &options, cancelled, upload, e);
    int result = 0;

    if (call == NULL)
        return -1;
    if (http_call_head(call)->status != 200)
        result = bucket_refusal(call, e);
    else if (!upload_source_is_at_end(&upload->source))
        result = err_set(e, ERR_PROTOCOL, "the bucket answered 200 after %lld of %lld bytes",
                         (long long)upload->source.bytes_given, (long long)upload->source.size);
    http_call_free(call);
    return result;
}

static int wait_for_other(const struct upload_options *options, int64_t end_ms, struct err *e)
{
    while (clock_now_ms() < end_ms) {
        if (is_cancelled(options))
            return err_set(e, ERR_FAILED, "cancelled");
        poll(NULL, 0, UPLOAD_CANCEL_POLL_MS);
    }
    return 0;
}

/* Asks where to put the file, again and again while somebody else is uploading it. */
static int initiate(struct upload *upload, struct gateway_upload *out, struct err *e)
{
    const struct upload_options *options = upload->options;
    int64_t end_ms = clock_now_ms() + UPLOAD_PENDING_TOTAL_MS;

    for (;;) {
        if (is_cancelled(options))
            return err_set(e, ERR_FAILED, "cancelled");
        if (gateway_initiate_upload(upload->gateway, options->hash, options->size, out, e) != 0)
            return -1;
        if (out->already_exists || !out->already_pending)
            return 0;
        gateway_upload_deinit(out);
        if (clock_now_ms() + UPLOAD_PENDING_EVERY_MS > end_ms)
            return err_set(e, ERR_TIMEOUT, "somebody else's upload of this file does not end");
        if (wait_for_other(options, clock_now_ms() + UPLOAD_PENDING_EVERY_MS, e) != 0)
            return -1;
    }
}

/* The zone says that it has the file: is it of the right size? */
static int check_existing(struct upload *upload, struct err *e)
{
    const struct upload_options *options = upload->options;
    struct gateway_file file = {0};
    struct err why = {0};
    int result = 0;

    if (gateway_find_file(upload->gateway, options->hash, &file, &why) != 0) {
        /* Who may upload may be forbidden to download: then there is nothing to compare. */
        return why.code == ERR_REFUSED ? 0 : err_set(e, why.code, "%s", why.msg);
    }
    if (!file.is_found)
        result = err_set(e, ERR_PROTOCOL, "the zone has the file and does not find it");
    else if (file.size >= 0 && file.size != options->size)
        result = err_set(e, ERR_REFUSED,
                         "the zone has %lld bytes under this hash, the file has %lld",
                         (long long)file.size, (long long)options->size);
    gateway_file_deinit(&file);
    return result;
}

int upload_file(struct gateway *g, const struct upload_options *options,
                struct upload_result *result, struct err *e)
{
    struct upload upload = {.gateway = g, .options = options, .source = {.fd = -1}};
    struct gateway_upload target = {0};
    struct upload_result made = {.size = options->size};
    int status = -1;

    if (upload_source_open(&upload.source, options->path, options->hash, options->size, e) != 0 ||
        initiate(&upload, &target, e) != 0)
        goto out;
    made.mtime = fs_mtime(&upload.source.before);
    made.already_existed = target.already_exists;
    if (target.already_exists) {
        status = check_existing(&upload, e);
        goto out;
    }
    if (put(&upload, target.url, e) != 0)
        goto out;
    upload.taken = options->size;
    upload.reported_ms = 0;
    report(&upload);
    status = gateway_finalize_upload(g, options->hash, options->size, target.object_key, e);
out:
    if (status == 0)
        *result = made;
    gateway_upload_deinit(&target);
    upload_source_deinit(&upload.source);
    return status;
}
