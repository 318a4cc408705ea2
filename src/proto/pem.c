#include "proto/pem.h"

#include <string.h>

#include "base/base64.h"

enum { PREFIX_MAX = 16 };

/* "-----BEGIN <label>-----", a line of base64, "-----END <label>-----". */
static const struct form {
    const char *label;
    unsigned char prefix[PREFIX_MAX]; /* DER before the key's 32 bytes */
    size_t prefix_len;
} forms[] = {
    [PEM_PRIVATE] = {"PRIVATE KEY",
                     {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04,
                      0x22, 0x04, 0x20},
                     16},
    [PEM_PUBLIC] = {"PUBLIC KEY",
                    {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00},
                    12},
};

const char *pem_label(enum pem_kind kind)
{
    return forms[kind].label;
}

void pem_put(struct buf *out, enum pem_kind kind, const unsigned char key[PEM_KEY_SIZE])
{
    const struct form *form = &forms[kind];
    char der[PREFIX_MAX + PEM_KEY_SIZE];

    memcpy(der, form->prefix, form->prefix_len);
    memcpy(der + form->prefix_len, key, PEM_KEY_SIZE);
    buf_printf(out, "-----BEGIN %s-----\n", form->label);
    base64_put(out, (struct str){der, form->prefix_len + PEM_KEY_SIZE});
    buf_printf(out, "\n-----END %s-----\n", form->label);
    explicit_bzero(der, sizeof der);
}

bool pem_parse(enum pem_kind kind, struct str text, unsigned char key[PEM_KEY_SIZE])
{
    const struct form *form = &forms[kind];
    struct buf begin = {0}, end = {0}, der = {0};
    bool is_right = false;

    buf_printf(&begin, "-----BEGIN %s-----\n", form->label);
    buf_printf(&end, "\n-----END %s-----", form->label);
    if (str_ends_with(text, STR("\n")))
        text.len--;
    if (begin.failed || end.failed || text.len < begin.len + end.len ||
        !str_starts_with(text, buf_str(&begin)) || !str_ends_with(text, buf_str(&end)))
        goto out;
    if (!base64_decode(&der, str_slice(text, begin.len, text.len - end.len)))
        goto out;
    if (der.len != form->prefix_len + PEM_KEY_SIZE ||
        memcmp(der.data, form->prefix, form->prefix_len) != 0)
        goto out;
    memcpy(key, der.data + form->prefix_len, PEM_KEY_SIZE);
    is_right = true;
out:
    buf_free(&begin);
    buf_free(&end);
    buf_wipe(&der);
    return is_right;
}
