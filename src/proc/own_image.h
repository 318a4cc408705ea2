/* The running program's own code and data: off a file that another host may take away. It must not
 * change what they hold. */
#ifndef PROC_OWN_IMAGE_H
#define PROC_OWN_IMAGE_H

/*
 * Moves code and data into memory of this process, where the program's file is on a file system of
 * the network or in user space: a file on NFS that another host replaces, or whose server is gone,
 * ends each process that runs it with SIGBUS at the next page that is not in memory. The children
 * that are forked later share that memory. Where it cannot be done (no /proc, no executable memory
 * without a file), the program runs on as it is.
 */
void own_image_detach(void);

/* Does so whatever the file system. Returns 0, or -1 where it cannot be done. */
int own_image_copy(void);

#endif
