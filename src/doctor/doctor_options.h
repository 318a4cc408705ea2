/* The options of doctor.h, which its probes read, too. */
#ifndef DOCTOR_DOCTOR_OPTIONS_H
#define DOCTOR_DOCTOR_OPTIONS_H

#include <stdint.h>

/* Times in ms; tests shorten single ones with KACHERY_RESOURCE_TEST_DOCTOR. */
struct doctor_times {
    int64_t all_ms;     /* of everything: then children that have not ended are given up */
    int64_t answer_ms;  /* of one answer of a server, a name server or an HTTP proxy */
    int64_t sample_ms;  /* of the look at the store's records */
    int64_t lease_ms;   /* of the look whether a foreign holder's lease is renewed */
};

struct doctor_options {
    const char *config_path;
    struct doctor_times times;
};

#endif
