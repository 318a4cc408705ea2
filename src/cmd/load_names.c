#include "cmd/load_names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hex.h"
#include "base/newfile.h"
#include "base/sha1.h"
#include "proto/url.h"

enum { MAX_EXTENSION_BYTES = 32 };

/* ---- one name ---- */

/* Where the extension begins, with its dot; the end when there is none. */
static size_t extension_at(struct str name)
{
    size_t at = name.len;

    while (at > 0 && name.p[at - 1] != '.')
        at--;
    /* A name that begins with its only dot has none. */
    return at <= 1 || name.len - (at - 1) > MAX_EXTENSION_BYTES ? name.len : at - 1;
}

/* The name with `suffix` before its extension, in at most LOAD_NAMES_MAX_BYTES. */
static void put_fitting(struct buf *out, struct str name, struct str suffix)
{
    size_t dot = extension_at(name);
    struct str extension = str_slice(name, dot, name.len);
    size_t room = LOAD_NAMES_MAX_BYTES - suffix.len - extension.len;

    buf_put(out, str_cut(str_slice(name, 0, dot), room));
    buf_put(out, suffix);
    buf_put(out, extension);
}

void load_names_put_numbered(struct buf *out, struct str name, unsigned long n)
{
    struct buf suffix = {0};

    buf_printf(&suffix, "-%lu", n);
    put_fitting(out, name, buf_str(&suffix));
    buf_free(&suffix);
}

/* C0, DEL, and C1 as UTF-8. */
static bool is_control_character(struct str c)
{
    unsigned char first = (unsigned char)c.p[0];

    if (c.len == 1)
        return first < 0x20 || first == 0x7f;
    return c.len == 2 && first == 0xc2 && (unsigned char)c.p[1] < 0xa0;
}

static void put_legible(struct buf *out, struct str name)
{
    while (name.len > 0) {
        size_t n = str_utf8_sequence(name);
        struct str c = str_slice(name, 0, n == 0 ? 1 : n);
        if (n > 0 && !is_control_character(c))
            buf_put(out, c);
        else
            for (size_t i = 0; i < c.len; i++)
                buf_printf(out, "%%%02X", (unsigned)(unsigned char)c.p[i]);
        name = str_slice(name, c.len, name.len);
    }
}

bool load_names_is_reserved(struct str name)
{
    return newfile_is_temporary(name) || (str_ends_with(name, STR(".part")) &&
                                     hex_is_lower(str_slice(name, 0, name.len - 5), SHA1_HEX));
}

static struct str label_base_name(struct str label)
{
    size_t start;

    while (str_ends_with(label, STR("/")))
        label.len--;
    for (start = label.len; start > 0 && label.p[start - 1] != '/';)
        start--;
    return str_slice(label, start, label.len);
}

void load_names_put(struct buf *out, struct str label, const char *hash)
{
    struct buf decoded = {0}, legible = {0}, fitting = {0};
    struct str name;

    if (!url_put_decoded(&decoded, label))
        buf_put(&decoded, label); /* as the Python client takes a bad escape */
    name = label_base_name(buf_str(&decoded));
    if (name.len > 0 && memchr(name.p, '\0', name.len) == NULL)
        put_legible(&legible, name);
    put_fitting(&fitting, buf_str(&legible), STR(""));
    name = buf_str(&fitting);
    if (decoded.failed || legible.failed || fitting.failed)
        out->failed = true;
    if (name.len == 0 || str_equal(name, STR(".")) || str_equal(name, STR("..")) ||
        load_names_is_reserved(name))
        name = str_of(hash);
    buf_put(out, name);
    buf_free(&decoded);
    buf_free(&legible);
    buf_free(&fitting);
}

/* ---- the names of one call ---- */

struct taken_name {
    char *name;
    char hash[SHA1_HEX + 1]; /* that has it */
    unsigned long next;      /* number to try for the next hash that wants it */
};

static int compare_taken_names(const void *a, const void *b)
{
    return strcmp(((const struct taken_name *)a)->name, ((const struct taken_name *)b)->name);
}

static void free_taken(void *node)
{
    struct taken_name *t = node;

    free(t->name);
    free(t);
}

/* The entry of that name, made for this hash if there is none. NULL without memory. */
static struct taken_name *claim_name(struct load_names *names, struct buf *name, const char *hash)
{
    struct taken_name key = {.name = (char *)(uintptr_t)buf_path(name, ERR_IGNORED)}, *made;

    if (key.name == NULL)
        return NULL;
    struct taken_name **found = tfind(&key, &names->root, compare_taken_names);
    if (found != NULL)
        return *found;
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->name = strdup(key.name);
    memcpy(made->hash, hash, sizeof made->hash);
    made->next = 2;
    if (made->name != NULL && tsearch(made, &names->root, compare_taken_names) != NULL)
        return made;
    free_taken(made);
    return NULL;
}

int load_names_take(struct load_names *names, struct str wanted, const char *hash, struct buf *out,
                    struct err *e)
{
    struct buf name = {0};
    struct taken_name *first, *t;

    buf_put(&name, wanted);
    for (t = first = claim_name(names, &name, hash); t != NULL && strcmp(t->hash, hash) != 0;
         t = claim_name(names, &name, hash)) {
        buf_clear(&name);
        load_names_put_numbered(&name, wanted, first->next++);
    }
    if (t != NULL)
        buf_puts(out, t->name);
    buf_free(&name);
    return t == NULL ? err_set(e, ERR_FAILED, "out of memory") : buf_check(out, e);
}

void load_names_free(struct load_names *names)
{
    tdestroy(names->root, free_taken);
    names->root = NULL;
}
