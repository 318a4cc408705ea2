/* The common part of link and store-local, which differ in their work on each file. */
#ifndef CMD_ADD_FILES_H
#define CMD_ADD_FILES_H

#include "store/batch.h"

/* Parses the options of link or store-local and runs the command. Returns the exit status. */
int add_files_command(const char *name, enum batch_work work, int argc, char **argv);

#endif
