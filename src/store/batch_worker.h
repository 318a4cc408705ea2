/* The process that does a batch's work, and the words it speaks; used by batch.c alone. */
#ifndef STORE_BATCH_WORKER_H
#define STORE_BATCH_WORKER_H

#include "base/buf.h"
#include "base/json.h"
#include "store/batch.h"

enum { BATCH_REPORT_MS = 100, BATCH_WORKER_PATHS = 64 /* of one job */ };

/* process_options.run; ctx is the batch's options. */
int batch_worker_run(int fd, void *ctx);

/* Appends to a job's paths: {"id":N,"follow":[…],"paths":[…]}. */
void batch_worker_open_job(struct buf *out, uint64_t id, const struct follow *follow);
void batch_worker_put_path(struct buf *out, const char *path);
void batch_worker_close_job(struct buf *out);

enum batch_said { BATCH_SAID_BYTES, BATCH_SAID_RESULT, BATCH_SAID_NONSENSE };

/* Takes an answer apart: bytes of the file in hand, or the result of the job's next file, which
 * fills item's result fields. */
enum batch_said batch_worker_understand(const struct json *message, struct batch_item *item,
                                        int64_t *bytes);

#endif
