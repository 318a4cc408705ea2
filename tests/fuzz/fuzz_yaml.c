/* Whatever parses can be walked; nothing crashes, hangs or leaks. */
#include <string.h>

#include "base/yaml.h"
#include "fuzz.h"

static void walk(const struct yaml *node, size_t depth)
{
    bool flag;

    if (depth > 16 || yaml_line(node) == 0)
        abort();
    yaml_bool(node, &flag);
    for (const struct yaml *c = yaml_first(node); c != NULL; c = yaml_next(c)) {
        if (yaml_type(node) == YAML_MAPPING && yaml_key(c).p == NULL)
            abort();
        walk(c, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct yaml *root = yaml_parse((struct str){(const char *)data, size}, "f", &e);

    if (root != NULL)
        walk(root, 0);
    else if (strncmp(e.msg, "f:", 2) != 0)
        abort();
    yaml_free(root);
    return 0;
}
