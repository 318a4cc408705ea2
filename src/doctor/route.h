/*
 * The way to one server, stage by stage, so that the stage that fails is named: the look-up of its
 * name, the HTTP proxy, the connection, TLS with the server's certificate. Sends no request.
 */
#ifndef DOCTOR_ROUTE_H
#define DOCTOR_ROUTE_H

#include "doctor/probe.h"
#include "loop/loop.h"
#include "proto/url.h"

struct route {
    struct probe *probe;
    struct loop *loop;
    enum doctor_check server; /* the check that a server which does not take connections fails */
    const char *what;         /* "the gateway" */
    const char *setting;      /* that has its URL: "KACHERY_GATEWAY_URL" */
    struct str url;
    bool for_requests; /* of HTTP, which an HTTP proxy takes in absolute form */
    /* The check for everything; DOCTOR_CHECKS: each stage has its own. */
    enum doctor_check only;
};

/* Follows the way and reports its stages. Returns false when it does not lead to the server. With
 * `only` set, nothing but a failure is reported. */
bool route_follow(const struct route *r);

/* Returns true when requests to this URL go through an HTTP proxy. */
bool route_is_proxied(struct str url);

#endif
