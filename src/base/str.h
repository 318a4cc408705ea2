/*
 * Borrowed byte strings: a pointer and a length, not NUL-terminated. Nothing here allocates.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p;
    size_t len;
};

/* A string literal as a struct str. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

/* For printf's "%.*s": STR_ARG(s). */
#define STR_ARG(s) (int)(s).len, (s).p

/* Borrows a C string; NULL gives the empty string. */
struct str str_of(const char *text);

/* Compares by bytes. */
bool str_equal(struct str a, struct str b);

/* Returns the small letter of an ASCII capital, else the same byte, whatever the locale. */
char str_lower(char c);

/* Compares without regard to ASCII case. */
bool str_equal_nocase(struct str a, struct str b);

/* Return true for an empty prefix or suffix, too. */
bool str_starts_with(struct str s, struct str prefix);
bool str_ends_with(struct str s, struct str suffix);

/* Returns the offset of the first `c`, or s.len when there is none. */
size_t str_find(struct str s, char c);

/* Returns the bytes [start, end), both clamped to s.len. */
struct str str_slice(struct str s, size_t start, size_t end);

/* Takes the first line, without its newline, off the text. */
struct str str_take_line(struct str *text);

/* Returns the first bytes, at most `max`, never cut through a UTF-8 character. */
struct str str_cut(struct str s, size_t max);

/* Returns the text without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);

/* Compares by bytes (memcmp, then length); returns <0, 0 or >0. */
int str_compare(struct str a, struct str b);

/*
 * Reads all of `s` as an unsigned decimal number without sign, space or leading "+".
 * Returns false when it is empty, has another byte, or exceeds `max`; *out is then unchanged.
 */
bool str_to_uint(struct str s, uint64_t max, uint64_t *out);

/* Returns true when `s` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);

/* Returns the bytes (1-4) of the well-formed UTF-8 sequence that `s` starts with; 0 when there is
 * none. */
size_t str_utf8_sequence(struct str s);

/* Compares in a time that depends only on the length of `a`, which may be a stranger's: for secrets
 * and MACs. */
bool str_equal_constant_time(struct str a, struct str b);

#endif
