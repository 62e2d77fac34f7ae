/* A socket is made under a name of its own beside the path, listens there, and then gets its name,
 * which is refused where there is something already: so nobody meets one that does not listen yet,
 * and none that listens is replaced. What an engine left behind that was killed is removed under a
 * lock on the folder: another engine may have found the same one, and removed it a moment ago. */
#include "engine/control_socket.h"

#include "base/clock.h"
#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX_BYTES 8                       /* of the name beside: ".", 7 digits */
#define NAMES        64                      /* tried, where others are in use */
#define LOCK_NS      ((uint64_t)1000000000u) /* others need it for as long as a connect() takes */

static const struct sockaddr *plain(const struct sockaddr_un *address)
{
    return (const struct sockaddr *)(const void *)address;
}

/* What is at the path: 0, nobody serves it; EADDRINUSE, somebody does; or why that is unknown. Does
 * not wait for one that takes no clients at the moment. */
static int look(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), why = 0;

    memcpy(address.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, plain(&address), sizeof address))
        why = errno;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && (!why || why == EAGAIN))
        return EADDRINUSE;
    return why == ECONNREFUSED || why == ENOENT ? 0 : why;
}

enum mr_status mr_control_socket_check(const char *path, struct mr_error *error)
{
    const size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1 - SUFFIX_BYTES;
    struct stat there;

    if (!*path || strlen(path) > most)
        return mr_fail(error, MR_ERR_USAGE,
                       "--control %.80s: the path of a socket has 1 to %zu bytes", path, most);
    int why = lstat(path, &there) ? mr_may_write(path) : 0;
    if (why)
        return mr_fail(error, MR_ERR_START,
                       "--control %s: %s; give a path in a folder that is there and may be written",
                       path, strerror(why));
    if (lstat(path, &there) || S_ISSOCK(there.st_mode))
        return MR_OK;
    return mr_fail(error, MR_ERR_START,
                   "--control %s: there is something that is no socket: give another path", path);
}

/* May we have it? */
static enum mr_status check(const char *path, struct mr_error *error)
{
    struct stat there;
    enum mr_status status = mr_control_socket_check(path, error);

    if (status || lstat(path, &there))
        return status;
    int why = look(path);
    if (why == EADDRINUSE)
        return mr_fail(error, MR_ERR_START,
                       "--control %s: another engine listens there; give this one another path",
                       path);
    if (why)
        return mr_fail(error, MR_ERR_START,
                       "--control %s: there is a socket, and who serves it cannot be found out: "
                       "%s; give another path",
                       path, strerror(why));
    return MR_OK;
}

/* The folder, locked. -1: it cannot be. */
static int lock_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *slash = strrchr(path, '/');
    uint64_t until_ns = mr_clock_ns() + LOCK_NS;

    snprintf(folder, sizeof folder, "%.*s", (int)(slash ? slash - path : 1), slash ? path : ".");
    int fd = open(*folder ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || mr_clock_ns() >= until_ns) {
            close(fd);
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return fd;
}

/* Removes a socket that nobody serves. Only who holds the lock does: what others put there
 * meanwhile is served from its first moment on. */
static enum mr_status clear(const char *path, struct mr_error *error)
{
    int lock = lock_folder(path);

    if (lock < 0)
        return mr_fail(
            error, MR_ERR_START,
            "--control %s: an engine that is gone has left a socket there, and its folder "
            "is locked by another process: remove the socket, or give another path",
            path);
    enum mr_status status = check(path, error);
    if (!status && unlink(path) && errno != ENOENT)
        status = mr_fail(error, MR_ERR_START,
                         "--control %s: what an engine that is gone has left there cannot be "
                         "removed: %s; give another path",
                         path, strerror(errno));
    close(lock);
    return status;
}

/* Gives the socket its name; EEXIST: there is something. */
static int name_it(const char *beside, const char *path)
{
    if (!renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE))
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (link(beside, path)) /* not all file systems know the flag */
        return errno;
    unlink(beside);
    return 0;
}

/* Listens under a name beside the path; for nobody else, from the first moment on. */
static int listen_beside(struct mr_control_socket *control, struct sockaddr_un *address,
                         const char *path, int backlog)
{
    int why = EADDRINUSE, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    mode_t mask = umask(0177);
    for (uint32_t i = 0; i < NAMES && why == EADDRINUSE; i++) {
        snprintf(address->sun_path, sizeof address->sun_path, "%s.%07u", path,
                 (unsigned)((mr_clock_ns() / 16 + (uint64_t)getpid() * 7919) % 10000000));
        why = bind(fd, plain(address), sizeof *address) ? errno : 0;
    }
    umask(mask);
    if (!why && (listen(fd, backlog) || lstat(address->sun_path, &control->own))) {
        why = errno;
        unlink(address->sun_path);
    }
    if (why)
        close(fd);
    else
        control->listener = fd;
    return why;
}

enum mr_status mr_control_socket_open(struct mr_control_socket *control, const char *path,
                                      int backlog, struct mr_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    control->listener = -1;
    enum mr_status status = check(path, error);
    if (status)
        return status;
    int why = listen_beside(control, &address, path, backlog);
    if (why)
        return mr_fail(error, MR_ERR_START, "--control %s: %s", path, strerror(why));
    why = name_it(address.sun_path, path);
    if (why == EEXIST && !(status = clear(path, error)))
        why = name_it(address.sun_path, path);
    if (!status && why == EEXIST)
        status = check(path, error); /* another one came first */
    if (!status && why)
        status = mr_fail(error, MR_ERR_START, "--control %s: %s", path, strerror(why));
    if (status) {
        unlink(address.sun_path);
        close(control->listener);
        control->listener = -1;
    }
    return status;
}

void mr_control_socket_close(struct mr_control_socket *control, const char *path)
{
    struct stat there;

    if (control->listener < 0)
        return;
    /* first the name: nobody takes over what still listens */
    if (!lstat(path, &there) && there.st_ino == control->own.st_ino &&
        there.st_dev == control->own.st_dev)
        unlink(path);
    close(control->listener);
    control->listener = -1;
}
