/*
 * Names in certificates: distinguished names, host names (RFC 6125, RFC 9525), addresses, and name
 * constraints (RFC 5280 §4.2.1.10). The common name is never looked at.
 */
#ifndef X509_CERT_NAME_H
#define X509_CERT_NAME_H

#include "base/buf.h"
#include "x509/cert.h"
#include "x509/der.h"

/* Comparisons that the name constraints of one path may cost: a bound on the work that a peer can
 * cause. */
enum { CERT_NAME_MAX_COMPARISONS = 100000 };

/* Returns true for distinguished names (whole SEQUENCEs) that are equal byte for byte or, per
 * attribute, after folding ASCII case and runs of spaces (RFC 5280 §7.1). */
bool cert_name_is_equal(struct str a, struct str b);

/* Returns true when the RDNs of `prefix` are the first RDNs of `name`; both are contents of
 * SEQUENCEs. */
bool cert_name_is_prefix(struct str prefix, struct str name);

/* Returns true for a SEQUENCE without content. */
bool cert_name_is_empty(struct str name);

/* Appends a distinguished name for people: "CN=…, O=…"; at most 120 bytes, controls as \xHH. */
void cert_name_put(struct buf *out, struct str name);

/* GeneralName tags, RFC 5280 §4.2.1.6. */
enum {
    CERT_NAME_EMAIL = DER_CONTEXT + 1,
    CERT_NAME_DNS = DER_CONTEXT + 2,
    CERT_NAME_DIRECTORY = DER_CONTEXT_CONSTRUCTED + 4,
    CERT_NAME_URI = DER_CONTEXT + 6,
    CERT_NAME_IP = DER_CONTEXT + 7
};

/* Appends one GeneralName for people. */
void cert_name_put_general(struct buf *out, const struct der_item *name);

/* Returns 0 when the certificate is for this host (a name, or an IPv4 or IPv6 literal), else -1
 * with ERR_REFUSED, which names the host and the certificate's names. */
int cert_name_check_host(const struct cert *cert, struct str host, struct err *e);

/* Returns 0 when the names of `subject` are within the name constraints of `authority`, else -1
 * with ERR_REFUSED and the name; also for a name that cannot be judged though there are constraints
 * for its kind, and for malformed constraints. *budget is the rest of CERT_NAME_MAX_COMPARISONS. */
int cert_name_check_constraints(const struct cert *authority, const struct cert *subject,
                                unsigned *budget, struct err *e);

#endif
