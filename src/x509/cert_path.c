#include "x509/cert_path.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "x509/cert_name.h"

/* For a root that is not known. */
#define CURE " (SSL_CERT_FILE names a file of those to trust; a daemon's config, caFile)"
#define OTHER_ROOT " that is trusted: is that an older one of the same name?" CURE

/* Steps of one round of the search: a bound on what a peer's certificates can make us do. */
enum { MAX_STEPS = 5000 };

enum verdict { UNKNOWN, SIGNED, NOT_SIGNED, NO_ISSUER };

/* The search's state. path[0] is the peer's own certificate; each next one is its issuer. */
struct path_search {
    struct cert sent[CERT_PATH_MAX_SENT];
    size_t sent_count;
    unsigned char signed_by[CERT_PATH_MAX_SENT][CERT_PATH_MAX_SENT]; /* enum verdict */
    unsigned char signed_by_root[CERT_PATH_MAX_SENT];
    const struct cert *path[CERT_PATH_MAX_LENGTH + 1];
    size_t length;
    const struct trust *trust;
    int64_t now_s;
    bool is_explaining;
    unsigned signatures_left, comparisons_left, steps_left;
    struct err best; /* the most telling failure: that of the longest path */
    size_t best_length;
    bool best_has_root;
};

/* Keeps the failure that came closest to a valid path. */
static void note_path_failure(struct path_search *s, const struct err *e, bool has_root)
{
    if (s->best.code != ERR_NONE && (has_root < s->best_has_root ||
                                     (has_root == s->best_has_root && s->length <= s->best_length)))
        return;
    err_copy(&s->best, e);
    s->best_length = s->length;
    s->best_has_root = has_root;
}

static void format_day(int64_t seconds, char out[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, 32, "an odd date");
}

static int check_validity(const struct cert *c, int64_t now_s, struct err *e)
{
    char day[32], now[32];

    format_day(now_s, now);
    if (now_s < c->not_before_s) {
        format_day(c->not_before_s, day);
        return err_set(e, ERR_REFUSED, "not yet valid: begins %s, and this host's clock says %s",
                       day, now);
    }
    if (now_s > c->not_after_s) {
        format_day(c->not_after_s, day);
        return err_set(e, ERR_REFUSED, "expired since %s, and this host's clock says %s", day, now);
    }
    return 0;
}

static int check_any_cert(const struct path_search *s, const struct cert *c, struct err *e)
{
    if (trust_rejects(s->trust, c->der))
        return err_set(e, ERR_REFUSED,
                       "is marked as not to be trusted for servers (by the trust settings of a "
                       "TRUSTED CERTIFICATE among the trusted roots)");
    if (c->has_unknown_critical)
        return err_set(e, ERR_REFUSED, "has a critical extension that is not supported");
    return check_validity(c, s->now_s, e);
}

/* A certificate that signs others. A root of version 1 has no extensions that show it. */
static int check_authority(const struct cert *c, bool is_root, struct err *e)
{
    bool is_old_root = is_root && c->version < 3;

    if (!is_old_root && !c->is_ca)
        return err_set(e, ERR_REFUSED, "is no certificate authority");
    if (c->has_key_usage && !(c->key_usage & CERT_USAGE_CERT_SIGN))
        return err_set(e, ERR_REFUSED, "wrong usage: it may not sign certificates");
    if (c->has_extended_usage && !c->allows_server_auth && !c->allows_any_usage)
        return err_set(e, ERR_REFUSED, "wrong usage: it may not sign for servers");
    if (cert_name_is_empty(c->subject))
        return err_set(e, ERR_REFUSED, "is an authority without a name");
    return cert_check_key(c, e);
}

static int check_leaf(const struct cert *c, struct err *e)
{
    if (c->has_extended_usage && !c->allows_server_auth)
        return err_set(e, ERR_REFUSED,
                       "wrong usage: certificate is not for servers (no serverAuth)");
    if (c->has_constraints && !c->is_ca)
        return err_set(e, ERR_REFUSED,
                       "wrong usage: certificate of a server has name constraints of its own");
    if (c->has_key_usage &&
        !(c->key_usage &
          (CERT_USAGE_DIGITAL_SIGNATURE | CERT_USAGE_KEY_ENCIPHERMENT | CERT_USAGE_KEY_AGREEMENT)))
        return err_set(e, ERR_REFUSED, "wrong usage: its key may not be used for TLS");
    return cert_check_key(c, e);
}

