#include "store/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/newfile.h"
#include "base/sha1.h"
#include "store/store.h"

void paths_entry_deinit(struct paths_entry *entry)
{
    free(entry->path);
    free(entry->resolved);
    *entry = (struct paths_entry){0};
}

void paths_deinit(struct paths *p)
{
    for (size_t i = 0; i < p->count; i++)
        paths_entry_deinit(&p->items[i]);
    free(p->items);
    *p = (struct paths){0};
}

static int not_whole(struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "not a whole list of paths");
}

static int copy_path_text(struct str text, char **out, struct err *e)
{
    *out = strndup(text.p, text.len);
    return *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

/* The members of a file, of one of its paths, and of the file there, as they are in the text. */
struct paths_text {
    struct str hash;
    int64_t size;
    const struct json *paths;
};
struct entry_text {
    struct str path, resolved;
    double mtime;
    int64_t writer;
};
struct file_text {
    uint64_t inode;
    int64_t owner;
};

static const struct field paths_fields[] = {
    {.name = "sha1", .kind = FIELD_STRING, .at = offsetof(struct paths_text, hash)},
    {.name = "size", .kind = FIELD_INT, .at = offsetof(struct paths_text, size)},
    {.name = "paths", .kind = FIELD_ARRAY, .at = offsetof(struct paths_text, paths)},
    {.kind = FIELD_OTHERS},
};
static const struct field entry_fields[] = {
    {.name = "path", .kind = FIELD_PATH, .at = offsetof(struct entry_text, path),
     .is_good = fields_is_absolute_path},
    {.name = "mtime", .kind = FIELD_DOUBLE, .at = offsetof(struct entry_text, mtime)},
    {.name = "resolved", .kind = FIELD_PATH, .at = offsetof(struct entry_text, resolved),
     .is_optional = true},
    {.name = "writer", .kind = FIELD_INT, .at = offsetof(struct entry_text, writer),
     .max = UINT32_MAX, .is_optional = true},
    {.kind = FIELD_OTHERS},
};
/* Beside "resolved". */
static const struct field file_fields[] = {
    {.name = "inode", .kind = FIELD_UINT64, .at = offsetof(struct file_text, inode)},
    {.name = "owner", .kind = FIELD_INT, .at = offsetof(struct file_text, owner),
     .max = UINT32_MAX},
    {.kind = FIELD_OTHERS},
};

static int take_identity(struct paths_entry *entry, const struct json *object, struct str resolved,
                         struct err *e)
{
    struct file_text read;

    if (fields_read(file_fields, object, &read, NULL, ERR_IGNORED) != 0)
        return not_whole(e);
    entry->inode = read.inode;
    entry->owner = (uint32_t)read.owner;
    return copy_path_text(resolved, &entry->resolved, e);
}

static int take_entry(struct paths_entry *entry, const struct json *object, struct err *e)
{
    struct entry_text read = {.writer = 0};
    uint32_t seen;

    if (fields_read(entry_fields, object, &read, &seen, ERR_IGNORED) != 0)
        return not_whole(e);
    entry->mtime = read.mtime;
    entry->has_writer = fields_has(entry_fields, seen, "writer");
    entry->writer = (uint32_t)read.writer;
    if (copy_path_text(read.path, &entry->path, e) != 0)
        return -1;
    return fields_has(entry_fields, seen, "resolved")
               ? take_identity(entry, object, read.resolved, e)
               : 0;
}

static int take_entries(struct paths *p, const struct json *array, struct err *e)
{
    size_t count = json_count(array);

    if (count == 0 || count > PATHS_MAX)
        return not_whole(e);
    p->items = calloc(count, sizeof *p->items);
    if (p->items == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (const struct json *v = json_first(array); v != NULL; v = json_next(v))
        if (take_entry(&p->items[p->count++], v, e) != 0)
            return -1;
    return 0;
}

int paths_parse(struct str text, const char *hash, struct paths *out, struct err *e)
{
    struct err cause = {0};
    struct json *root = json_parse(text, JSON_SURROGATE_ESCAPE, &cause);
    struct paths_text read;
    struct paths p = {0};
    int status = -1;

    if (root == NULL && cause.code != ERR_PROTOCOL)
        return err_copy(e, &cause);
    if (fields_read(paths_fields, root, &read, NULL, ERR_IGNORED) != 0 ||
        !str_equal(read.hash, str_of(hash))) {
        not_whole(e);
    } else {
        p.size = read.size;
        status = take_entries(&p, read.paths, e);
    }
    json_free(root);
    if (status == 0)
        *out = p;
    else
        paths_deinit(&p);
    return status;
}

/* True when the file may not be read as a list: there is then none. */
static bool is_unusable(const char *file)
{
    struct stat st;

    return lstat(file, &st) == 0 &&
           (!S_ISREG(st.st_mode) || (access(file, R_OK) != 0 && errno == EACCES));
}

int paths_read(const char *file, const char *hash, struct paths *out, struct stat *st,
               struct err *e)
{
    struct buf text = {0};
    struct err why = {0};
    int status = fs_read_stat(file, false, PATHS_MAX_BYTES, &text, st, &why);

    if (status == 0)
        status = paths_parse(buf_str(&text), hash, out, e);
    else if (why.code == ERR_TOO_LARGE || (file != NULL && is_unusable(file)))
        err_from(e, ERR_NOT_FOUND, &why);
    else
        err_copy(e, &why);
    buf_free(&text);
    return status;
}

static void put_paths_entry(struct buf *out, const struct paths_entry *entry)
{
    char inode[24];

    json_open(out, '{');
    json_put_path(out, "path", str_of(entry->path));
    json_put_double(out, "mtime", entry->mtime);
    if (entry->resolved != NULL) {
        snprintf(inode, sizeof inode, "%llu", (unsigned long long)entry->inode);
        json_put_path(out, "resolved", str_of(entry->resolved));
        json_put_str(out, "inode", str_of(inode));
        json_put_int(out, "owner", entry->owner);
    }
    if (entry->has_writer)
        json_put_int(out, "writer", entry->writer);
    json_close(out, '}');
}

void paths_put(struct buf *out, const struct paths *p, const char *hash)
{
    json_open(out, '{');
    json_put_str(out, "sha1", str_of(hash));
    json_put_int(out, "size", p->size);
    json_open_member(out, "paths", '[');
    for (size_t i = 0; i < p->count; i++)
        put_paths_entry(out, &p->items[i]);
    json_close(out, ']');
    json_close(out, '}');
}

static void remove_at(struct paths *p, size_t i)
{
    paths_entry_deinit(&p->items[i]);
    p->count--;
    memmove(&p->items[i], &p->items[i + 1], (p->count - i) * sizeof *p->items);
}

int paths_write(const struct store *s, const char *file, const char *hash, struct paths *p,
                bool is_first, struct err *e)
{
    struct buf text = {0};
    int status;

    paths_put(&text, p, hash);
    while (!text.failed && text.len > PATHS_MAX_BYTES && p->count > 1) {
        remove_at(p, 0);
        buf_clear(&text);
        paths_put(&text, p, hash);
    }
    status = buf_check(&text, e);
    if (status == 0)
        status = store_write_file(s, file, buf_str(&text),
                                  NEWFILE_OWN | (is_first ? NEWFILE_FRESH : 0), e);
    buf_free(&text);
    return status;
}

struct paths_entry *paths_find(const struct paths *p, const char *path)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].path, path) == 0)
            return &p->items[i];
    return NULL;
}

static bool copy_entry(struct paths_entry *to, const struct paths_entry *from)
{
    *to = *from;
    to->path = strdup(from->path);
    to->resolved = from->resolved == NULL ? NULL : strdup(from->resolved);
    if (to->path != NULL && (to->resolved != NULL || from->resolved == NULL))
        return true;
    paths_entry_deinit(to);
    return false;
}

int paths_remember(struct paths *p, const struct paths_entry *entry, struct err *e)
{
    struct paths_entry added;
    struct paths_entry *items = realloc(p->items, (p->count + 1) * sizeof *items);

    if (items != NULL)
        p->items = items;
    if (items == NULL || !copy_entry(&added, entry))
        return err_set(e, ERR_FAILED, "out of memory");
    paths_forget(p, entry->path);
    while (p->count >= PATHS_MAX)
        remove_at(p, 0);
    p->items[p->count++] = added;
    return 0;
}

bool paths_forget(struct paths *p, const char *path)
{
    struct paths_entry *entry = paths_find(p, path);

    if (entry == NULL)
        return false;
    remove_at(p, (size_t)(entry - p->items));
    return true;
}
