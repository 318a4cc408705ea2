/*
 * Whose word counts for what leaves this host. Members of a group may write into a shared store:
 * a record of theirs must not make a daemon serve what only the daemon's user may read. Looks at
 * owners and modes; reads no data and changes nothing.
 */
#ifndef STORE_VOUCHER_H
#define STORE_VOUCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

struct store;

struct vouchers {
    const uint32_t *owners; /* users whose records always count (recordsOf); borrowed */
    size_t count;
};

enum voucher_place {
    VOUCHER_PRIVATE, /* no other user can write on the way from the store's root to it */
    VOUCHER_SHARED,  /* others can: who wrote the file is asked */
    VOUCHER_LED_AWAY, /* a symbolic link of another user is on the way: nothing there counts */
    VOUCHER_UNKNOWN   /* the way could not be looked at */
};

/* Returns where a file of the store is. For root, every other owner of a directory can write
 * there. */
enum voucher_place voucher_place(const struct store *s, const char *file);

/* Whose word a file of the store is: that of its owner, if only the owner can write into it as it
 * is. */
struct voucher_author {
    uid_t owner;
    bool is_sure;
};

/* Returns the author of a file by its owner and mode. A group of which the owner is the only member
 * counts as the owner. */
struct voucher_author voucher_author(const struct stat *file);

/* Returns true for this process's user and root where they are sure, and for the users whose
 * records always count. `t` may be NULL. */
bool voucher_is_own(const struct vouchers *t, struct voucher_author author);

/*
 * Returns whether the word of an author counts for a file that is open (O_PATH is enough): it is an
 * own one's or the file's owner's; or everybody may read the file (o+r, and o+x on each directory
 * of its resolved path); or the group of the store may. The err says why not, for the host's log:
 * ERR_REFUSED, or ERR_FAILED where it could not be looked at.
 */
bool voucher_counts(const struct store *s, struct voucher_author author, int fd,
                    const struct stat *file, struct err *why);

/* Returns whether everybody, or everybody in the store's group, may read a file by its own mode. */
bool voucher_is_open(const struct store *s, int fd, const struct stat *file);

#endif
