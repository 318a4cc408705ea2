#include "proto/extensions.h"

bool extensions_read(const struct http_head *head, struct buf *names)
{
    bool is_announced = false;

    for (size_t i = 0; i < head->header_count; i++) {
        if (!str_equal_nocase(head->headers[i].name, STR(EXTENSIONS_HEADER)))
            continue;
        if (!is_announced)
            buf_clear(names);
        else
            buf_putc(names, ',');
        buf_put(names, head->headers[i].value);
        is_announced = true;
    }
    return is_announced;
}

bool extensions_has(struct str names, const char *name)
{
    return http_head_list_has(names, name);
}
