#include "zone/bucket.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "proto/http_head.h"
#include "proto/url.h"

/* The text between the first <name> and </name>; empty when there is none. */
static struct str element(struct str page, const char *name)
{
    char open[32], close[32];
    const char *start, *end;

    snprintf(open, sizeof open, "<%s>", name);
    snprintf(close, sizeof close, "</%s>", name);
    /* (No answer at all is a null pointer.) */
    start = page.len == 0 ? NULL : memmem(page.p, page.len, open, strlen(open));
    if (start == NULL)
        return STR("");
    start += strlen(open);
    end = memmem(start, page.len - (size_t)(start - page.p), close, strlen(close));
    return end == NULL ? STR("") : (struct str){start, (size_t)(end - start)};
}

/* Appends the start of a text, with XML's five entities resolved. */
static void put_unescaped(struct buf *out, struct str text)
{
    static const struct {
        const char *entity;
        char byte;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    struct buf plain = {0};

    text = str_cut(text, BUCKET_MAX_REASON_BYTES);
    while (text.len > 0) {
        size_t used = 1;
        char byte = *text.p;
        for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
            if (str_starts_with(text, str_of(entities[i].entity))) {
                used = strlen(entities[i].entity);
                byte = entities[i].byte;
            }
        buf_putc(&plain, byte);
        text = str_slice(text, used, text.len);
    }
    fs_put_printable(out, buf_str(&plain));
    buf_free(&plain);
}

void bucket_put_reason(struct buf *out, struct str page)
{
    struct str code = element(page, "Code"), message = element(page, "Message");
    struct str line = str_slice(page, 0, str_find(page, '\n'));

    if (!str_is_utf8(page))
        return;
    put_unescaped(out, code);
    if (code.len > 0 && message.len > 0)
        buf_puts(out, ": ");
    put_unescaped(out, message);
    if (code.len == 0 && message.len == 0 && line.len > 0 && str_find(page, '<') == page.len)
        put_unescaped(out, str_trim(line));
}

enum err_code bucket_error(int status, struct str page)
{
    if (status == 404)
        return ERR_NOT_FOUND;
    /* 507, a full disk: it does not pass while somebody waits, who should hear of it. */
    if (status == 408 || status == 429 || (status >= 500 && status != 507))
        return ERR_NETWORK;
    /* The upload was too slow for it, once. */
    if (status == 400 && str_equal(element(page, "Code"), STR("RequestTimeout")))
        return ERR_NETWORK;
    return ERR_REFUSED;
}

int bucket_refusal(const struct http_call *call, struct err *e)
{
    int status = http_call_head(call)->status;
    const struct http_reply answer = http_call_answer(call, "bucket", NULL);
    struct str page = http_call_body(call);
    struct buf reason = {0};
    struct err who = {0};

    if (element(page, "Code").len == 0 && http_answer_explain(&answer, &who))
        return err_set(e, who.code, "%s%s",
                       str_starts_with(str_of(who.msg), STR("HTTP proxy")) ? ""
                                                                           : "the bucket answered ",
                       who.msg);
    bucket_put_reason(&reason, page);
    err_set(e, bucket_error(status, page), "the bucket answered %d %s%s%s", status,
            http_head_reason(status), reason.len > 0 ? ": " : "", buf_cstr(&reason));
    buf_free(&reason);
    return element(page, "Code").len > 0 ? -1 : http_answer_name_proxy(&answer, e);
}

/* Only a strong one tells that two objects are the same byte for byte (RFC 9110 §8.8.3). */
struct str bucket_strong_etag(const struct http_head *head)
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

int bucket_follow(struct buf *url_text, const struct http_head *head, struct str location,
                  struct err *e)
{
    struct buf target = {0}, shown = {0};
    struct url base, url;
    bool is_url;

    if (url_parse(&base, buf_str(url_text), e) != 0)
        return -1;
    url_resolve(&target, &base, location);
    is_url = url_parse(&url, buf_str(&target), NULL) == 0;
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

int bucket_check_page(const struct http_head *head, int64_t size, bool has_part, struct err *e)
{
    bool has_length = head->framing == HTTP_BODY_LENGTH;

    if (head->status != 200 || size < 0 || !http_head_is_content_type(head, "text/html") ||
        (has_length ? head->content_length == size : !has_part))
        return 0;
    return err_set(e, ERR_REFUSED, "instead of the %lld bytes " HTTP_ANSWER_LOG_IN,
                   (long long)size);
}
