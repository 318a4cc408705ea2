#include "http/crew_frame.h"

#include "base/ready.h"

static const char *const heads[] = {
    [CREW_FRAME_CONNECTION] = "{\"type\":\"connection\",\"id\":",
    [CREW_FRAME_CLOSED] = "{\"type\":\"closed\",\"id\":",
    [CREW_FRAME_PING] = "{\"type\":\"ping\",\"id\":",
    [CREW_FRAME_PONG] = "{\"type\":\"pong\",\"id\":",
    [CREW_FRAME_DROP] = "{\"type\":\"drop\",\"id\":",
    [CREW_FRAME_KEPT] = "{\"type\":\"kept\",\"id\":",
    [CREW_FRAME_END] = "{\"type\":\"end\",\"id\":",
    [CREW_FRAME_CHECK] = "{\"type\":\"check\",\"id\":",
    [CREW_FRAME_CHECKED] = "{\"type\":\"checked\",\"id\":",
    [CREW_FRAME_NOTE] = "{\"type\":\"note\",\"id\":",
};

void crew_frame_put(struct buf *out, enum crew_frame type, uint64_t id, struct str bytes)
{
    buf_printf(out, "%s%llu}", heads[type], (unsigned long long)id);
    if (type == CREW_FRAME_CONNECTION || type == CREW_FRAME_CHECK || type == CREW_FRAME_NOTE) {
        buf_putc(out, '\n');
        buf_put(out, bytes);
    }
}

bool crew_frame_parse(struct str frame, enum crew_frame *type, uint64_t *id, struct str *bytes)
{
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct str head = str_of(heads[i]), rest = str_slice(frame, head.len, frame.len);
        size_t end = str_find(rest, '}');
        if (!str_starts_with(frame, head))
            continue;
        *type = (enum crew_frame)i;
        *bytes = str_slice(rest, end + 2, rest.len);
        return end < rest.len && str_to_uint(str_slice(rest, 0, end), UINT64_MAX, id);
    }
    return false;
}

bool crew_frame_is_writable(int fd)
{
    return ready_look(fd, READY_WRITE) == READY_WRITE;
}
