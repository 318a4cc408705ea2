/* References relative to a URL (RFC 3986 §5.2). */
#include "proto/url.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* True when the reference begins with a scheme: it is a URL of its own. */
static bool has_scheme(struct str reference)
{
    size_t colon = str_find(reference, ':');

    if (colon == 0 || colon == reference.len || !is_letter(reference.p[0]))
        return false;
    for (size_t i = 1; i < colon; i++) {
        char c = reference.p[i];
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')
            return false;
    }
    return true;
}

/* Appends an absolute path without "." and ".." segments (§5.2.4). */
static void put_path_without_dots(struct buf *out, struct str path)
{
    size_t start = out->len;

    while (path.len > 0) {
        struct str segment = str_slice(path, 1, 1 + str_find(str_slice(path, 1, path.len), '/'));
        bool is_last = 1 + segment.len == path.len;
        path = str_slice(path, 1 + segment.len, path.len);
        if (str_equal(segment, STR(".."))) {
            while (out->len > start && out->data[--out->len] != '/')
                continue;
        } else if (!str_equal(segment, STR("."))) {
            buf_putc(out, '/');
            buf_put(out, segment);
            continue;
        }
        if (is_last)
            buf_putc(out, '/');
    }
}

/* The base's path up to its last '/' and the reference's behind it (§5.2.3). */
static void put_merged(struct buf *out, struct str base, struct str path)
{
    struct buf merged = {0};

    while (base.len > 0 && base.p[base.len - 1] != '/')
        base.len--;
    buf_put(&merged, base.len > 0 ? base : STR("/"));
    buf_put(&merged, path);
    put_path_without_dots(out, buf_str(&merged));
    out->failed |= merged.failed;
    buf_free(&merged);
}

void url_resolve(struct buf *out, const struct url *base, struct str reference)
{
    reference = str_slice(reference, 0, str_find(reference, '#'));
    size_t query = str_find(reference, '?');
    struct str path = str_slice(reference, 0, query);

    if (has_scheme(reference)) {
        buf_put(out, reference);
        return;
    }
    buf_put(out, base->scheme);
    buf_putc(out, ':');
    if (str_starts_with(reference, STR("//"))) {
        buf_put(out, reference);
        return;
    }
    buf_puts(out, "//");
    url_put_host(out, base);
    if (path.len == 0)
        buf_put(out, query < reference.len ? base->path : base->target);
    else if (path.p[0] == '/')
        put_path_without_dots(out, path);
    else
        put_merged(out, base->path, path);
    buf_put(out, str_slice(reference, query, reference.len));
}
