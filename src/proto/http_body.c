#include "proto/http_body.h"

#include "base/hex.h"

enum state {
    STATE_DATA,    /* of the body or of a chunk */
    STATE_DATA_CR, /* the CRLF behind a chunk's data */
    STATE_DATA_LF,
    STATE_SIZE,      /* the first digit of a chunk size */
    STATE_DIGITS,    /* more digits, or what ends them */
    STATE_BLANK,      /* white space before ';' */
    STATE_EXTENSION,  /* behind ';' */
    STATE_EXT_NAME,   /* a token */
    STATE_EXT_BLANK,  /* white space behind it */
    STATE_EXT_EQUALS, /* behind '=' */
    STATE_EXT_TOKEN,  /* its value */
    STATE_EXT_QUOTED, /* or inside quotes */
    STATE_EXT_ESCAPE, /* behind a backslash there */
    STATE_EXT_END,    /* behind the closing quote */
    STATE_SIZE_LF,
    STATE_TRAILER, /* the first byte of a trailer line */
    STATE_NAME,
    STATE_VALUE,
    STATE_TRAILER_LF,
    STATE_END_LF, /* of the empty line at the end */
    STATE_END
};

void http_body_init(struct http_body *body, enum http_framing framing, int64_t content_length)
{
    *body = (struct http_body){.framing = framing, .state = STATE_DATA};
    if (framing == HTTP_BODY_CHUNKED)
        body->state = STATE_SIZE;
    if (framing == HTTP_BODY_LENGTH)
        body->left = (uint64_t)content_length;
    if (framing == HTTP_BODY_NONE || (framing == HTTP_BODY_LENGTH && content_length == 0))
        body->state = STATE_END;
}

bool http_body_is_complete(const struct http_body *body)
{
    return body->state == STATE_END;
}

static int bad_chunk(struct err *e, const char *cause)
{
    return err_set(e, ERR_PROTOCOL, "malformed chunked body: %s", cause);
}

