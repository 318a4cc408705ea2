#include "http/crew_waiting.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int crew_waiting_add(struct crew_waiting *w, uint64_t id, int fd, struct str frame, struct err *e)
{
    struct crew_waiting_item *item = malloc(sizeof *item + frame.len);

    if (item == NULL)
        return err_set(e, ERR_FAILED, "out of memory");
    *item = (struct crew_waiting_item){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3),
                                       .id = id,
                                       .len = frame.len,
                                       .older = w->newest};
    if (item->fd < 0) {
        free(item);
        return err_set(e, ERR_FAILED, "no descriptor left for a connection that waits");
    }
    memcpy(item->frame, frame.p, frame.len);
    *(w->newest != NULL ? &w->newest->newer : &w->oldest) = item;
    w->newest = item;
    w->count++;
    w->bytes += item->len;
    return 0;
}

bool crew_waiting_is_over(const struct crew_waiting *w)
{
    return w->count > CREW_WAITING_MAX || w->bytes > CREW_WAITING_MAX_BYTES;
}

static struct crew_waiting_item *take_out_item(struct crew_waiting *w,
                                               struct crew_waiting_item *item)
{
    if (item == NULL)
        return NULL;
    *(item->older != NULL ? &item->older->newer : &w->oldest) = item->newer;
    *(item->newer != NULL ? &item->newer->older : &w->newest) = item->older;
    w->count--;
    w->bytes -= item->len;
    return item;
}

struct crew_waiting_item *crew_waiting_take_newest(struct crew_waiting *w)
{
    return take_out_item(w, w->newest);
}

struct crew_waiting_item *crew_waiting_take_oldest(struct crew_waiting *w)
{
    return take_out_item(w, w->oldest);
}

void crew_waiting_free(struct crew_waiting_item *item)
{
    if (item != NULL)
        close(item->fd);
    free(item);
}

void crew_waiting_clear(struct crew_waiting *w)
{
    while (w->newest != NULL)
        crew_waiting_free(crew_waiting_take_newest(w));
}
