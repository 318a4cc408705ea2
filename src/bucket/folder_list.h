/* The keys of a bucket in a folder, page by page: objects and small files alike. */
#ifndef BUCKET_FOLDER_LIST_H
#define BUCKET_FOLDER_LIST_H

#include "bucket/bucket.h"
#include "bucket/data_dir.h"

/* Fills in the results of a bucket_list but call.result: returns 0, or -1 and *e. Files that are
 * being written are not listed. */
int folder_list(const struct data_dir *dir, struct bucket_list *list, struct err *e);

#endif
