#include "hub/object_doubt.h"

#include <stdlib.h>
#include <unistd.h>

#include "bucket/bucket.h"

struct doubt {
    struct bucket_file file;
    struct err e;
    struct buf key;
};

static void end_doubt(void *owner)
{
    struct doubt *doubt = owner;

    if (doubt->file.fd >= 0)
        close(doubt->file.fd);
    buf_free(&doubt->key);
    free(doubt);
}

void object_doubt(void *owner, const struct zone *zone, struct str sha1)
{
    struct doubt *doubt = calloc(1, sizeof *doubt);

    if (doubt == NULL)
        return;
    zone_files_put_object_key(zone, sha1, &doubt->key);
    doubt->file = (struct bucket_file){.call = {end_doubt, doubt, .e = &doubt->e},
                                       .key = buf_str(&doubt->key),
                                       .believed_s = BUCKET_NEVER_S,
                                       .is_doubted = true,
                                       .fd = -1};
    if (doubt->key.failed || !bucket_open_file(owner, &doubt->file))
        end_doubt(doubt);
}
