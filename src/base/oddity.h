/*
 * Finds bytes that a person does not see, or does not mean, in a text that a shell, an editor or a
 * web page has passed on: quotes and blanks around it, carriage returns, invisible characters, a
 * leading "~". Names the kind, never the text: it may be a secret.
 */
#ifndef BASE_ODDITY_H
#define BASE_ODDITY_H

#include <stdbool.h>

#include "base/str.h"

enum { ODDITY_SIZE = 64 };

enum oddity_kinds {
    /* look for a leading "~", for "$NAME" and "${NAME}" as the start of a name, and for file://
     * too: paths */
    ODDITY_TILDE = 1,
    ODDITY_INSIDE = 2, /* and for control and invisible characters inside: what is no path */
};

/*
 * Returns true when the text is odd, with the reason as the end of a sentence ("is in quotes",
 * "ends with a carriage return"). Always looks for a carriage return anywhere, quotes around the
 * text, and blanks and invisible characters at its ends; `kinds` adds to that.
 */
bool oddity_find(struct str text, unsigned kinds, char out[ODDITY_SIZE]);

/* Finds the next name of the path, from *at on, that starts with a variable's "$", and sets *at to
 * it. Returns false when there is none. */
bool oddity_next_variable(struct str path, size_t *at);

/* Returns the text without its odd bytes, which most likely was meant; a leading "~" stays. */
struct str oddity_strip(struct str text);

#endif
