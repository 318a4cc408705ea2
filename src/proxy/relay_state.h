/* The tables of a relay: shared by relay.c, relay_file.c, relay_object.c, relay_fetch.c and
 * relay_line.c. */
#ifndef PROXY_RELAY_STATE_H
#define PROXY_RELAY_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "access/zone_files.h"
#include "base/sha1.h"
#include "base/sha256.h"
#include "base/str.h"
#include "http/ws_conn.h"
#include "loop/loop.h"
#include "proto/line.h"
#include "proto/range_message.h"
#include "proto/signature.h"
#include "proxy/block_cache.h"
#include "proxy/pace.h"
#include "proxy/relay_note.h"
#include "proxy/relay_options.h"
#include "proxy/relay_reader.h"
#include "proxy/verdicts.h"
#include "store/manifest_file.h"

enum {
    RELAY_FILE_SLOTS = 1024,
    RELAY_BLOCK_SLOTS = 64,
    RELAY_LINE_IN_FLIGHT = 64, /* leaves */
    RELAY_FILE_IN_FLIGHT = 32,
    RELAY_UNCHECKED = 16, /* leaves of bulk lines, whose hashes are computed side by side */
    RELAY_MAX_HOLDERS = 16, /* daemons of one file that are tried */
    RELAY_MAX_PAGES = 96,   /* of all files, 32 KiB each */
    RELAY_REQUESTS = 4096,  /* the last ones of a line, whose leaves may still come */
    RELAY_MAX_ZONES = 256,
    RELAY_MAX_WRONG = 16, /* files of the bucket, until it knows of them itself */
    RELAY_MAX_FILES = 4096, /* beyond, those that nobody reads are forgotten */
    RELAY_FILE_BYTES = 16 << 20 /* the same: of what is known of all of them */
};

/* A zone of files that are read; never freed before the relay. */
struct relay_zone {
    struct relay_zone *next;
    char name[256], directory[ZONE_FILES_MAX_DIRECTORY_BYTES + 1];
};

/* A daemon that has, or may have, files of this relay. Freed when the hub says that it is gone. */
struct relay_daemon {
    struct relay *relay;
    struct relay_daemon *next;
    int64_t number;
    struct relay_line *lines[2]; /* by enum range_class; NULL: none */
    int64_t ask_again_ms[2];     /* for a line, at the earliest */
    int64_t missed_ms[2];        /* since then a line is asked for and does not come; 0: not */
    struct loop_timer timer;
    char name[256], zone[256];   /* of its session; empty until a line came */
    bool has_asker;              /* it knows the asker of an opening */
};

/*
 * The hub's end of a line. A file is opened on each line that it is read by; requests are for one
 * leaf each.
 */
struct relay_line {
    struct relay *relay;
    struct relay_daemon *daemon;
    enum range_class line_class;
    struct ws_conn *ws;
    struct relay_source *sources;
    struct relay_block *asked[RELAY_LINE_IN_FLIGHT];
    int64_t asked_ms[RELAY_LINE_IN_FLIGHT];
    size_t in_flight;
    struct pace pace; /* of a line for bulk */
    size_t expected; /* answers about files, beside the leaves */
    size_t early;    /* leaves whose page of hashes was not there, since the last page */
    uint32_t last_request, last_file;
    unsigned char cancelled[RELAY_REQUESTS / 8]; /* a bit each, by the request's number */
    struct loop_timer timer; /* silence while leaves are wanted; idle */
    int64_t used_ms, heard_ms; /* last wanted something; last got what was wanted, or a part */
    size_t coming_bytes;       /* of the message that was coming at the last look */
    struct loop_call end;    /* after a violation, outside of its callbacks */
    char why[ERR_MESSAGE_SIZE];
};

/* A file on a line. */
struct relay_source {
    struct relay_source *next_of_line, *next_of_file;
    struct relay_line *line;
    struct relay_file *file;
    uint32_t number; /* the hub's fileId */
    bool is_answered, is_open; /* open: its page hashes came and were right */
    uint32_t pages_got;
    size_t in_flight;
    size_t expected; /* its opening, and pages of leaves */
    int64_t waiting_ms; /* since then nothing of that came */
};

