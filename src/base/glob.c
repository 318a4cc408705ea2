#include "base/glob.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

/* The character at *p, which is stepped over; a byte that is not UTF-8 is one of its own kind. */
static uint32_t take_character(const char **p)
{
    static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const struct str rest = {*p, strnlen(*p, 4)};
    size_t n = str_utf8_sequence(rest);
    const unsigned char *bytes = (const unsigned char *)*p;
    uint32_t value = n == 0 ? 0x110000u + bytes[0] : bytes[0] & first_mask[n];

    for (size_t i = 1; i < n; i++)
        value = value << 6 | (bytes[i] & 0x3fu);
    *p += n == 0 ? 1 : n;
    return value;
}

/* The end of a bracket expression whose '[' is at `p`: behind its ']'; NULL when there is none. */
static const char *bracket_end(const char *p)
{
    p++;
    if (*p == '!' || *p == '^')
        p++;
    for (bool is_first = true; *p != '\0'; is_first = false) {
        if (*p == ']' && !is_first)
            return p + 1;
        if (*p == '\\' && p[1] != '\0')
            p++;
        p++;
    }
    return NULL;
}

static uint32_t take_bracket_character(const char **p)
{
    if (**p == '\\' && (*p)[1] != '\0')
        ++*p;
    return take_character(p);
}

static bool bracket_has(const char *p, const char *end, uint32_t c)
{
    bool is_negated = p[1] == '!' || p[1] == '^', is_in = false;

    p += is_negated ? 2 : 1;
    while (p < end - 1) {
        uint32_t low = take_bracket_character(&p), high = low;
        if (p[0] == '-' && p + 1 < end - 1) {
            p++;
            high = take_bracket_character(&p);
        }
        is_in = is_in || (low <= c && c <= high);
    }
    return is_in != is_negated;
}

/* One element of the pattern, no star, against one character; both are stepped over. */
static bool match_element(const char **pattern, const char **path)
{
    const char *end;

    switch (**pattern) {
    case '\0':
        return false;
    case '?':
        if (**path == '/')
            return false;
        ++*pattern;
        take_character(path);
        return true;
    case '[':
        end = bracket_end(*pattern);
        if (end == NULL)
            break;
        if (**path == '/' || !bracket_has(*pattern, end, take_character(path)))
            return false;
        *pattern = end;
        return true;
    case '\\':
        if ((*pattern)[1] != '\0')
            ++*pattern;
        break;
    default:
        break;
    }
    return *(*pattern)++ == *(*path)++;
}

/* Returns where the next component begins; NULL in the last one. */
static const char *next_path_component(const char *path)
{
    const char *slash = strchr(path, '/');

    return slash == NULL ? NULL : slash + 1;
}

/* A star that was met: where pattern and path go on if it takes more. */
struct star {
    const char *pattern, *path; /* NULL: none */
};

static bool is_globstar(const char *start, const char *p)
{
    return p[0] == '*' && p[1] == '*' && (p == start || p[-1] == '/') &&
           (p[2] == '/' || p[2] == '\0');
}

bool glob_matches(const char *pattern, const char *path)
{
    const char *const start = pattern;
    struct star star = {0}, globstar = {0};

    while (*path != '\0') {
        if (is_globstar(start, pattern)) {
            if (pattern[2] == '\0')
                return true;
            pattern += 3;
            globstar = (struct star){pattern, path};
            star.path = NULL;
            continue;
        }
        if (*pattern == '*') {
            star = (struct star){++pattern, path};
            continue;
        }
        if (match_element(&pattern, &path))
            continue;
        if (star.path != NULL && *star.path != '/' && *star.path != '\0') {
            take_character(&star.path);
            pattern = star.pattern;
            path = star.path;
        } else if (globstar.path != NULL &&
                   (globstar.path = next_path_component(globstar.path)) != NULL) {
            pattern = globstar.pattern;
            path = globstar.path;
            star.path = NULL;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static struct str without_slashes(const char *pattern)
{
    struct str text = str_of(pattern);

    while (str_ends_with(text, STR("/")))
        text.len--;
    return text;
}

bool glob_excludes(const char *pattern, const char *path, bool is_directory)
{
    struct str text = without_slashes(pattern);
    char whole[GLOB_MAX_BYTES + 1];
    const char *base = strrchr(path, '/');

    if ((text.len < strlen(pattern) && !is_directory) || text.len >= sizeof whole)
        return false;
    memcpy(whole, text.p, text.len);
    whole[text.len] = '\0';
    if (strchr(whole, '/') == NULL)
        return glob_matches(whole, base == NULL ? path : base + 1);
    return glob_matches(whole[0] == '/' ? whole + 1 : whole, path);
}

int glob_check(const char *pattern, struct err *e)
{
    if (without_slashes(pattern).len == 0)
        return err_set(e, ERR_USAGE, "\"%s\": want a pattern, such as *.tmp, cache/ or raw/*.log",
                       pattern);
    if (strlen(pattern) > GLOB_MAX_BYTES)
        return err_set(e, ERR_USAGE, "\"%.40s...\": want a pattern of at most %d bytes", pattern,
                       GLOB_MAX_BYTES);
    if (strncmp(pattern, "./", 2) == 0 || strncmp(pattern, "../", 3) == 0)
        return err_set(e, ERR_USAGE, "\"%s\": want a path that begins below the directory",
                       pattern);
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
            continue;
        }
        if (*p != '[')
            continue;
        const char *end = bracket_end(p);
        if (end == NULL)
            return err_set(e, ERR_USAGE, "\"%s\": want ] behind [, or \\[ for the character itself",
                           pattern);
        if (p[1] == '[' && p[2] == ':')
            return err_set(e, ERR_USAGE, "\"%s\": want [a-z] and the like instead of [[:name:]]",
                           pattern);
        p = end - 1;
    }
    return 0;
}
