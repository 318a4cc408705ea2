#include "daemon/reason.h"

#include <stddef.h>

const char *reason_of_state(enum store_state state)
{
    switch (state) {
    case STORE_STALE:
        return "the file has changed since it was shared: ask its owner to link it again";
    case STORE_MISSING:
        return "the file is no longer where it was shared from: ask its owner to link it again";
    case STORE_UNREADABLE:
        return "the file cannot be read on its host: ask its owner to check its permissions";
    case STORE_DAMAGED:
        return "the stored copy of the file is damaged: ask its owner to store it again";
    case STORE_OK:
    case STORE_TOUCHED:
    case STORE_ABSENT:
    case STORE_UNCHECKED:
        break;
    }
    return NULL;
}
