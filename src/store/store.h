/*
 * The local store of PROTOCOL.md §2: copies and links, found by hash. Reads and writes the same
 * files as the Python client.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/newfile.h"
#include "base/sha1.h"
#include "base/str.h"
#include "proto/kachery_uri.h"
#include "store/file_id.h"

enum { STORE_MAX_RECORD_BYTES = 65536 };

struct vouchers;
struct hash_watch;

struct store {
    char *dir;      /* absolute */
    char *key_dir;  /* where private.pem is: differs with KACHERY_CLOUD_USE_SANDBOX=1 */
    /* Whose records count when files leave the host; borrowed. NULL: they are for the local user,
     * whom the kernel keeps from what is not his, and nothing is asked. */
    const struct vouchers *vouchers;
};

/* Finds the directory from the environment; does not create it. ERR_FAILED when neither
 * KACHERY_CLOUD_DIR nor HOME is set. Caller frees with store_deinit. */
int store_init(struct store *s, struct err *e) ERR_CHECKED;
void store_deinit(struct store *s);

/* Creates a store's directory (of copies and links, or of keys) if there is none, with the modes of
 * PROTOCOL.md §1. */
int store_make_folder(const char *dir, struct err *e) ERR_CHECKED;

/*
 * All writing into the store goes through these: make the store and the missing directories of
 * `path`; open a file under a temporary name beside `path`, as newfile_open; write a whole file, as
 * newfile_put_below. New files and directories take the group bits of the store's directory.
 */
int store_make_parents(const struct store *s, const char *path, struct err *e) ERR_CHECKED;
int store_open_temporary(const struct store *s, const char *path, struct newfile *f, struct err *e)
    ERR_CHECKED;
/* Opens the same for a file that counts as its owner's word alone (voucher.h): at most 0644,
 * whatever the umask. */
int store_open_own_temporary(const struct store *s, const char *path, struct newfile *f,
                             struct err *e) ERR_CHECKED;
int store_write_file(const struct store *s, const char *path, struct str data, unsigned flags,
                     struct err *e) ERR_CHECKED;

enum store_kind { STORE_COPY, STORE_LINK };

enum store_state {
    STORE_OK,         /* a copy, or a link whose target's size and mtime match */
    STORE_TOUCHED,    /* a link whose target differs in mtime only: must be hashed again */
    STORE_STALE,      /* a link whose target has another size (or, after hashing, another hash) */
    STORE_MISSING,    /* a link whose target is not there or not a regular file */
    STORE_UNREADABLE, /* the target or the record exists but access is denied or fails */
    STORE_DAMAGED,    /* only after hashing: a copy whose bytes are wrong */
    STORE_ABSENT,     /* neither copy nor link */
    STORE_UNCHECKED   /* a link whose target was not looked at yet: store_lookup_record */
};

struct store_entry {
    enum store_kind kind;
    enum store_state state;
    char *path;    /* of the bytes; NULL when absent */
    int64_t size;  /* as found; the record's when the target is missing */
    double mtime;  /* of the target, now */
    /* Size and mtime are right, but it is not the file that was linked (another inode, owner or
     * resolved path): it is hashed before a byte of it leaves the host. */
    bool is_other_file;
    struct link *link; /* of a link: all paths that are remembered; owned */
    char *refusal;     /* STORE_ABSENT: there is something that does not count, and why; owned */
};

/* Frees what an entry owns. Safe on zeros. */
void store_entry_deinit(struct store_entry *entry);

/* Return "copy" or "link"; "ok", "stale", "damaged" or "missing": a user sees every state as one of
 * these four. */
const char *store_kind_name(enum store_kind kind);
const char *store_state_name(enum store_state state);

/*
 * Looks a hash up in the store's own files, without touching a link's target (which may be in a
 * file system that does not answer). A copy of size 0 for a hash that is not the empty file's is
 * damaged. A usable copy wins over a link, a link over a copy that is not usable. A link is
 * STORE_UNCHECKED, with path, size and mtime of its record; one whose record is there but cannot
 * be read is STORE_UNREADABLE, without path. -1 only when the store itself cannot be read.
 */
int store_lookup_record(const struct store *s, const char *hash, struct store_entry *out,
                        struct err *e) ERR_CHECKED;

/*
 * Looks at the target of an unchecked link with stat(2): sets state, path, size and mtime. Of
 * several remembered paths it takes the first, the record's before the newer ones before the older,
 * that may be read as it is, else the first whose file must be hashed again; when there is none,
 * the record's says why.
 */