static bool is_self_issued(const struct cert *c)
{
    return cert_name_is_equal(c->issuer, c->subject);
}

/* RFC 5280 §6.1.4 (l)-(m): self-issued intermediates do not count. path[at] is the authority. */
static int check_path_length(const struct path_search *s, size_t at, struct err *e)
{
    int below = 0;

    if (s->path[at]->path_length < 0)
        return 0;
    for (size_t i = 1; i < at; i++)
        below += !is_self_issued(s->path[i]);
    if (below <= s->path[at]->path_length)
        return 0;
    return err_set(e, ERR_REFUSED,
                   "chain is longer than its authority allows (%d below, %d allowed)", below,
                   s->path[at]->path_length);
}

/* RFC 5280 §6.1.3 (b)-(c): all names below, but for self-issued intermediates. */
static int check_constraints(struct path_search *s, size_t at, struct err *e)
{
    for (size_t i = 0; i < at; i++)
        if ((i == 0 || !is_self_issued(s->path[i])) &&
            cert_name_check_constraints(s->path[at], s->path[i], &s->comparisons_left, e) != 0)
            return -1;
    return 0;
}

/* path[at] with all that is below it; its signature on path[at - 1] is already checked. */
static int check_path_link(struct path_search *s, size_t at, bool is_root, struct err *e)
{
    const struct cert *c = s->path[at];
    struct buf name = {0};

    if (check_any_cert(s, c, e) == 0 && (at == 0 || check_authority(c, is_root, e) == 0) &&
        check_path_length(s, at, e) == 0 && check_constraints(s, at, e) == 0)
        return 0;
    if (at > 0) {
        cert_name_put(&name, c->subject);
        err_wrap(e, "%s %s", is_root ? "root" : "intermediate", buf_cstr(&name));
        buf_free(&name);
    }
    return -1;
}

/* A whole path, root included as path[length - 1]. When searching, what is below the root was
 * checked on the way. */
static int check_whole_path(struct path_search *s, struct err *e)
{
    for (size_t at = s->is_explaining ? 0 : s->length - 1; at < s->length; at++)
        if (check_path_link(s, at, at == s->length - 1, e) != 0)
            return -1;
    return 0;
}

static bool is_in_path(const struct path_search *s, const struct cert *c)
{
    for (size_t i = 0; i < s->length; i++)
        if (str_equal(s->path[i]->der, c->der))
            return true;
    return false;
}

static bool is_signed_by(struct path_search *s, const struct cert *c, const struct cert *issuer,
                         const char *cure)
{
    struct buf name = {0};
    struct err e = {0};

    if (s->signatures_left == 0)
        return false;
    s->signatures_left--;
    if (cert_check_signature(c, issuer, &e) == 0)
        return true;
    if (e.code == ERR_CHANGED) { /* not made with that key */
        cert_name_put(&name, c->issuer);
        err_set(&e, ERR_REFUSED, "signature is wrong: not made with the key of the %s%s",
                buf_cstr(&name), cure);
        buf_free(&name);
    }
    note_path_failure(s, &e, false);
    return false;
}

/* The same for two that were sent: each pair is computed once, on however many paths it lies. */
static bool is_signed_by_sent(struct path_search *s, const struct cert *c,
                              const struct cert *issuer)
{
    unsigned char *known = &s->signed_by[c - s->sent][issuer - s->sent];

    if (*known == UNKNOWN)
        *known = is_signed_by(s, c, issuer, " that was sent") ? SIGNED : NOT_SIGNED;
    return *known == SIGNED;
}

static bool try_root(struct path_search *s, const struct cert *root)
{
    struct err e = {0};

    s->path[s->length++] = root;
    bool is_valid = check_whole_path(s, &e) == 0;
    if (!is_valid)
        note_path_failure(s, &e, true);
    s->length--;
    return is_valid;
}

static void note_unknown_issuer(struct path_search *s, const struct cert *c)
{
    struct err e = {0};
    struct buf name = {0};

    cert_name_put(&name, c->issuer);
    if (is_self_issued(c))
        err_set(&e, ERR_REFUSED, "%s is signed by itself and not among the trusted roots" CURE,
                s->length == 1 ? "certificate" : buf_cstr(&name));
    else
        err_set(&e, ERR_REFUSED, "unknown issuer %s: not among the trusted roots" CURE,
                buf_cstr(&name));
    buf_free(&name);
    note_path_failure(s, &e, false);
}

