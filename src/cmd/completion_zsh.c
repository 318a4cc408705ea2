#include <stdbool.h>
#include <string.h>

#include "cmd/completion_shells.h"
#include "cmd/option_rows.h"
#include "help/help.h"

/* Appends text within single quotes, in which `special` characters are escaped. */
static void put_zsh_text(struct buf *out, struct str text, const char *special)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '\'')
            buf_puts(out, "'\\'");
        else if (str_find(str_of(special), c) < str_of(special).len)
            buf_putc(out, '\\');
        buf_putc(out, c);
    }
}

/* Whether the usage has "[--name VALUE]...". */
static bool may_be_repeated(const struct cmd *command, const struct option_row *option)
{
    struct buf form = {0};

    buf_printf(&form, "[--%.*s %.*s]...", STR_ARG(option->name), STR_ARG(option->value));
    bool is_there = strstr(command->usage, buf_cstr(&form)) != NULL;
    buf_free(&form);
    return is_there;
}

/* '(-o --output)'{-o+,--output=}'[write it to FILE]:FILE: _kachery_resource_complete file' */
static void put_zsh_option(struct buf *out, const struct cmd *command,
                           const struct option_row *option)
{
    bool has_value = option->value.len > 0;
    struct buf kinds = {0};

    buf_puts(out, " \\\n            '");
    if (option->letter != 0)
        buf_printf(out, "(-%c --%.*s)'{-%c%s,--%.*s%s}'", option->letter, STR_ARG(option->name),
                   option->letter, has_value ? "+" : "", STR_ARG(option->name),
                   has_value ? "=" : "");
    else
        buf_printf(out, "%s--%.*s%s", may_be_repeated(command, option) ? "*" : "",
                   STR_ARG(option->name), has_value ? "=" : "");
    buf_putc(out, '[');
    put_zsh_text(out, option->about, "[]\\");
    buf_putc(out, ']');
    if (has_value) {
        option_rows_put_kinds(&kinds, option->value);
        buf_putc(out, ':');
        put_zsh_text(out, option->value, ":\\");
        buf_puts(out, kinds.len > 0 ? ": _kachery_resource_complete " : ": ");
        buf_put_buf(out, &kinds);
    }
    buf_putc(out, '\'');
    buf_free(&kinds);
}

static void put_zsh_row(struct buf *out, const struct cmd *command)
{
    struct buf operands = {0};

    option_rows_put_operands(&operands, command);
    buf_printf(out, "    '%s')\n        _arguments -s -S :", command->name);
    option_rows_each(out, command, put_zsh_option);
    if (operands.len > 0) {
        buf_puts(out, " \\\n            '*:argument: _kachery_resource_complete ");
        buf_put_buf(out, &operands);
        buf_putc(out, '\'');
    }
    buf_puts(out, "\n        ;;\n");
    buf_free(&operands);
}

static void put_zsh_item(struct buf *out, const char *name, const char *summary)
{
    buf_printf(out, "        '%s:", name);
    put_zsh_text(out, str_of(summary), "");
    buf_puts(out, "'\n");
}

void completion_zsh_put(struct buf *out)
{
    buf_puts(out, "#compdef kachery-resource");
    for (const struct cmd *row = cmd_cloud_table; row->name != NULL; row++)
        buf_printf(out, " %s", row->name);
    buf_printf(out, "\n%s_kachery_resource_lists() {\n    kachery_commands=(\n",
               help_completion_zsh);
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        put_zsh_item(out, row->name, row->summary);
    buf_puts(out, "    )\n    kachery_topics=(\n");
    for (const struct help_topic *topic = help_topics; topic->name != NULL; topic++)
        put_zsh_item(out, topic->name, topic->summary);
    buf_puts(out, "    )\n}\n\n_kachery_resource_row() {\n    case $1 in\n");
    for (const struct cmd *const *table = completion_tables; *table != NULL; table++)
        for (const struct cmd *row = *table; row->name != NULL; row++)
            put_zsh_row(out, row);
    buf_puts(out, "    esac\n}\n\n"
                  "# Called as a function of fpath; else read by `source`.\n"
                  "if [[ ${funcstack[1]} == _kachery-resource ]]; then\n"
                  "    _kachery-resource \"$@\"\nelse\n"
                  "    compdef _kachery-resource kachery-resource");
    for (const struct cmd *row = cmd_cloud_table; row->name != NULL; row++)
        buf_printf(out, " %s", row->name);
    buf_puts(out, "\nfi\n");
}
