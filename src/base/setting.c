#include "base/setting.h"

#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/fs.h"
#include "base/oddity.h"
#include "base/quote.h"

extern char **environ;

enum { NAME_SIZE = 64, MIN_FAR_LENGTH = 17 /* of names in which two letters may be wrong */ };

/* All that we and the Python client read. */
static const char *const known[] = {
    "KACHERY_ZONE",
    "KACHERY_GATEWAY_URL",
    "KACHERY_RESOURCE_URL",
    "KACHERY_CLOUD_DIR",
    "KACHERY_CLOUD_USE_SANDBOX",
    "KACHERY_CLOUD_SANDBOX_DIR",
    "KACHERY_CLOUD_CLIENT_ID",
    "KACHERY_CLOUD_PRIVATE_KEY",
    "KACHERY_CLOUD_MULTI_USER",
    "KACHERY_STORE_FILE_DIR",
    "KACHERY_STORE_FILE_PREFIX",
};

/* Appends what a shell makes of a leading "~"; false when there is no such user. */
static bool put_home(struct buf *out, struct str path)
{
    size_t end = str_find(path, '/');
    const char *home = env_get("HOME");

    if (end > 1) {
        char *name = strndup(path.p + 1, end - 1);
        const struct passwd *user = name == NULL ? NULL : getpwnam(name);
        home = user == NULL ? NULL : user->pw_dir;
        free(name);
    }
    if (home == NULL || *home != '/')
        return false;
    buf_puts(out, home);
    buf_put(out, str_slice(path, end, path.len));
    return true;
}

/* Appends a path with its variables' values; one that is not set stays. */
static void put_expanded(struct buf *out, struct str path)
{
    size_t at = 0;

    while (oddity_next_variable(path, &at)) {
        struct str rest = str_slice(path, at + 1, path.len);
        bool has_braces = rest.p[0] == '{';
        size_t end = str_find(rest, has_braces ? '}' : '/');
        char *name = strndup(rest.p + has_braces, end - has_braces);
        const char *value = name == NULL ? NULL : env_get(name);
        size_t behind = at + 1 + end + (has_braces && end < rest.len);
        buf_put(out, str_slice(path, 0, at));
        if (value == NULL)
            buf_put(out, str_slice(path, at, behind));
        else
            buf_puts(out, value);
        free(name);
        path = str_slice(path, behind, path.len);
        at = 0;
    }
    buf_put(out, path);
}

/* Appends what most likely was meant. */
static void put_meant(struct buf *out, struct str value)
{
    struct str plain = oddity_strip(value);

    if (str_starts_with(plain, STR("file:///")))
        plain = str_slice(plain, sizeof "file://" - 1, plain.len);
    if (plain.len == 0 || plain.p[0] != '~' || !put_home(out, plain))
        put_expanded(out, plain);
}

int setting_check_path(const char *what, struct str value, struct err *e)
{
    char odd[ODDITY_SIZE], shown[QUOTE_SIZE], meant[QUOTE_SIZE], literal[QUOTE_SIZE];
    struct buf text = {0}, first = {0}, second = {0};

    if (!oddity_find(value, ODDITY_TILDE, odd))
        return 0;
    put_meant(&first, value);
    buf_put(&text, value);
    /* Its failure shows as "". */
    (void)!fs_absolute_path(buf_path(&text, ERR_IGNORED), &second, ERR_IGNORED);
    err_set(e, ERR_FAILED,
            "%s \"%s\" %s: is it %s, or, as the Python client takes it, \"%s\"? Write it in full",
            what, quote_str(shown, value), odd, quote_str(meant, buf_str(&first)),
            quote_str(literal, buf_str(&second)));
    buf_free(&text);
    buf_free(&first);
    buf_free(&second);
    return -1;
}

