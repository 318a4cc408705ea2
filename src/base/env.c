#include "base/env.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

const char *env_get(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

void env_wipe(const char *name)
{
    size_t len = strlen(name);

    /* A name may stand there twice. */
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++)
        if (strncmp(*variable, name, len) == 0 && (*variable)[len] == '=')
            explicit_bzero(*variable + len + 1, strlen(*variable + len + 1));
}

void env_wipe_secrets(void)
{
    static const char *const proxies[] = {"http_proxy", "https_proxy", "all_proxy",
                                          "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};

    env_wipe("KACHERY_CLOUD_PRIVATE_KEY");
    env_wipe("PROXY_SECRET");
    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++) {
        const char *value = env_get(proxies[i]);
        if (value != NULL && strchr(value, '@') != NULL)
            env_wipe(proxies[i]);
    }
}
