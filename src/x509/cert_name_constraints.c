/* cert_name.h's name constraints, RFC 5280 §4.2.1.10. */
#include <string.h>

#include "proto/addr.h"
#include "x509/cert_name.h"
#include "x509/der.h"

#define OID_EMAIL_ADDRESS STR("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01")

/* How one name and one subtree stand to each other. */
enum relation { OUTSIDE, WITHIN, UNCLEAR };

static bool ends_nocase(struct str s, struct str end)
{
    return s.len >= end.len && str_equal_nocase(str_slice(s, s.len - end.len, s.len), end);
}

/* Labels of printable ASCII, none of them empty; no '*'. */
static bool is_domain(struct str s)
{
    char before = '.';

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '*' || (s.p[i] == '.' && before == '.'))
            return false;
        before = s.p[i];
    }
    return before != '.';
}

static struct str cut_start(struct str s, struct str start)
{
    return str_starts_with(s, start) ? str_slice(s, start.len, s.len) : s;
}

/* A leading dot leaves the domain itself out. */
static bool is_dns_within(struct str subtree, struct str name)
{
    if (subtree.len == 0 || str_equal_nocase(name, subtree))
        return true;
    if (name.len <= subtree.len || !ends_nocase(name, subtree))
        return false;
    return subtree.p[0] == '.' || name.p[name.len - subtree.len - 1] == '.';
}

/* Could a wildcard stand for something inside the subtree? *.example.com covers a.example.com. */
static bool is_dns_touching(struct str subtree, struct str name)
{
    size_t label = str_find(subtree, '.');

    return is_dns_within(subtree, name) ||
           (str_starts_with(name, STR("*.")) && label < subtree.len &&
            str_equal_nocase(str_slice(subtree, label, subtree.len), str_slice(name, 1, name.len)));
}

static enum relation relate_dns(struct str subtree, struct str name, bool is_exclusion)
{
    if (name.len == 0 || !is_domain(cut_start(name, STR("*."))))
        return UNCLEAR;
    return is_exclusion ? is_dns_touching(subtree, name) : is_dns_within(subtree, name);
}

/* Constraint: address and mask, 8 or 32 bytes. */
static enum relation relate_address(struct str subtree, struct str address)
{
    if (address.len != 4 && address.len != 16)
        return UNCLEAR;
    if (subtree.len != 2 * address.len)
        return OUTSIDE;
    for (size_t i = 0; i < address.len; i++)
        if ((address.p[i] ^ subtree.p[i]) & subtree.p[address.len + i])
            return OUTSIDE;
    return WITHIN;
}

static enum relation relate_directory(struct str subtree, struct str name)
{
    struct str prefix, content;

    if (!der_take(&subtree, DER_SEQUENCE, &prefix) || !der_take(&name, DER_SEQUENCE, &content))
        return UNCLEAR;
    return cert_name_is_prefix(prefix, content) ? WITHIN : OUTSIDE;
}

/* "host", or ".domain" for the hosts below it. */
static bool is_host_within(struct str subtree, struct str host)
{
    if (subtree.len == 0)
        return true;
    if (subtree.p[0] == '.')
        return host.len > subtree.len && ends_nocase(host, subtree);
    return str_equal_nocase(host, subtree);
}

static size_t find_last(struct str s, char c)
{
    size_t i = s.len;

    while (i > 0 && s.p[i - 1] != c)
        i--;
    return i > 0 ? i - 1 : s.len;
}

/* A mailbox, or a host or domain; the part before the '@' is compared exactly. */
static enum relation relate_email(struct str subtree, struct str name)
{
    size_t at = find_last(name, '@'), at_subtree = find_last(subtree, '@');
    struct str host = str_slice(name, at + 1, name.len);

    if (at == 0 || at >= name.len || !is_domain(host))
        return UNCLEAR;
    if (at_subtree == subtree.len)
        return is_host_within(subtree, host) ? WITHIN : OUTSIDE;
    return str_equal(str_slice(name, 0, at), str_slice(subtree, 0, at_subtree)) &&
                   str_equal_nocase(host, str_slice(subtree, at_subtree + 1, subtree.len))
               ? WITHIN
               : OUTSIDE;
}

/* Judges a URI by its host alone; a URI without one, or with an address, cannot be judged. */
static enum relation relate_uri(struct str subtree, struct str uri)
{
    size_t start = 0, end;
    struct addr addr;

    while (start < uri.len && !str_starts_with(str_slice(uri, start, uri.len), STR("://")))
        start++;
    struct str host = str_slice(uri, start + 3, uri.len);
    for (end = 0; end < host.len && strchr("/?#", host.p[end]) == NULL; end++)
        continue;
    host = str_slice(host, 0, end);
    size_t at = find_last(host, '@');
    host = str_slice(host, at < host.len ? at + 1 : 0, host.len);
    host = str_slice(host, 0, str_find(host, ':'));
    if (host.len == 0 || !is_domain(host) || addr_parse_literal(host, 0, &addr))
        return UNCLEAR;
    return is_host_within(subtree, host) ? WITHIN : OUTSIDE;
}

static enum relation relate_name(const struct der_item *subtree, const struct der_item *name,
                                 bool is_exclusion)
{
    switch (subtree->tag) {
    case CERT_NAME_DNS: return relate_dns(subtree->value, name->value, is_exclusion);
    case CERT_NAME_IP: return relate_address(subtree->value, name->value);
    case CERT_NAME_DIRECTORY: return relate_directory(subtree->value, name->value);
    case CERT_NAME_EMAIL: return relate_email(subtree->value, name->value);
    case CERT_NAME_URI: return relate_uri(subtree->value, name->value);
    default: return UNCLEAR;
    }
}

