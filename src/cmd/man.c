#include "cmd/man.h"

#include "base/version.h"
#include "help/roff.h"

#define PROGRAM "kachery-resource"

static void put_upper(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_putc(out, *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A')
                                                   : *text == ' ' ? '-' : *text);
}

/* The page's head: its name is the program's, or that of a part of it. */
static void put_man_head(struct buf *out, const char *part, const char *section,
                         const char *summary)
{
    bool is_program = part == NULL || str_starts_with(str_of(part), STR("kachery-"));
    struct buf title = {0};

    buf_puts(&title, is_program && part != NULL ? part : PROGRAM);
    if (!is_program)
        buf_printf(&title, "-%s", part);
    buf_puts(out, ".TH ");
    put_upper(out, buf_cstr(&title));
    buf_printf(out, " %s %s \"" PROGRAM " " VERSION "\"\n.SH NAME\n", section, VERSION_DATE);
    for (const char *c = buf_cstr(&title); *c != '\0'; c++)
        buf_puts(out, *c == '-' || *c == ' ' ? "\\-" : (char[2]){*c, '\0'});
    buf_puts(out, " \\-\n");
    roff_put_line(out, str_of(summary));
    out->failed |= title.failed;
    buf_free(&title);
}

static void put_section(struct buf *out, const char *title)
{
    buf_puts(out, ".SH \"");
    put_upper(out, title);
    buf_puts(out, "\"\n");
}

/* Name in bold, arguments behind it. */
static void put_usage(struct buf *out, const struct cmd *row, const char *program)
{
    struct buf words = {0};

    buf_printf(&words, "%s%s", program, row->name);
    roff_put_macro(out, "B", buf_str(&words));
    if (row->usage[0] != '\0')
        roff_put_line(out, str_of(row->usage));
    out->failed |= words.failed;
    buf_free(&words);
}

static const char *program_of(const struct cmd *row)
{
    return str_starts_with(str_of(row->name), STR("kachery-")) ? "" : PROGRAM " ";
}

static void put_help(struct buf *out, const struct cmd *row)
{
    if (row->help == NULL)
        return;
    if (row->help[0] != ' ' && row->help[0] != '\n') /* before options it would be empty */
        buf_puts(out, ".PP\n");
    roff_put_text(out, str_of(row->help));
}

static void put_commands(struct buf *out, const struct cmd *table)
{
    for (const struct cmd *row = table; row->name != NULL; row++) {
        roff_put_macro(out, "SS", str_of(row->name));
        put_usage(out, row, program_of(row));
        buf_puts(out, ".PP\n");
        roff_put_line(out, str_of(row->summary));
        put_help(out, row);
    }
}

void man_put_command(struct buf *out, const struct cmd *row)
{
    put_man_head(out, row->name, "1", row->summary);
    put_section(out, "synopsis");
    put_usage(out, row, program_of(row));
    put_section(out, "description");
    roff_put_text(out, str_of(row->help == NULL ? "" : row->help));
    if (program_of(row)[0] != '\0')
        roff_put_text(out, str_of(cmd_common_help));
    put_section(out, "see also");
    roff_put_line(out, STR(PROGRAM "(1)"));
}

void man_put_topic(struct buf *out, const struct help_topic *topic)
{
    put_man_head(out, topic->name, "7", topic->summary);
    put_section(out, "description");
    roff_put_text(out, str_of(topic->text));
    put_section(out, "see also");
    roff_put_line(out, STR(PROGRAM "(1)"));
}

void man_put_all(struct buf *out)
{
    put_man_head(out, NULL, "1", "share a lab's files on demand");
    put_section(out, "synopsis");
    buf_puts(out, ".B " "kachery\\-resource\n");
    roff_put_line(out, STR("COMMAND [ARGUMENTS]"));
    put_section(out, "description");
    roff_put_text(out, STR(
        "Gives each file an address made of its content (sha1://...), leaves the file in\n"
        "its place, and uploads it when somebody asks for it. All commands have these\n"
        "options:\n"));
    roff_put_text(out, str_of(cmd_common_help));
    put_section(out, "commands");
    put_commands(out, cmd_table);
    put_commands(out, cmd_sub_table);
    put_section(out, "names of the python tools");
    roff_put_text(out, STR("Called by one of these names, the program is that tool.\n"));
    put_commands(out, cmd_cloud_table);
    for (const struct help_topic *topic = help_topics; topic->name != NULL; topic++) {
        put_section(out, topic->name);
        roff_put_text(out, str_of(topic->text));
    }
}
