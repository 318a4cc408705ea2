#include "store/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "store/store.h"

void record_deinit(struct record *r)
{
    free(r->path);
    *r = (struct record){0};
}

/* The members as they are in the text. */
struct record_text {
    struct str path, hash;
    int64_t size;
    double mtime;
};

#define AT(member) offsetof(struct record_text, member)
static const struct field record_fields[] = {
    {.name = "path", .kind = FIELD_PATH, .at = AT(path), .is_good = fields_is_absolute_path},
    {.name = "size", .kind = FIELD_INT, .at = AT(size)},
    {.name = "mtime", .kind = FIELD_DOUBLE, .at = AT(mtime)},
    {.name = "sha1", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX},
    {.kind = FIELD_OTHERS},
};
#undef AT

static int take_record(struct record *out, const struct json *root, struct err *e)
{
    struct record_text read;

    if (fields_read(record_fields, root, &read, NULL, ERR_IGNORED) != 0)
        return err_set(e, ERR_NOT_FOUND, "not a whole record");
    char *copy = strndup(read.path.p, read.path.len);
    if (copy == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    *out = (struct record){.path = copy, .size = read.size, .mtime = read.mtime};
    memcpy(out->hash, read.hash.p, SHA1_HEX);
    return 0;
}

int record_parse(struct record *out, struct str text, struct err *e)
{
    struct err cause = {0};
    struct json *root = json_parse(text, JSON_SURROGATE_ESCAPE, &cause);

    if (root == NULL && cause.code != ERR_PROTOCOL)
        return err_copy(e, &cause);
    int status = take_record(out, root, e);
    json_free(root);
    return status;
}

int record_read(const char *file, struct record *out, struct err *e)
{
    return record_read_stat(file, true, out, NULL, e);
}

int record_read_stat(const char *file, bool follows, struct record *out, struct stat *st,
                     struct err *e)
{
    struct buf text = {0};
    struct err why = {0};
    int status = fs_read_stat(file, follows, STORE_MAX_RECORD_BYTES, &text, st, &why);

    if (status == 0)
        status = record_parse(out, buf_str(&text), e);
    else
        err_from(e, why.code == ERR_TOO_LARGE ? ERR_NOT_FOUND : why.code, &why);
    buf_free(&text);
    return status;
}

void record_put(struct buf *out, const struct record *r)
{
    struct buf path = {0}, mtime = {0};

    json_put_path(&path, NULL, str_of(r->path));
    json_put_double(&mtime, NULL, r->mtime);
    buf_puts(out, "{\"path\": ");
    buf_put_buf(out, &path);
    buf_printf(out, ", \"size\": %lld, \"mtime\": ", (long long)r->size);
    buf_put_buf(out, &mtime);
    buf_printf(out, ", \"sha1\": \"%s\"}", r->hash);
    buf_free(&path);
    buf_free(&mtime);
}

int record_write(const struct store *s, const char *file, const struct record *r, unsigned flags,
                 struct err *e)
{
    struct buf text = {0};
    int status = -1;

    record_put(&text, r);
    if (buf_check(&text, e) == 0)
        status = store_write_file(s, file, buf_str(&text), flags, e);
    buf_free(&text);
    return status;
}
