#include "cmd/label.h"

#include <string.h>

#include "base/str.h"

void label_put_base_name(struct buf *out, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_of(slash == NULL ? path : slash + 1);

    while (name.len > 0) {
        size_t n = str_utf8_sequence(name);
        buf_put(out, n == 0 ? STR("\xef\xbf\xbd") : str_slice(name, 0, n));
        name = str_slice(name, n == 0 ? 1 : n, name.len);
    }
}
