#include "http/http_select.h"

#include <string.h>

static bool copy_header(struct buf *out, bool *has, const struct http_head *head, const char *name)
{
    const struct str *value = http_head_get(head, name);

    *has = value != NULL;
    if (value != NULL)
        buf_put(out, *value);
    return !out->failed;
}

bool http_wish_init(struct http_wish *wish, const struct http_head *head)
{
    memset(wish, 0, sizeof *wish);
    return copy_header(&wish->range, &wish->has_range, head, "Range") &&
           copy_header(&wish->if_range, &wish->has_if_range, head, "If-Range") &&
           copy_header(&wish->match, &wish->has_match, head, "If-Match") &&
           copy_header(&wish->none_match, &wish->has_none_match, head, "If-None-Match");
}

void http_wish_deinit(struct http_wish *wish)
{
    buf_free(&wish->range);
    buf_free(&wish->if_range);
    buf_free(&wish->match);
    buf_free(&wish->none_match);
}

/* Whether a list of entity tags has this one, or is "*". A weak tag is as good where the comparison
 * is the weak one (RFC 9110 §8.8.3.2). */
static bool has_listed_etag(struct str list, const char *etag, bool takes_weak)
{
    for (size_t start = 0; start <= list.len;) {
        struct str rest = str_slice(list, start, list.len);
        size_t comma = str_find(rest, ',');
        struct str item = str_trim(str_slice(rest, 0, comma));
        if (takes_weak && str_starts_with(item, STR("W/")))
            item = str_slice(item, 2, item.len);
        if (str_equal(item, STR("*")) || str_equal(item, str_of(etag)))
            return true;
        start += comma + 1;
    }
    return false;
}

int http_select(const struct http_wish *wish, const char *etag, int64_t size, int64_t *start,
                int64_t *end)
{
    int found = 0;

    *start = 0;
    *end = size;
    if (wish->has_match && !has_listed_etag(buf_str(&wish->match), etag, false))
        return 412;
    if (wish->has_none_match && has_listed_etag(buf_str(&wish->none_match), etag, true))
        return 304;
    if (!wish->has_range ||
        (wish->has_if_range && !str_equal(str_trim(buf_str(&wish->if_range)), str_of(etag))))
        return 200;
    found = http_head_parse_range(buf_str(&wish->range), size, start, end);
    if (found == 0 && size == 0 && str_starts_with(buf_str(&wish->range), STR("bytes=-")))
        found = -1;
    return found > 0 ? 206 : found < 0 ? 416 : 200;
}

bool http_wish_is_small(const struct http_wish *wish, int64_t bytes)
{
    int64_t start, end;

    return wish->has_range &&
           http_head_parse_range(buf_str(&wish->range), INT64_MAX, &start, &end) > 0 &&
           end - start <= bytes;
}
