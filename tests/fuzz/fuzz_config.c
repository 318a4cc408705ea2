/* A config that is read can be edited: the new values are in it, everything else is what it was. */
#include <string.h>

#include "base/yaml.h"
#include "daemon/config.h"
#include "fuzz.h"

static void flatten(const struct yaml *node, struct buf *out)
{
    buf_printf(out, "%d%d:", (int)yaml_type(node), yaml_is_plain(node));
    buf_put(out, yaml_text(node));
    for (const struct yaml *c = yaml_first(node); c != NULL; c = yaml_next(c)) {
        buf_putc(out, '(');
        buf_put(out, yaml_key(c));
        flatten(c, out);
        buf_putc(out, ')');
    }
}

static bool is_ours(struct str key)
{
    for (int i = 0; i < CONFIG_KEYS; i++)
        if (str_equal(key, str_of(config_key_name((enum config_key)i))))
            return true;
    return false;
}

/* All keys that are not ours, with what is below them. */
static void others(struct str text, struct buf *out)
{
    struct yaml *root = yaml_parse(text, "f", ERR_IGNORED);

    if (root == NULL)
        abort();
    for (const struct yaml *c = yaml_first(root); c != NULL; c = yaml_next(c)) {
        if (is_ours(yaml_key(c)))
            continue;
        buf_put(out, yaml_key(c));
        flatten(c, out);
    }
    yaml_free(root);
}

static void edit(struct config *c, struct str text)
{
    struct buf made = {0}, before = {0}, after = {0};
    struct config again = {0};
    struct err e;

    if (config_edit(c, text, "f", &made, &e) == 0) {
        if (config_parse(&again, buf_str(&made), "f", &e) != 0)
            abort();
        for (int key = 0; key < CONFIG_KEYS; key++)
            if (c->values[key] != NULL && strcmp(c->values[key], again.values[key]) != 0)
                abort();
        others(text, &before);
        others(buf_str(&made), &after);
        if (!str_equal(buf_str(&before), buf_str(&after)))
            abort();
    }
    config_deinit(&again);
    buf_free(&made);
    buf_free(&before);
    buf_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct config c = {0};
    struct err e = {0};

    if (config_parse(&c, text, "f", &e) == 0) {
        (void)!config_set(&c, CONFIG_UPLOADS, STR("7"), &e);
        (void)!config_set(&c, CONFIG_SECRET, str_slice(text, size / 2, size / 2 + 9), &e);
        edit(&c, text);
    } else if (strncmp(e.msg, "f:", 2) != 0) {
        abort();
    }
    config_deinit(&c);
    return 0;
}
