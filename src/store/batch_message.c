#include "store/batch_message.h"

#include "base/fields.h"
#include "base/sha1.h"
#include "store/add.h"

#define AT(member) offsetof(struct batch_message, member)
#define MESSAGE(type)                                                                              \
    {.name = "type", .kind = FIELD_WORD, .word = type},                                            \
    {                                                                                              \
        .name = "id", .kind = FIELD_INT, .at = AT(id)                                              \
    }
#define NO_MORE {.kind = FIELD_END}

static const struct field work_fields[] = {
    MESSAGE("work"),
    {.name = "follow", .kind = FIELD_INT, .at = AT(follow_kind), .min = 0, .max = FOLLOW_TREE},
    {.name = "rootLength", .kind = FIELD_INT, .at = AT(root_len)},
    {.name = "rootDevice", .kind = FIELD_UINT64, .at = AT(root_device)},
    {.name = "rootInode", .kind = FIELD_UINT64, .at = AT(root_inode)},
    {.name = "alone", .kind = FIELD_BOOL, .at = AT(is_alone)},
    {.name = "paths", .kind = FIELD_ARRAY, .at = AT(paths)},
    NO_MORE,
};
static const struct field bytes_fields[] = {
    MESSAGE("bytes"),
    {.name = "bytes", .kind = FIELD_INT, .at = AT(bytes)},
    NO_MORE,
};
static const struct field hashed_fields[] = {
    MESSAGE("hashed"),
    {.name = "index", .kind = FIELD_INT, .at = AT(index)},
    {.name = "hash", .kind = FIELD_HEX, .at = AT(hash), .max = SHA1_HEX},
    {.name = "size", .kind = FIELD_INT, .at = AT(size)},
    {.name = "mtime", .kind = FIELD_DOUBLE, .at = AT(mtime)},
    {.name = "suffix", .kind = FIELD_STRING, .at = AT(suffix), .max = ADD_SUFFIX_SIZE - 1},
    {.name = "manifest", .kind = FIELD_STRING, .at = AT(manifest), .max = MANIFEST_SUFFIX_SIZE - 1},
    {.name = "manifestState", .kind = FIELD_INT, .at = AT(manifest_state),
     .min = MANIFEST_FILE_NEEDLESS, .max = MANIFEST_FILE_OK},
    {.name = "device", .kind = FIELD_UINT64, .at = AT(device)},
    {.name = "inode", .kind = FIELD_UINT64, .at = AT(inode)},
    {.name = "owner", .kind = FIELD_UINT64, .at = AT(owner)},
    NO_MORE,
};
static const struct field failed_fields[] = {
    MESSAGE("failed"),
    {.name = "index", .kind = FIELD_INT, .at = AT(index)},
    {.name = "code", .kind = FIELD_INT, .at = AT(code), .min = ERR_FAILED, .max = ERR_NO_HOST},
    {.name = "text", .kind = FIELD_PATH, .at = AT(text)},
    NO_MORE,
};

static const struct field *const messages[] = {
    [BATCH_MESSAGE_WORK] = work_fields,
    [BATCH_MESSAGE_BYTES] = bytes_fields,
    [BATCH_MESSAGE_HASHED] = hashed_fields,
    [BATCH_MESSAGE_FAILED] = failed_fields,
    NULL,
};

void batch_message_put(struct buf *out, const struct batch_message *m)
{
    buf_clear(out);
    json_open(out, '{');
    fields_put_members(out, messages[m->type], m);
    if (m->type == BATCH_MESSAGE_WORK)
        json_open_member(out, "paths", '[');
    else
        json_close(out, '}');
}

void batch_message_put_path(struct buf *out, const char *path)
{
    json_put_path(out, NULL, str_of(path));
}

void batch_message_end_paths(struct buf *out)
{
    json_close(out, ']');
    json_close(out, '}');
}

int batch_message_read(struct batch_message *m, const struct json *doc, struct err *e)
{
    struct batch_message read = {0};
    int type = fields_read_one_of(messages, doc, &read, e);

    if (type < 0)
        return -1;
    read.type = (enum batch_message_type)type;
    *m = read;
    return 0;
}
