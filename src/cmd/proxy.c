#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/serve.h"

int cmd_proxy(int argc, char **argv)
{
    return serve_run("proxy", argc, argv, SERVE_PROXY);
}
