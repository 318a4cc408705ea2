#include "server/crew_frame.h"

#include <poll.h>

#define CONNECTION STR("{\"type\":\"connection\"}\n")

void crew_frame_put(struct buf *out, struct str bytes)
{
    buf_put(out, CONNECTION);
    buf_put(out, bytes);
}

bool crew_frame_bytes(struct str frame, struct str *bytes)
{
    if (!str_starts_with(frame, CONNECTION))
        return false;
    *bytes = str_slice(frame, CONNECTION.len, frame.len);
    return true;
}

struct str crew_frame_closed(void)
{
    return STR("{\"type\":\"closed\"}");
}

bool crew_frame_is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0 &&
           (p.revents & (POLLERR | POLLHUP)) == 0;
}
