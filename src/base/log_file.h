/*
 * A file that lines are appended to for years: rotated by size, opened again when somebody moved or
 * deleted it, whole again after a full disk. Lines of several processes may share it (O_APPEND).
 */
#ifndef BASE_LOG_FILE_H
#define BASE_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { LOG_FILE_MAX_KEPT = 999 };

struct log_file_options {
    const char *path;  /* borrowed */
    int64_t max_bytes; /* a line that would make it longer starts another file; 0: never */
    bool is_private;   /* created 0600 in any folder */
    unsigned kept;     /* old files: PATH.1 is the newest, PATH.<kept> the oldest; 0: none */
};

/* All zero but for `fd` -1 is a file that is not open. */
struct log_file {
    struct log_file_options options;
    int fd;
    bool is_regular;    /* else it is neither rotated nor looked for */
    bool is_torn;       /* the last line has no end: the disk was full */
    int64_t bytes;      /* in it */
    int64_t rotate_at;  /* bytes; later than max_bytes after a failed rotation */
    int64_t look_at_ms; /* when it is looked for again */
};

#define LOG_FILE_CLOSED {.fd = -1}

/* Opens it, or creates it 0600, in a setgid folder 0660: logs name hashes. The file that was
 * open is closed if this succeeds, and stays open otherwise. */
int log_file_open(struct log_file *file, const struct log_file_options *options,
                  struct err *e) ERR_CHECKED;

/*
 * Opens the file of that name if it is another one by now or there is none; looks at most once a
 * second. Then starts another file if `coming` more bytes would make it too long. On an error
 * (storage, permissions) lines go on into the file that is open; it is tried again later.
 */
int log_file_keep(struct log_file *file, size_t coming, struct err *e) ERR_CHECKED;

/* Appends one whole line (with '\n'). Returns false if it could not be written whole. */
bool log_file_write(struct log_file *file, const char *line, size_t len);

void log_file_close(struct log_file *file);

#endif
