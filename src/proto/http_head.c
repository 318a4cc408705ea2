#include "proto/http_head.h"

#include <string.h>

#include "base/quote.h"

/* The headers about framing and connection, before they are judged. */
struct facts {
    unsigned hosts, lengths;
    int64_t length;
    bool has_coding, is_chunked, has_other_coding;
    bool wants_close, wants_keep_alive, wants_upgrade, has_upgrade;
};

struct head_parse {
    enum http_kind kind;
    struct str request_method;
    struct http_head *out;
    struct facts facts;
    int *status;
    struct err *e;
};

/* ---- bytes (RFC 9110 §5.5, §5.6.2) ---- */

enum { IS_TOKEN = 1, IS_VALUE = 2, IS_TARGET = 4, IS_HOST = 8 };

#define V  (IS_VALUE)
#define VT (IS_VALUE | IS_TARGET)
#define TT (IS_VALUE | IS_TARGET | IS_TOKEN)
#define TH (IS_VALUE | IS_TARGET | IS_TOKEN | IS_HOST)
#define VH (IS_VALUE | IS_TARGET | IS_HOST)

/* Beyond RFC 3986 targets may hold any visible ASCII but '#'; a host is narrower than there: a
 * comma would let two of them look like one. */
/* clang-format off */
static const unsigned char byte_class[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  V,  0,  0,  0,  0,  0,  0,  /* HTAB */
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    V,  TT, VT, V | IS_TOKEN, TT, TH, TT, TT, VT, VT, TT, TT, VT, TH, TH, VT, /*  !"#$%&'()*+,-./ */
    TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, VH, VT, VT, VT, VT, VT, /* 0-9:;<=>? */
    VT, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, /* @A-O */
    TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, VH, VT, VH, TT, TH, /* P-Z[\]^_ */
    TT, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, /* `a-o */
    TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, TH, VT, TT, VT, TH, 0,  /* p-z{|}~DEL */
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  /* obs-text */
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
    V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,  V,
};
/* clang-format on */

#undef V
#undef VT
#undef TT
#undef TH
#undef VH

static bool are_all_bytes(struct str s, unsigned wanted)
{
    unsigned seen = wanted;

    for (size_t i = 0; i < s.len; i++)
        seen &= byte_class[(unsigned char)s.p[i]];
    return seen == wanted;
}

static bool is_token_text(struct str s)
{
    return s.len > 0 && are_all_bytes(s, IS_TOKEN);
}

/* ---- errors ---- */

static int refuse_head(struct head_parse *p, int status, const char *cause, struct str what)
{
    bool is_request = p->kind == HTTP_REQUEST;
    char quoted[QUOTE_SIZE];

    *p->status = is_request ? status : 0;
    return err_set(p->e, status == 414 || status == 431 ? ERR_TOO_LARGE : ERR_PROTOCOL,
                   what.p == NULL ? "malformed HTTP %s: %s" : "malformed HTTP %s: %s \"%s\"",
                   is_request ? "request" : "answer", cause, quote_str(quoted, what));
}

static int refuse_head_plainly(struct head_parse *p, const char *cause)
{
    return refuse_head(p, 400, cause, (struct str){0});
}

/* ---- first line (RFC 9112 §3, §4) ---- */

static int parse_http_version(struct head_parse *p, struct str s)
{
    if (s.len != 8 || !str_starts_with(s, STR("HTTP/")) || s.p[6] != '.' || s.p[5] < '0' ||
        s.p[5] > '9' || s.p[7] < '0' || s.p[7] > '9')
        return refuse_head(p, 400, "bad version", s);
    if (s.p[5] != '1')
        return refuse_head(p, 505, "version not supported", s);
    p->out->minor_version = s.p[7] == '0' ? 0 : 1;
    return 0;
}

