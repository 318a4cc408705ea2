/*
 * Cures for errnos that need no path. Knows numbers and texts only, so that err.h can use it.
 */
#ifndef BASE_HINT_H
#define BASE_HINT_H

/* Returns ": …", to stand behind the errno's text, or ""; static. */
const char *hint_of(int number);

#endif
