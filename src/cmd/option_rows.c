#include "cmd/option_rows.h"

#include <stddef.h>
#include <string.h>

enum { DESCRIPTION_COLUMN = 29 }; /* see main.c */

static struct str take_table_word(struct str *text)
{
    struct str trimmed = str_trim(*text);
    size_t end = str_find(trimmed, ' ');

    *text = str_slice(trimmed, end, trimmed.len);
    return str_slice(trimmed, 0, end);
}

/* "the file (default: F)" is "the file"; so are a second sentence and a second clause left out, and
 * where the line `is_cut`, what its last comma leaves hanging. */
static struct str cut_at_stop(struct str text, bool is_cut)
{
    size_t comma = text.len;

    for (size_t i = 1; i + 1 < text.len; i++) {
        char c = text.p[i], next = text.p[i + 1];
        if ((c == ' ' && next == '(') || ((c == '.' || c == ';') && next == ' '))
            return str_slice(text, 0, i);
        if (c == ',' && next == ' ')
            comma = i;
    }
    if (is_cut)
        text = str_slice(text, 0, comma);
    while (text.len > 0 && str_find(STR(".,;:"), text.p[text.len - 1]) < 4)
        text.len--;
    return text;
}

static bool read_option_row(struct str line, struct str behind, struct option_row *row)
{
    const bool is_cut = str_starts_with(behind, STR("          "));
    struct str left = str_slice(line, 0, DESCRIPTION_COLUMN);
    struct str word = take_table_word(&left);

    *row = (struct option_row){0};
    if (word.len == 3 && word.p[0] == '-' && word.p[2] == ',') {
        row->letter = word.p[1];
        word = take_table_word(&left);
    }
    if (!str_starts_with(word, STR("--")) || word.len == 2)
        return false;
    row->name = str_slice(word, 2, word.len);
    row->value = str_trim(left);
    row->about = cut_at_stop(str_trim(str_slice(line, DESCRIPTION_COLUMN, line.len)), is_cut);
    return true;
}

bool option_rows_next(struct str *help, struct option_row *row)
{
    while (help->len > 0) {
        struct str line = str_take_line(help);
        if (str_starts_with(line, STR("  ")) && read_option_row(line, *help, row))
            return true;
    }
    return false;
}

static bool is_python_tool(const struct cmd *command)
{
    return cmd_find(cmd_cloud_table, command->name)->name != NULL;
}

void option_rows_each(struct buf *out, const struct cmd *command, option_rows_put *put)
{
    struct str texts[] = {str_of(command->help), str_of(cmd_common_help)};
    struct option_row row;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        while (option_rows_next(&texts[i], &row)) {
            if (i > 0 && is_python_tool(command)) {
                if (!str_equal(row.name, STR("help")))
                    continue;
                row.letter = 0;
            }
            put(out, command, &row);
        }
}

static bool has_part(struct str text, struct str part)
{
    return text.len > 0 && memmem(text.p, text.len, part.p, part.len) != NULL;
}

enum word_kind { WORD_URI = 1, WORD_FILE = 2, WORD_FOLDER = 4, WORD_TOPIC = 8 };

static unsigned kinds_of_word(struct str word)
{
    unsigned kinds = 0;

    if (has_part(word, STR("FILE")) || has_part(word, STR("PATH")) || str_equal(word, STR("F")))
        kinds |= WORD_FILE;
    if (has_part(word, STR("DIR")))
        kinds |= WORD_FOLDER;
    if (has_part(word, STR("URI")))
        kinds |= WORD_URI;
    if (has_part(word, STR("TOPIC")))
        kinds |= WORD_TOPIC;
    return kinds;
}

static void put_kind_word(struct buf *out, struct str word)
{
    if (out->len > 0 && out->data[out->len - 1] != '=')
        buf_putc(out, ' ');
    buf_put(out, word);
}

static void put_kind_words(struct buf *out, unsigned kinds)
{
    static const char *const words[] = {"uri", "file", "folder", "topic"};

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if ((kinds & 1U << i) != 0)
            put_kind_word(out, str_of(words[i]));
}

void option_rows_put_kinds(struct buf *out, struct str value)
{
    put_kind_words(out, kinds_of_word(value));
}

/* Behind an option outside of brackets stands its value, if it has one. */
static void pass_value(struct str *usage)
{
    struct str rest = *usage, word = take_table_word(&rest);

    if (word.len > 0 && word.p[0] >= 'A' && word.p[0] <= 'Z')
        *usage = rest;
}

/* Takes the words for the next operand off a usage: "[URI...]", "PATH...", "bash|zsh|fish"; passes
 * over options and their values. Returns false at its end. */
static bool next_operand(struct str *usage, struct str *operand)
{
    for (*usage = str_trim(*usage); usage->len > 0; *usage = str_trim(*usage)) {
        if (usage->p[0] == '[') {
            size_t end = str_find(*usage, ']');
            *operand = str_slice(*usage, 1, end);
            *usage = str_slice(*usage, end + 1, usage->len);
            if (operand->len > 0 && operand->p[0] != '-' && !str_equal(*operand, STR("LIMITS")))
                return true;
            continue;
        }
        *operand = take_table_word(usage);
        if (operand->p[0] == '-')
            pass_value(usage);
        else if (operand->p[0] != '|' && operand->p[0] != '.')
            return true;
    }
    return false;
}

/* "bash|zsh|fish" names words themselves, "URI|ID" what they stand for. */
static void put_choices(struct buf *out, struct str operand)
{
    while (operand.len > 0) {
        size_t end = str_find(operand, '|');
        struct str word = str_slice(operand, 0, end);
        if (word.len > 0 && word.p[0] >= 'a' && word.p[0] <= 'z')
            put_kind_word(out, word);
        operand = str_slice(operand, end + 1, operand.len);
    }
}

void option_rows_put_operands(struct buf *out, const struct cmd *command)
{
    struct str name = str_of(command->name), usage = str_of(command->usage), operand;
    unsigned kinds = 0;

    while (next_operand(&usage, &operand)) {
        kinds |= kinds_of_word(operand);
        put_choices(out, operand);
    }
    put_kind_words(out, kinds);
    for (const struct cmd *row = cmd_sub_table; row->name != NULL; row++) {
        struct str words = str_of(row->name);
        if (str_starts_with(words, name) && words.p[name.len] == ' ')
            put_kind_word(out, str_slice(words, name.len + 1, words.len));
    }
}
