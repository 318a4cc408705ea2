/*
 * How the demo tells what it does: commands as one would type them at each place, what they printed
 * and how long it took. Used by demo.c alone.
 */
#ifndef CMD_DEMO_STORY_H
#define CMD_DEMO_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { DEMO_MAX_VARIABLES = 4 };

struct demo_story {
    bool is_quiet; /* nothing is told */
};

/* One of the three parties: its folder, environment and prompt. */
struct demo_place {
    const char *prompt;
    char *directory;
    char *environment[DEMO_MAX_VARIABLES + 1]; /* "NAME=value"; NULL ends it */
};

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Prints a line of the story. */
void demo_story_line(const struct demo_story *story, const char *line);

/* Prints a command as it would be typed there: `before`, the words (NULL ends them), `after`. */
void demo_story_typed(const struct demo_story *story, const struct demo_place *place,
                      const char *before, const char *const *words, const char *after);

/* Prints the environment that a user sets up first there. */
void demo_story_place(const struct demo_story *story, const struct demo_place *place);

/* Prints the output of a command and its time; with `bytes` the rate too. */
void demo_story_result(const struct demo_story *story, struct str output, int64_t took_ms,
                       int64_t bytes);

#endif
