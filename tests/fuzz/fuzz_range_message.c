/* A text about ranges that was accepted keeps its limits, and is the same after it was written
 * again. */
#include "fuzz.h"
#include "proto/range_message.h"

static void require_digits(struct str text, size_t digits)
{
    require(text.len == 0 || text.len == digits);
}

static void check(const struct range_message *m)
{
    require(m->type >= RANGE_EXTENSIONS && m->type <= RANGE_NONE);
    require_digits(m->ticket, RANGE_TICKET_DIGITS);
    require_digits(m->sha1, 40);
    require_digits(m->root, RANGE_ROOT_DIGITS);
    require_digits(m->client_id, 64);
    require_digits(m->signature, 128);
    require(m->file_id >= 0 && m->file_id <= UINT32_MAX && m->ask_id >= 0);
    require(m->first >= -1 && m->first <= UINT32_MAX && m->request >= 0);
    require(m->request <= UINT32_MAX && m->page >= 0 && m->page <= UINT32_MAX);
    require(m->size >= -1 && m->done >= -1 && m->also_count <= RANGE_MAX_ALSO);
    require(m->state >= RANGE_FOUND && m->state <= RANGE_ERROR && m->line_class <= RANGE_SMALL);
}

static void require_same(const struct range_message *a, const struct range_message *b)
{
    require(a->type == b->type && a->file_id == b->file_id && a->ask_id == b->ask_id);
    require(str_equal(a->ticket, b->ticket) && str_equal(a->sha1, b->sha1));
    require(str_equal(a->root, b->root) && str_equal(a->signature, b->signature));
    require(a->first == b->first && a->request == b->request && a->page == b->page);
    require(a->size == b->size && a->also_count == b->also_count && a->state == b->state);
    for (size_t n = 0; n < a->also_count; n++)
        require(a->also[n] == b->also[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_message m, again;
    struct buf out = {0};
    struct err e = {0};

    if (range_message_parse(&m, (struct str){(const char *)data, size}, &e) != 0) {
        require(e.msg[0] != '\0' && str_is_utf8(str_of(e.msg)));
        return 0;
    }
    check(&m);
    if (m.type != RANGE_NONE && m.type != RANGE_EXTENSIONS) {
        range_message_put(&out, &m);
        require(!out.failed && range_message_parse(&again, buf_str(&out), &e) == 0);
        require_same(&m, &again);
        range_message_deinit(&again);
        buf_free(&out);
    }
    range_message_deinit(&m);
    return 0;
}
