/* unlink: stop sharing files: links, copies, and what is beside them. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "proto/kachery_uri.h"
#include "store/hash_cache.h"
#include "store/hash_file.h"
#include "store/link.h"

/* The meaning of one operand: a hash, or a path. */
struct unlink_operand {
    const char *text;
    char hash[SHA1_HEX + 1]; /* empty: it is a path */
    char *path;              /* absolute */
    bool is_matched;
    char last_hash[SHA1_HEX + 1]; /* that the path had */
};

struct store_removal {
    struct store store;
    struct unlink_operand *named;
    size_t count;
    bool is_json, is_begun, has_failed;
};

static void put_text_or_null(struct buf *out, const char *key, const char *text)
{
    if (text == NULL)
        json_put_null(out, key);
    else
        json_put_path(out, key, str_of(text));
}

static void print_removed(struct store_removal *r, const char *uri, const char *path,
                          const char *kind, const char *error)
{
    struct buf out = {0};

    if (r->is_json) {
        buf_puts(&out, r->is_begun ? ",\n" : "[\n");
        r->is_begun = true;
        json_open(&out, '{');
        put_text_or_null(&out, "uri", uri);
        put_text_or_null(&out, "path", path);
        put_text_or_null(&out, "kind", kind);
        put_text_or_null(&out, "error", error);
        json_close(&out, '}');
    } else if (error == NULL) {
        buf_printf(&out, "%s\t", uri);
        fs_put_printable(&out, str_of(path == NULL ? "-" : path));
        buf_putc(&out, '\n');
    }
    cmd_print_buf(&out);
    buf_free(&out);
}

/* `e` counts only if it was not removed. */
static void report_removed(struct store_removal *r, const char *hash, const char *path,
                           enum store_kind kind, bool is_removed, const struct err *e)
{
    struct buf uri = {0};

    kachery_uri_put(&uri, hash, STR(""));
    const char *text = buf_path(&uri, ERR_IGNORED);
    if (text != NULL)
        print_removed(r, text, path, store_kind_name(kind), is_removed ? NULL : e->msg);
    else
        cmd_print_buf(&uri); /* a result is lost */
    if (!is_removed) {
        cmd_warn_file("unlink", path == NULL ? cmd_words(&uri) : path, e);
        r->has_failed = true;
    }
    buf_free(&uri);
}

static void fail_named(struct store_removal *r, const struct unlink_operand *n, const struct err *e)
{
    cmd_warn_file("unlink", n->text, e);
    print_removed(r, n->hash[0] != '\0' ? n->text : NULL, n->path, NULL, e->msg);
}

/* Removes a file of the store whose name is `name` and `suffix`; 1 when it was there. */
static int remove_store_file(struct buf *name, const char *suffix, struct err *e)
{
    buf_puts(name, suffix);
    const char *path = buf_path(name, e);
    if (path == NULL)
        return -1;
    if (unlink(path) == 0)
        return 1;
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return err_errno(e, ERR_FAILED, errno, "cannot remove %s", path);
}

/* Also one that is damaged, or a symbolic link and so counts as none. */
static bool remove_copy(struct store_removal *r, const char *hash)
{
    struct buf copy = {0}, part = {0};
    struct err e = {0};

    store_put_copy_path(&r->store, hash, &copy);
    store_put_copy_path(&r->store, hash, &part);
    int result = remove_store_file(&copy, "", &e);
    if (result > 0 && remove_store_file(&part, ".part", &e) < 0)
        result = -1;
    if (result != 0)
        report_removed(r, hash, buf_path(&copy, ERR_IGNORED), STORE_COPY, result > 0, &e);
    buf_free(&copy);
    buf_free(&part);
    return result != 0;
}

static bool has_kind(struct store_removal *r, const char *hash, enum store_kind kind)
{
    struct store_entry entry = {0};
    bool is_there = store_lookup_kind(&r->store, hash, kind, &entry, ERR_IGNORED) != 0 ||
                    entry.state != STORE_ABSENT;

    store_entry_deinit(&entry);
    return is_there;
}

