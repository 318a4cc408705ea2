#include "proxy/range_path.h"

#include <string.h>

#include "base/hex.h"
#include "base/sha1.h"
#include "proto/url.h"

static const struct type {
    const char *extension, *type;
    bool is_active;
} types[] = {
    {"html", "text/html; charset=utf-8", true},
    {"htm", "text/html; charset=utf-8", true},
    {"xhtml", "application/xhtml+xml", true},
    {"svg", "image/svg+xml", true},
    {"xml", "application/xml", true},
    {"xsl", "application/xml", true},
    {"pdf", "application/pdf", true},
    {"json", "application/json", false},
    {"txt", "text/plain; charset=utf-8", false},
    {"md", "text/plain; charset=utf-8", false},
    {"csv", "text/csv; charset=utf-8", false},
    {"tsv", "text/tab-separated-values; charset=utf-8", false},
    {"png", "image/png", false},
    {"jpg", "image/jpeg", false},
    {"jpeg", "image/jpeg", false},
    {"gif", "image/gif", false},
    {"webp", "image/webp", false},
    {"tif", "image/tiff", false},
    {"tiff", "image/tiff", false},
    {"mp4", "video/mp4", false},
    {"m4v", "video/mp4", false},
    {"webm", "video/webm", false},
    {"mov", "video/quicktime", false},
    {"avi", "video/x-msvideo", false},
    {"mkv", "video/x-matroska", false},
    {"mp3", "audio/mpeg", false},
    {"wav", "audio/wav", false},
    {"ogg", "audio/ogg", false},
    {"h5", "application/x-hdf5", false},
    {"hdf5", "application/x-hdf5", false},
    {"nwb", "application/x-hdf5", false},
    {"zip", "application/zip", false},
    {"gz", "application/gzip", false},
    {"wasm", "application/wasm", false},
};

static const struct type *find_type(struct str name)
{
    size_t dot = name.len;

    while (dot > 0 && name.p[dot - 1] != '.' && name.p[dot - 1] != '/')
        dot--;
    if (dot == 0 || name.p[dot - 1] != '.')
        return NULL;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_equal_nocase(str_slice(name, dot, name.len), str_of(types[i].extension)))
            return &types[i];
    return NULL;
}

const char *range_path_type(struct str name)
{
    const struct type *type = find_type(name);

    return type == NULL ? "application/octet-stream" : type->type;
}

bool range_path_is_active(struct str name)
{
    const struct type *type = find_type(name);

    return type != NULL && type->is_active;
}

static void put_digits(struct str name, char digits[2 * SHA1_SIZE + 1])
{
    unsigned char hash[SHA1_SIZE];

    sha1_of(name, hash);
    hex_encode(hash, sizeof hash, digits);
    digits[RANGE_PATH_DIGITS] = '\0';
}

bool range_path_is_shared(struct str part, struct str *rest)
{
    size_t len = str_starts_with(part, STR("~"))                         ? 1
                 : str_equal_nocase(str_slice(part, 0, 3), STR("%7e")) ? 3
                                                                       : 0;

    *rest = str_slice(part, len, part.len);
    return len > 0;
}

/* <token>/<name>: the name is compared with that of the link. */
static bool parse_shared(struct range_path *out, struct str rest)
{
    struct str name;

    out->token = str_slice(rest, 0, str_find(rest, '/'));
    name = str_slice(rest, out->token.len + 1, rest.len);
    return out->token.len > 0 && name.len > 0 && name.p[name.len - 1] != '/' &&
           url_put_decoded(&out->name, name) && out->name.len <= RANGE_PATH_MAX_NAME_BYTES;
}

bool range_path_parse(struct range_path *out, struct str path)
{
    char digits[2 * SHA1_SIZE + 1];
    struct str rest;

    memset(out, 0, sizeof *out);
    if (!str_starts_with(path, STR("/f/")))
        return false;
    rest = str_slice(path, 3, path.len);
    if (range_path_is_shared(rest, &rest))
        return parse_shared(out, rest);
    out->sha1 = str_slice(rest, 0, SHA1_HEX);
    rest = str_slice(rest, SHA1_HEX, rest.len);
    if (!hex_is_lower(out->sha1, SHA1_HEX))
        return false;
    if (rest.len == 0)
        return true;
    if (rest.len < RANGE_PATH_DIGITS + 3 || rest.p[0] != '.' ||
        rest.p[1 + RANGE_PATH_DIGITS] != '/')
        return false;
    struct str wanted = str_slice(rest, 1, 1 + RANGE_PATH_DIGITS);
    struct str name = str_slice(rest, 2 + RANGE_PATH_DIGITS, rest.len);
    if (name.p[name.len - 1] == '/' || !url_put_decoded(&out->name, name) ||
        out->name.len > RANGE_PATH_MAX_NAME_BYTES)
        return false;
    put_digits(buf_str(&out->name), digits);
    return str_equal(wanted, str_of(digits));
}

bool range_path_parse_folder(struct range_path *out, struct str path, bool *is_bare)
{
    struct str rest = str_slice(path, 3, path.len);

    memset(out, 0, sizeof *out);
    *is_bare = false;
    if (!str_starts_with(path, STR("/d/")))
        return false;
    if (range_path_is_shared(rest, &rest)) {
        out->token = str_slice(rest, 0, str_find(rest, '/'));
        rest = str_slice(rest, out->token.len, rest.len);
        if (out->token.len == 0)
            return false;
    } else {
        out->sha1 = str_slice(rest, 0, SHA1_HEX);
        rest = str_slice(rest, SHA1_HEX, rest.len);
        *is_bare = rest.len == 0;
        if (!hex_is_lower(out->sha1, SHA1_HEX))
            return false;
    }
    return *is_bare ||
           (str_starts_with(rest, STR("/")) &&
            url_put_decoded(&out->name, str_slice(rest, 1, rest.len)) && !out->name.failed);
}

void range_path_deinit(struct range_path *path)
{
    buf_free(&path->name);
}

void range_path_put(struct buf *out, struct str sha1, struct str name)
{
    char digits[2 * SHA1_SIZE + 1];

    buf_puts(out, "/f/");
    buf_put(out, sha1);
    if (name.len == 0)
        return;
    put_digits(name, digits);
    buf_printf(out, ".%s/", digits);
    url_put_encoded(out, name, "/");
}
