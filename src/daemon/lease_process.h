/*
 * The processes that records of leases name: what this process writes of itself, and whether the
 * process of a record runs, as far as /proc of this host shows it. Reads /proc alone.
 */
#ifndef DAEMON_LEASE_PROCESS_H
#define DAEMON_LEASE_PROCESS_H

#include "daemon/lease_record.h"

/* Fills in host, process and namespaces of this process, a new token, and the time. */
void lease_process_describe(struct lease_record *self);

enum lease_process {
    LEASE_PROCESS_ELSEWHERE, /* of another host, boot or PID namespace: not to be seen */
    LEASE_PROCESS_DEAD,      /* gone, a zombie, or the number is another process's by now */
    LEASE_PROCESS_HALTED,    /* there, but stopped, waiting for storage, or hidden */
    LEASE_PROCESS_RUNNING
};

/* Looks for the process of a record. */
enum lease_process lease_process_look(const struct lease_record *record);

/* Returns how long ago the record was renewed, by the clock that both processes share; -1 when they
 * share none (another host, boot or time namespace, a record without that time). */
int64_t lease_process_renewed_ago_ms(const struct lease_record *record);

#endif
