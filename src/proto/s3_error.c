#include "proto/s3_error.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"

static const struct {
    const char *entity;
    char byte;
} entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};

enum { ENTITY_COUNT = sizeof entities / sizeof entities[0] };

/* ---- writing ---- */

static void put_xml_escaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        size_t k = 0;
        while (k < ENTITY_COUNT && entities[k].byte != text.p[i])
            k++;
        if (k < ENTITY_COUNT)
            buf_puts(out, entities[k].entity);
        else
            buf_putc(out, text.p[i]);
    }
}

void s3_error_put(struct buf *out, const char *code, struct str message)
{
    buf_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>",
               code);
    put_xml_escaped(out, message);
    buf_puts(out, "</Message></Error>");
}

/* ---- reading ---- */

/* The text between the first <name> and </name>; empty when there is none. */
static struct str find_element_text(struct str page, const char *name)
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

bool s3_error_has_code(struct str page)
{
    return find_element_text(page, "Code").len > 0;
}

/* Appends the start of a text, with XML's five entities resolved. */
static void put_xml_unescaped(struct buf *out, struct str text)
{
    struct buf plain = {0};

    text = str_cut(text, S3_ERROR_MAX_REASON_BYTES);
    while (text.len > 0) {
        size_t used = 1;
        char byte = *text.p;
        for (size_t i = 0; i < ENTITY_COUNT; i++)
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

void s3_error_put_reason(struct buf *out, struct str page)
{
    struct str code = find_element_text(page, "Code"), message = find_element_text(page, "Message");
    struct str line = str_slice(page, 0, str_find(page, '\n'));

    if (!str_is_utf8(page))
        return;
    put_xml_unescaped(out, code);
    if (code.len > 0 && message.len > 0)
        buf_puts(out, ": ");
    put_xml_unescaped(out, message);
    if (code.len == 0 && message.len == 0 && line.len > 0 && str_find(page, '<') == page.len)
        put_xml_unescaped(out, str_trim(line));
}

enum err_code s3_error_kind(int status, struct str page)
{
    if (status == 404)
        return ERR_NOT_FOUND;
    /* 507, a full disk: it does not pass while somebody waits, who should hear of it. */
    if (status == 408 || status == 429 || (status >= 500 && status != 507))
        return ERR_NETWORK;
    /* The upload was too slow for it, once. */
    if (status == 400 && str_equal(find_element_text(page, "Code"), STR("RequestTimeout")))
        return ERR_NETWORK;
    return ERR_REFUSED;
}
