#include "x509/cert_name.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/fs.h"
#include "proto/addr.h"
#include "x509/der.h"

enum { MAX_SHOWN_BYTES = 120 };

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
        if (str_lower(a.p[i]) != str_lower(b.p[k]))
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

bool cert_name_is_prefix(struct str prefix, struct str name)
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
           count_items(in_a) == count_items(in_b) && cert_name_is_prefix(in_a, in_b);
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

void cert_name_put_general(struct buf *out, const struct der_item *name)
{
    char text[INET6_ADDRSTRLEN];
    int family = name->value.len == 4 ? AF_INET : AF_INET6;

    switch (name->tag) {
    case CERT_NAME_DIRECTORY: cert_name_put(out, name->value); break;
    case CERT_NAME_DNS:
    case CERT_NAME_EMAIL:
    case CERT_NAME_URI:
        fs_put_printable(out, str_slice(name->value, 0, MAX_SHOWN_BYTES));
        break;
    case CERT_NAME_IP:
        if (name->value.len == 4 || name->value.len == 16)
            buf_puts(out, inet_ntop(family, name->value.p, text, sizeof text));
        else
            buf_printf(out, "(an address of %zu bytes)", name->value.len);
        break;
    default: buf_puts(out, "of another kind");
    }
}

static int refuse_host(const struct cert *cert, struct str host, struct err *e)
{
    struct str names = cert->alt_names;
    struct der_item name;
    struct buf shown = {0};

    while (der_next(&names, &name)) {
        if (name.tag != CERT_NAME_DNS && name.tag != CERT_NAME_IP)
            continue;
        if (shown.len > MAX_SHOWN_BYTES) {
            buf_puts(&shown, ", …");
            break;
        }
        buf_puts(&shown, shown.len > 0 ? ", " : "");
        cert_name_put_general(&shown, &name);
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
        if (is_address && name.tag == CERT_NAME_IP && str_equal(name.value, address))
            return 0;
        if (!is_address && name.tag == CERT_NAME_DNS && is_host_match(name.value, host))
            return 0;
    }
    return refuse_host(cert, host, e);
}