/* A daemon's word on a file. */
struct relay_holder {
    int64_t daemon; /* 0: free */
    bool is_bad;    /* it was found wrong, or has another root: not asked again before `until_ms` */
    bool is_other;  /* it has another root */
    bool is_refused; /* it has a refuted root, or the file changed: it counts as one that does not
                        have the file */
    int64_t until_ms;
};

/* A page of leaf hashes in memory. */
struct relay_page {
    struct relay_file *file; /* NULL: free */
    uint32_t index, count;
    uint64_t used;
    unsigned char *leaves; /* count * 32 bytes */
};

/* A leaf that is wanted and not here. */
struct relay_block {
    struct relay_block *next; /* in its slot */
    struct relay_file *file;
    uint32_t i;
    uint32_t request;
    struct relay_line *line;  /* that it is asked of; NULL: of none */
    int64_t overtaken_ms;     /* then a leaf came that was asked for later; 0: none did */
    int64_t avoided;          /* number of the daemon that left it out; 0: none did */
    struct relay_source *source;
    struct relay_want *wants; /* at least one */
};

/* A leaf that came and is not looked at yet. */
struct relay_unchecked {
    struct relay_line *line; /* NULL: it ended meanwhile */
    uint32_t request, first;
    size_t len;
    unsigned char *bytes; /* LINE_LEAF_BYTES, kept for the next one */
};

/* A reader's interest in a block. */
struct relay_want {
    struct relay_block *block;
    struct relay_reader *reader;
    struct relay_want *next_of_block;
    struct relay_want *next_of_reader, *previous_of_reader;
};

/* The object of the bucket that has a file's content. */
struct relay_object {
    int fd;
    struct stat opened;
    bool has_manifest; /* else it is one block */
    struct manifest_file manifest;
    struct stat manifest_opened;
};

/* A file of the bucket in which a wrong block or page was found. */
struct relay_wrong_file {
    bool is_used;
    struct stat opened;
};

enum relay_file_state {
    RELAY_FILE_SOUGHT,  /* not known yet, or lost */
    RELAY_FILE_OPEN,    /* size, root and page hashes are known */
    RELAY_FILE_ABSENT,  /* no daemon has it, for a while */
    RELAY_FILE_BUILDING /* a daemon has it and makes its manifest */
};

struct relay_file {
    struct relay *relay;
    struct relay_file *next; /* in its slot */
    const struct relay_zone *zone;
    char sha1[SHA1_HEX + 1];
    unsigned char address[SHA1_SIZE]; /* the same, as bytes */
    enum relay_file_state state;
    int64_t size, done; /* in bytes; done: of a manifest that is being made */
    unsigned char root[SHA256_SIZE];
    bool has_root;       /* else it is one block, whose SHA-1 is the address */
    bool is_known;       /* a daemon told size and root */
    bool is_complete;    /* and the page hashes, which have the root */
    bool is_trusted;     /* and the word of who signed it counts */
    bool is_proven;      /* root and SHA-1 belong together */
    bool is_refuted;     /* they do not: nobody reads on */
    char signer[SIGNATURE_CLIENT_ID_DIGITS + 1]; /* the client whose word counted */
    bool is_past;        /* the hash has another root: only its readers are left */
    struct relay_check check;
    struct relay_source *teacher; /* the source that told, until the file is open */
    uint32_t page_count;
    unsigned char *page_hashes;   /* page_count * 32 bytes */
    struct relay_page **pages;    /* page_count of them; NULL: not in memory */
    bool *pages_asked;
    struct block_file *cached;
    struct relay_object *object; /* NULL: none is known of */
    struct relay_holder holders[RELAY_MAX_HOLDERS];
    struct relay_source *sources;
    struct relay_block *blocks[RELAY_BLOCK_SLOTS];
    struct relay_reader *readers;
    struct relay_reader self; /* wants what the opening of the file touched before */
    uint64_t ask;          /* the number of the question that is open; 0: none */
    int64_t asked, answered, away; /* of that question; asked -1: not told */
    bool saw_building, saw_error;
    int64_t unreadable_ms; /* a question of then showed: a host has it and cannot read it; 0: not */
    bool is_guessed; /* it was opened at a daemon that is only likely to have it */
    bool is_denied; /* by all who were asked; others may come back */
    bool is_lost; /* open, and all daemons say that they have it no more */
    int64_t asked_ms, ask_again_ms, known_until_ms; /* ABSENT: until then */
    int64_t used_ms;
    struct loop_timer timer;
    uint32_t opening[RANGE_MAX_ALSO]; /* the leaves that were read first */
    size_t opening_count;
    int64_t opening_until_ms;
};

