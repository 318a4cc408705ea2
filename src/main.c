/* The command table, and nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"

/* One row per command: name, function, arguments, summary, help. */
const struct cmd cmd_table[] = {
    {"proxy", cmd_proxy, "--listen HOST:PORT [--secret-file F]",
     "relay requests of remote clients to daemons",
     "  --listen HOST:PORT   where to listen (port 0: any free one); else all addresses on PORT\n"
     "  --secret-file F      the secret that daemons must know; else PROXY_SECRET\n"},
    {"gateway", cmd_gateway,
     "--listen HOST:PORT --data DIR [--zone NAME] [--public-url URL] [--open-registration]",
     "a zone with its bucket in a directory",
     "  --listen HOST:PORT   where to listen (port 0: any free one); else all addresses on PORT\n"
     "  --data DIR           the zone's files and objects; created if missing\n"
     "  --zone NAME          the zone's name (default: default)\n"
     "  --public-url URL     how clients reach this server (default: the Host that they use)\n"
     "  --open-registration  whoever opens a registration link is registered, and may upload:\n"
     "                       for loopback and trusted networks\n"},
    {"hub", cmd_hub,
     "--listen HOST:PORT --data DIR [--secret-file F] [--zone NAME] [--public-url URL]\n"
     "                           [--open-registration]",
     "proxy and gateway on one port",
     "  --listen HOST:PORT   where to listen (port 0: any free one); else all addresses on PORT\n"
     "  --secret-file F      the secret that daemons must know; else PROXY_SECRET\n"
     "  --data DIR           the zone's files and objects; created if missing\n"
     "  --zone NAME          the zone's name (default: default)\n"
     "  --public-url URL     how clients reach this server (default: the Host that they use)\n"
     "  --open-registration  whoever opens a registration link is registered, and may upload:\n"
     "                       for loopback and trusted networks\n"},
    {NULL, NULL, NULL, NULL, NULL},
};

static void print_overview(FILE *out)
{
    fprintf(out, "usage: kachery-resource COMMAND [ARGUMENTS]\n\n"
                 "Shares a lab's files on demand: link them in place, and they are uploaded when\n"
                 "somebody asks.\n\n");
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        fprintf(out, "  %-12s %s\n", row->name, row->summary);
    fprintf(out, "\n`kachery-resource COMMAND --help` tells more.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];

    if (argc < 2) {
        print_overview(stderr);
        return CMD_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview(stdout);
        return cmd_finish("--help", CMD_OK);
    }
    if (strcmp(name, "--version") == 0) {
        puts("kachery-resource " VERSION);
        return cmd_finish(name, CMD_OK);
    }
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        if (strcmp(row->name, name) == 0)
            return row->run(argc - 1, argv + 1);
    fprintf(stderr, "kachery-resource: unknown command \"%s\" (see kachery-resource --help)\n",
            name);
    return CMD_USAGE;
}
