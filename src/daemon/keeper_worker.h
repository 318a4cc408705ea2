/*
 * The keeper child: writes log and status, renews the lease. It gets frames
 *     {"type":"log","line":…}  {"type":"status","text":…}  {"type":"reopen"}  {"type":"leave"}
 * and sends {"type":"lost","reason":…} when the lease is another's, {"type":"trouble","what":…}
 * when something cannot be written.
 */
#ifndef DAEMON_KEEPER_WORKER_H
#define DAEMON_KEEPER_WORKER_H

/* A process_options.run; `ctx` is a struct keeper_options. */
int keeper_worker_run(int fd, void *ctx);

#endif
