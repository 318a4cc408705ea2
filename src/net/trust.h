/*
 * The trusted roots: found, read and indexed once, decoded when a peer names one. Loading some
 * hundred roots takes about a millisecond.
 */
#ifndef NET_TRUST_H
#define NET_TRUST_H

#include "base/err.h"
#include "net/cert.h"

enum { TRUST_MAX_FILE_BYTES = 16 << 20, TRUST_MAX_ROOTS = 20000, TRUST_MAX_DIR_FILES = 5000 };

struct trust;

/*
 * Reads SSL_CERT_FILE, SSL_CERT_DIR (several folders separated by ':'; in each the files with
 * OpenSSL's hash names, or all where there are none) and `ca_file` (NULL: none), all that are
 * given; when none is, the first bundle that exists of the usual paths of Debian, Red Hat, SUSE,
 * Alpine and Arch. ERR_FAILED when nothing was found, listing what was tried, or when a file that
 * was named cannot be read or holds no certificate. Caller frees.
 */
struct trust *trust_load(const char *ca_file, struct err *e);

/* The same from PEM text: for tests. */
struct trust *trust_parse(struct str pem, struct err *e);

void trust_free(struct trust *trust);

/*
 * The roots of this process: loaded at first use (trust_load), kept for its life and shared with
 * children that are forked later. NULL on error; the next call tries again. trust_use_file names
 * the config's caFile before that (borrowed).
 */
const struct trust *trust_of_process(struct err *e);
void trust_use_file(const char *ca_file);

/* Steps through the roots with that subject: *position begins at 0. The decoded root borrows from
 * `trust`. False when there is no more; roots that cannot be decoded are passed over. */
bool trust_find(const struct trust *trust, struct str subject, size_t *position, struct cert *root);

#endif
