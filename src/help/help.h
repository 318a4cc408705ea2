/*
 * The topics of `help`: texts that are compiled in, so that they travel with the program. Each is
 * a file of this folder, plain ASCII of at most 80 columns, in a form that roff.h can read too.
 */
#ifndef HELP_HELP_H
#define HELP_HELP_H

struct help_topic {
    const char *name;
    const char *summary; /* one line, for the list */
    const char *text;
};

/* All topics in the order of the list; the last row has no name. */
extern const struct help_topic help_topics[];

/* Returns the topic of that name, or the last row, which has no name. */
const struct help_topic *help_find(const char *name);

/* The parts of a shell's completion that are the same whatever the commands are. */
extern const char *const help_completion_bash, *const help_completion_zsh;
extern const char *const help_completion_fish;

#endif
