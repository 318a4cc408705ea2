#include "zone/hub_file.h"

#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "proto/extensions.h"
#include "proto/manifest.h"
#include "proto/range_message.h"
#include "zone/bucket_answer.h"
#include "zone/retry.h"

bool hub_file_is_served(const struct gateway *g)
{
    return gateway_has_announced(g, RANGE_EXTENSION);
}

bool hub_file_is_at_host(const struct gateway *g, const struct gateway_file *answer)
{
    return answer->is_found && !answer->has_key && answer->url != NULL && hub_file_is_served(g);
}

bool hub_file_is_provable(const struct gateway *g, const struct hub_file *file)
{
    if (!manifest_is_for(file->size))
        return file->size >= 0;
    return file->root[0] != '\0' && gateway_has_announced(g, EXTENSIONS_MANIFESTS);
}

bool hub_file_has_pass(struct str url)
{
    return memmem(url.p, url.len, "/f/~", 4) != NULL;
}

void hub_file_put_url(const struct gateway *g, const char *hash, struct buf *out)
{
    buf_printf(out, "%s/f/%s", g->url, hash);
}

/* Takes "<done>/<size>" apart. */
static bool take_building_progress(struct str text, struct hub_file *out)
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

/* The tag of a file that a host has names the root of its manifest behind the SHA-1. */
static void take_root(const struct http_head *head, struct hub_file *out)
{
    struct str etag = bucket_answer_strong_etag(head);
    struct str digits = str_slice(etag, str_find(etag, '-') + 1, etag.len - (etag.len > 0));

    if (hex_is_lower(digits, 2 * HUB_FILE_ROOT_BYTES))
        memcpy(out->root, digits.p, digits.len);
}

/* Reads the head of an answer. Another zone's file counts as absent. */
static int read_file_head(const struct gateway *g, const struct http_call *call,
                          struct hub_file *out, struct err *e)
{
    const struct http_head *head = http_call_head(call);
    const struct str *building = http_head_get(head, "Kachery-Building");
    const struct str *zone = http_head_get(head, EXTENSIONS_ZONE_HEADER);

    *out = (struct hub_file){.size = -1, .done = -1};
    if (head->status == 404 || (zone != NULL && !str_equal(*zone, str_of(g->zone))))
        return 0;
    if (head->status == 503 && building != NULL && take_building_progress(*building, out)) {
        out->state = HUB_FILE_BUILDING;
        return 0;
    }
    if (head->status == 503 && http_head_get(head, "Retry-After") != NULL)
        return err_set(e, ERR_NETWORK,
                       "%s: the file's host cannot read it now, or this server is busy (503)",
                       g->shown);
    if (head->status != 200)
        return bucket_answer_refusal(call, e);
    out->state = HUB_FILE_READABLE;
    out->size = head->content_length;
    take_root(head, out);
    return 0;
}

/* Asks once; `is_patient` false: for what the hub knows without waiting (RFC 7240 "wait"). */
static int look_for(const struct gateway *g, const struct zone_watch *watch, struct str url,
                    int64_t wait_ms, bool is_patient, struct hub_file *out, struct err *e)
{
    const struct http_header at_once = {STR("Prefer"), STR("wait=0")};
    struct err why = {0};
    struct http_call *call =
        retry_call(g->http,
                   &(struct http_call_options){.method = STR("HEAD"),
                                               .url = url,
                                               .headers = &at_once,
                                               .header_count = !is_patient,
                                               .max_answer_bytes = BUCKET_MAX_REFUSAL_BYTES,
                                               .deadline_ms = clock_now_ms() + wait_ms},
                   watch, NULL, &why);
    int result = call == NULL ? -1 : read_file_head(g, call, out, &why);

    if (why.code == ERR_TIMEOUT)
        err_set(&why, why.code, "%s waits for a host that is away and may have it", g->shown);
    if (result != 0)
        err_copy(e, &why);
    http_call_free(call);
    return result;
}

static int64_t short_wait(const struct gateway *g)
{
    return g->patience.waiting_ms < HUB_FILE_LOOK_MS ? g->patience.waiting_ms : HUB_FILE_LOOK_MS;
}

int hub_file_look(const struct gateway *g, const struct zone_watch *watch, struct str url,
                  struct hub_file *out, struct err *e)
{
    return look_for(g, watch, url, short_wait(g), false, out, e);
}

/* Looks for a short while, then tells the caller and waits on for a host. */
static int look_patiently(struct gateway *g, const struct zone_watch *watch, struct str url,
                          const struct hub_file_wait *wait, struct hub_file *out, struct err *e)
{
    struct err why = {0};
    int result = look_for(g, watch, url, short_wait(g), true, out, &why);

    if (result != 0 && why.code == ERR_TIMEOUT && !g->lacks_host && wait->on_away != NULL) {
        wait->on_away(wait->ctx);
        result = look_for(g, watch, url, g->patience.waiting_ms, true, out, &why);
    }
    if (wait->on_away != NULL)
        g->lacks_host = result != 0 && why.code == ERR_TIMEOUT;
    if (result != 0)
        err_copy(e, &why);
    return result;
}

bool hub_file_has_given_up(const struct gateway *g, int64_t since_ms)
{
    return clock_now_ms() - since_ms >= g->patience.waiting_ms;
}

int hub_file_wait(struct gateway *g, const struct zone_watch *watch, struct str url,
                  const struct hub_file_wait *wait, struct hub_file *out, struct err *e)
{
    int64_t pause_ms = HUB_FILE_FIRST_PAUSE_MS;
    struct retry retry;
    int result = look_patiently(g, watch, url, wait, out, e);

    retry_init(&retry, &g->patience, watch, CLOCK_NEVER_MS);
    while (result == 0 && out->state == HUB_FILE_BUILDING) {
        wait->on_building(wait->ctx, out->done, out->size);
        if (retry_wait(watch, pause_ms < wait->every_ms ? pause_ms : wait->every_ms, e) != 0)
            return -1;
        pause_ms *= 2;
        do
            result = look_for(g, watch, url, short_wait(g), true, out, e);
        while (result != 0 && retry_again(&retry, e) == 0);
        retry_got_further(&retry);
    }
    return result;
}
