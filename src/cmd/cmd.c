#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/size_text.h"
#include "cmd/progress.h"

enum { MAX_COLUMNS = 80 }; /* of a usage */

void cmd_start(void)
{
    signal(SIGXFSZ, SIG_IGN); /* past the limit of file sizes write(2) fails, and is told */
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
            continue;
        /* The lowest free number is this one. Error messages may vanish, results may not. */
        if (open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0)
            open("/", O_RDONLY);
    }
}

const struct cmd *cmd_find(const struct cmd *table, const char *name)
{
    while (table->name != NULL && strcmp(table->name, name) != 0)
        table++;
    return table;
}

static bool is_cloud(const char *name)
{
    return cmd_find(cmd_cloud_table, name)->name != NULL;
}

static bool is_verbose;

static const struct cmd *find_command_row(const char *name)
{
    const struct cmd *table = is_cloud(name)              ? cmd_cloud_table
                              : strchr(name, ' ') != NULL ? cmd_sub_table
                                                          : cmd_table;

    return cmd_find(table, name);
}

/* The word before the name in messages and usages. */
static const char *program_word(const char *name)
{
    return is_cloud(name) ? "" : "kachery-resource ";
}

/* "usage: ", the name and its arguments, broken between them where a line would be too long. */
static void print_usage(FILE *out, const char *name)
{
    struct str rest = str_of(find_command_row(name)->usage);
    int indent = fprintf(out, "usage: %s%s", program_word(name), name), column = indent;

    while (rest.len > 0) {
        size_t bracket = rest.p[0] == '[' ? str_find(rest, ']') : 0;
        size_t end = bracket + str_find(str_slice(rest, bracket, rest.len), ' ');
        struct str word = str_slice(rest, 0, end);
        if (column + 1 + (int)word.len > MAX_COLUMNS)
            column = fprintf(out, "\n%*s", indent, "") - 1;
        column += fprintf(out, " %.*s", STR_ARG(word));
        rest = str_slice(rest, end + 1, rest.len);
    }
    fputc('\n', out);
}

const char cmd_common_help[] = "  -q, --quiet                only errors\n"
                               "  -v, --verbose              more detail\n"
                               "  -h, --help                 this text\n";

int cmd_print_help(const char *name)
{
    const struct cmd *row = find_command_row(name);

    print_usage(stdout, name);
    printf("\n%s\n", row->summary);
    if (row->help != NULL)
        printf("\n%s", row->help);
    if (is_cloud(name))
        printf("\n      --help                 this text\n");
    else
        printf("\n%s", cmd_common_help);
    return cmd_finish(name, CMD_OK);
}

const char *cmd_words(struct buf *text)
{
    const char *words = buf_cstr(text);

    return text->failed ? "out of memory" : words;
}

int cmd_usage_error(const char *name, const char *format, ...)
{
    char text[ERR_MESSAGE_SIZE];
    struct buf line = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fs_put_printable(&line, str_of(text)); /* it may quote what was given */
    fprintf(stderr, "%s%s: %s\n", program_word(name), name, cmd_words(&line));
    print_usage(stderr, name);
    buf_free(&line);
    return CMD_USAGE;
}

/* Names the argument that is missing: the first word of the usage outside of brackets. */
static int report_too_few(const char *name)
{
    struct str rest = str_of(find_command_row(name)->usage), word;

    do {
        size_t end = rest.p[0] == '[' ? str_find(rest, ']') + 1 : str_find(rest, ' ');
        word = str_slice(rest, 0, end);
        rest = str_slice(rest, end + 1, rest.len);
    } while (rest.len > 0 && word.p[0] == '[');
    return cmd_usage_error(name, "too few arguments: want %.*s", STR_ARG(word));
}

static const struct cmd_option *find_option(const struct cmd_option *options, struct str name,
                                            char letter)
{
    for (const struct cmd_option *o = options; o != NULL && o->name != NULL; o++)
        if (letter != 0 ? o->letter == letter : str_equal(str_of(o->name), name))
            return o;
    return NULL;
}

