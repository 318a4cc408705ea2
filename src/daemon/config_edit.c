/* Rewriting a config by lines: what is not ours, or has not changed, stays byte for byte. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/newfile.h"
#include "base/place.h"
#include "base/text_file.h"
#include "base/yaml.h"
#include "daemon/config.h"

/* Words that a YAML reader takes for something other than a string. */
static const char *const reserved[] = {"true", "false", "null", "yes", "no", "on",
                                       "off",  "y",     "n",    NULL};

/* True when the text may stand unquoted for a string: a URL or a name that begins with a letter. */
static bool is_plain_value(struct str value)
{
    static const char extra[] = "._~/-:";

    for (size_t i = 0; reserved[i] != NULL; i++)
        if (str_equal_nocase(value, str_of(reserved[i])))
            return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_inner = (c >= '0' && c <= '9') || (c != '\0' && strchr(extra, c) != NULL);
        if (!is_letter && (i == 0 || !is_inner))
            return false;
    }
    return value.len > 0 && value.p[value.len - 1] != ':';
}

static void put_value(struct buf *out, enum config_key key, struct str value)
{
    if (config_is_number(key) || is_plain_value(value)) {
        buf_put(out, value);
        return;
    }
    buf_putc(out, '\'');
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '\'')
            buf_putc(out, '\'');
        buf_putc(out, value.p[i]);
    }
    buf_putc(out, '\'');
}

/* The next line with its line end, taken off the front of *rest. */
static struct str take_yaml_line(struct str *rest)
{
    size_t end = str_find(*rest, '\n');
    struct str line = str_slice(*rest, 0, end + 1);

    *rest = str_slice(*rest, line.len, rest->len);
    return line;
}

/* Does a line begin with this key, bare or quoted? *value is what follows the colon. */
static bool is_line_of(struct str line, const char *key, struct str *value)
{
    static const char quotes[][2] = {"", "\"", "'"};

    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        struct str quote = str_of(quotes[i]), rest = line;
        if (!str_starts_with(rest, quote))
            continue;
        rest = str_slice(rest, quote.len, rest.len);
        if (!str_starts_with(rest, str_of(key)))
            continue;
        rest = str_slice(rest, strlen(key), rest.len);
        if (!str_starts_with(rest, quote))
            continue;
        rest = str_slice(rest, quote.len, rest.len);
        while (rest.len > 0 && rest.p[0] == ' ')
            rest = str_slice(rest, 1, rest.len);
        *value = str_slice(rest, 1, rest.len);
        if (str_starts_with(rest, STR(":")) &&
            (value->len == 0 || strchr(" \t\r\n", value->p[0]) != NULL))
            return true;
    }
    return false;
}

/* Bytes at the front of `rest` that continue a value: indented lines, and blank ones among them. */
static size_t continued_bytes(struct str rest)
{
    size_t used = 0, taken = 0;

    while (rest.len > 0) {
        struct str line = take_yaml_line(&rest), text = str_trim(line);
        bool is_blank = text.len == 0 || text.p[0] == '\n' || text.p[0] == '\r';
        used += line.len;
        if (is_blank)
            continue;
        if (line.p[0] != ' ' && line.p[0] != '\t')
            break;
        taken = used;
    }
    return taken;
}

/* Writes "key: new" for a line whose old value is replaced; what follows a plain old value on the
 * line (a comment) stays. */
static void put_changed(struct buf *out, enum config_key key, const char *old, const char *value,
                        struct str after_colon)
{
    struct str tail = str_trim(after_colon);
    size_t old_len = old == NULL ? 0 : strlen(old);

    buf_printf(out, "%s: ", config_key_name(key));
    put_value(out, key, str_of(value));
    if (old_len > 0 && str_starts_with(tail, str_of(old))) {
        tail = str_slice(tail, old_len, tail.len);
        if (tail.len > 0 && strchr(" \t\r\n", tail.p[0]) != NULL) {
            buf_put(out, tail);
            return;
        }
    }
    buf_putc(out, '\n');
}

