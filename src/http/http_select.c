#include "http/http_select.h"

#include <stdio.h>
#include <string.h>

static bool copy_header(struct buf *out, bool *has, const struct http_head *head, const char *name)
{
    const struct str *value = http_head_get(head, name);

    *has = value != NULL;
    if (value != NULL)
        buf_put(out, *value);
    return !out->failed;
}

/* Returns -1 without a date that can be read. */
static int64_t date_of_field(const struct http_head *head, const char *name)
{
    const struct str *value = http_head_get(head, name);

    return value == NULL ? -1 : http_head_parse_date(*value);
}

bool http_wish_init(struct http_wish *wish, const struct http_head *head)
{
    memset(wish, 0, sizeof *wish);
    wish->waits_not = http_head_has_token(head, "Prefer", "wait=0");
    wish->modified_since_ms = date_of_field(head, "If-Modified-Since");
    wish->unmodified_since_ms = date_of_field(head, "If-Unmodified-Since");
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

/* Returns whether a list of entity tags has this one, or is "*". A weak tag is as good where the
 * comparison is the weak one (RFC 9110 §8.8.3.2). */
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

/* Returns 412 or 304 if a condition asks for it, else 0 (RFC 9110 §13.2.2). */
static int judge_conditions(const struct http_wish *wish, const struct http_content *content)
{
    bool has_date = content->modified_ms >= 0;

    if (wish->has_match ? !has_listed_etag(buf_str(&wish->match), content->etag, false)
                        : has_date && wish->unmodified_since_ms >= 0 &&
                              content->modified_ms > wish->unmodified_since_ms)
        return 412;
    if (wish->has_none_match ? has_listed_etag(buf_str(&wish->none_match), content->etag, true)
                             : has_date && content->modified_ms <= wish->modified_since_ms)
        return 304;
    return 0;
}

/* If-Range: the range is wanted only of this very content. */
static bool is_range_wanted(const struct http_wish *wish, const struct http_content *content)
{
    struct str condition = str_trim(buf_str(&wish->if_range));

    if (!wish->has_range)
        return false;
    return !wish->has_if_range || str_equal(condition, str_of(content->etag)) ||
           (content->modified_ms >= 0 && http_head_parse_date(condition) == content->modified_ms);
}

int http_select(const struct http_wish *wish, const struct http_content *content, int64_t *start,
                int64_t *end)
{
    struct str range = buf_str(&wish->range);
    int status = judge_conditions(wish, content), found;

    *start = 0;
    *end = content->size;
    if (status != 0)
        return status;
    if (!is_range_wanted(wish, content))
        return 200;
    found = http_head_parse_range(range, content->size, start, end);
    if (found == 0 && content->size == 0 && str_starts_with(range, STR("bytes=-")))
        found = -1;
    return found > 0 ? 206 : found < 0 ? 416 : 200;
}

void http_select_format_range(int status, int64_t start, int64_t end, int64_t size,
                              char out[HTTP_CONTENT_RANGE_BYTES])
{
    out[0] = '\0';
    if (status == 206)
        snprintf(out, HTTP_CONTENT_RANGE_BYTES, "bytes %lld-%lld/%lld", (long long)start,
                 (long long)end - 1, (long long)size);
    else if (status == 416)
        snprintf(out, HTTP_CONTENT_RANGE_BYTES, "bytes */%lld", (long long)size);
}

bool http_wish_is_small(const struct http_wish *wish, int64_t bytes)
{
    int64_t start, end;

    return wish->has_range &&
           http_head_parse_range(buf_str(&wish->range), INT64_MAX, &start, &end) > 0 &&
           end - start <= bytes;
}
