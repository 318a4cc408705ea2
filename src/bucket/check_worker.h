/*
 * A process that checks objects: it reads files of the bucket's folder and writes below .hub/; it
 * connects to nothing and forks nothing. It speaks to check_queue.c, one check at a time:
 *     CHECK id, object key     hub to process
 *     PONG 0                   process to hub: still reading
 *     CHECKED id               process to hub: done; what was found stands in the folder
 */
#ifndef BUCKET_CHECK_WORKER_H
#define BUCKET_CHECK_WORKER_H

/* Serves the socket `fd` until the hub closes it, as a process_options.run. `ctx` is the struct
 * data_dir. Returns the exit status. */
int check_worker_run(int fd, void *ctx);

#endif
