/*
 * The checks of `doctor` and their results: what a check found, and the cure. Frames between its
 * children and the parent carry one finding each. Nothing here looks at anything or prints.
 */
#ifndef DOCTOR_FINDING_H
#define DOCTOR_FINDING_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* In the order in which they are shown: causes before what follows from them. */
enum doctor_check {
    CHECK_CONFIG,
    CHECK_ENVIRONMENT,
    CHECK_FOLDER,
    CHECK_LEASE,
    CHECK_KEYS,
    CHECK_STORE,
    CHECK_LINKS,
    CHECK_LIMITS,
    CHECK_NAMES,
    CHECK_HTTP_PROXY,
    CHECK_TLS,
    CHECK_GATEWAY,
    CHECK_CLOCK,
    CHECK_ZONE,
    CHECK_CLIENT,
    CHECK_UPLOAD,
    CHECK_UPLOAD_URL,
    CHECK_PROXY,
    CHECK_SECRET,
    CHECK_NAME,
    CHECK_REACHABLE,
    CHECK_CRON,
    DOCTOR_CHECKS,
    DOCTOR_PLACE /* no check: the path that the child looks at next, in `detail` */
};

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_LEVELS };

enum { FINDING_MAX_BYTES = 4096 /* of a detail, and of a cure */ };

struct doctor_finding {
    enum doctor_check check;
    enum doctor_level level;
    struct str detail, cure; /* the cure is empty for DOCTOR_OK alone */
};

/* Return "config", …, and "ok", "warn" or "FAIL". */
const char *finding_check_name(enum doctor_check check);
const char *finding_level_name(enum doctor_level level);

/* Appends a frame, and reads one: the finding's texts are borrowed from *doc, which the caller
 * frees with json_free. The frame at the end of a child's work is a finding of DOCTOR_CHECKS. */
struct json;
void finding_put(struct buf *out, const struct doctor_finding *f);
int finding_read(struct doctor_finding *out, struct str frame, struct json **doc,
                 struct err *e) ERR_CHECKED;

#endif
