#include "server/cork.h"

#include <stddef.h>

/* A timer that is due when it is set fires after the round's descriptors (net/loop.h). */
static void run_all(struct loop_timer *timer)
{
    struct cork *cork = timer->owner;

    while (cork->first != NULL) {
        struct cork_item *item = cork->first;
        cork_remove(cork, item);
        item->run(item);
    }
}

void cork_init(struct cork *cork, struct loop *loop)
{
    *cork = (struct cork){.loop = loop};
    cork->timer.on_time = run_all;
    cork->timer.owner = cork;
    cork->last = &cork->first;
}

void cork_deinit(struct cork *cork)
{
    if (cork->loop != NULL)
        loop_clear_timer(cork->loop, &cork->timer);
}

void cork_add(struct cork *cork, struct cork_item *item)
{
    if (item->link != NULL)
        return;
    if (cork->first == NULL)
        loop_set_timer(cork->loop, &cork->timer, loop_now_ms(cork->loop));
    item->next = NULL;
    item->link = cork->last;
    *cork->last = item;
    cork->last = &item->next;
}

void cork_remove(struct cork *cork, struct cork_item *item)
{
    if (item->link == NULL)
        return;
    *item->link = item->next;
    if (item->next != NULL)
        item->next->link = item->link;
    else
        cork->last = item->link;
    item->link = NULL;
}
