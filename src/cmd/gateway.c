#include <string.h>

#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/serve.h"

int cmd_gateway(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "verify") == 0)
        return cmd_gateway_verify(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "rm") == 0)
        return cmd_gateway_rm(argc - 1, argv + 1);
    return serve_run("gateway", argc, argv, SERVE_GATEWAY);
}
