#include "daemon/upload_message.h"

#include "base/fields.h"
#include "base/sha1.h"

#define AT(member) offsetof(struct upload_message, member)
#define MESSAGE(type)                                                                              \
    {.name = "type", .kind = FIELD_WORD, .word = type},                                            \
    {                                                                                              \
        .name = "id", .kind = FIELD_INT, .at = AT(id)                                              \
    }
#define HASH     {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX}
#define TEXT     {.name = "text", .kind = FIELD_STRING, .at = AT(text)}
#define IS_SPENT {.name = "isSpent", .kind = FIELD_BOOL, .at = AT(is_spent)}
#define NO_MORE  {.kind = FIELD_END}

static const struct field upload_fields[] = {MESSAGE("upload"), HASH, NO_MORE};
static const struct field go_fields[] = {MESSAGE("go"), NO_MORE};
static const struct field begun_fields[] = {MESSAGE("begun"), NO_MORE};
static const struct field progress_fields[] = {
    MESSAGE("progress"),
    {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
    NO_MORE,
};
static const struct field note_fields[] = {MESSAGE("note"), HASH, TEXT, NO_MORE};
static const struct field warning_fields[] = {MESSAGE("warning"), TEXT, NO_MORE};
static const struct field completed_fields[] = {
    MESSAGE("completed"),
    HASH,
    {.name = "size", .kind = FIELD_INT, .at = AT(size)},
    {.name = "existed", .kind = FIELD_BOOL, .at = AT(existed)},
    {.name = "ms", .kind = FIELD_INT, .at = AT(ms)},
    IS_SPENT,
    NO_MORE,
};
static const struct field failed_fields[] = {
    MESSAGE("failed"),
    HASH,
    {.name = "reason", .kind = FIELD_STRING, .at = AT(reason)},
    {.name = "detail", .kind = FIELD_STRING, .at = AT(detail), .is_optional = true},
    IS_SPENT,
    NO_MORE,
};
static const struct field asks_fields[] = {MESSAGE("asks"), NO_MORE};
static const struct field credit_fields[] = {
    MESSAGE("credit"),
    {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
    {.name = "unsent", .kind = FIELD_INT, .at = AT(unsent)},
    NO_MORE,
};

static const struct field *const messages[] = {
    [UPLOAD_MESSAGE_UPLOAD] = upload_fields,
    [UPLOAD_MESSAGE_GO] = go_fields,
    [UPLOAD_MESSAGE_BEGUN] = begun_fields,
    [UPLOAD_MESSAGE_PROGRESS] = progress_fields,
    [UPLOAD_MESSAGE_NOTE] = note_fields,
    [UPLOAD_MESSAGE_WARNING] = warning_fields,
    [UPLOAD_MESSAGE_COMPLETED] = completed_fields,
    [UPLOAD_MESSAGE_FAILED] = failed_fields,
    [UPLOAD_MESSAGE_ASKS] = asks_fields,
    [UPLOAD_MESSAGE_CREDIT] = credit_fields,
    NULL,
};

void upload_message_put(struct buf *out, const struct upload_message *m)
{
    buf_clear(out);
    fields_put(out, messages[m->type], m);
}

int upload_message_read(struct upload_message *m, const struct json *doc, struct err *e)
{
    struct upload_message read = {0};
    int type = fields_read_one_of(messages, doc, &read, e);

    if (type < 0)
        return -1;
    read.type = (enum upload_message_type)type;
    *m = read;
    return 0;
}
