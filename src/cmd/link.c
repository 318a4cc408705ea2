/* link: content-address files where they are. */
#include "cmd/add_files.h"
#include "cmd/commands.h"

int cmd_link(int argc, char **argv)
{
    return add_files_command("link", BATCH_LINK, argc, argv);
}
