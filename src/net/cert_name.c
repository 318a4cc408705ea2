#include "net/cert_name.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/fs.h"
#include "net/addr.h"
#include "net/der.h"

enum { MAX_SHOWN_BYTES = 120, MAX_NAME_BYTES = 253 };

/* GeneralName tags, RFC 5280 §4.2.1.6. */
enum {
    GENERAL_EMAIL = DER_CONTEXT + 1,
    GENERAL_DNS = DER_CONTEXT + 2,
    GENERAL_DIRECTORY = DER_CONTEXT_CONSTRUCTED + 4,
    GENERAL_URI = DER_CONTEXT + 6,
    GENERAL_IP = DER_CONTEXT + 7
};

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static struct str trim_spaces(struct str s)
{
    while (s.len > 0 && s.p[0] == ' ')
        s = str_slice(s, 1, s.len);
    while (s.len > 0 && s.p[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* Equal but for ASCII case, outer spaces, and the length of inner runs of spaces. */
static bool is_text_equal(struct str a, struct str b)
{
    size_t i = 0, k = 0;

    a = trim_spaces(a);
    b = trim_spaces(b);
    while (i < a.len && k < b.len) {
        if (fold(a.p[i]) != fold(b.p[k]))
            return false;
        if (a.p[i] == ' ') {
            while (i + 1 < a.len && a.p[i + 1] == ' ')
                i++;
            while (k + 1 < b.len && b.p[k + 1] == ' ')
                k++;
        }
        i++;
        k++;
    }
    return i == a.len && k == b.len;
}

static bool is_byte_text(unsigned tag)
{
    return tag == DER_UTF8_STRING || tag == DER_PRINTABLE_STRING || tag == DER_IA5_STRING;
}

/* One AttributeTypeAndValue each. */
static bool is_attribute_equal(struct str a, struct str b)
{
    struct str type_a, type_b;
    struct der_item value_a, value_b;

    if (!der_take(&a, DER_SEQUENCE, &a) || !der_take(&b, DER_SEQUENCE, &b) ||
        !der_take(&a, DER_OID, &type_a) || !der_take(&b, DER_OID, &type_b) ||
        !str_equal(type_a, type_b) || !der_next(&a, &value_a) || !der_next(&b, &value_b))
        return false;
    if (is_byte_text(value_a.tag) && is_byte_text(value_b.tag))
        return is_text_equal(value_a.value, value_b.value);
    return str_equal(value_a.whole, value_b.whole);
}

/* Two RDNs (contents of their SETs), in the order in which DER keeps their attributes. */
static bool is_rdn_equal(struct str a, struct str b)
{
    struct der_item item_a, item_b;

    while (a.len > 0 && b.len > 0)
        if (!der_next(&a, &item_a) || !der_next(&b, &item_b) ||
            !is_attribute_equal(item_a.whole, item_b.whole))
            return false;
    return a.len == b.len;
}

/* True when the RDNs of `prefix` are the first ones of `name`; both are contents of SEQUENCEs. */
static bool is_name_prefix(struct str prefix, struct str name)
{
    struct str rdn_a, rdn_b;

    while (prefix.len > 0)
        if (!der_take(&prefix, DER_SET, &rdn_a) || !der_take(&name, DER_SET, &rdn_b) ||
            !is_rdn_equal(rdn_a, rdn_b))
            return false;
    return true;
}

static size_t count_items(struct str in)
{
    struct der_item item;
    size_t n = 0;

    while (der_next(&in, &item))
        n++;
    return n;
}

bool cert_name_is_equal(struct str a, struct str b)
{
    struct str in_a, in_b;

    if (str_equal(a, b))
        return true;
    return der_take(&a, DER_SEQUENCE, &in_a) && der_take(&b, DER_SEQUENCE, &in_b) &&
           count_items(in_a) == count_items(in_b) && is_name_prefix(in_a, in_b);
}

bool cert_name_is_empty(struct str name)
{
    struct str content;

    return der_take(&name, DER_SEQUENCE, &content) && content.len == 0;
}

static const char *attribute_name(struct str type)
{
    static const struct {
        struct str oid;
        const char *name;
    } known[] = {{{"\x55\x04\x03", 3}, "CN"}, {{"\x55\x04\x0a", 3}, "O"},
                 {{"\x55\x04\x0b", 3}, "OU"}, {{"\x55\x04\x06", 3}, "C"},
                 {{"\x55\x04\x08", 3}, "ST"}, {{"\x55\x04\x07", 3}, "L"}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_equal(known[i].oid, type))
            return known[i].name;
    return NULL;
}

void cert_name_put(struct buf *out, struct str name)
{
    struct str rdn, attribute, type;
    struct der_item value;
    size_t start = out->len;

    der_take(&name, DER_SEQUENCE, &name);
    while (der_take(&name, DER_SET, &rdn))
        while (der_take(&rdn, DER_SEQUENCE, &attribute)) {
            if (!der_take(&attribute, DER_OID, &type) || attribute_name(type) == NULL ||
                !der_next(&attribute, &value) || !str_is_utf8(value.value))
                continue;
            if (out->len - start + value.value.len > MAX_SHOWN_BYTES)
                continue;
            buf_printf(out, "%s%s=", out->len > start ? ", " : "", attribute_name(type));
            fs_put_printable(out, value.value);
        }
    if (out->len == start)
        buf_puts(out, "(no name)");
}

/* RFC 6125 §6.4.3: a whole left-most label may be '*', and it stands for exactly one label; at
 * least two labels must follow, so that *.com matches nothing. */
static bool is_host_match(struct str pattern, struct str host)
{
    if (str_find(pattern, '\0') < pattern.len || pattern.len == 0)
        return false;
    if (str_equal_nocase(pattern, host))
        return str_find(pattern, '*') == pattern.len;
    if (!str_starts_with(pattern, STR("*.")))
        return false;
    struct str parent = str_slice(pattern, 2, pattern.len);
    size_t label = str_find(host, '.');
    return label > 0 && label < host.len && str_find(parent, '*') == parent.len &&
           str_find(parent, '.') < parent.len &&
           str_equal_nocase(parent, str_slice(host, label + 1, host.len));
}

/* The 4 or 16 bytes of an address literal. */
static bool parse_address(struct str host, unsigned char bytes[16], struct str *out)
{
    struct addr addr;

    if (!addr_parse_literal(host, 0, &addr))
        return false;
    if (addr.storage.ss_family == AF_INET) {
        memcpy(bytes, &((struct sockaddr_in *)&addr.storage)->sin_addr, 4);
        *out = (struct str){(const char *)bytes, 4};
    } else {
        memcpy(bytes, &((struct sockaddr_in6 *)&addr.storage)->sin6_addr, 16);
        *out = (struct str){(const char *)bytes, 16};
    }
    return true;
}

static void put_shown_name(struct buf *out, const struct der_item *name)
{
    char text[INET6_ADDRSTRLEN];

    if (name->tag == GENERAL_DNS)
        fs_put_printable(out, name->value);
    else if (name->value.len == 4)
        buf_puts(out, inet_ntop(AF_INET, name->value.p, text, sizeof text));
    else if (name->value.len == 16)
        buf_puts(out, inet_ntop(AF_INET6, name->value.p, text, sizeof text));
}

static int refuse_host(const struct cert *cert, struct str host, struct err *e)
{
    struct str names = cert->alt_names;
    struct der_item name;
    struct buf shown = {0};

    while (der_next(&names, &name)) {
        if (name.tag != GENERAL_DNS && name.tag != GENERAL_IP)
            continue;
        if (shown.len > MAX_SHOWN_BYTES) {
            buf_puts(&shown, ", …");
            break;
        }
        buf_puts(&shown, shown.len > 0 ? ", " : "");
        put_shown_name(&shown, &name);
    }
    err_set(e, ERR_REFUSED, "certificate is not for %.*s but for %s", STR_ARG(host),
            shown.len > 0 ? buf_cstr(&shown) : "no host at all (it has no subjectAltName)");
    buf_free(&shown);
    return -1;
}

int cert_name_check_host(const struct cert *cert, struct str host, struct err *e)
{
    unsigned char bytes[16];
    struct str names = cert->alt_names, address;
    struct der_item name;
    bool is_address = parse_address(host, bytes, &address);

    if (str_ends_with(host, STR(".")))
        host.len--;
    while (der_next(&names, &name)) {
        if (is_address && name.tag == GENERAL_IP && str_equal(name.value, address))
            return 0;
        if (!is_address && name.tag == GENERAL_DNS && is_host_match(name.value, host))
            return 0;
    }
    return refuse_host(cert, host, e);
}

/* Is `name` (a DNS name, perhaps a wildcard) inside the subtree? A leading dot leaves the apex out.
 * */
static bool is_dns_within(struct str subtree, struct str name)
{
    if (subtree.len == 0)
        return true;
    if (str_starts_with(subtree, STR(".")))
        return name.len > subtree.len &&
               str_equal_nocase(str_slice(name, name.len - subtree.len, name.len), subtree);
    if (name.len == subtree.len)
        return str_equal_nocase(name, subtree);
    return name.len > subtree.len && name.p[name.len - subtree.len - 1] == '.' &&
           str_equal_nocase(str_slice(name, name.len - subtree.len, name.len), subtree);
}

/* Could a wildcard name stand for something inside the subtree? *.example.com covers a.example.com.
 * */
static bool is_dns_touching(struct str subtree, struct str name)
{
    if (is_dns_within(subtree, name))
        return true;
    if (!str_starts_with(name, STR("*.")))
        return false;
    size_t label = str_find(subtree, '.');
    return label < subtree.len &&
           str_equal_nocase(str_slice(subtree, label, subtree.len), str_slice(name, 1, name.len));
}

/* Constraint: address and mask, 8 or 32 bytes. */
static bool is_address_within(struct str subtree, struct str address)
{
    if (subtree.len != 2 * address.len)
        return false;
    for (size_t i = 0; i < address.len; i++)
        if ((address.p[i] ^ subtree.p[i]) & subtree.p[address.len + i])
            return false;
    return true;
}

static bool is_directory_within(struct str subtree, struct str name)
{
    struct str prefix, content;

    return der_take(&subtree, DER_SEQUENCE, &prefix) && der_take(&name, DER_SEQUENCE, &content) &&
           is_name_prefix(prefix, content);
}

/* -1: the constraint is malformed or of a kind that we cannot judge, though it applies. */
static int is_within(const struct der_item *subtree, const struct der_item *name, bool is_exclusion)
{
    switch (subtree->tag) {
    case GENERAL_DNS:
        return is_exclusion ? is_dns_touching(subtree->value, name->value)
                            : is_dns_within(subtree->value, name->value);
    case GENERAL_IP:
        if (subtree->value.len != 8 && subtree->value.len != 32)
            return -1;
        return is_address_within(subtree->value, name->value);
    case GENERAL_DIRECTORY: return is_directory_within(subtree->value, name->value);
    default: return -1;
    }
}

struct verdict {
    bool is_constrained, is_permitted, is_excluded, is_unknown;
};

/* Judges one name against one list of subtrees. */
static bool judge(struct str list, const struct der_item *name, bool is_exclusion, unsigned *budget,
                  struct verdict *v)
{
    struct str subtree;
    struct der_item base;

    while (list.len > 0) {
        if (*budget == 0 || !der_take(&list, DER_SEQUENCE, &subtree) ||
            !der_next(&subtree, &base) || subtree.len > 0) /* minimum and maximum must be absent */
            return false;
        --*budget;
        if (base.tag != name->tag)
            continue;
        int within = is_within(&base, name, is_exclusion);
        v->is_unknown |= within < 0;
        if (is_exclusion) {
            v->is_excluded |= within > 0;
        } else {
            v->is_constrained = true;
            v->is_permitted |= within > 0;
        }
    }
    return true;
}

static int check_name(const struct cert *authority, const struct der_item *name, unsigned *budget,
                      struct err *e)
{
    struct str in = authority->constraints, permitted = {0}, excluded = {0};
    struct verdict v = {0};
    struct buf shown = {0};

    der_take(&in, DER_CONTEXT_CONSTRUCTED + 0, &permitted);
    der_take(&in, DER_CONTEXT_CONSTRUCTED + 1, &excluded);
    if (in.len > 0 || !judge(permitted, name, false, budget, &v) ||
        !judge(excluded, name, true, budget, &v))
        return err_set(e, ERR_REFUSED, "issuer's name constraints are malformed or too many");
    if (!v.is_unknown && !v.is_excluded && (v.is_permitted || !v.is_constrained))
        return 0;
    if (name->tag == GENERAL_DIRECTORY)
        cert_name_put(&shown, name->value);
    else
        put_shown_name(&shown, name);
    err_set(e, ERR_REFUSED, "name %s is %s its issuer's name constraints",
            shown.len > 0 ? buf_cstr(&shown) : "of another kind",
            v.is_unknown ? "not to be judged by" : "outside of");
    buf_free(&shown);
    return -1;
}

int cert_name_check_constraints(const struct cert *authority, const struct cert *subject,
                                unsigned *budget, struct err *e)
{
    struct str names = subject->alt_names;
    struct der_item name = {GENERAL_DIRECTORY, subject->subject, subject->subject};

    if (authority->constraints.len == 0)
        return 0;
    if (!cert_name_is_empty(subject->subject) && check_name(authority, &name, budget, e) != 0)
        return -1;
    while (names.len > 0) {
        if (!der_next(&names, &name))
            return err_set(e, ERR_REFUSED, "malformed subjectAltName");
        if (check_name(authority, &name, budget, e) != 0)
            return -1;
    }
    return 0;
}
