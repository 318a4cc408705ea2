#include "bucket/folder_list.h"

#include <string.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "bucket/names.h"

enum { MAX_DEPTH = 32 };

struct list_walk {
    const struct data_dir *dir;
    struct bucket_list *list;
    size_t count, max;
    int depth;
    bool is_full; /* there is one more */
};

/* Whether a key that begins with `start` may be asked for. */
static bool may_hold(const struct bucket_list *list, struct str start)
{
    size_t len = start.len < list->prefix.len ? start.len : list->prefix.len;

    return str_equal(str_slice(start, 0, len), str_slice(list->prefix, 0, len)) &&
           str_compare(start, str_slice(list->after, 0, start.len)) >= 0;
}

static void add_key(struct list_walk *w, struct str key)
{
    if (!str_starts_with(key, w->list->prefix) || str_compare(key, w->list->after) <= 0 ||
        newfile_is_temporary(key))
        return;
    w->is_full = w->count == w->max;
    if (w->is_full)
        return;
    buf_append(&w->list->keys, key.p, key.len);
    buf_putc(&w->list->keys, '\0');
    w->count++;
}

/* `folder` is empty or ends with '/'. */
static int list_folder(struct list_walk *w, struct str folder, struct err *e)
{
    struct names names = {.items = NULL};
    struct buf path = {0}, key = {0};
    int result;

    if (w->depth == MAX_DEPTH)
        return err_set(e, ERR_FAILED, "%.*s: folders are too deep", STR_ARG(folder));
    w->depth++;
    data_dir_put_path(w->dir, folder, &path);
    result = names_read_folder(buf_path(&path, e), true, &names, e);
    for (size_t i = 0; i < names.count && result == 0 && !w->is_full; i++) {
        buf_clear(&key);
        buf_put(&key, folder);
        buf_puts(&key, names.items[i]);
        result = buf_check(&key, e);
        if (result != 0 || !may_hold(w->list, buf_str(&key)))
            continue;
        if (str_ends_with(buf_str(&key), STR("/")))
            result = list_folder(w, buf_str(&key), e);
        else
            add_key(w, buf_str(&key));
    }
    w->depth--;
    names_free(&names);
    buf_free(&path);
    buf_free(&key);
    return result;
}

int folder_list(const struct data_dir *dir, struct bucket_list *list, struct err *e)
{
    struct list_walk w = {.dir = dir, .list = list, .max = list->max};
    size_t len = list->prefix.len, start = list->keys.len;

    if (w.max > BUCKET_MAX_LIST)
        w.max = BUCKET_MAX_LIST;
    while (len > 0 && list->prefix.p[len - 1] != '/')
        len--;
    if (list_folder(&w, str_slice(list->prefix, 0, len), e) != 0 ||
        buf_check(&list->keys, e) != 0 || (w.count == 0 && data_dir_check(dir, e) != 0)) {
        list->keys.len = start;
        return -1;
    }
    list->is_last = !w.is_full;
    return 0;
}