static bool is_same_value(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void edit_lines(const struct config *c, const struct config *old, struct str text,
                       bool seen[CONFIG_KEYS], struct buf *out)
{
    size_t mark = text_file_mark(text);

    buf_put(out, str_slice(text, 0, mark));
    text = str_slice(text, mark, text.len);
    while (text.len > 0) {
        struct str line = take_yaml_line(&text), value = {0};
        int key = 0;
        while (key < CONFIG_KEYS && !is_line_of(line, config_key_name((enum config_key)key),
                                                &value))
            key++;
        size_t more = key == CONFIG_KEYS ? 0 : continued_bytes(text);
        if (key < CONFIG_KEYS)
            seen[key] = true;
        if (key == CONFIG_KEYS || c->values[key] == NULL ||
            is_same_value(old->values[key], c->values[key])) {
            buf_put(out, line);
            buf_put(out, str_slice(text, 0, more));
        } else {
            put_changed(out, (enum config_key)key, old->values[key], c->values[key],
                        more > 0 ? STR("") : value);
        }
        text = str_slice(text, more, text.len);
    }
}

static bool is_config_key(struct str key)
{
    for (int i = 0; i < CONFIG_KEYS; i++)
        if (str_equal(key, str_of(config_key_name((enum config_key)i))))
            return true;
    return false;
}

/* Appends what two equal nodes have equal. */
static void flatten_node(const struct yaml *node, struct buf *out)
{
    buf_printf(out, "%d%d%zu:", (int)yaml_type(node), yaml_is_plain(node), yaml_text(node).len);
    buf_put(out, yaml_text(node));
    for (const struct yaml *c = yaml_first(node); c != NULL; c = yaml_next(c)) {
        buf_printf(out, "(%zu:", yaml_key(c).len);
        buf_put(out, yaml_key(c));
        flatten_node(c, out);
        buf_putc(out, ')');
    }
}

/* Appends everything of a file that is not ours. */
static void put_others(struct str text, const char *name, struct buf *out)
{
    struct yaml *root = yaml_parse(text, name, ERR_IGNORED);

    for (const struct yaml *c = root == NULL ? NULL : yaml_first(root); c != NULL;
         c = yaml_next(c)) {
        if (is_config_key(yaml_key(c)))
            continue;
        buf_put(out, yaml_key(c));
        flatten_node(c, out);
    }
    yaml_free(root);
}

static bool has_same_others(struct str old, struct str made, const char *name)
{
    struct buf before = {0}, after = {0};

    put_others(old, name, &before);
    put_others(made, name, &after);
    bool is_same_text =
        !before.failed && !after.failed && str_equal(buf_str(&before), buf_str(&after));
    buf_wipe(&before);
    buf_wipe(&after);
    return is_same_text;
}

/* Lines are not all that YAML is: what was made has to be what was meant. */
static int check_edited(const struct config *c, struct str old, struct str text, const char *name,
                        struct err *e)
{
    struct config again = {0};
    bool is_right = config_parse(&again, text, name, ERR_IGNORED) == 0 &&
                    has_same_others(old, text, name);

    for (int key = 0; key < CONFIG_KEYS; key++)
        is_right = is_right && (c->values[key] == NULL ||
                                is_same_value(again.values[key], c->values[key]));
    config_deinit(&again);
    if (is_right)
        return 0;
    return err_set(e, ERR_FAILED,
                   "%s: cannot be edited as it is laid out: want one \"key: value\" a line", name);
}

int config_edit(const struct config *c, struct str text, const char *name, struct buf *out,
                struct err *e)
{
    struct config old = {0};
    struct buf made = {0};
    bool seen[CONFIG_KEYS] = {false};
    int result = config_parse(&old, text, name, e);

    if (result != 0)
        goto out;
    edit_lines(c, &old, text, seen, &made);
    if (made.len > 0 && made.data[made.len - 1] != '\n')
        buf_putc(&made, '\n');
    for (int key = 0; key < CONFIG_KEYS; key++)
        if (!seen[key] && c->values[key] != NULL)
            put_changed(&made, (enum config_key)key, NULL, c->values[key], (struct str){0});
    result = buf_check(&made, e);
    if (result == 0)
        result = check_edited(c, text, buf_str(&made), name, e);
    if (result == 0)
        buf_put_buf(out, &made);
out:
    config_deinit(&old);
    buf_wipe(&made);
    return result;
}

int config_save(const struct config *c, const char *path, struct err *e)
{
    struct buf old = {0}, made = {0};
    struct err missing;
    struct place place;
    int result = -1;

    if (place_find(path, true, &place, e) != 0)
        return -1;
    const char *where = place.path.data;
    if (fs_read_file(where, YAML_MAX_BYTES, &old, &missing) != 0 &&
        missing.code != ERR_NOT_FOUND) {
        err_copy(e, &missing);
        goto out;
    }
    newfile_clean(where);
    if (config_edit(c, buf_str(&old), path, &made, e) == 0 && buf_check(&made, e) == 0)
        result =
            place_name_given(&place, path,
                       newfile_put(where, buf_str(&made), NEWFILE_DURABLE | NEWFILE_PRIVATE, e), e);
out:
    buf_wipe(&old);
    buf_wipe(&made);
    place_close(&place);
    return result;
}
