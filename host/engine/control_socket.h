/* The socket of --control as something in a folder: others see none there, or one that is served,
 * and of several engines that want one path one has it. */
#ifndef MR_ENGINE_CONTROL_SOCKET_H
#define MR_ENGINE_CONTROL_SOCKET_H

#include "millrace/status.h"

#include <stdint.h>
#include <sys/stat.h>

struct mr_control_socket {
    int listener; /* -1: none */
    struct stat own;
};

/* Could there be one, once the folders `coming` are made (mr_may_write())? Whether another listens
 * there is not asked. MR_ERR_USAGE, MR_ERR_START with a sentence. */
enum mr_status mr_control_socket_check(const char *path, const char *const *coming,
                                       struct mr_error *error);

/* Listens at `path`, for its owner only; a socket that an engine left behind gives way. On failure
 * the listener is -1: MR_ERR_USAGE, MR_ERR_START with a sentence. */
enum mr_status mr_control_socket_open(struct mr_control_socket *socket, const char *path,
                                      int backlog, struct mr_error *error);

/* Removes it, if it is still ours, and then listens no more. */
void mr_control_socket_close(struct mr_control_socket *socket, const char *path);

#endif