/* Of content that is shared no more. */
static void remove_manifest(struct store_removal *r, const char *hash)
{
    struct buf path = {0};
    struct err e = {0};

    if (has_kind(r, hash, STORE_COPY) || has_kind(r, hash, STORE_LINK))
        return;
    store_put_manifest_path(&r->store, hash, &path);
    if (remove_store_file(&path, "", &e) < 0) {
        cmd_warn("unlink", &e);
        r->has_failed = true;
    }
    buf_free(&path);
}

/* One path of a link; NULL: all. */
static void remove_store_link(struct store_removal *r, const char *hash, const char *path,
                              struct store_entry *entries, size_t count)
{
    struct err e = {0};
    int status = path == NULL ? link_remove(&r->store, hash, &e)
                              : link_forget(&r->store, hash, path, &e);

    for (size_t i = 0; i < count; i++) {
        const char *one = entries[i].path;
        if (path != NULL && (one == NULL || strcmp(one, path) != 0))
            continue;
        if (status == 0 && one != NULL)
            hash_cache_forget(&r->store, one);
        report_removed(r, hash, one, STORE_LINK, status == 0, &e);
    }
}

static void free_entries(struct store_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        store_entry_deinit(&entries[i]);
    free(entries);
}

static void unlink_hash(struct store_removal *r, struct unlink_operand *n)
{
    struct store_entry *entries = NULL;
    size_t count = 0;
    struct err e = {0};

    n->is_matched = remove_copy(r, n->hash);
    if (store_lookup_paths(&r->store, n->hash, &entries, &count, &e) != 0) {
        fail_named(r, n, &e);
        r->has_failed = n->is_matched = true;
        return;
    }
    if (count > 0) {
        remove_store_link(r, n->hash, NULL, entries, count);
        n->is_matched = true;
    }
    free_entries(entries, count);
    if (n->is_matched)
        remove_manifest(r, n->hash);
}

/* Other paths, or a copy, may still have the content of a path. */
static void warn_of_what_remains(struct store_removal *r, const char *hash)
{
    bool is_copied = has_kind(r, hash, STORE_COPY);
    struct buf uri = {0};
    struct err e;

    if (!is_copied && !has_kind(r, hash, STORE_LINK))
        return;
    kachery_uri_put(&uri, hash, STR(""));
    err_set(&e, ERR_NONE, "%s is still shared, by %s: unlink that URI to stop it",
            cmd_words(&uri), is_copied ? "a stored copy" : "another path");
    cmd_warn("unlink", &e);
    buf_free(&uri);
}

static void unlink_entry(struct store_removal *r, struct unlink_operand *n, const char *hash,
                         struct store_entry *entry)
{
    n->is_matched = true;
    if (entry->kind == STORE_COPY)
        remove_copy(r, hash);
    else
        remove_store_link(r, hash, n->path, entry, 1);
    remove_manifest(r, hash);
    memcpy(n->last_hash, hash, sizeof n->last_hash);
}

/* One walk through the store for all paths: a path may have been linked with several contents. */
static int unlink_listed(struct store_removal *r, struct err *e)
{
    struct store_list *list = store_list_open(&r->store, e);
    int step;

    if (list == NULL)
        return -1;
    do {
        char hash[SHA1_HEX + 1];
        struct store_entry entry = {0};
        struct err why = {0};
        step = store_list_next(list, hash, &entry, &why);
        if (step < 0) {
            cmd_warn("unlink", &why);
            r->has_failed = true;
        }
        for (size_t i = 0; step > 0 && entry.path != NULL && i < r->count; i++)
            if (r->named[i].path != NULL && strcmp(r->named[i].path, entry.path) == 0) {
                unlink_entry(r, &r->named[i], hash, &entry);
                break;
            }
        store_entry_deinit(&entry);
    } while (step != 0);
    store_list_close(list);
    return 0;
}

