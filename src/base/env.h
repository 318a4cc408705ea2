/* Environment variables as this program reads them: an empty one counts as unset. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

/* Returns the value, borrowed from the environment, or NULL when it is unset or empty. */
const char *env_get(const char *name);

/* Overwrites the value where it stands, so that /proc/PID/environ does not show it; the variable is
 * empty then. */
void env_wipe(const char *name);

/* Wipes the private key, the proxy's secret, and HTTP proxies' URLs that have a password: for a
 * process that neither signs nor asks servers. */
void env_wipe_secrets(void);

#endif
