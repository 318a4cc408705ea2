#include <stdbool.h>

#include "cmd/completion_shells.h"
#include "cmd/option_rows.h"
#include "help/help.h"

/* "--output=file -o=file": what takes a value has a "=", with its kinds behind it. */
static void put_bash_option(struct buf *out, const struct cmd *command,
                            const struct option_row *option)
{
    (void)command;
    for (int i = 0; i < (option->letter != 0 ? 2 : 1); i++) {
        buf_puts(out, i == 0 ? " --" : " -");
        buf_put(out, i == 0 ? option->name : (struct str){&option->letter, 1});
        if (option->value.len > 0) {
            buf_putc(out, '=');
            option_rows_put_kinds(out, option->value);
        }
    }
}

static void put_bash_row(struct buf *out, const struct cmd *command)
{
    struct buf operands = {0};

    option_rows_put_operands(&operands, command);
    buf_printf(out, "    '%s')\n        operands='", command->name);
    buf_put_buf(out, &operands);
    buf_puts(out, "'\n        options='");
    option_rows_each(out, command, put_bash_option);
    buf_puts(out, "'\n        ;;\n");
    buf_free(&operands);
}

static void put_bash_list(struct buf *out, const char *variable, bool is_topics)
{
    const char *between = "";

    buf_printf(out, "        %s=$'", variable);
    for (const struct help_topic *topic = help_topics; is_topics && topic->name != NULL; topic++) {
        buf_printf(out, "%s%s", between, topic->name);
        between = "\\n";
    }
    for (const struct cmd *row = cmd_table; !is_topics && row->name != NULL; row++) {
        buf_printf(out, "%s%s", between, row->name);
        between = "\\n";
    }
    buf_puts(out, "'\n");
}

void completion_bash_put(struct buf *out)
{
    buf_puts(out, help_completion_bash);
    buf_puts(out, "# Sets operands and options of a command, without one commands and topics.\n"
                  "_kachery_resource_row() {\n    case ${1-} in\n    '')\n");
    put_bash_list(out, "commands", false);
    put_bash_list(out, "topics", true);
    buf_puts(out, "        ;;\n");
    for (const struct cmd *const *table = completion_tables; *table != NULL; table++)
        for (const struct cmd *row = *table; row->name != NULL; row++)
            put_bash_row(out, row);
    buf_puts(out, "    *) return 1 ;;\n    esac\n}\n\n"
                  "complete -F _kachery_resource kachery-resource");
    for (const struct cmd *row = cmd_cloud_table; row->name != NULL; row++)
        buf_printf(out, " %s", row->name);
    buf_putc(out, '\n');
}
