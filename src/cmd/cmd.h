/*
 * The common part of all commands: the table's row, options, exit statuses, messages on stderr. A
 * command is `int cmd_NAME(int argc, char **argv)` in src/cmd/NAME.c; argv[0] is its name; the
 * return value is the exit status.
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Exit statuses: done, failed, wrong usage, not found, not finished in time. */
enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2, CMD_NOT_FOUND = 3, CMD_UNFINISHED = 4 };

struct buf;

struct cmd {
    const char *name; /* the first argument, or in cmd_cloud_table the program's */
    int (*run)(int argc, char **argv);
    const char *usage;   /* the arguments, on one line */
    const char *summary; /* one line, for the overview */
    const char *help;    /* the options; printed by --help below the summary */
};

/* The tables of main.c; each ends with a row without name. */
extern const struct cmd cmd_table[];

/* Commands of two words, "gateway verify": the first word's command runs them. */
extern const struct cmd cmd_sub_table[];

/* Names of the program itself, with the Python tools' conventions: --help is the only option that
 * all have, and whatever goes wrong, but for wrong usage, gives CMD_FAILED. */
extern const struct cmd cmd_cloud_table[];

/* The values of an option that may stand several times. */
struct cmd_values {
    const char **items; /* borrowed from argv; the array is freed by the caller */
    size_t count;
};

/* One option: long name without "--", optional letter, and where its value goes. */
struct cmd_option {
    const char *name;
    char letter;        /* 0: none */
    bool *flag;         /* an option without value; or: */
    const char **value; /* borrowed from argv */
    struct cmd_values *values; /* likewise, all of them */
    bool is_path;       /* of a file: checked by setting_check_path */
    int64_t *number;    /* a whole number of at least `min` and at most `max` */
    int64_t *bytes;     /* an amount as base/size_text.h reads it, `min` to `max` */
    int64_t *ms;        /* seconds, perhaps with decimals, of at most `max` seconds */
    int64_t min, max;
};

struct cmd_args {
    const struct cmd_option *options; /* ends with a row without name */
    size_t min_operands, max_operands;
    bool is_quiet;                    /* -q, --quiet */
    bool is_verbose;                  /* -v, --verbose: see cmd_is_verbose */
    const char **operands;            /* argv's, in order, options taken out */
    size_t operand_count;
};

/* Prepares the process, first of all: opens what is missing of the descriptors 0-2, so that no file
 * or socket of ours gets the number of a standard output that the caller had closed, where writing
 * still fails; and makes the limit of file sizes an error instead of a death. */
void cmd_start(void);

/*
 * Parses `--opt value`, `--opt=value`, `-x value`, flags, `--` and operands in any order, and the
 * common -h/--help, -q, -v. Returns -1 to go on; otherwise the exit status to return at once (help
 * printed: 0; an unknown option, missing value, wrong count: 2, said on stderr with the usage).
 */
int cmd_parse(const char *name, int argc, char **argv, struct cmd_args *args);

/* Prints a message and the usage to stderr, for wrong usage that cmd_parse does not know. Returns
 * CMD_USAGE. */
int cmd_usage_error(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The options that all commands have; printed behind those of the command. */
extern const char cmd_common_help[];

/* Prints usage, summary and help of a row of cmd_table, cmd_sub_table or cmd_cloud_table. Returns
 * the exit status. */
int cmd_print_help(const char *name);

/* Returns whether this command was called with -v. */
bool cmd_is_verbose(void);

/* Prints "kachery-resource NAME: message" (in cmd_cloud_table: "NAME: message") to stderr. Returns
 * the exit status of the error's code. */
int cmd_fail(const char *name, const struct err *e);

/* Returns the row of that name, or the last row, which has no name. */
const struct cmd *cmd_find(const struct cmd *table, const char *name);

/* Returns the text for a message, borrowed from it; "out of memory" for a buffer that failed. */
const char *cmd_words(struct buf *text);

/* Prints a message like cmd_fail, for a warning that does not end the command. */
void cmd_warn(const char *name, const struct err *e);

/* Prints a warning about a file, whose path is shown in full however long it is; `e` names the
 * cause alone. */
void cmd_warn_file(const char *name, const char *path, const struct err *e);

/* Prints a result to stdout. On a terminal characters that turn the direction of text are
 * escaped. */
void cmd_print(struct str text);

/* Prints a result that was built; of a buffer that failed nothing: cmd_finish then reports it. */
void cmd_print_buf(const struct buf *text);

/* Flushes and checks stdout at the end of every command, so that a full disk behind a redirect is
 * an error and not silence. Returns `status`, or CMD_FAILED if that was CMD_OK and a result is
 * lost. */
int cmd_finish(const char *name, int status);

#endif
