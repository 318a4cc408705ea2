#include "cmd/demo_story.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"

void demo_story_line(const struct demo_story *story, const char *line)
{
    if (!story->is_quiet)
        puts(line);
}

/* A word as a shell wants it. */
static void put_shell_word(struct buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=./:,@%";

    if (*word != '\0' && strspn(word, plain) == strlen(word)) {
        buf_puts(b, word);
        return;
    }
    buf_putc(b, '\'');
    for (; *word != '\0'; word++)
        if (*word == '\'')
            buf_puts(b, "'\\''");
        else
            buf_putc(b, *word);
    buf_putc(b, '\'');
}

void demo_story_typed(const struct demo_story *story, const struct demo_place *place,
                      const char *before, const char *const *words, const char *after)
{
    struct buf line = {0}, printable = {0};

    buf_printf(&line, "  %s$ %s", place->prompt, before);
    for (; *words != NULL; words++) {
        buf_putc(&line, ' ');
        put_shell_word(&line, *words);
    }
    buf_puts(&line, after);
    fs_put_printable(&printable, buf_str(&line));
    demo_story_line(story, buf_cstr(&printable));
    buf_free(&line);
    buf_free(&printable);
}

void demo_story_place(const struct demo_story *story, const struct demo_place *place)
{
    demo_story_typed(story, place, "cd", ARGUMENTS(place->directory), "");
    if (place->environment[0] != NULL)
        demo_story_typed(story, place, "export", (const char *const *)place->environment, "");
}

void demo_story_result(const struct demo_story *story, struct str output, int64_t took_ms,
                       int64_t bytes)
{
    double seconds = (double)took_ms / 1000;

    if (story->is_quiet)
        return;
    while (output.len > 0) {
        size_t end = str_find(output, '\n');
        printf("  %.*s\n", STR_ARG(str_slice(output, 0, end)));
        output = str_slice(output, end + 1, output.len);
    }
    if (bytes > 0 && took_ms > 0)
        printf("    (%.2f s, %.0f MB/s)\n", seconds, (double)bytes / 1e6 / seconds);
    else
        printf("    (%.2f s)\n", seconds);
}
