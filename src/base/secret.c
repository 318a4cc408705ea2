#include "base/secret.h"

#include <string.h>

/* One process has a proxy's secret, and keys for as many gateways as it talks to: one. */
enum { SECRET_PLACES = 8 };

static struct {
    void *bytes; /* NULL: free */
    size_t len;
} places[SECRET_PLACES];

int secret_add(void *bytes, size_t len, struct err *e)
{
    for (int i = 0; i < SECRET_PLACES; i++) {
        if (places[i].bytes != NULL)
            continue;
        places[i].bytes = bytes;
        places[i].len = len;
        return 0;
    }
    return err_set(e, ERR_FAILED, "more than %d secrets in one process", SECRET_PLACES);
}

void secret_remove(const void *bytes)
{
    for (int i = 0; i < SECRET_PLACES; i++)
        if (places[i].bytes == bytes)
            places[i].bytes = NULL;
}

void secret_wipe_all(void)
{
    for (int i = 0; i < SECRET_PLACES; i++) {
        if (places[i].bytes != NULL)
            explicit_bzero(places[i].bytes, places[i].len);
        places[i].bytes = NULL;
    }
}
