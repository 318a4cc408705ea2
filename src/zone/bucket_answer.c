#include "zone/bucket_answer.h"

#include <stdio.h>
#include <string.h>

#include "proto/http_head.h"
#include "proto/s3_error.h"
#include "proto/url.h"

int bucket_answer_refusal(const struct http_call *call, struct err *e)
{
    int status = http_call_head(call)->status;
    const struct http_reply answer = http_call_answer(call, "bucket", NULL);
    struct str page = http_call_body(call);
    struct buf reason = {0};
    struct err who = {0};

    if (!s3_error_has_code(page) && http_answer_explain(&answer, &who))
        return err_set(e, who.code, "%s%s",
                       str_starts_with(str_of(who.msg), STR("HTTP proxy")) ? ""
                                                                           : "the bucket answered ",
                       who.msg);
    s3_error_put_reason(&reason, page);
    err_set(e, s3_error_kind(status, page), "the bucket answered %d %s%s%s", status,
            http_head_reason(status), reason.len > 0 ? ": " : "", buf_cstr(&reason));
    buf_free(&reason);
    return s3_error_has_code(page) ? -1 : http_answer_name_proxy(&answer, e);
}

/* Returns a strong entity tag: only such a one proves that two objects are the same byte for byte
 * (RFC 9110 §8.8.3). */
struct str bucket_answer_strong_etag(const struct http_head *head)
{
    const struct str *etag = http_head_get(head, "ETag");

    bool is_strong =
        etag != NULL && str_starts_with(*etag, STR("\"")) && etag->len <= BUCKET_MAX_ETAG_BYTES;

    return is_strong ? *etag : STR("");
}

static bool may_lead_to(const struct url *from, const struct url *to)
{
    return !url_is_websocket(to) && to->userinfo.len == 0 && (url_is_tls(to) || !url_is_tls(from));
}

int bucket_answer_follow(struct buf *url_text, const struct http_head *head, struct str location,
                         struct err *e)
{
    struct buf target = {0}, shown = {0};
    struct url base, url;
    bool is_url;

    if (url_parse(&base, buf_str(url_text), e) != 0)
        return -1;
    url_resolve(&target, &base, location);
    is_url = url_parse(&url, buf_str(&target), ERR_IGNORED) == 0;
    if (is_url && may_lead_to(&base, &url)) {
        buf_wipe(url_text);
        *url_text = target;
        return 0;
    }
    if (is_url)
        url_put_redacted(&shown, &url);
    else
        buf_puts(&shown, "what is no URL");
    err_set(e, ERR_REFUSED, "the bucket answered %d %s to %s: only https://%s is followed%s",
            head->status, http_head_reason(head->status), buf_cstr(&shown),
            url_is_tls(&base) ? "" : " or http://",
            is_url && !str_equal_nocase(url.host, base.host) ? ", unless " HTTP_ANSWER_LOG_IN : "");
    buf_wipe(&target);
    buf_free(&shown);
    return -1;
}

int bucket_answer_check_page(const struct http_head *head, int64_t size, bool has_part,
                             struct err *e)
{
    bool has_length = head->framing == HTTP_BODY_LENGTH;

    if (head->status != 200 || size < 0 || !http_head_is_content_type(head, "text/html") ||
        (has_length ? head->content_length == size : !has_part))
        return 0;
    return err_set(e, ERR_REFUSED, "instead of the %lld bytes " HTTP_ANSWER_LOG_IN,
                   (long long)size);
}
