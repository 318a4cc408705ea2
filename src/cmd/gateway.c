#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/serve.h"

int cmd_gateway(int argc, char **argv)
{
    return serve_run("gateway", argc, argv, SERVE_GATEWAY);
}
