/* The next steps after `init`, in words: steps that are done or not needed are left out. Asks the
 * gateway where that tells more, for a few seconds at most. */
#ifndef CMD_NEXT_STEPS_H
#define CMD_NEXT_STEPS_H

#include "daemon/config.h"

/* Writes the steps to standard error. The config is complete; `config_path` is where it was
 * written. */
void next_steps_print(const struct config *config, const char *config_path);

#endif