/* Does a root end the path? Only failures are remembered. */
static bool search_roots(struct path_search *s)
{
    const struct cert *last = s->path[s->length - 1];
    unsigned char *known = &s->signed_by_root[last - s->sent];
    struct cert root;

    if (*known == NO_ISSUER || *known == NOT_SIGNED)
        return false;
    *known = NO_ISSUER;
    for (size_t i = 0; trust_find(s->trust, last->issuer, &i, &root);) {
        bool is_signed =
            !str_equal(root.der, last->der) && is_signed_by(s, last, &root, OTHER_ROOT);
        if (is_signed || *known != SIGNED)
            *known = is_signed ? SIGNED : NOT_SIGNED;
        if (is_signed && try_root(s, &root))
            return true;
    }
    return false;
}

/* Does path[length - 1] lead to a root? Depth first; recursion is bounded by CERT_PATH_MAX_LENGTH.
 * While searching, unusable certificates are left out; while explaining, they are gone through to
 * see whether they alone are what is wrong. */
static bool search_up(struct path_search *s)
{
    const struct cert *last = s->path[s->length - 1];
    struct err ignored;

    if (s->steps_left == 0)
        return false;
    s->steps_left--;
    if (search_roots(s))
        return true;
    bool has_issuer = s->signed_by_root[last - s->sent] != NO_ISSUER;
    for (size_t i = 1; i < s->sent_count && s->length < CERT_PATH_MAX_LENGTH; i++) {
        const struct cert *issuer = &s->sent[i];
        if (!cert_name_is_equal(issuer->subject, last->issuer) || is_in_path(s, issuer))
            continue;
        has_issuer = true;
        if (!is_signed_by_sent(s, last, issuer))
            continue;
        s->path[s->length++] = issuer;
        bool is_found =
            (s->is_explaining || check_path_link(s, s->length - 1, false, &ignored) == 0) &&
            search_up(s);
        s->length--;
        if (is_found)
            return true;
    }
    if (!has_issuer)
        note_unknown_issuer(s, last);
    return false;
}

/* Two rounds: the first finds a good path if there is one, the second the reason why not. */
static bool search_path(struct path_search *s, struct err *e)
{
    for (int round = 0; round < 2; round++) {
        s->is_explaining = round == 1;
        s->steps_left = MAX_STEPS;
        s->comparisons_left = CERT_NAME_MAX_COMPARISONS;
        if (search_up(s))
            return true;
    }
    if (s->best.code == ERR_NONE)
        err_set(e, ERR_REFUSED, "no way to a trusted root was found among %zu certificates",
                s->sent_count);
    else
        err_copy(e, &s->best);
    return false;
}

/* A certificate that is itself among the roots: a lab's self-signed server. */
static bool is_trusted_itself(const struct path_search *s)
{
    struct cert root;

    for (size_t i = 0; trust_find(s->trust, s->sent[0].subject, &i, &root);)
        if (str_equal(root.der, s->sent[0].der))
            return true;
    return false;
}

static int parse_sent(struct path_search *s, const struct str *sent, size_t count, struct err *e)
{
    if (count == 0)
        return err_set(e, ERR_PROTOCOL, "peer sent no certificate");
    if (count > CERT_PATH_MAX_SENT)
        return err_set(e, ERR_TOO_LARGE, "peer sent %zu certificates (at most %d)", count,
                       CERT_PATH_MAX_SENT);
    if (cert_parse(&s->sent[0], sent[0], e) != 0)
        return -1;
    s->sent_count = 1;
    for (size_t i = 1; i < count; i++)
        if (cert_parse(&s->sent[s->sent_count], sent[i], ERR_IGNORED) == 0)
            s->sent_count++;
    return 0;
}

int cert_path_verify(const struct str *sent, size_t count, const struct trust *trust,
                     struct str host, int64_t now_s, struct cert *leaf, struct err *e)
{
    struct path_search s = {
        .trust = trust, .now_s = now_s, .signatures_left = CERT_PATH_MAX_SIGNATURES};

    if (parse_sent(&s, sent, count, e) != 0)
        return -1;
    s.path[s.length++] = &s.sent[0];
    if (check_any_cert(&s, &s.sent[0], e) != 0)
        return err_wrap(e, "certificate");
    if (check_leaf(&s.sent[0], e) != 0)
        return -1;
    if (!is_trusted_itself(&s) && !search_path(&s, e))
        return -1;
    if (cert_name_check_host(&s.sent[0], host, e) != 0)
        return -1;
    *leaf = s.sent[0];
    return 0;
}
