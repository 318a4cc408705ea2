#include "bucket/bucket_walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/sha1.h"
#include "bucket/zone_files.h"

enum { PAIR_DIGITS = 2, PAIR_LEVELS = 3 };

/* ---- lists of names ---- */

struct names {
    char **items;
    size_t count, cap;
    bool failed;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static void names_add(struct names *names, struct str name)
{
    char *copy = strndup(name.p, name.len);

    if (names->count == names->cap) {
        size_t cap = names->cap == 0 ? 16 : 2 * names->cap;
        char **items = realloc(names->items, cap * sizeof *items);
        if (items != NULL) {
            names->items = items;
            names->cap = cap;
        }
    }
    names->failed |= copy == NULL || names->count == names->cap;
    if (names->failed)
        free(copy);
    else
        names->items[names->count++] = copy;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *names)
{
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, by_bytes);
}

/* The names in a folder, sorted; a folder that is not there has none. */
static int read_folder(const char *path, struct names *names, struct err *e)
{
    DIR *folder = path == NULL ? NULL : opendir(path);
    struct dirent *entry;
    int result = 0;

    if (path == NULL)
        return -1;
    if (folder == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_errno(e, ERR_FAILED, errno, "cannot read %s", path);
    errno = 0;
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            names_add(names, str_of(entry->d_name));
    if (errno != 0)
        result = err_errno(e, ERR_FAILED, errno, "cannot read %s", path);
    else if (names->failed)
        result = err_set(e, ERR_FAILED, "out of memory");
    closedir(folder);
    names_sort(names);
    return result;
}

/* ---- one zone ---- */

/* Whether all keys that begin with `prefix` are left out. */
static bool is_before(struct str prefix, struct str after)
{
    return str_compare(prefix, str_slice(after, 0, prefix.len)) < 0;
}

static int walk_folder(const struct bucket_walk *walk, struct str prefix, int level);

/* `key` is a folder's or an object's, without the final slash. */
static int walk_entry(const struct bucket_walk *walk, struct buf *key, struct str name, int level)
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
    if (!site_is_object_key(buf_str(key), &hash) || str_compare(buf_str(key), walk->after) <= 0)
        return 0;
    return walk->on_object(walk->ctx, buf_str(key)) ? 0 : 1;
}

static int walk_folder(const struct bucket_walk *walk, struct str prefix, int level)
{
    struct names names = {NULL, 0, 0, false};
    struct buf path = {0}, key = {0};
    struct err e = {0};
    int result = 0;

    site_put_object_path(walk->site, prefix, &path);
    if (read_folder(buf_path(&path, &e), &names, &e) != 0)
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

/* ---- all zones ---- */

/* The beginning of the zone's keys: [<directory>/]sha1/ */
static void add_prefix(struct names *prefixes, const struct site_zone *zone)
{
    struct buf prefix = {0};

    if (zone->directory.len > 0)
        buf_printf(&prefix, "%.*s/", STR_ARG(zone->directory));
    buf_puts(&prefix, "sha1/");
    names_add(prefixes, buf_str(&prefix));
    prefixes->failed |= prefix.failed;
    buf_free(&prefix);
}

static int find_prefixes(const struct bucket_walk *walk, struct names *prefixes, struct err *e)
{
    const struct site_zone own = site_own_zone(walk->site);
    struct names zones = {NULL, 0, 0, false};
    struct buf path = {0};
    struct site_zone zone;
    struct err why = {0};
    int result;

    add_prefix(prefixes, &own);
    site_put_path(walk->site, &own, STR("registered-zones"), &path);
    result = read_folder(buf_path(&path, e), &zones, e);
    for (size_t i = 0; i < zones.count; i++)
        if (zone_files_zone(walk->site, str_of(zones.items[i]), &zone, &why) == 0) {
            add_prefix(prefixes, &zone);
            zone_files_zone_deinit(&zone);
        } else if (why.code != ERR_NOT_FOUND && why.code != ERR_PROTOCOL) {
            walk->on_error(walk->ctx, &why); /* else it is in another bucket, say, or broken */
        }
    names_sort(prefixes);
    names_free(&zones);
    buf_free(&path);
    return result;
}

int bucket_walk(const struct bucket_walk *walk, struct err *e)
{
    struct names prefixes = {NULL, 0, 0, false};
    int result = 0;

    if (walk->zone != NULL)
        add_prefix(&prefixes, walk->zone);
    else
        result = find_prefixes(walk, &prefixes, e);
    if (result == 0 && prefixes.failed)
        result = err_set(e, ERR_FAILED, "out of memory");
    for (size_t i = 0; i < prefixes.count && result == 0; i++)
        if ((i == 0 || strcmp(prefixes.items[i], prefixes.items[i - 1]) != 0) &&
            !is_before(str_of(prefixes.items[i]), walk->after))
            result = walk_folder(walk, str_of(prefixes.items[i]), 0);
    names_free(&prefixes);
    return result;
}
