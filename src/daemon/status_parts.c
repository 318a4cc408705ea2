#include "daemon/status_parts.h"

#include <stddef.h>

#include "base/fields.h"

enum { PARTS = 9 };

#define PART(name_, kind_, member)                                                                 \
    {                                                                                              \
        {.name = name_, .kind = kind_, .at = offsetof(struct status_parts, member)},               \
        {                                                                                          \
            .kind = FIELD_OTHERS                                                                   \
        }                                                                                          \
    }
static const struct field part_fields[PARTS][2] = {
    PART("proxy", FIELD_OBJECT, proxy),
    PART("gateway", FIELD_OBJECT, gateway),
    PART("refusedBy", FIELD_OBJECT, refused_by),
    PART("totals", FIELD_OBJECT, totals),
    PART("disconnections", FIELD_OBJECT, ends),
    PART("workersLost", FIELD_OBJECT, lost),
    PART("processor", FIELD_OBJECT, processor),
    PART("uploads", FIELD_ARRAY, uploads),
    PART("notHere", FIELD_ARRAY, absent),
};
#undef PART

void status_parts_read(struct status_parts *out, const struct json *status)
{
    *out = (struct status_parts){.proxy = NULL};
    for (int i = 0; i < PARTS; i++)
        (void)!fields_read(part_fields[i], status, out, NULL, ERR_IGNORED); /* it stays NULL */
}
