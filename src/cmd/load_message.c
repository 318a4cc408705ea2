#include "cmd/load_message.h"

#include "base/fields.h"
#include "zone/transfer.h"

#define AT(member) offsetof(struct load_message, member)
#define MESSAGE(type)                                                                              \
    {.name = "type", .kind = FIELD_WORD, .word = type},                                            \
    {                                                                                              \
        .name = "id", .kind = FIELD_INT, .at = AT(id)                                              \
    }
#define ENTRY   {.name = "entry", .kind = FIELD_INT, .at = AT(entry)}
#define TEXT    {.name = "text", .kind = FIELD_PATH, .at = AT(text)}
#define NO_MORE {.kind = FIELD_END}

static const struct field get_fields[] = {MESSAGE("get"), NO_MORE};
static const struct field progress_fields[] = {
    MESSAGE("progress"),
    {.name = "phase", .kind = FIELD_INT, .at = AT(phase), .min = 0, .max = TRANSFER_DOWNLOADING},
    {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
    {.name = "size", .kind = FIELD_INT, .at = AT(size), .min = -1},
    NO_MORE,
};
static const struct field note_fields[] = {MESSAGE("note"), TEXT, NO_MORE};
static const struct field got_fields[] = {
    MESSAGE("got"),
    ENTRY,
    {.name = "path", .kind = FIELD_PATH, .at = AT(path), .min = 1},
    NO_MORE,
};
static const struct field failed_fields[] = {
    MESSAGE("failed"),
    ENTRY,
    {.name = "code", .kind = FIELD_INT, .at = AT(code), .min = ERR_FAILED, .max = ERR_NO_HOST},
    TEXT,
    NO_MORE,
};
static const struct field end_fields[] = {MESSAGE("end"), NO_MORE};

static const struct field *const messages[] = {
    [LOAD_MESSAGE_GET] = get_fields,       [LOAD_MESSAGE_PROGRESS] = progress_fields,
    [LOAD_MESSAGE_NOTE] = note_fields,     [LOAD_MESSAGE_GOT] = got_fields,
    [LOAD_MESSAGE_FAILED] = failed_fields, [LOAD_MESSAGE_END] = end_fields,
    NULL,
};

void load_message_put(struct buf *out, const struct load_message *m)
{
    buf_clear(out);
    fields_put(out, messages[m->type], m);
}

int load_message_read(struct load_message *m, const struct json *doc, struct err *e)
{
    struct load_message read = {0};
    int type = fields_read_one_of(messages, doc, &read, e);

    if (type < 0)
        return -1;
    read.type = (enum load_message_type)type;
    *m = read;
    return 0;
}
