/*
 * One child of `doctor`: it makes the checks of one subject, one after the other, and reports each
 * as a finding. Reads files, connects to servers as the config says; changes nothing but temporary
 * files of its own, which it removes. Its first failure that makes others pointless ends it: the
 * parent names the checks that were not made.
 */
#ifndef DOCTOR_PROBE_H
#define DOCTOR_PROBE_H

#include <sys/resource.h>

#include "daemon/config.h"
#include "doctor/doctor_options.h"
#include "doctor/finding.h"

/* The limits of the user's processes, as they were before a child's own were set. */
struct probe_limits {
    struct rlimit processor, files, address_space, file_size, stack;
};

struct probe {
    const struct doctor_options *options; /* borrowed */
    struct probe_limits limits;
    int64_t deadline_ms;  /* clock_now_ms(): of all */
    int fd;               /* of the parent's socket */
    struct config config; /* as far as it could be read: values may be NULL */
    struct buf ca_file;   /* the path of its caFile, which is trusted; empty without */
};

/* The work of a probe, in its child. */
typedef void probe_run(struct probe *p);

/* The probes, each in a file of its name. */
probe_run config_probe_run, folder_probe_run, lease_probe_run, keys_probe_run, store_probe_run;
probe_run links_probe_run, limits_probe_run, gateway_probe_run, proxy_probe_run, cron_probe_run;

/* Report a finding; printf style. A cure is a sentence in the imperative. */
void probe_ok(struct probe *p, enum doctor_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void probe_warn(struct probe *p, enum doctor_check check, const char *cure, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void probe_fail(struct probe *p, enum doctor_check check, const char *cure, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tells the parent which path is looked at next, "" for none: what hangs is named by it. */
void probe_look_at(struct probe *p, const char *path);

/* Tells the parent that the probe is through. */
void probe_end(struct probe *p);

/* Reads the config into p->config, completed by its defaults where that is possible, and lets its
 * caFile be trusted. */
int probe_load_config(struct probe *p, struct err *e) ERR_CHECKED;

/* Returns until when one answer may take from now on (clock_now_ms()). */
int64_t probe_answer_deadline_ms(const struct probe *p);

#endif
