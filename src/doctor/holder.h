/*
 * The daemon of the config's folder, as its lease and its status file show it, on whichever host it
 * runs. Looks only; a lease that is not clear at once is watched for a while.
 */
#ifndef DOCTOR_HOLDER_H
#define DOCTOR_HOLDER_H

#include "doctor/probe.h"

enum { HOLDER_NAME_BYTES = 256 };

enum holder_state { HOLDER_NONE, HOLDER_ALIVE, HOLDER_DEAD, HOLDER_UNCLEAR };

struct holder {
    enum holder_state state;
    char resource[HOLDER_NAME_BYTES], host[HOLDER_NAME_BYTES]; /* "": not known */
    int64_t pid;
    bool is_here;           /* its process is to be seen on this host */
    int64_t renewed_ago_ms; /* by the wall clocks of both hosts; -1: not known */
    bool is_connected;          /* to the proxy, by the status file */
    char failure[FINDING_MAX_BYTES]; /* why it is not, by the status file; "" */
};

/* Looks for the daemon until the time for leases is over. -1 when lease or status file cannot be
 * read. */
int holder_find(struct probe *p, struct holder *out, struct err *e) ERR_CHECKED;

#endif