/* "name", "name:port", "[v6]" or "[v6]:port" (RFC 9110 §7.2). */
static bool is_host_value(struct str s)
{
    bool is_v6 = s.len > 0 && s.p[0] == '[';
    size_t end = is_v6 ? str_find(s, ']') + 1 : str_find(s, ':');
    struct str name = str_slice(s, 0, end), port = str_slice(s, end + 1, s.len);
    uint64_t number;

    return name.len > 0 && end <= s.len && are_all_bytes(name, IS_HOST) &&
           (is_v6 || (str_find(name, '[') == name.len && str_find(name, ']') == name.len)) &&
           (end == s.len || s.p[end] == ':') &&
           (port.len == 0 || str_to_uint(port, 65535, &number));
}

/* True for the schemes that are served here (a WebSocket's client may name its own). */
static bool is_absolute_form(struct str target)
{
    struct str scheme = str_slice(target, 0, str_find(target, ':'));
    struct str behind = str_slice(target, scheme.len, scheme.len + 3);

    return str_equal(behind, STR("://")) &&
           (str_equal_nocase(scheme, STR("http")) || str_equal_nocase(scheme, STR("https")) ||
            str_equal_nocase(scheme, STR("ws")) || str_equal_nocase(scheme, STR("wss")));
}

/* The authority of an absolute-form target: its path may be empty. */
static struct str authority_of(struct str target)
{
    struct str rest = str_slice(target, str_find(target, ':') + 3, target.len);

    rest = str_slice(rest, 0, str_find(rest, '?'));
    return str_slice(rest, 0, str_find(rest, '/'));
}

static bool is_target(struct str method, struct str target)
{
    if (str_equal(method, STR("CONNECT")))
        return is_host_value(target) && str_find(target, ':') < target.len;
    if (is_absolute_form(target))
        return is_host_value(authority_of(target));
    return target.p[0] == '/' || (str_equal(target, STR("*")) && str_equal(method, STR("OPTIONS")));
}

static int parse_request_line(struct head_parse *p, struct str line)
{
    size_t space = str_find(line, ' ');
    struct str rest = str_slice(line, space + 1, line.len);

    p->out->method = str_slice(line, 0, space);
    p->out->target = str_slice(rest, 0, str_find(rest, ' '));
    if (!is_token_text(p->out->method))
        return refuse_head(p, 400, "bad method", p->out->method);
    if (p->out->target.len > HTTP_MAX_TARGET_BYTES)
        return refuse_head(p, 414, "target too long", (struct str){0});
    if (p->out->target.len == 0 || p->out->target.len == rest.len)
        return refuse_head_plainly(p, "bad request line");
    if (!are_all_bytes(p->out->target, IS_TARGET) || !is_target(p->out->method, p->out->target))
        return refuse_head(p, 400, "bad target", str_slice(rest, 0, str_find(rest, '?')));
    return parse_http_version(p, str_slice(rest, p->out->target.len + 1, rest.len));
}

static int parse_status_line(struct head_parse *p, struct str line)
{
    struct str code = str_slice(line, 9, 12);
    uint64_t status;

    if (parse_http_version(p, str_slice(line, 0, 8)) != 0)
        return -1;
    /* Many servers leave out the space before an empty reason. */
    if (line.len < 12 || line.p[8] != ' ' || (line.len > 12 && line.p[12] != ' ') ||
        !str_to_uint(code, 999, &status) || status < 100)
        return refuse_head(p, 400, "bad status line", line);
    p->out->status = (int)status;
    p->out->reason = str_slice(line, 13, line.len);
    if (!are_all_bytes(p->out->reason, IS_VALUE))
        return refuse_head(p, 400, "bad reason", p->out->reason);
    return 0;
}

/* ---- headers (RFC 9112 §5) ---- */

/* Takes the first element off a comma-separated list; false when the list is at its end. */
static bool next_element(struct str *list, struct str *element)
{
    if (list->p == NULL)
        return false;
    size_t comma = str_find(*list, ',');
    *element = str_trim(str_slice(*list, 0, comma));
    *list = comma < list->len ? str_slice(*list, comma + 1, list->len) : (struct str){0};
    return true;
}

