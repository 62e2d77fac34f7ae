#include "base/open.h"

#include <errno.h>
#include <fcntl.h>

int mr_open_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 && errno == EWOULDBLOCK) /* only files have leases */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd;
}
