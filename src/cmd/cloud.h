/* The program under the names of the Python tools (PROTOCOL.md §6): `kachery-cloud-store` and so
 * on. Commands as in cmd.h, with the rows of cmd_cloud_table. */
#ifndef CMD_CLOUD_H
#define CMD_CLOUD_H

int cloud_store(int argc, char **argv);
int cloud_store_local(int argc, char **argv);
int cloud_link(int argc, char **argv);
int cloud_load(int argc, char **argv);
int cloud_load_info(int argc, char **argv);
int cloud_cat(int argc, char **argv);
int cloud_init(int argc, char **argv);

#endif
