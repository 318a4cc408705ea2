/*
 * The bucket that is a folder of this machine. Its calls wait for the disk before they return, so
 * it is for processes that may: those of the gateway and of the bucket, and commands.
 */
#ifndef BUCKET_FOLDER_H
#define BUCKET_FOLDER_H

#include "bucket/bucket.h"
#include "bucket/check_asker.h"
#include "bucket/data_dir.h"

/* `dir` and `asker` are borrowed. Without an asker (NULL) nothing is compared with its hash but
 * what is put. NULL without memory; bucket_free frees it. */
struct bucket *folder_new(const struct data_dir *dir, struct loop *loop, struct check_asker *asker,
                          struct err *e);

#endif
