/*
 * The trusted roots: found, read and indexed once, decoded when a peer names one. Loading some
 * hundred roots takes about a millisecond.
 */
#ifndef X509_TRUST_H
#define X509_TRUST_H

#include "base/buf.h"
#include "base/err.h"
#include "x509/cert.h"

enum { TRUST_MAX_FILE_BYTES = 16 << 20, TRUST_MAX_ROOTS = 20000, TRUST_MAX_DIR_FILES = 5000 };

struct trust;

/*
 * Returns the roots of this process: loaded at first use, kept for its life and shared with
 * children that are forked later. NULL on error; the next call tries again. Reads SSL_CERT_FILE
 * (without it CURL_CA_BUNDLE, without that REQUESTS_CA_BUNDLE, each a file or a folder),
 * SSL_CERT_DIR (several folders separated by ':'; in each the files with OpenSSL's hash names, or
 * all where there are none) and the file of trust_use_file, all that are given; when none is, the
 * first bundle that exists of the usual paths of Debian, Red Hat, SUSE, Alpine and Arch. ERR_FAILED
 * when nothing was found, listing what was tried, or when a file that was named cannot be read or
 * holds no certificate.
 */
const struct trust *trust_of_process(struct err *e);

/* Adds one more file, before the first trust_of_process; `what` names it in messages. Both are
 * borrowed. */
void trust_use_file(const char *what, const char *path);

/* Appends the number of roots and where they were read: "2 roots of caFile /x/root.pem". */
void trust_put_origin(const struct trust *trust, struct buf *out);

/* Parses roots from PEM text, for tests. Caller frees. */
struct trust *trust_parse(struct str pem, struct err *e);
void trust_free(struct trust *trust);

/* Steps through the roots with that subject: *position begins at 0. The decoded root borrows from
 * `trust`. Returns false when there is no more; passes over roots that cannot be decoded. Rejected
 * roots (trust_rejects) are among them, so that an error can name the reason. */
bool trust_find(const struct trust *trust, struct str subject, size_t *position, struct cert *root);

/* Returns true when the trust settings of a "TRUSTED CERTIFICATE" block (OpenSSL's X509_CERT_AUX)
 * forbid that certificate for TLS servers: serverAuth or anyExtendedKeyUsage is in its reject list,
 * or not in its trust list, or the settings are malformed. That holds for every copy of the
 * certificate, also for one that a peer sends. */
bool trust_rejects(const struct trust *trust, struct str der);

#endif
