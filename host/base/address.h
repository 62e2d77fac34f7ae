/* Addresses of sockets, as the kernel's calls want them. */
#ifndef MR_BASE_ADDRESS_H
#define MR_BASE_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

static inline const struct sockaddr *mr_address(const struct sockaddr_un *address)
{
    return (const struct sockaddr *)(const void *)address;
}

#endif
