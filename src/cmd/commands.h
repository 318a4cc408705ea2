/* Every command of the table in main.c, one file each. See cmd.h for what they get and return. */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

int cmd_init(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_share(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_link(int argc, char **argv);
int cmd_store_local(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_unlink(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_request(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_url(int argc, char **argv);
int cmd_cat(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_register(int argc, char **argv);
int cmd_proxy(int argc, char **argv);
int cmd_gateway(int argc, char **argv);
int cmd_gateway_verify(int argc, char **argv);
int cmd_gateway_rm(int argc, char **argv);
int cmd_hub(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_completion(int argc, char **argv);

#endif