static void note_connection(struct facts *f, struct str list)
{
    struct str option;

    while (next_element(&list, &option)) {
        if (str_equal_nocase(option, STR("close")))
            f->wants_close = true;
        else if (str_equal_nocase(option, STR("keep-alive")))
            f->wants_keep_alive = true;
        else if (str_equal_nocase(option, STR("upgrade")))
            f->wants_upgrade = true;
    }
}

/* Notes a length. An answer may have it more than once, in one field or in several, as long as it
 * is the same (RFC 9112 §6.3); with two of them a request could be smuggled. */
static int note_length(struct head_parse *p, struct str value)
{
    struct str list = value, element;
    uint64_t length;

    while (next_element(&list, &element)) {
        if (!str_to_uint(element, INT64_MAX, &length))
            return refuse_head(p, 400, "bad Content-Length", value);
        if (p->facts.lengths > 0 && p->kind == HTTP_REQUEST)
            return refuse_head_plainly(p, "Content-Length twice");
        if (p->facts.lengths > 0 && p->facts.length != (int64_t)length)
            return refuse_head(p, 400, "two different values of Content-Length", value);
        p->facts.lengths++;
        p->facts.length = (int64_t)length;
    }
    return 0;
}

static int note_coding(struct head_parse *p, struct str list)
{
    struct str coding;

    p->facts.has_coding = true;
    while (next_element(&list, &coding)) {
        if (p->facts.is_chunked || coding.len == 0)
            return refuse_head_plainly(p, "bad Transfer-Encoding: want just chunked");
        if (str_equal_nocase(coding, STR("chunked")))
            p->facts.is_chunked = true;
        else
            p->facts.has_other_coding = true;
    }
    return 0;
}

static int note_host(struct head_parse *p, struct str value)
{
    if (p->kind == HTTP_RESPONSE)
        return 0;
    if (p->facts.hosts++ > 0)
        return refuse_head_plainly(p, "Host twice");
    return value.len == 0 || is_host_value(value) ? 0 : refuse_head(p, 400, "bad Host", value);
}

static int note_header(struct head_parse *p, const struct http_header *h)
{
    switch (h->name.len) {
    case 4: return str_equal_nocase(h->name, STR("Host")) ? note_host(p, h->value) : 0;
    case 6:
        if (str_equal_nocase(h->name, STR("Expect")))
            p->out->expects_continue = str_equal_nocase(h->value, STR("100-continue"));
        return 0;
    case 7:
        if (str_equal_nocase(h->name, STR("Upgrade")))
            p->facts.has_upgrade = true;
        return 0;
    case 10:
        if (str_equal_nocase(h->name, STR("Connection")))
            note_connection(&p->facts, h->value);
        return 0;
    case 14: return str_equal_nocase(h->name, STR("Content-Length")) ? note_length(p, h->value) : 0;
    case 17:
        return str_equal_nocase(h->name, STR("Transfer-Encoding")) ? note_coding(p, h->value) : 0;
    default: return 0;
    }
}

static int parse_header(struct head_parse *p, struct str line)
{
    size_t colon = str_find(line, ':');
    struct http_header h = {str_slice(line, 0, colon), str_slice(line, colon + 1, line.len)};

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse_head_plainly(p, "folded header line");
    if (colon == line.len)
        return refuse_head_plainly(p, "header without a colon");
    if (!is_token_text(h.name))
        return refuse_head(p, 400, "bad header name", h.name);
    h.value = str_trim(h.value);
    if (!are_all_bytes(h.value, IS_VALUE))
        return refuse_head(p, 400, "control byte in the header", h.name);
    if (p->out->header_count == HTTP_MAX_HEADERS)
        return refuse_head(p, 431, "too many headers", (struct str){0});
    p->out->headers[p->out->header_count++] = h;
    return note_header(p, &h);
}

