#include "help/help.h"

#include <string.h>

/* Declares `symbol`, a string with the bytes of a file of this folder. */
#define TEXT(symbol, file)                                                                         \
    __asm__(".section .rodata\n" #symbol ":\n.incbin \"src/help/" file "\"\n.byte 0\n"             \
            ".previous\n");                                                                        \
    extern const char symbol[] __attribute__((visibility("hidden")))

TEXT(help_quickstart, "quickstart.txt");
TEXT(help_config, "config.txt");
TEXT(help_login_node, "login-node.txt");
TEXT(help_hub, "hub.txt");
TEXT(help_ranges, "ranges.txt");
TEXT(help_python, "python.txt");
TEXT(help_files, "files.txt");
TEXT(help_troubleshooting, "troubleshooting.txt");

TEXT(help_script_bash, "completion.bash");
TEXT(help_script_zsh, "completion.zsh");
TEXT(help_script_fish, "completion.fish");

const char *const help_completion_bash = help_script_bash;
const char *const help_completion_zsh = help_script_zsh;
const char *const help_completion_fish = help_script_fish;

const struct help_topic help_topics[] = {
    {"quickstart", "from nothing to a shared file, in three roles", help_quickstart},
    {"config", "the config of a daemon, the environment", help_config},
    {"login-node", "install without root, keep the daemon running", help_login_node},
    {"hub", "a lab's own servers: TLS, permissions, limits, the folder", help_hub},
    {"ranges", "parts of files, without an upload", help_ranges},
    {"python", "the Python client and the names of the Python tools", help_python},
    {"files", "what lies where, who can read it, stores of a group", help_files},
    {"troubleshooting", "messages and what they mean, exit statuses", help_troubleshooting},
    {NULL, NULL, NULL},
};

const struct help_topic *help_find(const char *name)
{
    const struct help_topic *topic = help_topics;

    while (topic->name != NULL && strcmp(topic->name, name) != 0)
        topic++;
    return topic;
}
