/* Whatever parses is written and parsed again to the same text; its canonical form is stable. */
#include "base/json.h"
#include "fuzz.h"

enum form { PLAIN, JAVASCRIPT, PYTHON };

static void put(struct buf *b, const struct json *value, enum form form)
{
    buf_clear(b);
    if (form == PLAIN)
        json_put_value(b, NULL, value);
    else
        json_put_canonical(b, value, form == PYTHON);
}

static void check(const struct json *root, enum form form)
{
    struct buf first = {0}, second = {0};
    struct err e;

    put(&first, root, form);
    struct json *again = json_parse(buf_str(&first), JSON_STRICT, &e);
    if (again == NULL || !str_is_utf8(buf_str(&first)))
        abort();
    put(&second, again, form);
    if (!str_equal(buf_str(&first), buf_str(&second)))
        abort();
    json_free(again);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct err e;
    struct json *root = json_parse(text, JSON_STRICT, &e);

    if (root != NULL) {
        if (!str_is_utf8(text))
            abort();
        check(root, PLAIN);
        check(root, JAVASCRIPT);
        check(root, PYTHON);
        json_free(root);
    }
    /* Escaped bytes may make strings that are not UTF-8, which are never written but as paths. */
    json_free(json_parse(text, JSON_SURROGATE_ESCAPE, &e));
    return 0;
}
