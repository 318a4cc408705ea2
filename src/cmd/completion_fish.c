#include <string.h>

#include "cmd/completion_shells.h"
#include "cmd/option_rows.h"
#include "help/help.h"

/* Appends " -d 'text'". */
static void put_fish_about(struct buf *out, struct str text)
{
    buf_puts(out, " -d '");
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '\'' || text.p[i] == '\\')
            buf_putc(out, '\\');
        buf_putc(out, text.p[i]);
    }
    buf_puts(out, "'\n");
}

/* The beginning of a line for a command, or one of the Python tools. */
static void put_fish_command(struct buf *out, const char *name)
{
    if (cmd_find(cmd_cloud_table, name)->name != NULL)
        buf_printf(out, "complete -c %s", name);
    else
        buf_printf(out, "complete -c kachery-resource -n \"__kachery_resource_is '%s'\"", name);
}

static bool has_completion(struct buf *kinds, const char *kind)
{
    return strstr(buf_cstr(kinds), kind) != NULL;
}

/* Completes a word: by files (-F), or by the lines that a command prints (-a). */
static void put_fish_kinds(struct buf *out, struct buf *kinds)
{
    if (has_completion(kinds, "file"))
        buf_puts(out, " -F");
    if (has_completion(kinds, "folder"))
        buf_puts(out, " -a '(__fish_complete_directories (commandline -ct))'");
    if (has_completion(kinds, "uri"))
        buf_puts(out, " -k -a '(__kachery_resource_uris)'");
}

static void put_fish_option(struct buf *out, const struct cmd *command,
                            const struct option_row *option)
{
    struct buf kinds = {0};

    put_fish_command(out, command->name);
    if (option->letter != 0)
        buf_printf(out, " -s %c", option->letter);
    buf_printf(out, " -l %.*s", STR_ARG(option->name));
    option_rows_put_kinds(&kinds, option->value);
    if (option->value.len > 0)
        buf_puts(out, has_completion(&kinds, "file") ? " -r" : " -x");
    put_fish_kinds(out, &kinds);
    put_fish_about(out, option->about);
    out->failed |= kinds.failed;
    buf_free(&kinds);
}

static void put_fish_topics(struct buf *out, const char *command)
{
    for (const struct help_topic *topic = help_topics; topic->name != NULL; topic++) {
        put_fish_command(out, command);
        buf_printf(out, " -a %s", topic->name);
        put_fish_about(out, str_of(topic->summary));
    }
    for (const struct cmd *row = cmd_table; row->name != NULL; row++) {
        put_fish_command(out, command);
        buf_printf(out, " -a %s", row->name);
        put_fish_about(out, str_of(row->summary));
    }
}

/* The words of operands that are no kinds. */
static void put_fish_choices(struct buf *out, const char *command, struct str words)
{
    while (words.len > 0) {
        size_t end = str_find(words, ' ');
        struct str word = str_slice(words, 0, end);
        if (!str_equal(word, STR("uri")) && !str_equal(word, STR("file")) &&
            !str_equal(word, STR("topic"))) {
            put_fish_command(out, command);
            buf_printf(out, " -a %.*s\n", STR_ARG(word));
        }
        words = str_slice(words, end + 1, words.len);
    }
}

static void put_fish_row(struct buf *out, const struct cmd *command)
{
    struct buf operands = {0};

    option_rows_put_operands(&operands, command);
    if (has_completion(&operands, "file") || has_completion(&operands, "uri")) {
        put_fish_command(out, command->name);
        put_fish_kinds(out, &operands);
        buf_putc(out, '\n');
    }
    if (has_completion(&operands, "topic"))
        put_fish_topics(out, command->name);
    put_fish_choices(out, command->name, buf_str(&operands));
    option_rows_each(out, command, put_fish_option);
    out->failed |= operands.failed;
    buf_free(&operands);
}

void completion_fish_put(struct buf *out)
{
    buf_puts(out, help_completion_fish);
    for (const struct cmd *row = cmd_cloud_table; row->name != NULL; row++)
        buf_printf(out, "complete -c %s -f\n", row->name);
    put_fish_command(out, "");
    buf_puts(out, " -l help -s h");
    put_fish_about(out, STR("list the commands"));
    put_fish_command(out, "");
    buf_puts(out, " -l version");
    put_fish_about(out, STR("print the version"));
    for (const struct cmd *row = cmd_table; row->name != NULL; row++) {
        put_fish_command(out, "");
        buf_printf(out, " -a %s", row->name);
        put_fish_about(out, str_of(row->summary));
    }
    for (const struct cmd *const *table = completion_tables; *table != NULL; table++)
        for (const struct cmd *row = *table; row->name != NULL; row++)
            put_fish_row(out, row);
}
