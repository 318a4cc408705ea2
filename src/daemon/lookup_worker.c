#include "daemon/lookup_worker.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "daemon/config.h"
#include "daemon/range_file.h"
#include "daemon/reason.h"
#include "proc/cpu_budget.h"
#include "proc/frame.h"
#include "store/store.h"
#include "zone/identity.h"

/* Bytes that are no UTF-8 take three each. */
enum { MAX_NOTE_BYTES = (ERR_MESSAGE_SIZE - 1) / 3 };

/* Of answers, before they are sent: one more path fits a frame. */
enum { FULL_BYTES = 32768 };

#define AT(member) offsetof(struct lookup_message, member)

const struct field lookup_question_fields[] = {
    {.name = "first", .kind = FIELD_INT, .at = AT(first)},
    {.name = "hashes", .kind = FIELD_ARRAY, .at = AT(values)},
    {.kind = FIELD_END},
};

const struct field lookup_answer_fields[] = {
    {.name = "first", .kind = FIELD_INT, .at = AT(first)},
    {.name = "isSpent", .kind = FIELD_BOOL, .at = AT(is_spent), .is_optional = true},
    {.name = "found", .kind = FIELD_ARRAY, .at = AT(values)},
    {.kind = FIELD_END},
};

struct lookup_file_answer {
    int64_t state, size;
    struct str root, text;
};

static const struct field file_fields[] = {
    {.name = "state",
     .kind = FIELD_INT,
     .at = offsetof(struct lookup_file_answer, state),
     .max = RANGE_ERROR},
    {.name = "size",
     .kind = FIELD_INT,
     .at = offsetof(struct lookup_file_answer, size),
     .is_optional = true},
    {.name = "root",
     .kind = FIELD_HEX,
     .at = offsetof(struct lookup_file_answer, root),
     .max = RANGE_ROOT_DIGITS,
     .is_optional = true},
    {.name = "text",
     .kind = FIELD_STRING,
     .at = offsetof(struct lookup_file_answer, text),
     .max = ERR_MESSAGE_SIZE - 1,
     .is_optional = true},
    {.kind = FIELD_END},
};

static bool read_file_answer(struct lookup_result *result, const struct json *value)
{
    struct lookup_file_answer file = {.size = -1};

    if (fields_read(file_fields, value, &file, NULL, ERR_IGNORED) != 0)
        return false;
    result->is_file = true;
    result->state = (enum range_state)file.state;
    result->file_size = file.size;
    snprintf(result->root, sizeof result->root, "%.*s", STR_ARG(file.root));
    snprintf(result->text, sizeof result->text, "%.*s", STR_ARG(file.text));
    result->reason = result->text;
    return true;
}

/* A C string of a text that is not too long. */
static bool take_result_text(const struct json *value, char text[ERR_MESSAGE_SIZE])
{
    struct str s;

    if (!json_str(value, &s) || s.len >= ERR_MESSAGE_SIZE)
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    return true;
}

bool lookup_result_read(struct lookup_result *result, const struct json *value)
{
    *result = (struct lookup_result){0};
    switch (json_type(value)) {
    case JSON_NULL: return true;
    case JSON_OBJECT: return read_file_answer(result, value);
    case JSON_ARRAY:
        if (json_int(json_first(value), &result->size)) {
            result->is_found = true;
            return json_str(json_next(json_first(value)), &result->path);
        }
        result->note = result->text;
        return take_result_text(json_first(value), result->text);
    case JSON_STRING: result->reason = result->text; return take_result_text(value, result->text);
    default: result->is_found = true; return json_int(value, &result->size);
    }
}

void lookup_result_put(struct buf *out, const struct lookup_result *result)
{
    if (result->is_file) {
        const struct lookup_file_answer file = {.state = (int64_t)result->state,
                                                .size = result->file_size,
                                                .root = str_of(result->root),
                                                .text = str_of(result->reason)};
        fields_put(out, file_fields, &file);
    } else if (result->reason != NULL) {
        json_put_str(out, NULL, str_of(result->reason));
    } else if (result->is_found && result->path.len > 0) {
        json_open_member(out, NULL, '[');
        json_put_int(out, NULL, result->size);
        json_put_path(out, NULL, result->path);
        json_close(out, ']');
    } else if (result->is_found) {
        json_put_int(out, NULL, result->size);
    } else if (result->note != NULL) {
        json_open_member(out, NULL, '[');
        json_put_str(out, NULL, str_cut(str_of(result->note), MAX_NOTE_BYTES));
        json_close(out, ']');
    } else {
        json_put_null(out, NULL);
    }
}