/* ---- framing (RFC 9112 §6.3, §9.3) ---- */

static bool has_no_body(const struct head_parse *p)
{
    int status = p->out->status;

    return status < 200 || status == 204 || status == 304 ||
           str_equal(p->request_method, STR("HEAD"));
}

static int check_coding(struct head_parse *p)
{
    if (!p->facts.has_coding)
        return 0;
    if (p->facts.lengths > 0)
        return refuse_head_plainly(p, "Content-Length with Transfer-Encoding");
    if (p->out->minor_version == 0)
        return refuse_head_plainly(p, "Transfer-Encoding in HTTP/1.0");
    if (p->facts.has_other_coding)
        return refuse_head(p, 501, "transfer coding other than chunked", (struct str){0});
    return 0;
}

static int judge_head(struct head_parse *p)
{
    struct http_head *out = p->out;
    struct facts *f = &p->facts;
    bool is_response = p->kind == HTTP_RESPONSE;
    bool is_tunnel =
        is_response && out->status / 100 == 2 && str_equal(p->request_method, STR("CONNECT"));

    if (!is_tunnel && check_coding(p) != 0)
        return -1;
    if (!is_response && out->minor_version == 1 && f->hosts == 0)
        return refuse_head_plainly(p, "no Host");
    out->content_length = f->lengths > 0 && !is_tunnel ? f->length : -1;
    if (is_tunnel || (is_response && has_no_body(p)))
        out->framing = HTTP_BODY_NONE;
    else if (f->has_coding)
        out->framing = HTTP_BODY_CHUNKED;
    else if (f->lengths > 0)
        out->framing = HTTP_BODY_LENGTH;
    else
        out->framing = is_response ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_NONE;
    out->is_keep_alive = !f->wants_close && out->framing != HTTP_BODY_UNTIL_CLOSE && !is_tunnel &&
                         (out->minor_version == 1 || f->wants_keep_alive);
    out->is_upgrade = f->wants_upgrade && f->has_upgrade && out->minor_version == 1;
    out->expects_continue = out->expects_continue && !is_response && out->minor_version == 1;
    return 0;
}

/* ---- the whole ---- */

/* `text` holds complete lines, without the empty one at the end. */
static int parse_lines(struct head_parse *p, struct str text)
{
    bool is_first = true;

    while (text.len > 0) {
        size_t end = str_find(text, '\n');
        struct str line = str_slice(text, 0, end - 1); /* the CR was checked */
        int result = !is_first                 ? parse_header(p, line)
                     : p->kind == HTTP_REQUEST ? parse_request_line(p, line)
                                               : parse_status_line(p, line);
        if (result != 0)
            return -1;
        is_first = false;
        text = str_slice(text, end + 1, text.len);
    }
    return judge_head(p);
}

/* RFC 9112 §5.2: each line end that white space follows becomes spaces, in place. Not behind the
 * status line: white space there is refused. */
static void unfold_headers(char *text, size_t len)
{
    bool is_in_header = false;

    for (size_t i = 0; i + 2 < len; i++) {
        if (text[i] != '\r' || text[i + 1] != '\n')
            continue;
        if (is_in_header && (text[i + 2] == ' ' || text[i + 2] == '\t'))
            text[i] = text[i + 1] = ' ';
        is_in_header = true;
    }
}

static int check_first_byte(struct head_parse *p, struct str input)
{
    bool is_request = p->kind == HTTP_REQUEST;
    char c = input.p[0];

    if (is_request ? is_token_text(str_slice(input, 0, 1)) || c == '\r' : c == 'H')
        return 0;
    return refuse_head_plainly(p, "this is not HTTP");
}

/* Returns the status for the part of an endless head that is too large: the target or the
 * headers. */
