/* store-local: copy files into the local store. */
#include "cmd/add_files.h"
#include "cmd/commands.h"

int cmd_store_local(int argc, char **argv)
{
    return add_files_command("store-local", BATCH_COPY, argc, argv);
}
