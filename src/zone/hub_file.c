#include "zone/hub_file.h"

#include "base/clock.h"
#include "proto/range_message.h"
#include "zone/bucket_answer.h"
#include "zone/retry.h"

bool hub_file_is_served(const struct gateway *g)
{
    return gateway_has_announced(g, RANGE_EXTENSION);
}

void hub_file_put_url(const struct gateway *g, const char *hash, struct buf *out)
{
    buf_printf(out, "%s/f/%s", g->url, hash);
}

/* Takes "<done>/<size>" apart. */
static bool take_progress(struct str text, struct hub_file *out)
{
    size_t slash = str_find(text, '/');
    uint64_t done, size;

    if (!str_to_uint(str_slice(text, 0, slash), INT64_MAX, &done) ||
        !str_to_uint(str_slice(text, slash + 1, text.len), INT64_MAX, &size))
        return false;
    out->done = (int64_t)done;
    out->size = (int64_t)size;
    return true;
}

static int read_answer(const struct http_call *call, struct hub_file *out, struct err *e)
{
    const struct http_head *head = http_call_head(call);
    const struct str *building = http_head_get(head, "Kachery-Building");

    *out = (struct hub_file){.size = -1, .done = -1};
    if (head->status == 404)
        return 0;
    if (head->status == 503 && building != NULL && take_progress(*building, out)) {
        out->state = HUB_FILE_BUILDING;
        return 0;
    }
    if (head->status != 200)
        return bucket_answer_refusal(call, e);
    out->state = HUB_FILE_READABLE;
    out->size = head->content_length;
    return 0;
}

int hub_file_look(struct gateway *g, const char *hash, struct hub_file *out, struct err *e)
{
    int64_t wait_ms = g->patience.waiting_ms;
    struct buf url = {0};
    struct http_call *call = NULL;
    int result = -1;

    if (wait_ms > HUB_FILE_LOOK_MS)
        wait_ms = HUB_FILE_LOOK_MS;
    hub_file_put_url(g, hash, &url);
    if (buf_check(&url, e) == 0)
        call = retry_call(g->http,
                          &(struct http_call_options){.method = STR("HEAD"),
                                                      .url = buf_str(&url),
                                                      .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
                                                      .deadline_ms = clock_now_ms() + wait_ms},
                          &g->watch, NULL, e);
    if (call != NULL)
        result = read_answer(call, out, e);
    else if (e != NULL && e->code == ERR_TIMEOUT)
        err_set(e, ERR_TIMEOUT, "%s waits for a host that is away and may have it", g->shown);
    http_call_free(call);
    buf_wipe(&url);
    return result;
}