static int large_status(const struct head_parse *p, struct str text)
{
    return p->kind == HTTP_REQUEST && str_find(text, '\n') == text.len ? 414 : 431;
}

/* IO_DONE: the head with its empty line is the bytes [*start, *end). */
static enum io find_head(struct head_parse *p, struct http_head_parser *parser, struct str input,
                         size_t *start, size_t *end)
{
    struct str text = str_slice(input, 0, HTTP_MAX_HEAD_BYTES);
    size_t lead = p->kind == HTTP_REQUEST && str_starts_with(text, STR("\r\n")) ? 2 : 0;

    if (parser->scanned == 0 && text.len > 0 && check_first_byte(p, text) != 0)
        return IO_ERR;
    for (size_t i = parser->scanned > lead ? parser->scanned : lead;; i++) {
        i += str_find(str_slice(text, i, text.len), '\n');
        parser->scanned = i;
        if (i == text.len && i < HTTP_MAX_HEAD_BYTES)
            return IO_WANT_READ;
        const char *cause = i == text.len                        ? "larger than 16 KiB"
                            : i == lead || text.p[i - 1] != '\r' ? "line ends in a bare LF"
                            : i == lead + 1                      ? "empty lines"
                                                                 : NULL;
        if (cause != NULL) {
            refuse_head(p, i == text.len ? large_status(p, text) : 400, cause, (struct str){0});
            return IO_ERR;
        }
        if (text.p[i - 2] == '\n') {
            *start = lead;
            *end = i + 1;
            return IO_DONE;
        }
    }
}

enum io http_head_parse(struct http_head_parser *parser, enum http_kind kind, struct str input,
                        struct str request_method, struct http_head *out, int *status,
                        struct err *e)
{
    struct head_parse p = {
        .kind = kind, .request_method = request_method, .out = out, .status = status, .e = e};
    size_t start = 0, end = 0;

    *status = 0;
    enum io found = find_head(&p, parser, input, &start, &end);
    if (found != IO_DONE)
        return found;
    /* Not the 3 KiB of `headers`: only what is counted is ever read. */
    out->method = out->target = out->reason = (struct str){0};
    out->status = 0;
    out->header_count = 0;
    out->expects_continue = false;
    out->size = end;
    if (kind == HTTP_RESPONSE)
        unfold_headers((char *)(uintptr_t)input.p, end);
    return parse_lines(&p, str_slice(input, start, end - 2)) == 0 ? IO_DONE : IO_ERR;
}

/* ---- reading ---- */

struct str http_head_path(const struct http_head *head)
{
    if (!is_absolute_form(head->target))
        return head->target;
    struct str authority = authority_of(head->target);
    size_t end = (size_t)(authority.p + authority.len - head->target.p);
    return end < head->target.len ? str_slice(head->target, end, head->target.len) : STR("/");
}

const struct str *http_head_get(const struct http_head *head, const char *name)
{
    struct str wanted = str_of(name);

    for (size_t i = 0; i < head->header_count; i++)
        if (str_equal_nocase(head->headers[i].name, wanted))
            return &head->headers[i].value;
    return NULL;
}

const struct str *http_head_redirection(const struct http_head *head)
{
    int status = head->status;

    if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
        return NULL;
    return http_head_get(head, "Location");
}

bool http_head_list_has(struct str list, const char *token)
{
    struct str element;

    while (next_element(&list, &element))
        if (str_equal_nocase(element, str_of(token)))
            return true;
    return false;
}

bool http_head_has_token(const struct http_head *head, const char *name, const char *token)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (str_equal_nocase(head->headers[i].name, str_of(name)) &&
            http_head_list_has(head->headers[i].value, token))
            return true;
    return false;
}

bool http_head_is_content_type(const struct http_head *head, const char *type)
{
    const struct str *value = http_head_get(head, "Content-Type");

    return value != NULL &&
           str_equal_nocase(str_trim(str_slice(*value, 0, str_find(*value, ';'))), str_of(type));
}
