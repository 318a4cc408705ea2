/* Records that others write: what is accepted is written again as it was read. */
#include <string.h>

#include "base/hex.h"
#include "fuzz.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r = {0}, again = {0};
    struct buf text = {0};
    struct err e = {0};

    if (record_parse(&r, (struct str){(const char *)data, size}, &e) != 0) {
        require(e.code == ERR_NOT_FOUND && r.path == NULL);
        return 0;
    }
    require(r.path[0] == '/' && r.size >= 0 && hex_is_lower(str_of(r.hash), SHA1_HEX));
    record_put(&text, &r);
    for (size_t i = 0; i < text.len; i++)
        require(text.data[i] >= ' ' && text.data[i] <= '~');
    require(record_parse(&again, buf_str(&text), &e) == 0);
    require(strcmp(again.path, r.path) == 0 && again.size == r.size);
    require(memcmp(&again.mtime, &r.mtime, sizeof r.mtime) == 0 || r.mtime == 0);
    require(strcmp(again.hash, r.hash) == 0);
    record_deinit(&r);
    record_deinit(&again);
    buf_free(&text);
    return 0;
}
