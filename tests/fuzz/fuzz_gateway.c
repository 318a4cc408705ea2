/* What a gateway or a bucket answers, with any status: nothing crashes or leaks, and what reaches a
 * message is one line of UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proto/gateway_message.h"
#include "proto/s3_error.h"

static void check_line(struct str text)
{
    if (!str_is_utf8(text))
        abort();
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            abort();
}

static void read_all(const struct json *answer)
{
    struct gateway_client client = {0};
    struct gateway_upload upload = {0};
    struct gateway_file file = {0};
    char *proxy_url = NULL;
    struct err e;

    if (gateway_message_read_file(answer, &file, &e) == 0) {
        struct json *rest = json_parse(str_of(file.answer), JSON_STRICT, &e);
        if (rest == NULL || json_get(rest, "url") != NULL)
            abort();
        json_free(rest);
    }
    if (gateway_message_read_upload(answer, &upload, &e) == 0 && upload.object_key != NULL)
        check_line(str_of(upload.object_key));
    gateway_message_read_client(answer, &client, &e);
    if (gateway_message_read_resource(answer, &proxy_url, &e) == 0 &&
        str_ends_with(str_of(proxy_url), STR("/")))
        abort();
    gateway_file_deinit(&file);
    gateway_upload_deinit(&upload);
    gateway_client_deinit(&client);
    free(proxy_url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"findFile", "initiateFileUpload", "getClientInfo",
                                        "getResourceInfo"};
    struct str text = {(const char *)data, size};
    struct buf reason = {0};
    struct err e = {0};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct json *answer = gateway_message_parse(text, types[i], &e);
        if (answer != NULL)
            read_all(answer);
        json_free(answer);
    }
    gateway_message_refusal(500, text, &e);
    check_line(str_of(e.msg));
    gateway_message_refusal(502, text, &e);
    check_line(str_of(e.msg));
    s3_error_put_reason(&reason, text);
    check_line(buf_str(&reason));
    buf_free(&reason);
    return 0;
}
