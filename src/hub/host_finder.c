#include "hub/host_finder.h"

#include <unistd.h>

#include "base/log.h"
#include "http/crew.h"
#include "proxy/relay_note.h"

bool host_finder_start(void *owner, struct str zone, struct str hash, struct host_find *find)
{
    struct host_finder *finder = owner;
    struct relay_note note = relay_note(RELAY_FIND);
    struct buf bytes = {0};

    note.zone = zone;
    note.sha1 = hash;
    relay_note_put(&bytes, &note);
    bool is_sent = !bytes.failed &&
                   crew_worker_note(finder->fd, finder->last_id + 1, buf_str(&bytes)) == 0;
    buf_free(&bytes);
    if (!is_sent)
        return false;
    find->id = ++finder->last_id;
    find->next = finder->finds;
    finder->finds = find;
    return true;
}

void host_finder_cancel(void *owner, struct host_find *find)
{
    struct host_finder *finder = owner;
    struct host_find **link = &finder->finds;

    while (*link != NULL && *link != find)
        link = &(*link)->next;
    if (*link != NULL)
        *link = find->next;
}

void host_finder_on_note(struct host_finder *finder, uint64_t id, struct str bytes)
{
    struct host_find *find = finder->finds;
    struct relay_note note;
    struct err e = {0};

    while (find != NULL && find->id != id)
        find = find->next;
    if (find == NULL)
        return; /* its client has left */
    host_finder_cancel(finder, find);
    if (relay_note_parse(&note, bytes, &e) != 0) {
        log_line(LOG_WARN, "the hub's note: %s", e.msg);
        find->on_done(find->owner, -1);
        return;
    }
    int64_t size = note.type == RELAY_FOUND ? note.size : -1;
    relay_note_deinit(&note);
    find->on_done(find->owner, size);
}