/* HTAB, SP, VCHAR and obs-text: what may stand in extensions and field values. */
static bool is_text_byte(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* One byte of a token (RFC 9110 §5.6.2). */
static bool is_token_byte(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return str_find(STR(others), (char)c) < sizeof others - 1;
}

static int add_digit(struct http_body *body, int digit, struct err *e)
{
    if (digit < 0)
        return bad_chunk(e, "bad chunk size");
    if (body->left > (INT64_MAX >> 4))
        return bad_chunk(e, "chunk size above 2^63");
    body->left = body->left << 4 | (unsigned)digit;
    body->state = STATE_DIGITS;
    return 0;
}

/* The byte behind a chunk size: ends the line, begins an extension, or is one more digit. */
static int take_byte_after_digit(struct http_body *body, unsigned char c, struct err *e)
{
    if (c == '\r')
        body->state = STATE_SIZE_LF;
    else if (c == ';')
        body->state = STATE_EXTENSION;
    else if (c == ' ' || c == '\t')
        body->state = STATE_BLANK;
    else if (body->state == STATE_BLANK)
        return bad_chunk(e, "bad chunk size");
    else
        return add_digit(body, hex_digit((char)c), e);
    return 0;
}

/* The byte behind a whole extension. */
static enum state state_after_extension(unsigned char c)
{
    return c == '\r'               ? STATE_SIZE_LF
           : c == ';'              ? STATE_EXTENSION
           : c == ' ' || c == '\t' ? STATE_BLANK
                                   : STATE_END;
}

/* One byte more of a name, or what may follow it. */
static enum state state_after_name(unsigned char c)
{
    return is_token_byte(c)        ? STATE_EXT_NAME
           : c == '='              ? STATE_EXT_EQUALS
           : c == ' ' || c == '\t' ? STATE_EXT_BLANK
                                   : state_after_extension(c);
}

/* *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 §7.1.1. STATE_END: this
 * byte cannot stand there. */
static enum state state_in_extension(enum state state, unsigned char c)
{
    bool is_blank = c == ' ' || c == '\t';

    switch (state) {
    case STATE_EXTENSION: return is_blank ? state : is_token_byte(c) ? STATE_EXT_NAME : STATE_END;
    case STATE_EXT_NAME: return state_after_name(c);
    case STATE_EXT_BLANK:
        return is_blank ? state : c == '=' || c == ';' ? state_after_name(c) : STATE_END;
    case STATE_EXT_EQUALS:
        return is_blank           ? state
               : c == '"'         ? STATE_EXT_QUOTED
               : is_token_byte(c) ? STATE_EXT_TOKEN
                                  : STATE_END;
    case STATE_EXT_TOKEN: return is_token_byte(c) ? state : state_after_extension(c);
    case STATE_EXT_QUOTED:
        return c == '"'          ? STATE_EXT_END
               : c == '\\'       ? STATE_EXT_ESCAPE
               : is_text_byte(c) ? state
                                 : STATE_END;
    case STATE_EXT_ESCAPE: return is_text_byte(c) ? STATE_EXT_QUOTED : STATE_END;
    default: return state_after_extension(c);
    }
}

static int take_extension_byte(struct http_body *body, unsigned char c, struct err *e)
{
    body->state = state_in_extension((enum state)body->state, c);
    if (body->state == STATE_END)
        return bad_chunk(e, "bad chunk extension");
    if (body->state != STATE_SIZE_LF && ++body->extension_bytes > HTTP_MAX_EXTENSION_BYTES)
        return bad_chunk(e, "too many chunk extensions");
    return 0;
}

static int take_trailer_byte(struct http_body *body, unsigned char c, struct err *e)
{
    if (body->state == STATE_TRAILER && c == '\r') {
        body->state = STATE_END_LF;
    } else if (body->state == STATE_VALUE) {
        if (c == '\r')
            body->state = STATE_TRAILER_LF;
        else if (!is_text_byte(c))
            return bad_chunk(e, "bad trailer value");
    } else if (body->state == STATE_NAME && c == ':') {
        body->state = STATE_VALUE;
    } else if (is_token_byte(c)) {
        body->state = STATE_NAME;
    } else {
        return bad_chunk(e, "bad trailer name");
    }
    return 0;
}

static int expect_byte(struct http_body *body, unsigned char c, char wanted, enum state next,
                       struct err *e)
{
    if (c != (unsigned char)wanted)
        return bad_chunk(e, "CRLF expected");
    body->state = next;
    return 0;
}

/* One byte of what is around the data of chunks. */
static int take_framing_byte(struct http_body *body, unsigned char c, struct err *e)
{
    bool is_trailer = body->state >= STATE_TRAILER;

    if (++body->line_bytes > (is_trailer ? HTTP_MAX_TRAILER_BYTES : HTTP_MAX_CHUNK_LINE))
        return bad_chunk(e, is_trailer ? "trailer too long" : "chunk size line too long");
    switch ((enum state)body->state) {
    case STATE_DATA_CR: return expect_byte(body, c, '\r', STATE_DATA_LF, e);
    case STATE_DATA_LF: body->line_bytes = 0; return expect_byte(body, c, '\n', STATE_SIZE, e);
    case STATE_SIZE: return add_digit(body, hex_digit((char)c), e);
    case STATE_BLANK:
        if (c == '\r')
            return bad_chunk(e, "bad chunk size");
        return take_byte_after_digit(body, c, e);
    case STATE_DIGITS: return take_byte_after_digit(body, c, e);
    case STATE_EXTENSION:
    case STATE_EXT_NAME:
    case STATE_EXT_BLANK:
    case STATE_EXT_EQUALS:
    case STATE_EXT_TOKEN:
    case STATE_EXT_QUOTED:
    case STATE_EXT_ESCAPE:
    case STATE_EXT_END: return take_extension_byte(body, c, e);
    case STATE_SIZE_LF:
        body->line_bytes = 0;
        return expect_byte(body, c, '\n', body->left > 0 ? STATE_DATA : STATE_TRAILER, e);
    case STATE_TRAILER:
    case STATE_NAME:
    case STATE_VALUE: return take_trailer_byte(body, c, e);
    case STATE_TRAILER_LF: return expect_byte(body, c, '\n', STATE_TRAILER, e);
    case STATE_END_LF: return expect_byte(body, c, '\n', STATE_END, e);
    case STATE_DATA:
    case STATE_END: break;
    }
    return 0;
}

/* Takes data of the body or of the current chunk: *used counts it, *data is all of it. */
static void take_data(struct http_body *body, struct str input, size_t *used, struct str *data)
{
    size_t n = input.len - *used;

    if (body->framing != HTTP_BODY_UNTIL_CLOSE) {
        n = n < body->left ? n : (size_t)body->left;
        body->left -= n;
        if (body->left == 0)
            body->state = body->framing == HTTP_BODY_CHUNKED ? STATE_DATA_CR : STATE_END;
    }
    *data = str_slice(input, *used, *used + n);
    *used += n;
    body->total += n;
}

enum io http_body_decode(struct http_body *body, struct str input, size_t *used, struct str *data,
                         struct err *e)
{
    *used = 0;
    *data = (struct str){0};
    while (body->state != STATE_DATA && body->state != STATE_END && *used < input.len)
        if (take_framing_byte(body, (unsigned char)input.p[(*used)++], e) != 0)
            return IO_ERR;
    if (body->state == STATE_DATA && *used < input.len) {
        take_data(body, input, used, data);
        return IO_DONE;
    }
    return body->state == STATE_END ? IO_DONE : IO_WANT_READ;
}

int http_body_at_eof(struct http_body *body, struct err *e)
{
    unsigned long long total = body->total, left = body->left;

    if (body->framing == HTTP_BODY_UNTIL_CLOSE)
        body->state = STATE_END;
    if (body->state == STATE_END)
        return 0;
    if (body->framing == HTTP_BODY_LENGTH)
        return err_set(e, ERR_NETWORK, "connection cut after %llu of %llu bytes", total,
                       total + left);
    return err_set(e, ERR_NETWORK, "connection cut after %llu bytes of a chunked body", total);
}
