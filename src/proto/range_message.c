#include "proto/range_message.h"

#include <stddef.h>
#include <string.h>

#include "base/fields.h"
#include "proto/line.h"
#include "proto/message.h"

/* A message as its JSON has it: beside it, the members that struct range_message has otherwise. */
struct range_parse {
    struct range_message m;
    struct str word; /* class, status or reason */
    const struct json *list;
};

#define AT(member) offsetof(struct range_parse, member)
#define OTHERS {.kind = FIELD_OTHERS}
#define FILE_ID {.name = "fileId", .kind = FIELD_INT, .at = AT(m.file_id), .max = UINT32_MAX}
#define TICKET                                                                                     \
    {.name = "ticket", .kind = FIELD_HEX, .at = AT(m.ticket), .max = RANGE_TICKET_DIGITS}
#define SHA1_FIELD {.name = "sha1", .kind = FIELD_HEX, .at = AT(m.sha1), .max = 40}
#define SIZE_FIELD(optional)                                                                       \
    {.name = "size", .kind = FIELD_INT, .at = AT(m.size), .is_optional = (optional)}
#define DONE_FIELD {.name = "done", .kind = FIELD_INT, .at = AT(m.done), .is_optional = true}
#define ROOT_FIELD                                                                                 \
    {.name = "root",                                                                               \
     .kind = FIELD_HEX,                                                                            \
     .at = AT(m.root),                                                                             \
     .max = RANGE_ROOT_DIGITS,                                                                     \
     .is_optional = true}
#define TEXT_FIELD                                                                                 \
    {.name = "text",                                                                               \
     .kind = FIELD_STRING,                                                                         \
     .at = AT(m.text),                                                                             \
     .max = RANGE_MAX_TEXT_BYTES,                                                                  \
     .is_optional = true}
#define WORD(type) {.name = "type", .kind = FIELD_WORD, .word = type}
#define CHOICE(key) {.name = key, .kind = FIELD_STRING, .at = AT(word), .min = 1, .max = 16}

static const struct field extensions_fields[] = {
    WORD("extensions"), {.name = "names", .kind = FIELD_ARRAY, .at = AT(list)}, OTHERS};

static const struct field open_line_fields[] = {WORD("openLine"), TICKET, CHOICE("class"), OTHERS};

static const struct field ask_file_fields[] = {
    WORD("askFile"), {.name = "askId", .kind = FIELD_INT, .at = AT(m.ask_id)}, SHA1_FIELD, OTHERS};

static const struct field file_is_fields[] = {
    WORD("fileIs"),
    {.name = "askId", .kind = FIELD_INT, .at = AT(m.ask_id)},
    CHOICE("status"),
    SIZE_FIELD(true),
    ROOT_FIELD,
    DONE_FIELD,
    TEXT_FIELD,
    OTHERS};

static const struct field line_fields[] = {WORD("line"), TICKET, OTHERS};

static const struct field open_fields[] = {
    WORD("open"),
    FILE_ID,
    SHA1_FIELD,
    {.name = "asker",
     .kind = FIELD_STRING,
     .at = AT(m.asker),
     .min = 1,
     .max = MESSAGE_MAX_ASKER_BYTES,
     .is_optional = true},
    {.name = "first",
     .kind = FIELD_INT,
     .at = AT(m.first),
     .max = UINT32_MAX,
     .is_optional = true},
    {.name = "request",
     .kind = FIELD_INT,
     .at = AT(m.request),
     .min = 1,
     .max = UINT32_MAX,
     .is_optional = true},
    {.name = "also", .kind = FIELD_ARRAY, .at = AT(list), .is_optional = true},
    OTHERS};

static const struct field opened_fields[] = {
    WORD("opened"),
    FILE_ID,
    SIZE_FIELD(false),
    ROOT_FIELD,
    {.name = "clientId", .kind = FIELD_HEX, .at = AT(m.client_id), .max = 64},
    {.name = "time", .kind = FIELD_INT, .at = AT(m.time_ms)},
    {.name = "signature", .kind = FIELD_HEX, .at = AT(m.signature), .max = 128},
    OTHERS};

static const struct field refused_fields[] = {WORD("refused"), FILE_ID,    CHOICE("reason"),
                                              SIZE_FIELD(true), DONE_FIELD, TEXT_FIELD, OTHERS};

static const struct field close_fields[] = {WORD("close"), FILE_ID, OTHERS};

static const struct field pages_fields[] = {WORD("pages"), FILE_ID, OTHERS};

static const struct field page_fields[] = {
    WORD("page"),
    FILE_ID,
    {.name = "page", .kind = FIELD_INT, .at = AT(m.page), .max = UINT32_MAX},
    OTHERS};

/* By enum range_message_type. */
static const struct field *const messages[] = {
    extensions_fields, open_line_fields, ask_file_fields, file_is_fields, line_fields, open_fields,
    opened_fields,     refused_fields,   close_fields,    pages_fields,   page_fields, NULL};

static const char *const states[] = {"found", "not-found", "building", "changed", "error", NULL};
static const char *const classes[] = {"bulk", "small", NULL};