/* A path that was not linked may be that of a file of which there is a copy. */
static void unlink_copied(struct store_removal *r, struct unlink_operand *n)
{
    static const struct hash_options cached = {.flags = HASH_USE_CACHE};
    struct hash_result hashed;

    if (hash_file(&r->store, n->path, &cached, &hashed, ERR_IGNORED) != 0 ||
        !remove_copy(r, hashed.hash))
        return;
    n->is_matched = true;
    hash_cache_forget(&r->store, n->path);
    remove_manifest(r, hashed.hash);
    memcpy(n->last_hash, hashed.hash, sizeof n->last_hash);
}

static int unlink_all(struct store_removal *r, struct err *e)
{
    bool has_paths = false;

    for (size_t i = 0; i < r->count; i++) {
        if (r->named[i].path == NULL)
            unlink_hash(r, &r->named[i]);
        else
            has_paths = true;
    }
    if (has_paths && unlink_listed(r, e) != 0)
        return -1;
    for (size_t i = 0; i < r->count; i++)
        if (r->named[i].path != NULL && !r->named[i].is_matched)
            unlink_copied(r, &r->named[i]);
    for (size_t i = 0; i < r->count; i++)
        if (r->named[i].last_hash[0] != '\0')
            warn_of_what_remains(r, r->named[i].last_hash);
    return 0;
}

static int sum_up_removal(struct store_removal *r)
{
    const struct err absent = {ERR_NOT_FOUND, "not in the local store"};
    size_t matched = 0;
    int status = CMD_OK;

    for (size_t i = 0; i < r->count; i++)
        if (r->named[i].is_matched)
            matched++;
        else
            fail_named(r, &r->named[i], &absent);
    if (r->is_json)
        cmd_print(r->is_begun ? STR("\n]\n") : STR("[]\n"));
    if (matched == 0 && !r->has_failed)
        status = CMD_NOT_FOUND;
    else if (matched < r->count || r->has_failed)
        status = CMD_FAILED;
    return cmd_finish("unlink", status);
}

/* Everything is read before anything is removed: a wrong URI is told at once. */
static int read_named(struct store_removal *r, const struct cmd_args *args, struct err *e)
{
    r->named = calloc(args->operand_count, sizeof *r->named);
    if (r->named == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    for (r->count = 0; r->count < args->operand_count; r->count++) {
        struct unlink_operand *n = &r->named[r->count];
        struct kachery_uri uri;
        struct buf path = {0};
        n->text = args->operands[r->count];
        if (strstr(n->text, "://") != NULL && n->text[0] != '/') {
            if (kachery_uri_parse(&uri, str_of(n->text), KACHERY_URI_USER, e) != 0)
                return -1;
            memcpy(n->hash, uri.hash, sizeof n->hash);
            continue;
        }
        if (fs_absolute_path(n->text, &path, e) == 0)
            n->path = buf_take(&path);
        buf_free(&path);
        if (n->path == NULL)
            return -1;
    }
    return 0;
}

int cmd_unlink(int argc, char **argv)
{
    struct store_removal r = {0};
    const struct cmd_option options[] = {
        {.name = "json", .flag = &r.is_json},
        {.name = NULL},
    };
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = SIZE_MAX};
    struct err e = {ERR_FAILED, "out of memory"};

    int status = cmd_parse("unlink", argc, argv, &args);
    if (status >= 0)
        return status;
    if (store_init(&r.store, &e) != 0)
        return cmd_fail("unlink", &e);
    if (read_named(&r, &args, &e) != 0 || unlink_all(&r, &e) != 0)
        status = cmd_fail("unlink", &e);
    else
        status = sum_up_removal(&r);
    for (size_t i = 0; i < args.operand_count && r.named != NULL; i++)
        free(r.named[i].path);
    free(r.named);
    store_deinit(&r.store);
    return status;
}