int setting_check_text(const char *what, struct str value, struct err *e)
{
    char odd[ODDITY_SIZE], shown[QUOTE_SIZE], meant[QUOTE_SIZE];

    if (!oddity_find(value, ODDITY_INSIDE, odd))
        return 0;
    if (str_find(value, '@') < value.len)
        return err_set(e, ERR_FAILED, "%s %s, which the Python client takes for a part of it: want "
                       "it without",
                       what, odd);
    return err_set(e, ERR_FAILED,
                   "%s \"%s\" %s: is it %s, or, as the Python client takes it, \"%s\"?", what,
                   quote_str(shown, value), odd,
                   quote_str(meant, oddity_strip(value)), shown);
}

int setting_text(const char *variable, const char **out, struct err *e)
{
    *out = env_get(variable);
    return *out == NULL ? 0 : setting_check_text(variable, str_of(*out), e);
}

int setting_path(const char *variable, char **out, struct err *e)
{
    const char *value = env_get(variable);
    struct buf path = {0};

    *out = NULL;
    if (value == NULL)
        return 0;
    if (setting_check_path(variable, str_of(value), e) != 0)
        return -1;
    if (fs_absolute_path(value, &path, e) != 0) {
        buf_free(&path);
        return err_wrap(e, "%s", variable);
    }
    while (path.len > 1 && path.data[path.len - 1] == '/')
        path.len--;
    *out = buf_take(&path);
    return *out == NULL ? err_set(e, ERR_FAILED, "out of memory") : 0;
}

static size_t smallest_of_three(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Letters that are wrong, missing, too many, or changed places with their neighbour. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_SIZE + 1], n = strlen(a), m = strlen(b);

    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = smallest_of_three(last[j] + 1, now[j - 1] + 1,
                                       last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

/* Copies a name in capitals, without the "CLOUD_" that some have and some have not. */
static bool normalise_name(char out[NAME_SIZE + 1], struct str name)
{
    static const char cloud[] = "CLOUD_";
    size_t len = 0;

    if (name.len > NAME_SIZE)
        return false;
    for (size_t i = 0; i < name.len; i++)
        out[len++] = (char)toupper((unsigned char)name.p[i]);
    out[len] = '\0';
    char *at = strstr(out, cloud);
    if (at != NULL)
        memmove(at, at + strlen(cloud), strlen(at + strlen(cloud)) + 1);
    return true;
}

/* "KACHERY_GATEWAY" for "KACHERY_GATEWAY_URL". */
static bool is_shortened(const char *name, const char *whole)
{
    size_t len = strlen(name);

    return strncmp(name, whole, len) == 0 &&
           (strcmp(whole + len, "_URL") == 0 || strcmp(whole + len, "_DIR") == 0);
}

const char *setting_find_meant(struct str name, const char *const *names, size_t count)
{
    char given[NAME_SIZE + 1], other[NAME_SIZE + 1];

    if (!normalise_name(given, name))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (str_equal(name, str_of(names[i])))
            return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t far = strlen(names[i]) >= MIN_FAR_LENGTH ? 2 : 1;
        normalise_name(other, str_of(names[i]));
        if (edit_distance(given, other) <= far || is_shortened(given, other))
            return names[i];
    }
    return NULL;
}

void setting_report_typos(void (*report)(void *ctx, const struct err *warning), void *ctx)
{
    struct err warning;
    char shown[QUOTE_SIZE];

    for (char **variable = environ; *variable != NULL; variable++) {
        struct str name = str_slice(str_of(*variable), 0, str_find(str_of(*variable), '='));
        if (name.len < 6 || !str_equal_nocase(str_slice(name, 0, 5), STR("KACHE")))
            continue;
        const char *meant = setting_find_meant(name, known, sizeof known / sizeof known[0]);
        if (meant == NULL)
            continue;
        err_set(&warning, ERR_NONE, "nobody reads the variable %s: is %s meant?",
                quote_str(shown, name), meant);
        report(ctx, &warning);
    }
}
