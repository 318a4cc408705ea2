/* What link and store-local have in common: they differ in what is done with each file. */
#ifndef CMD_ADD_FILES_H
#define CMD_ADD_FILES_H

#include "store/batch.h"

/* Runs the whole command; gives the exit status. */
int add_files_command(const char *name, enum batch_work work, int argc, char **argv);

#endif