/* "2", "2.5", ".5": what is below a millisecond counts for nothing. */
static bool read_seconds(struct str text, int64_t max, int64_t *ms)
{
    size_t dot = str_find(text, '.');
    struct str whole = str_slice(text, 0, dot), decimals = str_slice(text, dot + 1, text.len);
    uint64_t seconds = 0, digit;
    int64_t fraction = 0, unit = 100;

    if ((whole.len == 0 && decimals.len == 0) || (dot < text.len && decimals.len == 0) ||
        (whole.len > 0 && !str_to_uint(whole, (uint64_t)max, &seconds)))
        return false;
    for (; decimals.len > 0; decimals = str_slice(decimals, 1, decimals.len), unit /= 10) {
        if (!str_to_uint(str_slice(decimals, 0, 1), 9, &digit))
            return false;
        fraction += unit * (int64_t)digit;
    }
    *ms = (int64_t)seconds * 1000 + fraction;
    return *ms <= max * 1000;
}

static int add_value(const char *name, struct cmd_values *values, const char *value)
{
    const char **items = realloc(values->items, (values->count + 1) * sizeof *items);
    struct err e;

    if (items == NULL) {
        err_set(&e, ERR_FAILED, "out of memory");
        return cmd_fail(name, &e);
    }
    values->items = items;
    values->items[values->count++] = value;
    return -1;
}

/* A shell does not expand the "~" of --opt=~/file either. */
static int check_path_value(const char *name, const struct cmd_option *o, const char *value)
{
    char what[64];
    struct err e;

    snprintf(what, sizeof what, "--%s", o->name);
    return setting_check_path(what, str_of(value), &e) == 0 ? -1 : cmd_fail(name, &e);
}

static int store_value(const char *name, const struct cmd_option *o, const char *value)
{
    uint64_t number;

    if (o->values != NULL)
        return add_value(name, o->values, value);
    if (o->value != NULL) {
        *o->value = value;
        return o->is_path ? check_path_value(name, o, value) : -1;
    }
    if (o->bytes != NULL) {
        if (size_text_read(str_of(value), o->max, o->bytes) && *o->bytes >= o->min)
            return -1;
        return cmd_usage_error(name, "--%s \"%s\": want bytes, such as 10MB, %lld-%lld", o->name,
                               value, (long long)o->min, (long long)o->max);
    }
    if (o->ms != NULL) {
        if (read_seconds(str_of(value), o->max, o->ms))
            return -1;
        return cmd_usage_error(name, "--%s \"%s\": want seconds, such as 5 or 0.5, up to %lld",
                               o->name, value, (long long)o->max);
    }
    if (!str_to_uint(str_of(value), (uint64_t)o->max, &number) || (int64_t)number < o->min)
        return cmd_usage_error(name, "--%s \"%s\": want a whole number %lld-%lld", o->name, value,
                               (long long)o->min, (long long)o->max);
    *o->number = (int64_t)number;
    return -1;
}

/* One option at argv[*i], whose name and attached value (or NULL) are already split. */
static int take_option(const char *name, int argc, char **argv, int *i, const struct cmd_option *o,
                       const char *attached)
{
    if (o->flag != NULL) {
        if (attached != NULL)
            return cmd_usage_error(name, "--%s takes no value", o->name);
        *o->flag = true;
        return -1;
    }
    if (attached == NULL) {
        if (*i + 1 >= argc)
            return cmd_usage_error(name, "--%s needs a value", o->name);
        attached = argv[++*i];
    }
    return store_value(name, o, attached);
}

static int take_long(const char *name, int argc, char **argv, int *i, struct cmd_args *args)
{
    struct str text = str_of(argv[*i] + 2);
    size_t end = str_find(text, '=');
    struct str key = str_slice(text, 0, end);
    const char *attached = end < text.len ? text.p + end + 1 : NULL;
    const struct cmd_option *o = find_option(args->options, key, 0);

    if (o == NULL)
        return cmd_usage_error(name, "unknown option --%.*s", STR_ARG(key));
    return take_option(name, argc, argv, i, o, attached);
}

static int take_short(const char *name, int argc, char **argv, int *i, struct cmd_args *args)
{
    for (const char *p = argv[*i] + 1; *p != '\0'; p++) {
        const struct cmd_option *o = find_option(args->options, STR(""), *p);
        if (o == NULL && *p == 'q' && !is_cloud(name)) {
            args->is_quiet = true;
        } else if (o == NULL && *p == 'v' && !is_cloud(name)) {
            args->is_verbose = true;
        } else if (o == NULL) {
            return cmd_usage_error(name, "unknown option -%c", *p);
        } else if (o->flag != NULL) {
            *o->flag = true;
        } else {
            return take_option(name, argc, argv, i, o, p[1] != '\0' ? p + 1 : NULL);
        }
    }
    return -1;
}

