/*
 * Introduces a daemon to the resource proxy under a throw-away name, as share does, to see whether
 * the proxy takes the secret; hangs up at once.
 */
#ifndef DOCTOR_GREETING_H
#define DOCTOR_GREETING_H

#include "doctor/probe.h"
#include "loop/loop.h"

enum { GREETING_NAME_BYTES = 256 };

struct greeting {
    char name[GREETING_NAME_BYTES]; /* "NAME.doctor-1234abcd" */
    bool is_open;         /* the WebSocket was */
    bool is_marked;       /* the proxy knows both generations: it is one of this program */
    bool is_acknowledged; /* the secret is right */
    bool is_wrong_secret; /* the proxy says so */
    bool is_silent;       /* it did not answer in time */
    struct err failure;   /* unless it is acknowledged */
};

/* Tries both generations of proxies where it is not clear which one this is. Needs name, proxy and
 * secret of the config. */
void greeting_try(const struct probe *p, struct loop *loop, struct greeting *out);

#endif
