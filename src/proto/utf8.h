/* UTF-8 (RFC 3629) checked while it arrives, in pieces that may cut characters. Sans-I/O. */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>

#include "base/str.h"

/* All zeros at the start of a text. */
struct utf8 {
    unsigned char left;      /* bytes still to come of the character begun */
    unsigned char low, high; /* the range of the next of them */
};

/* Takes the next piece. Returns false as soon as no continuation could make the text
 * well-formed. */
bool utf8_check(struct utf8 *u, struct str piece);

/* Returns true when the text may end here. */
bool utf8_is_complete(const struct utf8 *u);

#endif