static bool take_common(const char *arg, struct cmd_args *args)
{
    if (strcmp(arg, "--quiet") == 0)
        args->is_quiet = true;
    else if (strcmp(arg, "--verbose") == 0)
        args->is_verbose = true;
    else
        return false;
    return true;
}

static bool asks_for_help(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || (strcmp(argv[i], "-h") == 0 && !is_cloud(name)))
            return true;
    return false;
}

static void warn_of_typo(void *ctx, const struct err *warning)
{
    cmd_warn(ctx, warning);
}

int cmd_parse(const char *name, int argc, char **argv, struct cmd_args *args)
{
    bool is_operand_only = false;
    int status = -1, kept = 1;

    if (asks_for_help(name, argc, argv))
        return cmd_print_help(name);
    for (int i = 1; i < argc && status < 0; i++) {
        char *arg = argv[i];
        if (is_operand_only || arg[0] != '-' || arg[1] == '\0')
            argv[kept++] = arg;
        else if (strcmp(arg, "--") == 0)
            is_operand_only = true;
        else if (!is_cloud(name) && take_common(arg, args))
            continue;
        else if (arg[1] == '-')
            status = take_long(name, argc, argv, &i, args);
        else
            status = take_short(name, argc, argv, &i, args);
    }
    if (status >= 0)
        return status;
    is_verbose = args->is_verbose;
    if (!args->is_quiet && strcmp(name, "share") != 0) /* which logs them, or is silent for cron */
        setting_report_typos(warn_of_typo, (void *)(uintptr_t)name);
    progress_set_prefix(program_word(name), name);
    args->operands = (const char **)(argv + 1);
    args->operand_count = (size_t)(kept - 1);
    if (args->operand_count < args->min_operands)
        return report_too_few(name);
    if (args->operand_count > args->max_operands)
        return cmd_usage_error(name, "unexpected argument \"%s\"",
                               args->operands[args->max_operands]);
    return -1;
}

bool cmd_is_verbose(void)
{
    return is_verbose;
}

static int exit_status_of_error(enum err_code code)
{
    switch (code) {
    case ERR_USAGE: return CMD_USAGE;
    case ERR_NOT_FOUND: return CMD_NOT_FOUND;
    default: return CMD_FAILED;
    }
}

void cmd_warn(const char *name, const struct err *e)
{
    struct buf text = {0};

    quote_put_upright(&text, str_of(e->msg));
    fprintf(stderr, "%s%s: %s\n", program_word(name), name, cmd_words(&text));
    buf_free(&text);
}

void cmd_warn_file(const char *name, const char *path, const struct err *e)
{
    struct buf line = {0}, text = {0};

    fs_put_printable(&line, str_of(path));
    buf_puts(&line, ": ");
    fs_put_printable(&line, str_of(e->msg));
    quote_put_upright(&text, buf_str(&line));
    text.failed |= line.failed;
    fprintf(stderr, "%s%s: %s\n", program_word(name), name, cmd_words(&text));
    buf_free(&line);
    buf_free(&text);
}

int cmd_fail(const char *name, const struct err *e)
{
    cmd_warn(name, e);
    return is_cloud(name) ? (int)CMD_FAILED : exit_status_of_error(e->code);
}

static bool is_result_lost;
static int write_errno; /* of the first result that could not be written */

void cmd_print(struct str text)
{
    struct buf upright = {0};

    if (isatty(STDOUT_FILENO)) {
        quote_put_upright(&upright, text);
        text = upright.failed ? text : buf_str(&upright);
    }
    if (text.len > 0) /* an empty one may have no address */
        if (fwrite(text.p, 1, text.len, stdout) != text.len && write_errno == 0)
            write_errno = errno;
    buf_free(&upright);
}

void cmd_print_buf(const struct buf *text)
{
    if (text->failed)
        is_result_lost = true;
    else
        cmd_print(buf_str(text));
}

int cmd_finish(const char *name, int status)
{
    if (is_result_lost) {
        fprintf(stderr, "%s%s: out of memory for a result\n", program_word(name), name);
        status = status == CMD_OK ? CMD_FAILED : status;
    }
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    fprintf(stderr, "%s%s: cannot write to standard output: %s\n", program_word(name), name,
            strerror(write_errno != 0 ? write_errno : errno));
    return status == CMD_OK ? CMD_FAILED : status;
}
