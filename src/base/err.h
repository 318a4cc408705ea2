/*
 * Errors as data: a code that callers branch on and a message for the user.
 * This module must not print, exit or allocate.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

/* A code exists only where some caller branches on it. */
enum err_code {
    ERR_NONE = 0,
    ERR_FAILED,    /* no code below fits; exit 1 */
    ERR_USAGE,     /* wrong arguments; exit 2 */
    ERR_NOT_FOUND, /* the file, record or name does not exist; exit 3 */
    ERR_TIMEOUT,   /* a deadline passed; exit 4 where the command has one */
    ERR_NETWORK,   /* connection refused, reset, cut or stalled: may be tried again */
    ERR_REFUSED,   /* the peer answered with a refusal: trying again does not help */
    ERR_TAKEN,     /* somebody else has it, and is alive */
    ERR_PROTOCOL,  /* the peer (or a file) is malformed */
    ERR_TOO_LARGE, /* past one of our limits */
    ERR_CHANGED,   /* bytes do not have the hash that they should have */
    ERR_NO_HOST    /* the name servers have no such host: a wrong URL, most likely */
};

enum { ERR_MESSAGE_SIZE = 512 };

/* Behind the declaration of a function that can fail: it is an error not to look at its result. A
 * call that may fail without harm is written `(void)!f(...)`, and a comment gives the reason. */
#define ERR_CHECKED __attribute__((warn_unused_result))

struct err {
    enum err_code code;
    char msg[ERR_MESSAGE_SIZE];
};

/* A `struct err *` is never NULL. This is one for a call whose failure says all that the caller
 * needs: each use is an error of its own, without a code, that lives as long as its block. */
#define ERR_IGNORED (&(struct err){.code = ERR_NONE})

/*
 * Sets code and message (printf style, cut at a UTF-8 boundary when too long) and returns -1, so
 * that callers write `return err_set(e, ...)`.
 */
int err_set(struct err *e, enum err_code code, const char *format, ...)
    __attribute__((nonnull(1), format(printf, 3, 4)));

/* Sets the error like err_set and appends ": ", the text of the errno `number` and its cure, if a
 * cure is known (hint.h). */
int err_errno(struct err *e, enum err_code code, int number, const char *format, ...)
    __attribute__((nonnull(1), format(printf, 4, 5)));

/*
 * Puts the caller's own words ("load sha1://…") and ": " in front of the message; keeps the code.
 * Returns -1.
 */
int err_wrap(struct err *e, const char *format, ...)
    __attribute__((nonnull(1), format(printf, 2, 3)));

/* Copies the error. Returns -1. */
int err_copy(struct err *e, const struct err *from) __attribute__((nonnull));

/*
 * Sets an error with the words of `cause` and another code, for a function that answers another
 * question than the one that failed: an absent file is ERR_NOT_FOUND to its reader, but a setting
 * that names it is ERR_FAILED. Nothing else changes the code of an error. Returns -1.
 */
int err_from(struct err *e, enum err_code code, const struct err *cause)
    __attribute__((nonnull));

#endif
