#include "proto/folder_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

enum { CHUNK_BYTES = 65536, MAX_FILES = 1 << 20 };

/* Paths stand in these, one behind the other. */
struct folder_chunk {
    struct folder_chunk *next;
    size_t used;
    char bytes[CHUNK_BYTES];
};

/* ---- an index ---- */

void folder_index_free(struct folder_index *index)
{
    while (index->chunks != NULL) {
        struct folder_chunk *next = index->chunks->next;
        free(index->chunks);
        index->chunks = next;
    }
    free(index->files);
    *index = (struct folder_index){0};
}

struct str folder_file_path(const struct folder_file *file)
{
    return (struct str){file->path, file->path_len};
}

bool folder_index_is_path(struct str path)
{
    if (path.len == 0 || path.len > FOLDER_INDEX_MAX_PATH || !str_is_utf8(path) ||
        memchr(path.p, '\0', path.len) != NULL)
        return false;
    for (struct str rest = path;;) {
        size_t slash = str_find(rest, '/');
        struct str part = str_slice(rest, 0, slash);
        if (part.len == 0 || str_equal(part, STR(".")) || str_equal(part, STR("..")))
            return false;
        if (slash >= rest.len)
            return true;
        rest = str_slice(rest, slash + 1, rest.len);
    }
}

static const char *keep_path(struct folder_index *index, struct str path)
{
    struct folder_chunk *chunk = index->chunks;

    if (chunk == NULL || CHUNK_BYTES - chunk->used < path.len) {
        chunk = malloc(sizeof *chunk);
        if (chunk == NULL)
            return NULL;
        chunk->next = index->chunks;
        chunk->used = 0;
        index->chunks = chunk;
        index->bytes += sizeof *chunk;
    }
    char *kept = chunk->bytes + chunk->used;
    memcpy(kept, path.p, path.len);
    chunk->used += path.len;
    return kept;
}

static bool make_file_room(struct folder_index *index)
{
    size_t cap = index->cap + index->cap / 2 + 16;
    struct folder_file *files;

    if (index->count < index->cap)
        return true;
    files = realloc(index->files, cap * sizeof *files);
    if (files == NULL)
        return false;
    index->bytes += (cap - index->cap) * sizeof *files;
    index->files = files;
    index->cap = cap;
    return true;
}

int folder_index_add(struct folder_index *index, struct str path, const char *sha1, int64_t size,
                     struct err *e)
{
    struct folder_file file = {.path_len = (uint32_t)path.len, .size = size};

