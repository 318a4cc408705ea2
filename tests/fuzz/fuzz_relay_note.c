/* A note between hub and relay that was accepted is the same after it was written again. */
#include "fuzz.h"
#include "proxy/relay_note.h"

static void check(const struct relay_note *m)
{
    require(m->type >= RELAY_ASK && m->type <= RELAY_GONE);
    require(m->sha1.len == 0 || m->sha1.len == 40);
    require(m->root.len == 0 || m->root.len == RANGE_ROOT_DIGITS);
    require(m->name.len <= 255 && m->zone.len <= 255);
    require(m->state >= RANGE_FOUND && m->state <= RANGE_ERROR && m->line_class <= RANGE_SMALL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct relay_note note, again;
    struct buf out = {0};
    struct err e = {0};

    if (relay_note_parse(&note, (struct str){(const char *)data, size}, &e) != 0) {
        require(e.msg[0] != '\0' && str_is_utf8(str_of(e.msg)));
        return 0;
    }
    check(&note);
    relay_note_put(&out, &note);
    require(!out.failed && relay_note_parse(&again, buf_str(&out), &e) == 0);
    require(note.type == again.type && note.daemon == again.daemon);
    require(str_equal(note.sha1, again.sha1) && str_equal(note.root, again.root));
    require(note.state == again.state && note.line_class == again.line_class);
    require(str_equal(note.name, again.name) && str_equal(note.zone, again.zone));
    if (note.type == RELAY_LINE)
        require(str_equal(note.early, again.early));
    relay_note_deinit(&again);
    relay_note_deinit(&note);
    buf_free(&out);
    return 0;
}
