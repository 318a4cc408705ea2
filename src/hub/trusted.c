#include "hub/trusted.h"

#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, MAX_SHOWN = 80 };

static int parse_net(struct trusted_net *net, struct str text)
{
    size_t slash = str_find(text, '/');
    struct addr address;
    uint64_t bits, most;

    if (!addr_parse_literal(str_slice(text, 0, slash), 0, &address) ||
        !addr_to_v6(&address, net->address))
        return -1;
    most = address.storage.ss_family == AF_INET ? V4_BITS : V6_BITS;
    bits = most;
    if (slash < text.len && !str_to_uint(str_slice(text, slash + 1, text.len), most, &bits))
        return -1;
    net->bits = (unsigned)(bits + V6_BITS - most);
    return 0;
}

int trusted_parse(struct trusted *t, struct str text, struct err *e)
{
    struct trusted parsed = {.count = 0};

    for (;;) {
        size_t comma = str_find(text, ',');
        struct str item = str_slice(text, 0, comma);
        if (parsed.count == TRUSTED_MAX)
            return err_set(e, ERR_USAGE, "more than %d addresses", TRUSTED_MAX);
        if (parse_net(&parsed.nets[parsed.count++], item) != 0)
            return err_set(e, ERR_USAGE, "\"%.*s\": want an IP address or ADDRESS/BITS",
                           STR_ARG(str_cut(item, MAX_SHOWN)));
        if (comma == text.len)
            break;
        text = str_slice(text, comma + 1, text.len);
    }
    *t = parsed;
    return 0;
}

static bool is_in_net(const struct trusted_net *net, const unsigned char address[ADDR_V6_BYTES])
{
    size_t whole = net->bits / 8;
    unsigned mask = 0xff00u >> net->bits % 8;

    return memcmp(net->address, address, whole) == 0 &&
           (net->bits % 8 == 0 || ((net->address[whole] ^ address[whole]) & mask & 0xff) == 0);
}

bool trusted_has(const struct trusted *t, const struct addr *a)
{
    unsigned char address[ADDR_V6_BYTES];

    if (!addr_to_v6(a, address))
        return false;
    for (size_t i = 0; i < t->count; i++)
        if (is_in_net(&t->nets[i], address))
            return true;
    return false;
}

/* As reverse proxies write them: 1.2.3.4, 1.2.3.4:80, ::1, [::1], [::1]:80. */
static bool parse_item(struct str text, struct addr *out)
{
    size_t colon;

    text = str_trim(text);
    colon = str_find(text, ':');
    if (text.len > 0 && text.p[0] == '[')
        text = str_slice(text, 1, str_find(text, ']'));
    else if (colon < text.len && str_find(str_slice(text, colon + 1, text.len), ':') ==
                                     text.len - colon - 1)
        text = str_slice(text, 0, colon);
    return str_find(text, '%') == text.len && addr_parse_literal(text, 0, out);
}

/* Goes through one field from the right; true when the client is found. */
static bool walk_forwarded_for(const struct trusted *t, struct str value, struct addr *client)
{
    size_t start = value.len;
    struct addr before;

    for (;;) {
        size_t end = start;
        while (start > 0 && value.p[start - 1] != ',')
            start--;
        if (!parse_item(str_slice(value, start, end), &before))
            return true;
        *client = before;
        if (!trusted_has(t, client))
            return true;
        if (start == 0)
            return false;
        start--;
    }
}

void trusted_find_client(const struct trusted *t, const struct http_head *head,
                         struct addr *client)
{
    for (size_t i = head->header_count; i-- > 0;)
        if (str_equal_nocase(head->headers[i].name, STR("X-Forwarded-For")) &&
            walk_forwarded_for(t, head->headers[i].value, client))
            return;
}
