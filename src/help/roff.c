#include "help/roff.h"

#include <stdbool.h>

/* Escaped, a line of LINE_BYTES is mostly one of less than 80. */
enum { CODE_INDENT = 4, DESCRIPTION_INDENT = 8, LINE_BYTES = 60 };

/* Appends the text with escapes for characters that roff would read as its own or print as
 * others. */
static void put_roff_text(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        switch (c) {
        case '\\': buf_puts(out, "\\e"); break;
        case '-': buf_puts(out, "\\-"); break;
        case '~': buf_puts(out, "\\(ti"); break;
        case '^': buf_puts(out, "\\(ha"); break;
        case '`': buf_puts(out, "\\(ga"); break;
        case '\'': buf_puts(out, "\\(aq"); break;
        case '"': buf_puts(out, "\\(dq"); break;
        default: buf_putc(out, c);
        }
    }
}

/* One line of the source: a dot in front would make it a request. */
static void put_source_line(struct buf *out, struct str line)
{
    if (line.len > 0 && line.p[0] == '.')
        buf_puts(out, "\\&");
    put_roff_text(out, line);
    buf_putc(out, '\n');
}

void roff_put_line(struct buf *out, struct str line)
{
    while (line.len > LINE_BYTES) {
        size_t end = LINE_BYTES;
        while (end > 0 && line.p[end] != ' ')
            end--;
        if (end == 0)
            break;
        put_source_line(out, str_slice(line, 0, end));
        line = str_slice(line, end + 1, line.len);
    }
    put_source_line(out, line);
}

void roff_put_macro(struct buf *out, const char *macro, struct str argument)
{
    buf_printf(out, ".%s \"", macro);
    put_roff_text(out, argument);
    buf_puts(out, "\"\n");
}

static size_t indent_of(struct str line)
{
    size_t n = 0;

    while (n < line.len && line.p[n] == ' ')
        n++;
    return n;
}

static struct str trimmed_line(struct str line)
{
    return str_slice(line, indent_of(line), line.len);
}

static struct str first_line(struct str text)
{
    return str_take_line(&text);
}

static bool is_heading(struct str line)
{
    bool has_letter = false;

    for (size_t i = 0; i < line.len; i++) {
        if (line.p[i] >= 'a' && line.p[i] <= 'z')
            return false;
        has_letter |= line.p[i] >= 'A' && line.p[i] <= 'Z';
    }
    return has_letter && line.p[0] != ' ';
}

/* An option, or a term with the indent of one. */
static bool is_row(struct str line)
{
    size_t indent = indent_of(line);

    return indent > 0 && indent < line.len && (indent < CODE_INDENT || line.p[indent] == '-');
}

/* Where the description starts behind a term: after two spaces; the end where there is none. */
static size_t find_gap(struct str text)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.p[i] == ' ' && text.p[i + 1] == ' ')
            return i;
    return text.len;
}

static void put_row(struct buf *out, struct str line, struct str *rest)
{
    struct str text = trimmed_line(line);
    size_t gap = find_gap(text);

    buf_puts(out, ".TP\n.B \"");
    put_roff_text(out, str_slice(text, 0, gap));
    buf_puts(out, "\"\n");
    if (gap < text.len)
        roff_put_line(out, trimmed_line(str_slice(text, gap, text.len)));
    while (indent_of(first_line(*rest)) >= DESCRIPTION_INDENT)
        roff_put_line(out, trimmed_line(str_take_line(rest)));
}

/* Lines as they are, up to one that is indented less; empty ones between them too. */
static void put_code(struct buf *out, struct str line, struct str *rest)
{
    buf_puts(out, ".nf\n");
    for (;;) {
        struct str behind = *rest;
        put_source_line(out, str_slice(line, CODE_INDENT, line.len));
        line = str_take_line(&behind);
        if (indent_of(line) < CODE_INDENT)
            break;
        *rest = behind;
    }
    buf_puts(out, ".fi\n");
}

static void put_paragraph(struct buf *out, struct str line, struct str *rest)
{
    roff_put_line(out, line);
    for (struct str next; (next = first_line(*rest)).len > 0 && next.p[0] != ' ';)
        roff_put_line(out, str_take_line(rest));
}

void roff_put_text(struct buf *out, struct str text)
{
    bool is_first = true; /* below a heading, where .PP would be empty */

    while (text.len > 0) {
        struct str line = str_take_line(&text);
        if (line.len == 0)
            continue;
        if (is_heading(line)) {
            roff_put_macro(out, "SS", line);
        } else if (is_row(line)) {
            put_row(out, line, &text);
        } else {
            buf_puts(out, is_first ? "" : ".PP\n");
            (indent_of(line) > 0 ? put_code : put_paragraph)(out, line, &text);
        }
        is_first = is_heading(line);
    }
}
