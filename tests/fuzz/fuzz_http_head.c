/* A head that comes in pieces is read as one that comes whole; what is accepted holds nothing that
 * another reader could take for something else, and is the same when it is written again. */
#include <string.h>

#include "fuzz.h"
#include "proto/http_head.h"

struct result {
    enum io io;
    int status;
    struct http_head head;
};

static void parse_whole(struct result *r, enum http_kind kind, struct str text, struct str method)
{
    struct http_head_parser parser = {0};
    struct err e;

    r->io = http_head_parse(&parser, kind, text, method, &r->head, &r->status, &e);
}

static void parse_pieces(struct result *r, enum http_kind kind, struct str text, struct str method,
                         uint32_t seed)
{
    struct http_head_parser parser = {0};
    struct err e;
    size_t given = 0;

    do {
        given += fuzz_piece(&seed);
        r->io = http_head_parse(&parser, kind, str_slice(text, 0, given), method, &r->head,
                                &r->status, &e);
    } while (r->io == IO_WANT_READ && given < text.len);
}

static void require_same(const struct http_head *a, const struct http_head *b)
{
    require(str_equal(a->method, b->method) && str_equal(a->target, b->target));
    require(a->status == b->status && str_equal(a->reason, b->reason));
    require(a->framing == b->framing && a->content_length == b->content_length);
    require(a->is_keep_alive == b->is_keep_alive && a->is_upgrade == b->is_upgrade);
    require(a->expects_continue == b->expects_continue && a->header_count == b->header_count);
    for (size_t i = 0; i < a->header_count; i++)
        require(str_equal(a->headers[i].name, b->headers[i].name) &&
                str_equal(a->headers[i].value, b->headers[i].value));
}

/* Line ends are CRLF and nothing else; the empty line comes last (and may come first). */
static void require_lines(struct str text, bool may_lead)
{
    size_t lines = 0;

    for (size_t i = 0; i < text.len; i++) {
        require(text.p[i] != '\0');
        if (text.p[i] == '\r')
            require(i + 1 < text.len && text.p[i + 1] == '\n');
        if (text.p[i] != '\n')
            continue;
        require(i > 0 && text.p[i - 1] == '\r');
        if (i >= 3 && text.p[i - 2] == '\n')
            require(i + 1 == text.len);
        if (i == 1)
            require(may_lead);
        lines++;
    }
    require(lines >= 2 && str_ends_with(text, STR("\r\n\r\n")));
}

static size_t count(const struct http_head *head, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < head->header_count; i++)
        n += str_equal_nocase(head->headers[i].name, str_of(name));
    return n;
}

static void require_framing(const struct http_head *h, bool is_request)
{
    if (is_request) {
        require(count(h, "Content-Length") + count(h, "Transfer-Encoding") <= 1 ||
                count(h, "Content-Length") == 0);
        require((h->framing == HTTP_BODY_LENGTH) == (count(h, "Content-Length") == 1));
        require((h->framing == HTTP_BODY_CHUNKED) == (count(h, "Transfer-Encoding") > 0));
        require(h->minor_version == 0 || count(h, "Host") == 1);
        require(http_head_path(h).len > 0);
    }
    require((h->framing != HTTP_BODY_LENGTH) || h->content_length >= 0);
    require(h->header_count <= HTTP_MAX_HEADERS && h->target.len <= HTTP_MAX_TARGET_BYTES);
    require(!h->is_keep_alive || h->framing != HTTP_BODY_UNTIL_CLOSE);
}

static void write_again(const struct http_head *h, bool is_request, struct str method)
{
    struct buf out = {0};
    struct result again;

    if (is_request)
        http_head_put_request(&out, h->method, h->target);
    else
        buf_printf(&out, "HTTP/1.1 %d %.*s\r\n", h->status, STR_ARG(h->reason));
    for (size_t i = 0; i < h->header_count; i++) {
        char name[HTTP_MAX_HEAD_BYTES];
        memcpy(name, h->headers[i].name.p, h->headers[i].name.len);
        name[h->headers[i].name.len] = '\0';
        http_head_put_header(&out, name, h->headers[i].value);
    }
    http_head_put_end(&out);
    require(!out.failed);
    parse_whole(&again, is_request ? HTTP_REQUEST : HTTP_RESPONSE, buf_str(&out), method);
    /* A space more behind each colon may be too much; else it must come out the same. */
    if (again.io == IO_DONE && h->minor_version == 1)
        require_same(h, &again.head);
    else
        require(h->minor_version == 0 || out.len > HTTP_MAX_HEAD_BYTES);
    buf_free(&out);
}

static void check_values(struct str text)
{
    int64_t start, end, total, size = text.len > 0 ? text.p[text.len - 1] : 0;
    int64_t date = http_head_parse_date(text);
    char written[30];

    size = size < 0 ? INT64_MAX : size;
    if (http_head_parse_range(text, size, &start, &end) == 1)
        require(0 <= start && start < end && end <= size);
    if (http_head_parse_content_range(text, &start, &end, &total))
        require(0 <= start && start < end && (total == -1 || end <= total));
    if (date >= 0) {
        http_head_format_date(date, written);
        require(http_head_parse_date(str_of(written)) == date);
    }
}

static void run(struct str text)
{
    static const char *const methods[] = {"GET", "HEAD", "CONNECT", "PUT"};
    static struct result whole, pieces;
    unsigned choice = fuzz_take(&text);
    enum http_kind kind = (choice & 1) != 0 ? HTTP_RESPONSE : HTTP_REQUEST;
    struct str method = str_of(methods[choice >> 1 & 3]);

    check_values(text);
    parse_whole(&whole, kind, text, method);
    parse_pieces(&pieces, kind, text, method, choice * 7919 + (uint32_t)text.len);
    require(whole.io == pieces.io && whole.status == pieces.status);
    if (whole.io == IO_ERR)
        require((whole.status == 0) == (kind == HTTP_RESPONSE));
    if (whole.io != IO_DONE)
        return;
    require(whole.head.size == pieces.head.size && whole.head.size <= text.len);
    require_same(&whole.head, &pieces.head);
    require_lines(str_slice(text, 0, whole.head.size), kind == HTTP_REQUEST);
    require_framing(&whole.head, kind == HTTP_REQUEST);
    write_again(&whole.head, kind == HTTP_REQUEST, method);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf copy = {0}; /* folds are replaced in place */

    buf_append(&copy, data, size);
    run(buf_str(&copy));
    buf_free(&copy);
    return 0;
}
