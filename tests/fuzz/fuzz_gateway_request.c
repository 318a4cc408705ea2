/* What strangers ask a gateway: a refusal has its words, what is accepted has its fields, in its
 * time. The settings file of a zone's owner is read too. */
#include <string.h>

#include "access/authorization.h"
#include "base/hex.h"
#include "fuzz.h"
#include "proto/gateway_request.h"

static void check(const struct gateway_request *r)
{
    struct err e = {0};

    if (r->call == GATEWAY_FIND_FILE || r->call == GATEWAY_INITIATE_UPLOAD)
        require(hex_is_lower(r->hash, 40));
    require(r->size >= 0);
    if (gateway_request_verify(r, r->timestamp_ms, &e) != 0)
        require((r->signature.len > 0 || r->from_client_id.len > 0) &&
                str_is_utf8(str_of(e.msg)));
    require(gateway_request_verify(r, r->timestamp_ms + GATEWAY_REQUEST_DAY_MS / 2, &e) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct gateway_request r;
    struct authorization a;
    struct buf refusal = {0};
    struct err e = {0};

    if (gateway_request_parse(&r, text, &refusal) == 0) {
        check(&r);
        gateway_request_deinit(&r);
    } else {
        require(refusal.len > 0 && !refusal.failed && str_is_utf8(buf_str(&refusal)));
    }
    if (authorization_parse(&a, text, "settings", &e) == 0) {
        (void)!authorization_may_upload(&a, "u", ERR_IGNORED);
        (void)!authorization_may_download(&a, NULL, ERR_IGNORED);
        (void)!authorization_may_administer(&a, "u", ERR_IGNORED);
        authorization_deinit(&a);
    } else {
        require(e.code != ERR_NONE && str_is_utf8(str_of(e.msg)));
    }
    buf_free(&refusal);
    return 0;
}
