/*
 * The record of a lease: the file `owner` in kachery-resource.lease/, by which all hosts know the
 * process that shares a resource. It is read and written here, and not judged (lease_watch.h). File
 * I/O, which may hang.
 *
 * A record has a fixed length and is written in place: readers on file systems that cache names and
 * sizes see it at once. Its counter grows with each renewal. A record of release 0.1 is shorter and
 * has no counter.
 */
#ifndef DAEMON_LEASE_RECORD_H
#define DAEMON_LEASE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define LEASE_FOLDER "kachery-resource.lease"
#define LEASE_NO_TOKEN "none"

enum { LEASE_TOKEN_DIGITS = 32, LEASE_TEXT = 256, LEASE_RECORD_BYTES = 1024 };

struct lease_record {
    char resource[LEASE_TEXT]; /* "" when not known */
    char host[LEASE_TEXT];
    int64_t pid;
    int64_t pid_started; /* clock ticks after boot, from /proc: numbers are used again */
    char boot[LEASE_TEXT]; /* this boot of this kernel; "" when not known */
    char pid_namespace[LEASE_TEXT], time_namespace[LEASE_TEXT];
    char token[LEASE_TOKEN_DIGITS + 1]; /* of this holding; LEASE_NO_TOKEN: not readable */
    int64_t since_ms;                   /* wall clock: when the holding began */
    int64_t counter;                    /* grows with each renewal; 0: a record of release 0.1 */
    int64_t renewed_ms;                 /* wall clock at the last renewal; 0: as above */
    int64_t renewed_boot_ms;            /* likewise, clock_now_ms */
    bool is_released;                   /* the holder has left, and removes the record */
    bool is_empty;                      /* its file has no byte */
};

/* Appends "FOLDER/owner". */
void lease_record_put_path(struct buf *out, const char *folder);

/* Reads the record in the lease's folder, opened anew. A record that cannot be understood is of
 * "unknown host" with LEASE_NO_TOKEN. *raw (may be NULL) gets its bytes, appended. ERR_NOT_FOUND
 * when there is no record. */
int lease_record_read(const char *folder, struct lease_record *out, struct buf *raw,
                      struct err *e) ERR_CHECKED;

/* Reads a record in the same way at its own path. */
int lease_record_read_file(const char *path, struct lease_record *out, struct buf *raw,
                           struct err *e) ERR_CHECKED;

/* Appends the LEASE_RECORD_BYTES of a record; a record that is too long fails the buffer. */
void lease_record_put(struct buf *out, const struct lease_record *record);

/* Opens the file that is there, to read it or write over it; `flags` as open(2). Returns the
 * descriptor, or -1: ERR_NOT_FOUND without such a file. */
int lease_record_open(const char *path, int flags, struct err *e) ERR_CHECKED;

/* Writes `bytes` over the start of the file `fd`, and to the disk, and closes it in any case.
 * *is_deleted (may be NULL): the file has no name any more; this host's cache still leads there. */
int lease_record_write_fd(int fd, const char *path, struct str bytes, bool *is_deleted,
                          struct err *e) ERR_CHECKED;

/* Opens the file that is there, and writes over it in the same way. */
int lease_record_write_over(const char *path, struct str bytes, struct err *e) ERR_CHECKED;

#endif
