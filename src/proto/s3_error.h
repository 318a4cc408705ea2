/* The XML document with which S3 and its likes refuse to return or to take an object. */
#ifndef PROTO_S3_ERROR_H
#define PROTO_S3_ERROR_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { S3_ERROR_MAX_REASON_BYTES = 160 /* of each part, in a message */ };

/* Appends the document; the code is one of S3's ("NoSuchKey"). */
void s3_error_put(struct buf *out, const char *code, struct str message);

/* Returns whether the page is such a document: it has a code. */
bool s3_error_has_code(struct str page);

/* Appends "CODE: MESSAGE" of the document, or a plain text's first line; nothing of any other page.
 * Fit for a message. */
void s3_error_put_reason(struct buf *out, struct str page);

/* Returns the kind of the error, by the status and the page: ERR_NOT_FOUND for 404; ERR_NETWORK for
 * troubles that may pass (408, 429, 5xx but 507, and the 400 RequestTimeout); else ERR_REFUSED. */
enum err_code s3_error_kind(int status, struct str page);

#endif
