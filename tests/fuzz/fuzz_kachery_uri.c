/* What the daemon accepts the user may type too, and what is put is parsed again. */
#include <string.h>

#include "base/hex.h"
#include "fuzz.h"
#include "proto/kachery_uri.h"
#include "proto/url.h"

static void check_put(const struct kachery_uri *u, struct str label)
{
    struct kachery_uri again;
    struct buf out = {0}, decoded = {0};

    kachery_uri_put(&out, u->hash, label);
    require(kachery_uri_parse(&again, buf_str(&out), KACHERY_URI_USER, ERR_IGNORED) == 0);
    require(strcmp(again.hash, u->hash) == 0);
    require(again.locations[0].len == 0 && again.locations[1].len == 0);
    require(url_put_decoded(&decoded, again.label));
    require(str_equal(buf_str(&decoded), label));
    buf_clear(&out);
    kachery_uri_put_object_key(&out, STR(""), u->hash);
    require(out.len == 54 && str_ends_with(buf_str(&out), str_of(u->hash)));
    buf_free(&out);
    buf_free(&decoded);
}

/* Whatever bytes a path has, they come back. */
static void check_put_location(const struct kachery_uri *u, struct str path)
{
    struct kachery_uri again;
    struct buf out = {0};

    kachery_uri_put(&out, u->hash, u->label);
    kachery_uri_put_location(&out, path);
    require(kachery_uri_parse(&again, buf_str(&out), KACHERY_URI_USER, ERR_IGNORED) == 0);
    require(str_equal(again.locations[again.locations[1].len > 0], path));
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct kachery_uri user, daemon;
    struct err e = {0};

    int as_user = kachery_uri_parse(&user, text, KACHERY_URI_USER, &e);
    require(as_user == 0 || (e.code == ERR_USAGE && str_is_utf8(str_of(e.msg))));
    if (kachery_uri_parse(&daemon, text, KACHERY_URI_DAEMON, &e) == 0) {
        require(as_user == 0 && strcmp(user.hash, daemon.hash) == 0);
        require(daemon.label.len == 0 && daemon.locations[0].len == 0);
        require(daemon.locations[1].len == 0);
    }
    if (as_user == 0) {
        require(hex_is_lower(str_of(user.hash), SHA1_HEX));
        check_put(&user, user.locations[0]);
        check_put_location(&user, user.locations[1]);
        check_put_location(&user, text);
        check_put(&user, user.label);
    }
    if (kachery_uri_is_name(text))
        require(str_find(text, '/') == text.len && text.len <= KACHERY_URI_MAX_NAME_BYTES);
    return 0;
}