struct relay {
    struct relay_options options;
    struct loop *loop;
    struct block_cache *cache;
    struct relay_file *files[RELAY_FILE_SLOTS];
    size_t file_count, file_bytes;
    struct relay_daemon *daemons;
    struct relay_zone *zones;
    size_t zone_count;
    struct relay_reader *rings[2]; /* by enum range_class: readers with wants that are not sent */
    size_t bulk_readers;           /* that are started */
    struct relay_page pages[RELAY_MAX_PAGES];
    int openings_fd; /* see openings.h */
    struct verdicts *verdicts;
    struct relay_wrong_file wrong[RELAY_MAX_WRONG];   /* in turn */
    size_t wrong_next;
    uint64_t page_uses, last_ask;
    int64_t likely; /* number of the daemon that had the last file that was opened; 0: none */
    struct relay_unchecked unchecked[RELAY_UNCHECKED];
    size_t unchecked_count;
    struct loop_timer unchecked_timer;
    int64_t bytes_fetched;
    struct loop_call pump;
    struct buf text;
};

/* relay.c */
/* Seeks again all files that are waited for. */
void relay_retry(struct relay *relay);

/* relay_line.c */
/* Takes over the connection of a line. */
void relay_line_start(struct relay *relay, struct relay_daemon *daemon, enum range_class line_class,
                      int fd, struct str early);
/* Ends a line; the leaves that it was asked for are asked of others. `why` goes to the log unless
 * NULL. */
void relay_line_end(struct relay_line *line, const char *why);
/* Ends a line in the same way at the end of the loop's round, for callers inside of its
 * callbacks. */
void relay_line_fail(struct relay_line *line, const char *why);
/* Returns the line of that class; NULL when there is none now. A missing line is asked for; when it
 * does not come for a while, the line of the other class is returned. */
struct relay_line *relay_line_find(struct relay_daemon *daemon, enum range_class line_class);
/* Returns true when a line of that class was asked for and may come yet. */
bool relay_line_is_coming(const struct relay_daemon *daemon, enum range_class line_class);
/* Asks the hub for a line of that daemon, if there is none and none is on its way. */
void relay_line_ask(struct relay_daemon *daemon, enum range_class line_class);
/* Send a message, or ask for a leaf. A failure ends the line as relay_line_fail does. */
void relay_line_send(struct relay_line *line, const struct range_message *m);
void relay_line_want(struct relay_line *line, struct relay_source *source,
                     struct relay_block *block);
/* Returns whether another leaf may be asked for: of a line for bulk, as its pace says. */
bool relay_line_has_room(const struct relay_line *line);
/* Notes that a leaf is asked for by another message. Returns the number of the request, 0 if the
 * line has too many. */
uint32_t relay_line_register(struct relay_line *line, struct relay_source *source,
                             struct relay_block *block);
/* Takes back the request for a block. */
void relay_line_cancel(struct relay_block *block);
/* Expects so many more answers, or fewer, of this source. */
void relay_line_expect(struct relay_source *source, int change);
/* Takes all requests for a file (NULL: for all files) off a line: they are to be asked of
 * others. */
void relay_line_requeue(struct relay_line *line, const struct relay_file *file);

/* relay_file.c */
/* Returns the file of that SHA-1 in that zone, made if it is not known; NULL without memory and for
 * a malformed hash. */
struct relay_file *relay_file_find(struct relay *relay, const struct zone *zone, struct str sha1);
void relay_file_free(struct relay_file *file); /* without readers */
/* Takes an answer to the file's question. */
void relay_file_on_note(struct relay_file *file, const struct relay_note *note);
/* Returns the daemon of that number, made if it is not known; NULL without memory. */
struct relay_daemon *relay_daemon_get(struct relay *relay, int64_t number);
/* Returns the source of this file on that line; it is opened if it is not. NULL without memory. */
struct relay_source *relay_file_source(struct relay_file *file, struct relay_line *line);
/* Take what a line brings: that a file was opened or refused, its page hashes, a page of leaves. */
void relay_file_on_message(struct relay_line *line, const struct range_message *m);
void relay_file_on_pages(struct relay_source *source, uint32_t first, struct str hashes);
void relay_file_on_page(struct relay_source *source, uint32_t index, struct str leaves);
/* Asks the daemon of this source no more for the file for a while. `why` goes to the log unless
 * NULL. */
