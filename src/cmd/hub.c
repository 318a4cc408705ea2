#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/serve.h"

int cmd_hub(int argc, char **argv)
{
    return serve_run("hub", argc, argv, SERVE_PROXY | SERVE_GATEWAY);
}