struct lookup_worker {
    int fd;
    int64_t max_cpu_ms;
    bool has_paths;
    struct store store;
    struct buf in, out;
    int64_t first, count; /* of the answers in `out` */
    bool is_alone;        /* the supervisor is gone, or does not read */
};

static void begin_answers(struct lookup_worker *w)
{
    const struct lookup_message answer = {.first = w->first,
                                          .is_spent = cpu_budget_is_spent(w->max_cpu_ms)};

    buf_clear(&w->out);
    json_open(&w->out, '{');
    fields_put_members(&w->out, lookup_answer_fields, &answer);
    json_open_member(&w->out, "found", '[');
    w->count = 0;
}

/* Sends the answers so far. */
static void flush_answers(struct lookup_worker *w)
{
    if (w->count == 0)
        return;
    json_close(&w->out, ']');
    json_close(&w->out, '}');
    if (w->out.failed || frame_send(w->fd, buf_str(&w->out), -1, ERR_IGNORED) != IO_DONE)
        w->is_alone = true;
    w->first += w->count;
    begin_answers(w);
}

static void put_result(struct lookup_worker *w, const struct lookup_result *result)
{
    lookup_result_put(&w->out, result);
    w->count++;
}

static void put_entry_result(struct lookup_worker *w, const struct store_entry *entry)
{
    bool is_absent = entry->state == STORE_ABSENT;

    put_result(w, &(struct lookup_result){.is_found = !is_absent,
                                          .size = entry->size,
                                          .path = str_of(w->has_paths ? entry->path : NULL),
                                          .reason = reason_of_state(entry->state),
                                          .note = is_absent ? entry->refusal : NULL});
}

/* A link's target may be on storage that hangs: what is known is sent before it is touched. */
static void look_up_hash(struct lookup_worker *w, const char *hash)
{
    struct store_entry entry = {0};

    if (store_lookup_record(&w->store, hash, &entry, ERR_IGNORED) != 0 ||
        (entry.state == STORE_ABSENT && identity_is_away(w->store.key_dir))) {
        put_result(w, &(struct lookup_result){.reason = REASON_STORE});
        store_entry_deinit(&entry);
        return;
    }
    if (entry.state == STORE_UNCHECKED) {
        flush_answers(w);
        store_check_target(&entry);
    }
    put_entry_result(w, &entry);
    store_entry_deinit(&entry);
}

/* Looks at a file that is to be read in parts. */
static void look_at_range_file(struct lookup_worker *w, const char *hash)
{
    struct lookup_result result = {.is_file = true};
    struct err e = {0};

    flush_answers(w);
    result.state = range_file_look(&w->store, hash, &result.file_size, result.root, &e);
    result.reason = e.msg;
    put_result(w, &result);
}

static bool do_lookup_frame(struct lookup_worker *w, const struct json *document)
{
    char text[SHA1_HEX + 1];
    struct lookup_message question;
    struct str hash;

    if (fields_read(lookup_question_fields, document, &question, NULL, ERR_IGNORED) != 0)
        return false;
    w->first = question.first;
    begin_answers(w);
    for (const struct json *v = json_first(question.values); v != NULL; v = json_next(v)) {
        bool is_file = json_type(v) == JSON_ARRAY;
        if (!json_str(is_file ? json_first(v) : v, &hash) || hash.len != SHA1_HEX)
            return false;
        memcpy(text, hash.p, SHA1_HEX);
        text[SHA1_HEX] = '\0';
        if (is_file)
            look_at_range_file(w, text);
        else
            look_up_hash(w, text);
        if (w->out.len > FULL_BYTES)
            flush_answers(w);
    }
    flush_answers(w);
    return !w->is_alone;
}

int lookup_worker_run(int fd, void *ctx)
{
    const struct lookup_worker_options *options = ctx;
    struct lookup_worker w = {.fd = fd, .max_cpu_ms = options->max_cpu_ms,
                              .has_paths = options->has_paths};
    bool is_good = store_init(&w.store, ERR_IGNORED) == 0;

    w.store.vouchers = &options->vouchers;
    while (is_good && frame_receive(fd, &w.in, NULL, ERR_IGNORED) == IO_DONE) {
        struct json *document = json_parse(buf_str(&w.in), JSON_STRICT, ERR_IGNORED);
        is_good = document != NULL && do_lookup_frame(&w, document);
        json_free(document);
    }
    store_deinit(&w.store);
    buf_free(&w.in);
    buf_free(&w.out);
    return is_good ? 0 : 1;
}
