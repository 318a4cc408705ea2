/* Environment variables as this program reads them: an empty one counts as unset. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

/* The value, borrowed from the environment, or NULL when it is unset or empty. */
const char *env_get(const char *name);

#endif
