#include "daemon/reason.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "base/env.h"

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

bool reason_is_change(struct str reason)
{
    static const enum store_state states[] = {STORE_STALE, STORE_MISSING, STORE_DAMAGED};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (str_equal(reason, str_of(reason_of_state(states[i]))))
            return true;
    return false;
}

/* A '/' that is not part of a URL or a word begins the path of a file. */
bool reason_names_path(const char *text)
{
    for (const char *p = strchr(text, '/'); p != NULL; p = strchr(p + 1, '/'))
        if (p == text || (!isalnum((unsigned char)p[-1]) && strchr(":/.-_~%]", p[-1]) == NULL))
            return true;
    return false;
}

/* The text of a network error may then come from a proxy of the host's network. */
static bool is_behind_proxy(void)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy",
                                        "HTTP_PROXY",  "all_proxy",   "ALL_PROXY"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (env_get(names[i]) != NULL)
            return true;
    return false;
}

const char *reason_of_error(const struct err *e, enum store_kind kind)
{
    if (e->code == ERR_CHANGED)
        return reason_of_state(kind == STORE_COPY ? STORE_DAMAGED : STORE_STALE);
    if (e->code == ERR_NOT_FOUND)
        return REASON_GONE;
    if (reason_names_path(e->msg) || strstr(e->msg, "signature=") != NULL ||
        (e->code != ERR_REFUSED && e->code != ERR_FAILED && is_behind_proxy()))
        return REASON_ZONE;
    return e->msg;
}
