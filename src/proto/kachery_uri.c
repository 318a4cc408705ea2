#include "proto/kachery_uri.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/quote.h"
#include "proto/url.h"

static const struct str prefix = {"sha1://", 7};

static int bad_uri(struct err *e, struct str text, const char *cause)
{
    char quoted[QUOTE_SIZE];

    return err_set(e, ERR_FAILED,
                   "Invalid URI \"%s\": %s: want sha1:// and 40 lower-case hex digits",
                   quote_str(quoted, text), cause);
}

static const struct str location_name = {"location=", 9};

/* Parses the query as the deployed client reads it: up to a second question mark; items with more
 * or less than one equals sign are none; the last item of a name wins. */
static void parse_query(struct kachery_uri *u, struct str query)
{
    query = str_slice(query, 0, str_find(query, '?'));
    while (query.len > 0) {
        struct str item = str_slice(query, 0, str_find(query, '&'));
        size_t equals = str_find(item, '=');
        struct str name = str_slice(item, 0, equals), value = str_slice(item, equals + 1, item.len);
        query = str_slice(query, item.len + 1, query.len);
        if (equals == item.len || str_find(value, '=') < value.len)
            continue;
        if (str_equal(name, STR("label")))
            u->label = value;
        else if (str_equal(name, STR("location")))
            u->locations[0] = value;
    }
}

/* Returns the text behind the first `location=` that begins an item. */
static struct str whole_location(struct str query)
{
    while (query.len > 0) {
        if (str_starts_with(query, location_name))
            return str_slice(query, location_name.len, query.len);
        query = str_slice(query, str_find(query, '&') + 1, query.len);
    }
    return STR("");
}

int kachery_uri_parse(struct kachery_uri *out, struct str text, enum kachery_uri_form form,
                      struct err *e)
{
    struct kachery_uri u = {0};
    size_t question = str_find(text, '?');
    struct str rest = str_slice(text, 0, question);

    if (!str_starts_with(rest, prefix))
        return bad_uri(e, text, "not a sha1:// URI");
    rest = str_slice(rest, prefix.len, rest.len);
    struct str hash = str_slice(rest, 0, str_find(rest, '/'));
    if (!hex_is_lower(hash, SHA1_HEX))
        return bad_uri(e, text, "bad hash");
    memcpy(u.hash, hash.p, SHA1_HEX);
    if (form == KACHERY_URI_USER) {
        struct str query = str_slice(text, question + 1, text.len);
        parse_query(&u, query);
        u.locations[1] = whole_location(query);
        if (str_equal(u.locations[0], u.locations[1]))
            u.locations[1] = STR("");
    }
    *out = u;
    return 0;
}

static void put_label_query(struct buf *out, struct str label)
{
    if (label.len > 0) {
        buf_puts(out, "?label=");
        url_put_encoded(out, label, "/");
    }
}

void kachery_uri_put(struct buf *out, const char *hash, struct str label)
{
    buf_put(out, prefix);
    buf_puts(out, hash);
    put_label_query(out, label);
}

void kachery_uri_put_below(struct buf *out, struct str base, const char *hash, struct str label)
{
    buf_put(out, base);
    buf_printf(out, "/sha1/%s", hash);
    put_label_query(out, label);
}

void kachery_uri_put_location(struct buf *out, struct str path)
{
    buf_putc(out, str_find(buf_str(out), '?') < out->len ? '&' : '?');
    buf_put(out, location_name);
    buf_put(out, path);
}

void kachery_uri_put_object_key(struct buf *out, struct str directory, const char *hash)
{
    if (directory.len > 0) {
        buf_put(out, directory);
        buf_putc(out, '/');
    }
    buf_printf(out, "sha1/%.2s/%.2s/%.2s/%s", hash, hash + 2, hash + 4, hash);
}

bool kachery_uri_is_directory(struct str directory)
{
    for (size_t i = 0; i < directory.len; i++)
        if ((i == 0 || directory.p[i - 1] == '/') &&
            (directory.p[i] == '/' || directory.p[i] == '.'))
            return false;
    return directory.len == 0 || directory.p[directory.len - 1] != '/';
}

bool kachery_uri_is_object_key(struct str key, struct str *hash)
{
    enum { KEY_SIZE = sizeof "sha1/ab/cd/ef/" + SHA1_HEX };
    static const size_t size = KEY_SIZE - 1;
    char expected[KEY_SIZE];
    struct str directory;

    if (key.len < size)
        return false;
    *hash = str_slice(key, key.len - SHA1_HEX, key.len);
    if (!hex_is_lower(*hash, SHA1_HEX))
        return false;
    snprintf(expected, sizeof expected, "sha1/%.2s/%.2s/%.2s/%.*s", hash->p, hash->p + 2,
             hash->p + 4, SHA1_HEX, hash->p);
    directory = str_slice(key, 0, key.len - size);
    return str_ends_with(key, str_of(expected)) &&
           (directory.len == 0 ||
            (str_ends_with(directory, STR("/")) && directory.len > 1 &&
             kachery_uri_is_directory(str_slice(directory, 0, directory.len - 1))));
}

bool kachery_uri_is_name(struct str name)
{
    if (name.len == 0 || name.len > KACHERY_URI_MAX_NAME_BYTES || str_equal(name, STR(".")) ||
        str_equal(name, STR("..")))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '.' || c == '_' || c == '~' || c == '-'))
            return false;
    }
    return true;
}
