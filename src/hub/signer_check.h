/* Whether a client that signs what a file is may be believed: it is registered in the zone now, and
 * may upload there. */
#ifndef HUB_SIGNER_CHECK_H
#define HUB_SIGNER_CHECK_H

#include "access/zone_files.h"
#include "proxy/relay.h"

/* Begins a check, and ends one, as relay_options.check_signer and cancel_check; `owner` is the
 * struct bucket in which clients are looked up. ERR_REFUSED is the answer for a client that may not
 * sign. */
void signer_check(void *owner, const struct zone *zone, struct str client_id,
                  struct relay_check *check);
void signer_check_cancel(void *owner, struct relay_check *check);

#endif
