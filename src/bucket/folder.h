/*
 * The bucket that is a folder of this machine. Its calls wait for the disk before they return, so
 * it is for processes that may: those of the gateway and of the bucket, and commands.
 */
#ifndef BUCKET_FOLDER_H
#define BUCKET_FOLDER_H

#include "bucket/bucket.h"
#include "bucket/check_asker.h"
#include "bucket/data_dir.h"

/* Returns the bucket in `dir`, whose calls complete on `loop`; all three are borrowed until
 * bucket_free. Without an asker (NULL) only objects that are put are compared with their hashes.
 * NULL without memory. */
struct bucket *folder_new(const struct data_dir *dir, struct loop *loop, struct check_asker *asker,
                          struct err *e);

#endif