    if (!str_is_utf8(path))
        return err_set(e, ERR_FAILED, "the path is not UTF-8");
    if (!folder_index_is_path(path))
        return err_set(e, ERR_FAILED, "want a path of 1-%d bytes below the folder, without \"..\"",
                       FOLDER_INDEX_MAX_PATH);
    if (size < 0 || !hex_decode(str_of(sha1), file.sha1, sizeof file.sha1))
        return err_set(e, ERR_FAILED, "want a SHA-1 and a size");
    if (index->count == MAX_FILES)
        return err_set(e, ERR_FAILED, "more than %d files", MAX_FILES);
    if (!make_file_room(index) || (file.path = keep_path(index, path)) == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    index->files[index->count++] = file;
    return 0;
}

/* ---- order ---- */

static int rank_character(char c)
{
    return c == '/' ? 0 : 1 + (unsigned char)c;
}

static int compare_paths(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len, i = 0;

    while (i < len && a.p[i] == b.p[i])
        i++;
    if (i < len)
        return rank_character(a.p[i]) - rank_character(b.p[i]);
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_files(const void *a, const void *b)
{
    return compare_paths(folder_file_path(a), folder_file_path(b));
}

static int compare_bytes(const void *a, const void *b)
{
    return str_compare(folder_file_path(a), folder_file_path(b));
}

static bool is_below(const struct folder_file *file, struct str folder)
{
    struct str path = folder_file_path(file);

    return path.len > folder.len && path.p[folder.len] == '/' && str_starts_with(path, folder);
}

/* Sorts it. A path that is also a folder stands right before a file in it. */
static int sort_index(struct folder_index *index, enum err_code code, struct err *e)
{
    if (index->count > 0)
        qsort(index->files, index->count, sizeof *index->files, compare_files);
    for (size_t i = 1; i < index->count; i++) {
        struct str path = folder_file_path(&index->files[i - 1]);
        if (str_equal(path, folder_file_path(&index->files[i])))
            return err_set(e, code, "\"%.*s\" is there twice", STR_ARG(str_cut(path, 100)));
        if (is_below(&index->files[i], path))
            return err_set(e, code, "\"%.*s\" is a file and a folder", STR_ARG(str_cut(path, 100)));
    }
    return 0;
}

const struct folder_file *folder_index_find(const struct folder_index *index, struct str path)
{
    const struct folder_file wanted = {.path = path.p, .path_len = (uint32_t)path.len};

    if (index->count == 0 || path.len > FOLDER_INDEX_MAX_PATH)
        return NULL;
    return bsearch(&wanted, index->files, index->count, sizeof wanted, compare_files);
}

/* The first file from `low` on that is not before the path, or, with `is_behind`, that is neither
 * before it nor below it. */
static size_t find_bound(const struct folder_index *index, size_t low, struct str folder,
                         bool is_behind)
{
    size_t high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct str path = folder_file_path(&index->files[middle]);
        bool is_in = is_behind && str_starts_with(path, folder);
        if (is_in || compare_paths(path, folder) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool folder_index_range(const struct folder_index *index, struct str folder, size_t *first,
                        size_t *end)
{
    if (folder.len == 0) {
        *first = 0;
        *end = index->count;
        return true;
    }
    if (folder.p[folder.len - 1] != '/')
        return false;
    *first = find_bound(index, 0, folder, false);
    *end = find_bound(index, *first, folder, true);
    return *end > *first;
}

bool folder_index_next(const struct folder_index *index, struct str folder, size_t *at, size_t end,
                       struct str *name, const struct folder_file **file)
{
    if (*at >= end)
        return false;
    struct str path = folder_file_path(&index->files[*at]);
    struct str rest = str_slice(path, folder.len, path.len);
    size_t slash = str_find(rest, '/');
    *name = str_slice(rest, 0, slash);
    *file = slash < rest.len ? NULL : &index->files[*at];
    if (*file != NULL)
        *at += 1;
    else
        *at = find_bound(index, *at, str_slice(path, 0, folder.len + slash + 1), true);
    return true;
}

size_t folder_index_bytes(const struct folder_index *index)
{
    return index->bytes;
}

/* ---- writing ---- */

static void put_folder_file(struct buf *out, struct buf *key, const struct folder_file *file)
{
    char hash[SHA1_HEX + 1];

    buf_clear(key);
    buf_put(key, folder_file_path(file));
    hex_encode(file->sha1, sizeof file->sha1, hash);
    out->failed |= key->failed;
    json_open_member(out, buf_cstr(key), '{');
    json_put_str(out, "sha1", str_of(hash));
    json_put_int(out, "size", file->size);
    json_close(out, '}');
}

int folder_index_put(struct folder_index *index, struct buf *out, struct err *e)
{
    const size_t start = out->len;
    struct buf key = {0};

    if (sort_index(index, ERR_FAILED, e) != 0)
        return -1;
    if (index->count > 0)
        qsort(index->files, index->count, sizeof *index->files, compare_bytes);
    json_open(out, '{');
    json_put_int(out, "kachery-folder", 1);
    json_open_member(out, "files", '{');
    for (size_t i = 0; i < index->count && out->len - start <= FOLDER_INDEX_MAX_BYTES; i++)
        put_folder_file(out, &key, &index->files[i]);
    json_close(out, '}');
    json_close(out, '}');
    buf_free(&key);
    if (index->count > 0)
        qsort(index->files, index->count, sizeof *index->files, compare_files);
    if (out->len - start > FOLDER_INDEX_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE,
                       "its index would have more than %d bytes: link parts of the folder",
                       FOLDER_INDEX_MAX_BYTES);
    return buf_check(out, e);
}

/* ---- reading: what comes next ---- */

enum expects {
    EXPECT_START,
    EXPECT_TOP_KEY,
    EXPECT_TOP_COLON,
    EXPECT_VERSION,
    EXPECT_FILES,
    EXPECT_FIRST_PATH, /* or the end */
    EXPECT_PATH,
    EXPECT_PATH_COLON,
    EXPECT_FILE,
    EXPECT_KEY,
    EXPECT_SHA1_COLON,
    EXPECT_SIZE_COLON,
    EXPECT_SHA1,
    EXPECT_SIZE,
    EXPECT_FILE_END, /* or a comma */
    EXPECT_FILES_END,
    EXPECT_TOP_END,
    EXPECT_NOTHING
};

enum lexing { LEX_NOTHING, LEX_STRING, LEX_ESCAPE, LEX_HEX, LEX_NUMBER };

static int fail_at_byte(const struct folder_parser *p, struct err *e, const char *cause)
{
    return err_set(e, ERR_PROTOCOL, "byte %lld of a folder index: %s", (long long)p->at, cause);
}

static int take_top_key(struct folder_parser *p, struct str text, struct err *e)
{
    bool *seen = str_equal(text, STR("kachery-folder")) ? &p->has_version
                 : str_equal(text, STR("files"))        ? &p->has_files
                                                        : NULL;

    if (seen == NULL || *seen)
        return fail_at_byte(p, e, "want the keys kachery-folder and files, once each");
    *seen = true;
    buf_clear(&p->path);
    buf_put(&p->path, text);
    p->expects = EXPECT_TOP_COLON;
    return buf_check(&p->path, e);
}

static int take_file_key(struct folder_parser *p, struct str text, struct err *e)
{
    bool is_sha1 = str_equal(text, STR("sha1"));
    bool *seen = is_sha1 ? &p->has_sha1 : str_equal(text, STR("size")) ? &p->has_size : NULL;

    if (seen == NULL || *seen)
        return fail_at_byte(p, e, "want the keys sha1 and size, once each");
    *seen = true;
    p->expects = is_sha1 ? EXPECT_SHA1_COLON : EXPECT_SIZE_COLON;
    return 0;
}

static int take_string(struct folder_parser *p, struct err *e)
{
    struct str text = buf_str(&p->token);

    if (!str_is_utf8(text))
        return fail_at_byte(p, e, "a text that is not UTF-8");
    switch (p->expects) {
    case EXPECT_TOP_KEY: return take_top_key(p, text, e);
    case EXPECT_KEY: return take_file_key(p, text, e);
    case EXPECT_FIRST_PATH:
    case EXPECT_PATH:
        if (!folder_index_is_path(text))
            return fail_at_byte(p, e, "want a relative path without \"..\" and empty parts");
        buf_clear(&p->path);
        buf_put(&p->path, text);
        p->has_sha1 = p->has_size = false;
        p->expects = EXPECT_PATH_COLON;
        return buf_check(&p->path, e);
    case EXPECT_SHA1:
        if (!hex_is_lower(text, SHA1_HEX))
            return fail_at_byte(p, e, "want a SHA-1 of 40 lower-case digits");
        memcpy(p->sha1, text.p, SHA1_HEX);
        p->expects = EXPECT_FILE_END;
        return 0;
    default: return fail_at_byte(p, e, "a text where none can be");
    }
}

static int take_index_number(struct folder_parser *p, struct err *e)
{
    struct str text = buf_str(&p->token);
    uint64_t n;

    p->lexing = LEX_NOTHING;
    if (!str_to_uint(text, JSON_MAX_SAFE_INTEGER, &n) || (text.len > 1 && text.p[0] == '0'))
        return fail_at_byte(p, e, "want a whole number");
    if (p->expects == EXPECT_SIZE) {
        p->size = (int64_t)n;
        p->expects = EXPECT_FILE_END;
        return 0;
    }
    if (p->expects != EXPECT_VERSION || n != 1)
        return fail_at_byte(p, e, "want \"kachery-folder\":1");
    p->expects = EXPECT_TOP_END;
    return 0;
}

static int end_file(struct folder_parser *p, struct err *e)
{
    if (!p->has_sha1 || !p->has_size)
        return fail_at_byte(p, e, "a file without sha1 or size");
    p->expects = EXPECT_FILES_END;
    return folder_index_add(&p->index, buf_str(&p->path), p->sha1, p->size, e);
}

/* A sign outside of texts and numbers. */
static int take_sign(struct folder_parser *p, char c, struct err *e)
{
    static const struct {
        int expects;
        char c;
        int then;
    } steps[] = {
        {EXPECT_START, '{', EXPECT_TOP_KEY},
        {EXPECT_FILES, '{', EXPECT_FIRST_PATH},
        {EXPECT_FIRST_PATH, '}', EXPECT_TOP_END},
        {EXPECT_PATH_COLON, ':', EXPECT_FILE},
        {EXPECT_FILE, '{', EXPECT_KEY},
        {EXPECT_SHA1_COLON, ':', EXPECT_SHA1},
        {EXPECT_SIZE_COLON, ':', EXPECT_SIZE},
        {EXPECT_FILE_END, ',', EXPECT_KEY},
        {EXPECT_FILES_END, ',', EXPECT_PATH},
        {EXPECT_FILES_END, '}', EXPECT_TOP_END},
        {EXPECT_TOP_END, ',', EXPECT_TOP_KEY},
    };

    if (p->expects == EXPECT_FILE_END && c == '}')
        return end_file(p, e);
    if (p->expects == EXPECT_TOP_COLON && c == ':') {
        p->expects = str_equal(buf_str(&p->path), STR("files")) ? EXPECT_FILES : EXPECT_VERSION;
        return 0;
    }
    if (p->expects == EXPECT_TOP_END && c == '}' && p->has_version && p->has_files) {
        p->expects = EXPECT_NOTHING;
        return 0;
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i].expects == p->expects && steps[i].c == c) {
            p->expects = steps[i].then;
            return 0;
        }
    return fail_at_byte(p, e, "not what the format has there");
}

/* ---- reading: texts and numbers ---- */

static int add_byte(struct folder_parser *p, char c, struct err *e)
{
    if (p->token.len == FOLDER_INDEX_MAX_PATH)
        return fail_at_byte(p, e, "a text that is too long");
    buf_putc(&p->token, c);
    return buf_check(&p->token, e);
}

/* A character of a \u escape as UTF-8. */
static int add_character(struct folder_parser *p, unsigned long c, struct err *e)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    int count = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    int result = 0;

    if (count == 1)
        return add_byte(p, (char)c, e);
    for (int i = count - 1; i >= 0 && result == 0; i--) {
        unsigned long bits = c >> (6 * i);
        unsigned long byte = i == count - 1 ? leads[count] | bits : 0x80 | (bits & 0x3f);
        result = add_byte(p, (char)(unsigned char)byte, e);
    }
    return result;
}

static int end_code_unit(struct folder_parser *p, struct err *e)
{
    unsigned unit = p->unit, high = p->high;

    p->lexing = LEX_STRING;
    p->high = 0;
    if (high != 0) {
        if (unit < 0xdc00 || unit > 0xdfff)
            return fail_at_byte(p, e, "half a surrogate pair");
        return add_character(p, 0x10000UL + ((high - 0xd800UL) << 10) + (unit - 0xdc00UL), e);
    }
    if (unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return fail_at_byte(p, e, unit == 0 ? "a NUL" : "half a surrogate pair");
    if (unit < 0xd800 || unit > 0xdbff)
        return add_character(p, unit, e);
    p->high = unit;
    return 0;
}

static int take_escape(struct folder_parser *p, char c, struct err *e)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *found = c == '\0' ? NULL : strchr(names, c);

    if (c == 'u') {
        p->lexing = LEX_HEX;
        p->unit = p->digits = 0;
        return 0;
    }
    if (found == NULL || p->high != 0)
        return fail_at_byte(p, e, found == NULL ? "an unknown escape" : "half a surrogate pair");
    p->lexing = LEX_STRING;
    return add_byte(p, meant[found - names], e);
}

static int take_hex(struct folder_parser *p, char c, struct err *e)
{
    int digit = hex_digit(c);

    if (digit < 0)
        return fail_at_byte(p, e, "an escape that is no number");
    p->unit = p->unit << 4 | (unsigned)digit;
    return ++p->digits == 4 ? end_code_unit(p, e) : 0;
}

static int take_in_string(struct folder_parser *p, char c, struct err *e)
{
    if (c == '\\') {
        p->lexing = LEX_ESCAPE;
        return 0;
    }
    if (p->high != 0)
        return fail_at_byte(p, e, "half a surrogate pair");
    if (c == '"') {
        p->lexing = LEX_NOTHING;
        return take_string(p, e);
    }
    if ((unsigned char)c < 0x20)
        return fail_at_byte(p, e, "a control byte");
    return add_byte(p, c, e);
}

static int take_outside(struct folder_parser *p, char c, struct err *e)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        return 0;
    bool is_number = (c >= '0' && c <= '9') || c == '-';
    if (c != '"' && !is_number)
        return take_sign(p, c, e);
    buf_clear(&p->token);
    p->high = 0;
    p->lexing = is_number ? LEX_NUMBER : LEX_STRING;
    return is_number ? add_byte(p, c, e) : 0;
}

static int take_index_byte(struct folder_parser *p, char c, struct err *e)
{
    bool is_number_byte = (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' ||
                          c == 'e' || c == 'E';

    switch (p->lexing) {
    case LEX_STRING: return take_in_string(p, c, e);
    case LEX_ESCAPE: return take_escape(p, c, e);
    case LEX_HEX: return take_hex(p, c, e);
    case LEX_NUMBER:
        if (is_number_byte)
            return add_byte(p, c, e);
        if (take_index_number(p, e) != 0)
            return -1;
        break;
    default: break;
    }
    return take_outside(p, c, e);
}

int folder_parser_feed(struct folder_parser *p, struct str piece, struct err *e)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (p->at == FOLDER_INDEX_MAX_BYTES)
            return fail_at_byte(p, e, "it is too long");
        if (take_index_byte(p, piece.p[i], e) != 0)
            return -1;
        p->at++;
    }
    return 0;
}

int folder_parser_end(struct folder_parser *p, struct folder_index *out, struct err *e)
{
    if (p->expects != EXPECT_NOTHING)
        return fail_at_byte(p, e, "it ends too early");
    if (sort_index(&p->index, ERR_PROTOCOL, e) != 0)
        return -1;
    *out = p->index;
    p->index = (struct folder_index){0};
    return 0;
}

void folder_parser_free(struct folder_parser *p)
{
    folder_index_free(&p->index);
    buf_free(&p->token);
    buf_free(&p->path);
    *p = (struct folder_parser){0};
}

int folder_index_parse(struct folder_index *out, struct str text, struct err *e)
{
    struct folder_parser p = {0};
    int result = folder_parser_feed(&p, text, e);

    if (result == 0)
        result = folder_parser_end(&p, out, e);
    folder_parser_free(&p);
    return result;
}
