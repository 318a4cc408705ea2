/* help: topics, the commands' own help, and the man page. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/man.h"
#include "help/help.h"

static const char name[] = "help";

enum { MAX_WORDS = 2 }; /* "gateway verify" */

static const struct cmd *find_command(const char *word)
{
    const struct cmd *row = cmd_find(cmd_table, word);

    if (row->name == NULL)
        row = cmd_find(cmd_sub_table, word);
    return row->name == NULL ? cmd_find(cmd_cloud_table, word) : row;
}

static int print_list(void)
{
    puts("Topics:");
    for (const struct help_topic *topic = help_topics; topic->name != NULL; topic++)
        printf("  %-16s %s\n", topic->name, topic->summary);
    puts("\nCommands:");
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        printf("  %-12s %s\n", row->name, row->summary);
    puts("\n`kachery-resource help NAME` prints the topic, or what the command does and its\n"
         "options. --man makes a man page of it, without a name of everything:\n\n"
         "    kachery-resource help --man > kachery-resource.1");
    return cmd_finish(name, CMD_OK);
}

static int print_topic(const struct help_topic *topic)
{
    fputs(topic->text, stdout);
    if (find_command(topic->name)->name != NULL)
        printf("\nThe options of the command: kachery-resource %s --help\n", topic->name);
    return cmd_finish(name, CMD_OK);
}

static int print_page(struct buf *page)
{
    cmd_print_buf(page);
    buf_free(page);
    return cmd_finish(name, CMD_OK);
}

static int print_man(const struct help_topic *topic, const struct cmd *row)
{
    struct buf page = {0};

    if (topic->name != NULL)
        man_put_topic(&page, topic);
    else if (row != NULL)
        man_put_command(&page, row);
    else
        man_put_all(&page);
    return print_page(&page);
}

int cmd_help(int argc, char **argv)
{
    bool is_man = false;
    const struct cmd_option options[] = {{.name = "man", .flag = &is_man}, {.name = NULL}};
    struct cmd_args args = {.options = options, .max_operands = MAX_WORDS};
    char quoted[QUOTE_SIZE], word[64] = "";
    int status = cmd_parse(name, argc, argv, &args);

    if (status >= 0)
        return status;
    if (args.operand_count == 0)
        return is_man ? print_man(help_find(""), NULL) : print_list();
    snprintf(word, sizeof word, "%s%s%s", args.operands[0], args.operand_count > 1 ? " " : "",
             args.operand_count > 1 ? args.operands[1] : "");
    const struct help_topic *topic = help_find(word);
    const struct cmd *row = find_command(word);
    if (topic->name == NULL && row->name == NULL)
        return cmd_usage_error(name, "no topic and no command \"%s\": `kachery-resource help` "
                                     "lists them", quote_str(quoted, str_of(word)));
    if (is_man)
        return print_man(topic, row);
    return topic->name != NULL ? print_topic(topic) : cmd_print_help(row->name);
}
