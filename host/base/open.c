#include "base/open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int mr_open_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 && errno == EWOULDBLOCK) /* only files have leases */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd;
}

FILE *mr_open_report(const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;
    int fd = open(path, flags | O_NONBLOCK, 0666);

    if (fd < 0 && errno == EWOULDBLOCK) /* a lease */
        fd = open(path, flags, 0666);
    if (fd < 0)
        return NULL;
    FILE *file = NULL;
    int now = fcntl(fd, F_GETFL);
    if (now >= 0 && !fcntl(fd, F_SETFL, now & ~O_NONBLOCK)) /* who reads is waited for */
        file = fdopen(fd, "w");
    if (!file) {
        int why = errno;
        close(fd);
        errno = why;
    }
    return file;
}

const char *mr_open_text(int why)
{
    return why == ENXIO ? "nobody reads from there, or it is a socket" : strerror(why);
}