void store_check_target(struct store_entry *entry);

/* Lets `on_look` (NULL: nothing) know each path of a link's file before it is looked at, in this
 * process: that look may hang. */
void store_observe_targets(void (*on_look)(void *ctx, const char *path), void *ctx);

/* Goes on to the next of the remembered paths that may be read, as the entry's path turned out not
 * to have the hash. Returns false, and the entry is unchanged, when there is none. */
bool store_next_target(struct store_entry *entry);

/* Looks up both, the copy and the link. Reads no data. */
int store_lookup(const struct store *s, const char *hash, struct store_entry *out, struct err *e)
    ERR_CHECKED;

/* Looks up the copy alone, or the link alone, in the same way. */
int store_lookup_kind(const struct store *s, const char *hash, enum store_kind kind,
                      struct store_entry *out, struct err *e) ERR_CHECKED;

/* Checks the file that was opened at the entry's path, before bytes of it leave the host:
 * *must_prove when all of it is to be hashed before. ERR_CHANGED when it must not be read. */
int store_check_open(const struct store_entry *entry, int fd, const struct stat *st,
                     bool *must_prove, struct err *e) ERR_CHECKED;

/* Looks up each remembered path of a link as an entry of its own, the record's first, then the
 * newest first; none where there is no link. Caller deinits each and frees the array. */
int store_lookup_paths(const struct store *s, const char *hash, struct store_entry **out,
                       size_t *count, struct err *e) ERR_CHECKED;

/*
 * Finds a file for reading by the local user: like store_lookup, then what the URI's `location` may
 * mean (when it is an absolute path, and only when the file there has the hash), then the link; a
 * touched link is hashed again and its record rewritten when the hash still matches. Order: copy,
 * location, link. out->state is STORE_OK, or says why there is nothing to read. `watch` (may be
 * NULL) is called while a file is hashed; a file whose hashing it ends counts as unreadable.
 */
int store_find(const struct store *s, const struct kachery_uri *uri, const struct hash_watch *watch,
               struct store_entry *out,
               struct err *e) ERR_CHECKED;

/* Rewrites the entry that the link of `hash` has for one of its paths, whose file is `id` now and
 * has a new mtime: called after all of the file was read and hashed. Does nothing when the path is
 * not remembered any more. */
int store_refresh_link(const struct store *s, const char *hash, const char *path, int64_t size,
                       double mtime, const struct file_id *id, struct err *e) ERR_CHECKED;

/* Everything in the store: first the copies, then the links, each by hash. */
struct store_list;
struct store_list *store_list_open(const struct store *s, struct err *e);
void store_list_close(struct store_list *list);

/* Lets the list remove the leftovers of killed processes from now on, where it comes by and in the
 * hash cache. */
void store_list_tidy(struct store_list *list);

/* Returns 1 and the next entry, as store_lookup_kind describes it (of a link one for each
 * remembered path, as store_lookup_paths does); 0 at the end; -1 for something that cannot be read,
 * named by the err: the next call goes on behind it. */
int store_list_next(struct store_list *list, char hash[SHA1_HEX + 1], struct store_entry *out,
                    struct err *e) ERR_CHECKED;

/* Append the paths <dir>/sha1/ab/cd/ef/<hash> and <dir>/linked_files/sha1/ab/cd/ef/<hash>. */
void store_put_copy_path(const struct store *s, const char *hash, struct buf *out);
void store_put_link_path(const struct store *s, const char *hash, struct buf *out);

/* Appends <dir>/sha1/copy or <dir>/linked_files/sha1/link: copies that are added are first written
 * beside that, and links were by programs before 0.2.0. */
void store_put_staging_path(const struct store *s, enum store_kind kind, struct buf *out);

/* Append <dir>/manifests/sha1/ab/cd/ef/<hash>, and <dir>/manifests/sha1/manifest, beside which a
 * manifest is first written. */
void store_put_manifest_path(const struct store *s, const char *hash, struct buf *out);
void store_put_manifest_staging_path(const struct store *s, struct buf *out);

/* Removes what killed processes left there. Best effort, and quick: whoever adds calls it. */
void store_tidy(const struct store *s);

/* Makes everything written so far durable (syncfs of the store's file system). */
int store_sync(const struct store *s, struct err *e) ERR_CHECKED;

#endif
