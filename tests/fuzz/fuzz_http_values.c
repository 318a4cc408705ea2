/* Values of headers and queries that strangers choose: what is accepted lies within its bounds and
 * means the same when it is written again. */
#include <stdio.h>
#include <string.h>

#include "bucket/signed_url.h"
#include "fuzz.h"
#include "proto/addr.h"
#include "proto/http_head.h"

static void check_date(struct str value)
{
    char text[30];
    int64_t ms = http_head_parse_date(value);

    require(ms >= -1);
    if (ms < 0)
        return;
    http_head_format_date(ms, text);
    require(http_head_parse_date(str_of(text)) == ms);
}

static void check_ranges(struct str value)
{
    static const int64_t sizes[] = {0, 1, 2, 1000, INT64_MAX};
    int64_t start, end, total;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (http_head_parse_range(value, sizes[i], &start, &end) == 1)
            require(start >= 0 && start < end && end <= sizes[i]);
    if (http_head_parse_content_range(value, &start, &end, &total)) {
        require(start >= 0 && start < end);
        require(total == -1 || end <= total);
    }
}

/* Nobody without the key makes a URL. */
static void check_signed_url(struct str value)
{
    static const unsigned char key[SIGNED_URL_KEY] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct str path = value, query = STR("");
    struct signed_url url;
    struct buf decoded = {0};
    size_t mark = str_find(value, '?');

    if (mark < value.len) {
        path = str_slice(value, 0, mark);
        query = str_slice(value, mark + 1, value.len);
    }
    for (int is_put = 0; is_put < 2; is_put++) {
        require(signed_url_check(&url, path, query, is_put, key, 1700000000000, &decoded) !=
                SIGNED_URL_OK);
        buf_free(&decoded);
    }
}

static void check_address(struct str value)
{
    struct str host;
    struct addr address;
    struct err e = {0};
    uint16_t port;

    if (addr_split_listen(value, &host, &port, &e) != 0)
        require(e.code == ERR_USAGE);
    if (addr_parse_literal(value, 80, &address)) {
        struct buf text = {0};
        addr_put(&text, &address);
        require(!text.failed && addr_port(&address) == 80);
        buf_free(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str value = {(const char *)data, size};

    check_date(value);
    check_ranges(value);
    check_signed_url(value);
    check_address(value);
    return 0;
}
