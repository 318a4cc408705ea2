#include "bucket/object_walk.h"

#include <string.h>

#include "base/hex.h"
#include "bucket/names.h"
#include "proto/kachery_uri.h"

enum { PAIR_DIGITS = 2, PAIR_LEVELS = 3 };

/* ---- one directory ---- */

/* Whether all keys that begin with `prefix` are left out. */
static bool is_before(struct str prefix, struct str after)
{
    return str_compare(prefix, str_slice(after, 0, prefix.len)) < 0;
}

static int walk_folder(const struct object_walk *walk, struct str prefix, int level);

/* `key` is a folder's or an object's, without the final slash. */
static int walk_entry(const struct object_walk *walk, struct buf *key, struct str name, int level)
{
    struct str hash;

    if (level < PAIR_LEVELS) {
        if (!hex_is_lower(name, PAIR_DIGITS))
            return 0;
        buf_putc(key, '/');
        if (key->failed) {
            walk->on_error(walk->ctx, &(struct err){ERR_FAILED, "out of memory"});
            return 0;
        }
        return is_before(buf_str(key), walk->after)
                   ? 0
                   : walk_folder(walk, buf_str(key), level + 1);
    }
    if (!kachery_uri_is_object_key(buf_str(key), &hash) ||
        str_compare(buf_str(key), walk->after) <= 0)
        return 0;
    return walk->on_object(walk->ctx, buf_str(key)) ? 0 : 1;
}

static int walk_folder(const struct object_walk *walk, struct str prefix, int level)
{
    struct names names = {.items = NULL};
    struct buf path = {0}, key = {0};
    struct err e = {0};
    int result = 0;

    data_dir_put_path(walk->dir, prefix, &path);
    if (names_read_folder(buf_path(&path, &e), false, &names, &e) != 0)
        walk->on_error(walk->ctx, &e);
    for (size_t i = 0; i < names.count && result == 0; i++) {
        buf_clear(&key);
        buf_put(&key, prefix);
        buf_puts(&key, names.items[i]);
        if (buf_check(&key, &e) != 0) {
            walk->on_error(walk->ctx, &e);
            continue;
        }
        result = walk_entry(walk, &key, str_of(names.items[i]), level);
    }
    names_free(&names);
    buf_free(&path);
    buf_free(&key);
    return result;
}

/* ---- all of them ---- */

/* The beginning of the keys: [<directory>/]sha1/ */
static void add_prefix(struct names *prefixes, const char *directory)
{
    struct buf prefix = {0};

    if (*directory != '\0')
        buf_printf(&prefix, "%s/", directory);
    buf_puts(&prefix, "sha1/");
    names_add(prefixes, buf_str(&prefix));
    prefixes->failed |= prefix.failed;
    buf_free(&prefix);
}

int object_walk(const struct object_walk *walk, struct err *e)
{
    struct names prefixes = {.items = NULL};
    int result = 0;

    for (size_t i = 0; i < walk->directories->count; i++)
        add_prefix(&prefixes, walk->directories->items[i]);
    names_sort(&prefixes);
    if (prefixes.failed || walk->directories->failed)
        result = err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < prefixes.count && result == 0; i++)
        if ((i == 0 || strcmp(prefixes.items[i], prefixes.items[i - 1]) != 0) &&
            !is_before(str_of(prefixes.items[i]), walk->after))
            result = walk_folder(walk, str_of(prefixes.items[i]), 0);
    names_free(&prefixes);
    return result;
}
