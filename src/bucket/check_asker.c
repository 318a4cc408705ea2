#include "bucket/check_asker.h"

#include "bucket/signed_url.h"
#include "http/crew_frame.h"
#include "proc/frame.h"
#include "proto/kachery_uri.h"

void check_request_put(struct buf *out, const struct check_request *request)
{
    buf_printf(out, "%.*s %lld %.*s", STR_ARG(request->client), (long long)request->size_bytes,
               STR_ARG(request->key));
}

bool check_request_parse(struct str bytes, struct check_request *request)
{
    size_t first = str_find(bytes, ' ');
    struct str rest = str_slice(bytes, first + 1, bytes.len);
    size_t second = str_find(rest, ' ');
    struct str hash;
    uint64_t size;

    request->client = str_slice(bytes, 0, first);
    request->key = str_slice(rest, second + 1, rest.len);
    if (request->client.len > CHECK_MAX_CLIENT_BYTES ||
        !str_to_uint(str_slice(rest, 0, second), INT64_MAX, &size) ||
        request->key.len > SIGNED_URL_MAX_KEY_BYTES ||
        !kachery_uri_is_object_key(request->key, &hash))
        return false;
    request->size_bytes = (int64_t)size;
    return true;
}

int check_asker_ask(struct check_asker *asker, const struct check_request *request,
                    struct check_wait *wait)
{
    struct buf bytes = {0}, frame = {0};
    uint64_t id = wait == NULL ? 0 : asker->last_id + 1;
    int result = -1;

    check_request_put(&bytes, request);
    crew_frame_put(&frame, CREW_FRAME_CHECK, id, buf_str(&bytes));
    if (!bytes.failed && !frame.failed && crew_frame_is_writable(asker->fd) &&
        frame_send(asker->fd, buf_str(&frame), -1, ERR_IGNORED) == IO_DONE)
        result = 0;
    buf_free(&bytes);
    buf_free(&frame);
    if (result == 0 && wait != NULL) {
        wait->id = asker->last_id = id;
        wait->next = asker->first;
        asker->first = wait;
    }
    return result;
}

void check_asker_forget(struct check_asker *asker, struct check_wait *wait)
{
    struct check_wait **link = &asker->first;

    while (*link != NULL && *link != wait)
        link = &(*link)->next;
    if (*link != NULL)
        *link = wait->next;
}

void check_asker_answered(void *owner, uint64_t id)
{
    struct check_asker *asker = owner;
    struct check_wait *wait = asker->first;

    while (wait != NULL && wait->id != id)
        wait = wait->next;
    if (wait == NULL)
        return;
    check_asker_forget(asker, wait);
    wait->on_checked(wait);
}