void relay_file_doubt(struct relay_source *source, const char *why);
/* Takes note that the file changed at the daemon of this source, which for a while counts as one
 * that does not have it: readers do not wait for it. */
void relay_file_changed(struct relay_source *source, const char *why);
/* Doubts the daemon like relay_file_doubt, for a block that came and is wrong. */
void relay_file_doubt_block(struct relay_source *source);
/* Returns the hash that block i has to have: 20 or 32 bytes, borrowed until the next page comes;
 * empty when its page is not in memory. */
struct str relay_file_hash(struct relay_file *file, uint32_t i);
void relay_source_free(struct relay_source *source);
/* Calls on_change of all readers, at the end of the round. */
void relay_file_wake(struct relay_file *file);
/* Asks for a page of leaves, if it is not here and was not asked for. */
void relay_file_ask_page(struct relay_source *source, uint32_t page);
/* Notes that the file is read, or is read no more: it is kept for a while from now on. */
void relay_file_used(struct relay_file *file);
/* Finds and opens the file, if it is not open and no try is under way. */
void relay_file_seek(struct relay_file *file);
/* Asks other daemons, too, whether they have the file. */
void relay_file_widen(struct relay_file *file);
/* Lets another daemon serve the file of a source that owes answers for long: other daemons are
 * asked for the file until one has it, too. */
void relay_file_overdue(struct relay_source *source);
/* Notes a leaf that was read while the file is new: such leaves come with its next opening. */
void relay_file_note_opening(struct relay_file *file, uint32_t i);
/* Takes note whether the whole content, which was hashed, has the SHA-1. */
void relay_file_judge(struct relay_file *file, bool is_right);
/* Takes note that a daemon has left: its files are sought elsewhere. */
void relay_file_lose_daemon(struct relay *relay, int64_t daemon);

/* Returns the file of the same address and that content, which the hub has proven: this one if it
 * is known by it, else a new one, to which the readers without a byte move. `root` is NULL for a
 * single block. NULL without memory. */
struct relay_file *relay_file_prove(struct relay_file *file, int64_t size,
                                    const unsigned char *root, struct str page_hashes);
/* Returns a new file in the place of this one, which only its readers go on with. NULL without
 * memory. */
struct relay_file *relay_file_renew(struct relay_file *file);
/* Returns page j of the leaf hashes, read from the file's object if it is not in memory; NULL: it
 * is to be asked for. */
struct relay_page *relay_file_page(struct relay_file *file, uint32_t j);

/* relay_object.c */
/* Brings block i, and up to count - 1 behind it, from the file's object into memory; `hashes` are
 * theirs. An object that has them wrong is let go, and the bucket is told. */
void relay_object_load(struct relay_file *file, uint32_t i, const struct str *hashes, size_t count);
/* Reads a page of leaf hashes of the file's object, checked. Returns false for a wrong one: the
 * object is then let go in the same way. */
bool relay_object_read_page(struct relay_file *file, uint32_t j, unsigned char *leaves);
/* Closes the file's object, if it has one. */
void relay_object_end(struct relay_file *file);

/* relay_fetch.c */
/* Starts a reader of that file. */
void relay_reader_enter(struct relay *relay, struct relay_reader *reader, struct relay_file *file);
/* Notes that a reader wants a block that is not here, and returns the block. NULL without
 * memory. */
struct relay_block *relay_reader_want(struct relay_reader *reader, uint32_t i);
/* Returns the block if a reader wants it, else NULL. */
struct relay_block *relay_block_find(const struct relay_file *file, uint32_t i);
/* Wakes the readers of a block whose right bytes came, and frees the block. */
void relay_block_arrived(struct relay_block *block);
/* Returns whether the file is known, and ends before the block. */
bool relay_block_is_beyond(const struct relay_block *block);
/* Takes note that a block is asked of no line any more. */
void relay_block_requeue(struct relay_block *block);
/* Lets a reader read that file from now on, from its beginning. */
void relay_reader_move(struct relay_reader *reader, struct relay_file *file);
/* Takes back all that a reader wants. */
void relay_reader_drop(struct relay_reader *reader);
/* Asks lines for the blocks that are wanted, at the end of the round. */
void relay_pump_soon(struct relay *relay);

#endif
