/* completion: prints the script by which a shell completes our commands. */
#include <string.h>

#include "base/quote.h"
#include "cmd/commands.h"
#include "cmd/completion_shells.h"

static const struct {
    const char *name;
    void (*put)(struct buf *out);
} shells[] = {
    {"bash", completion_bash_put},
    {"zsh", completion_zsh_put},
    {"fish", completion_fish_put},
};

int cmd_completion(int argc, char **argv)
{
    const struct cmd_option options[] = {{.name = NULL}};
    struct cmd_args args = {.options = options, .min_operands = 1, .max_operands = 1};
    char quoted[QUOTE_SIZE];
    struct buf script = {0};
    size_t i = 0;

    int status = cmd_parse("completion", argc, argv, &args);
    if (status >= 0)
        return status;
    while (i < sizeof shells / sizeof *shells && strcmp(shells[i].name, args.operands[0]) != 0)
        i++;
    if (i == sizeof shells / sizeof *shells)
        return cmd_usage_error("completion", "shell \"%s\": want bash, zsh or fish",
                               quote_str(quoted, str_of(args.operands[0])));
    shells[i].put(&script);
    cmd_print_buf(&script);
    buf_free(&script);
    return cmd_finish("completion", CMD_OK);
}
