#include "proxy/relay_note.h"

#include <stddef.h>

#include "base/fields.h"

/* Enumerations as the numbers that the tables read. */
struct numbers {
    struct relay_note note;
    int64_t line_class, state;
};

#define WORD(type) {.name = "type", .kind = FIELD_WORD, .word = type}
#define DAEMON {.name = "daemon", .kind = FIELD_INT, .at = AT(daemon)}
#define SHA1_FIELD {.name = "sha1", .kind = FIELD_HEX, .at = AT(sha1), .max = 40}
#define END {.kind = FIELD_END}
#define AT(member) offsetof(struct numbers, note.member)
#define CLASS                                                                                      \
    {.name = "class",                                                                              \
     .kind = FIELD_INT,                                                                            \
     .at = offsetof(struct numbers, line_class),                                                   \
     .max = RANGE_SMALL}

#define ZONE {.name = "zone", .kind = FIELD_STRING, .at = AT(zone), .max = 255}

static const struct field ask_fields[] = {WORD("ask"), SHA1_FIELD, ZONE, END};

static const struct field is_fields[] = {
    WORD("is"),
    DAEMON,
    {.name = "state",
     .kind = FIELD_INT,
     .at = offsetof(struct numbers, state),
     .max = RANGE_ERROR},
    {.name = "size", .kind = FIELD_INT, .at = AT(size), .is_optional = true},
    {.name = "done", .kind = FIELD_INT, .at = AT(done), .is_optional = true},
    {.name = "root",
     .kind = FIELD_HEX,
     .at = AT(root),
     .max = RANGE_ROOT_DIGITS,
     .is_optional = true},
    END};

static const struct field asked_fields[] = {
    WORD("asked"),
    {.name = "asked", .kind = FIELD_INT, .at = AT(asked)},
    {.name = "away", .kind = FIELD_INT, .at = AT(away)},
    {.name = "daemon",
     .kind = FIELD_INT,
     .at = AT(daemon),
     .min = 1,
     .is_optional = true},
    END};

static const struct field line_fields[] = {
    WORD("line"),
    DAEMON,
    CLASS,
    {.name = "name", .kind = FIELD_STRING, .at = AT(name), .max = 255, .is_optional = true},
    {.name = "zone", .kind = FIELD_STRING, .at = AT(zone), .max = 255, .is_optional = true},
    {.name = "asker", .kind = FIELD_BOOL, .at = AT(has_asker), .is_optional = true},
    END};

static const struct field no_line_fields[] = {WORD("no-line"), DAEMON, CLASS, END};

static const struct field gone_fields[] = {WORD("gone"), DAEMON, END};

static const struct field find_fields[] = {WORD("find"), SHA1_FIELD, ZONE, END};

static const struct field found_fields[] = {
    WORD("found"),
    {.name = "size", .kind = FIELD_INT, .at = AT(size), .is_optional = true},
    END};

/* By enum relay_note_type. */
static const struct field *const notes[] = {ask_fields,  is_fields,      asked_fields,
                                            line_fields, no_line_fields, gone_fields,
                                            find_fields, found_fields,   NULL};

struct relay_note relay_note(enum relay_note_type type)
{
    return (struct relay_note){.type = type, .size = -1, .done = -1};
}

int relay_note_parse(struct relay_note *note, struct str bytes, struct err *e)
{
    struct numbers n = {.note = relay_note(RELAY_ASK)};
    size_t end = str_find(bytes, '\n');
    struct json *doc = json_parse(str_slice(bytes, 0, end), JSON_STRICT, e);
    int type = doc == NULL ? -1 : fields_read_one_of(notes, doc, &n, e);

    if (type < 0) {
        json_free(doc);
        return -1;
    }
    *note = n.note;
    note->doc = doc;
    note->type = (enum relay_note_type)type;
    note->line_class = (enum range_class)n.line_class;
    note->state = (enum range_state)n.state;
    note->early = str_slice(bytes, end + 1, bytes.len);
    return 0;
}

void relay_note_deinit(struct relay_note *note)
{
    json_free(note->doc);
    note->doc = NULL;
}

void relay_note_put(struct buf *out, const struct relay_note *note)
{
    const struct numbers n = {
        .note = *note, .line_class = (int64_t)note->line_class, .state = (int64_t)note->state};

    fields_put(out, notes[note->type], &n);
    if (note->type == RELAY_LINE && note->early.len > 0) {
        buf_putc(out, '\n');
        buf_put(out, note->early);
    }
}