struct range_message range_message(enum range_message_type type)
{
    return (struct range_message){.type = type, .size = -1, .done = -1, .first = -1};
}

/* The index of a word in its list, or -1. */
static int find_word(const char *const *words, struct str word)
{
    for (int i = 0; words[i] != NULL; i++)
        if (str_equal(str_of(words[i]), word))
            return i;
    return -1;
}

static int bad_member(struct err *e, const char *name)
{
    return err_set(e, ERR_PROTOCOL, "invalid message: bad field \"%s\"", name);
}

static int check_names(const struct json *list, struct err *e)
{
    struct str name;

    if (json_count(list) > RANGE_MAX_NAMES)
        return bad_member(e, "names");
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v))
        if (!json_str(v, &name) || name.len > RANGE_MAX_NAME_BYTES)
            return bad_member(e, "names");
    return 0;
}

static int read_also(struct range_message *m, const struct json *list, struct err *e)
{
    int64_t leaf;

    if (json_count(list) > RANGE_MAX_ALSO)
        return bad_member(e, "also");
    for (const struct json *v = json_first(list); v != NULL; v = json_next(v)) {
        if (!json_int(v, &leaf) || leaf < 0 || leaf > UINT32_MAX)
            return bad_member(e, "also");
        m->also_parsed[m->also_count++] = (uint32_t)leaf;
    }
    m->also = m->also_parsed;
    return 0;
}

/* Reads the members that no table reads. */
static int read_rest(struct range_parse *p, struct err *e)
{
    int word;

    switch (p->m.type) {
    case RANGE_EXTENSIONS: return check_names(p->list, e);
    case RANGE_OPEN: return read_also(&p->m, p->list, e);
    case RANGE_OPEN_LINE:
        word = find_word(classes, p->word);
        p->m.line_class = (enum range_class)word;
        return word < 0 ? bad_member(e, "class") : 0;
    case RANGE_FILE_IS:
        word = find_word(states, p->word);
        p->m.state = (enum range_state)word;
        if (word == RANGE_FOUND && p->m.size < 0)
            return bad_member(e, "size");
        return word < 0 ? bad_member(e, "status") : 0;
    case RANGE_REFUSED:
        word = find_word(states, p->word);
        p->m.state = (enum range_state)word;
        return word <= RANGE_FOUND ? bad_member(e, "reason") : 0;
    default: return 0;
    }
}

int range_message_parse(struct range_message *m, struct str text, struct err *e)
{
    struct range_parse p = {.m = range_message(RANGE_NONE)};
    struct json *doc = json_parse(text, JSON_STRICT, e);

    if (doc == NULL)
        return -1;
    if (json_type(doc) != JSON_OBJECT) {
        json_free(doc);
        return err_set(e, ERR_PROTOCOL, "invalid message: not an object");
    }
    int type = fields_find(messages, doc);
    if (type >= 0) {
        p.m.type = (enum range_message_type)type;
        if (fields_read(messages[type], doc, &p, NULL, e) != 0 || read_rest(&p, e) != 0) {
            json_free(doc);
            return -1;
        }
    }
    *m = p.m;
    m->doc = doc;
    if (m->also != NULL)
        m->also = m->also_parsed;
    return 0;
}

void range_message_deinit(struct range_message *m)
{
    json_free(m->doc);
    m->doc = NULL;
}

bool range_message_has(const struct range_message *m, const char *name)
{
    const struct json *list = json_get(m->doc, "names");
    struct str one;

    for (const struct json *v = json_first(list); v != NULL; v = json_next(v))
        if (json_str(v, &one) && str_equal(one, str_of(name)))
            return true;
    return false;
}

void range_message_put(struct buf *out, const struct range_message *m)
{
    struct range_parse p = {.m = *m};

    if (m->type == RANGE_OPEN_LINE)
        p.word = str_of(classes[m->line_class]);
    else if (m->type == RANGE_FILE_IS || m->type == RANGE_REFUSED)
        p.word = str_of(states[m->state]);
    json_open(out, '{');
    fields_put_members(out, messages[m->type], &p);
    if (m->type == RANGE_EXTENSIONS) {
        json_open_member(out, "names", '[');
        json_put_str(out, NULL, STR(RANGE_EXTENSION));
        json_close(out, ']');
    } else if (m->type == RANGE_OPEN && m->also_count > 0) {
        json_open_member(out, "also", '[');
        for (size_t i = 0; i < m->also_count; i++)
            json_put_int(out, NULL, m->also[i]);
        json_close(out, ']');
    }
    json_close(out, '}');
}

void range_message_put_signed(struct buf *out, const struct range_message *opened, struct str zone,
                              struct str resource_name, struct str sha1)
{
    json_open(out, '{');
    json_put_str(out, "hash", sha1);
    json_put_str(out, "resourceName", resource_name);
    json_put_str(out, "root", opened->root);
    json_put_int(out, "size", opened->size);
    json_put_int(out, "time", opened->time_ms);
    json_put_str(out, "type", STR("fileRoot"));
    json_put_str(out, "zone", zone);
    json_close(out, '}');
}
