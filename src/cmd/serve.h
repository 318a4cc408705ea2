/* proxy, gateway and hub: the same server with one role or both. */
#ifndef CMD_SERVE_H
#define CMD_SERVE_H

enum serve_roles { SERVE_PROXY = 1, SERVE_GATEWAY = 2 };

enum { SERVE_MAX_COUNT = 1000000 };

/* Parses the options of those roles (enum serve_roles, or'ed) and serves. Returns the exit
 * status. */
int serve_run(const char *name, int argc, char **argv, unsigned roles);

#endif
