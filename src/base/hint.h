/*
 * What helps against an errno, whatever it was for. Knows numbers and texts only, so that the
 * errors themselves (err.h) can use it.
 */
#ifndef BASE_HINT_H
#define BASE_HINT_H

/* ": …", to stand behind the errno's text, or "". */
const char *hint_of(int number);

#endif
