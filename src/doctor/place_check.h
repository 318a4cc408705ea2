/*
 * Tries whether a folder can be written: a temporary file of some bytes, which is synced and
 * removed, as only that shows a full disk, a quota and a file system that became read-only. A
 * helper of the probes of folders.
 */
#ifndef DOCTOR_PLACE_CHECK_H
#define DOCTOR_PLACE_CHECK_H

#include "doctor/probe.h"

/* Reports what is wrong with a folder that is there, and `about` it when all is well; `what` names
 * it: "the config's folder". */
void place_check_report(struct probe *p, enum doctor_check check, const char *what,
                        const char *folder, const char *about);

#endif