/* An address of 4 or 16 bytes and a mask whose ones are all in front. */
static bool is_network(struct str s)
{
    size_t half = s.len / 2;
    bool has_ended = false;

    if (s.len != 8 && s.len != 32)
        return false;
    for (size_t bit = 0; bit < 8 * half; bit++) {
        bool is_one = ((unsigned char)s.p[half + bit / 8] & 0x80 >> bit % 8) != 0;
        if (is_one && has_ended)
            return false;
        has_ended |= !is_one;
    }
    return true;
}

static bool is_well_formed(const struct der_item *base)
{
    struct str in = base->value;

    switch (base->tag) {
    case CERT_NAME_DNS: return in.len == 0 || is_domain(cut_start(in, STR(".")));
    case CERT_NAME_IP: return is_network(in);
    case CERT_NAME_DIRECTORY: return der_take(&in, DER_SEQUENCE, NULL) && in.len == 0;
    default: return true;
    }
}

/* One of the two lists: not empty, and nothing but bases in it (minimum and maximum are absent). */
static bool is_list_well_formed(struct str list, unsigned *budget)
{
    struct str subtree;
    struct der_item base;

    if (list.len == 0)
        return false;
    while (list.len > 0) {
        if (*budget == 0 || !der_take(&list, DER_SEQUENCE, &subtree) ||
            !der_next(&subtree, &base) || subtree.len > 0 || !is_well_formed(&base))
            return false;
        --*budget;
    }
    return true;
}

/* The subtrees of one authority. */
struct limits {
    struct str permitted, excluded; /* contents of GeneralSubtrees; empty when absent */
};

static bool read_limits(struct str in, struct limits *out, unsigned *budget)
{
    *out = (struct limits){{0}, {0}};
    bool has_permitted = der_take(&in, DER_CONTEXT_CONSTRUCTED + 0, &out->permitted);
    bool has_excluded = der_take(&in, DER_CONTEXT_CONSTRUCTED + 1, &out->excluded);

    return in.len == 0 && (has_permitted || has_excluded) &&
           (!has_permitted || is_list_well_formed(out->permitted, budget)) &&
           (!has_excluded || is_list_well_formed(out->excluded, budget));
}

struct verdict {
    bool is_constrained, is_permitted, is_excluded, is_unclear;
};

/* Judges one name against one list. False when the budget is used up. */
static bool judge_name_by_list(struct str list, const struct der_item *name, bool is_exclusion,
                               unsigned *budget, struct verdict *v)
{
    struct str subtree;
    struct der_item base;

    while (der_take(&list, DER_SEQUENCE, &subtree) && der_next(&subtree, &base)) {
        if (*budget == 0)
            return false;
        --*budget;
        if (base.tag != name->tag)
            continue;
        enum relation relation = relate_name(&base, name, is_exclusion);
        v->is_unclear |= relation == UNCLEAR;
        v->is_constrained |= !is_exclusion;
        if (relation == WITHIN)
            *(is_exclusion ? &v->is_excluded : &v->is_permitted) = true;
    }
    return true;
}

static int refuse_limits(struct err *e)
{
    return err_set(e, ERR_REFUSED, "issuer's name constraints are malformed or too many");
}

static int check_name_limits(const struct limits *limits, const struct der_item *name,
                             unsigned *budget, struct err *e)
{
    struct verdict v = {0};
    struct buf shown = {0};

    if (!judge_name_by_list(limits->permitted, name, false, budget, &v) ||
        !judge_name_by_list(limits->excluded, name, true, budget, &v))
        return refuse_limits(e);
    if (!v.is_unclear && !v.is_excluded && (v.is_permitted || !v.is_constrained))
        return 0;
    cert_name_put_general(&shown, name);
    err_set(e, ERR_REFUSED, "name %s is %s its issuer's name constraints", buf_cstr(&shown),
            v.is_unclear ? "not to be judged by" : "outside of");
    buf_free(&shown);
    return -1;
}

/* The subject, and the mail addresses that older certificates have in it. */
static int check_subject(const struct limits *limits, struct str subject, unsigned *budget,
                         struct err *e)
{
    const struct der_item whole = {CERT_NAME_DIRECTORY, subject, subject};
    struct str rdn, attribute, type;
    struct der_item value;

    if (cert_name_is_empty(subject))
        return 0;
    if (check_name_limits(limits, &whole, budget, e) != 0)
        return -1;
    der_take(&subject, DER_SEQUENCE, &subject);
    while (der_take(&subject, DER_SET, &rdn))
        while (der_take(&rdn, DER_SEQUENCE, &attribute)) {
            if (!der_take(&attribute, DER_OID, &type) || !str_equal(type, OID_EMAIL_ADDRESS) ||
                !der_next(&attribute, &value))
                continue;
            value.tag = CERT_NAME_EMAIL;
            if (check_name_limits(limits, &value, budget, e) != 0)
                return -1;
        }
    return 0;
}

int cert_name_check_constraints(const struct cert *authority, const struct cert *subject,
                                unsigned *budget, struct err *e)
{
    struct str names = subject->alt_names;
    struct der_item name;
    struct limits limits;

    if (!authority->has_constraints)
        return 0;
    if (!read_limits(authority->constraints, &limits, budget))
        return refuse_limits(e);
    if (check_subject(&limits, subject->subject, budget, e) != 0)
        return -1;
    while (der_next(&names, &name))
        if (check_name_limits(&limits, &name, budget, e) != 0)
            return -1;
    return 0;
}
