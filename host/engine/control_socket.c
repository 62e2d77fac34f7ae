/* A socket is made under a name of its own beside the path, listens there, and then gets its name,
 * which is refused where there is something already: so nobody meets one that does not listen yet,
 * and none that listens is replaced. What an engine left behind that was killed is removed under a
 * lock: another engine may have found the same one, and removed it a moment ago. The lock is a file
 * of its own: that on the folder belongs to whoever starts engines (flock(1)). */
#include "engine/control_socket.h"

#include "base/address.h"
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

#define PATH_BYTES  sizeof((struct sockaddr_un *)0)->sun_path
#define ROOM        (PATH_BYTES + 16) /* for a name beside such a path */
#define LOCK_SUFFIX ".lock-mr"
#define NAMES       64                      /* tried, where others are in use */
#define LOCK_NS     ((uint64_t)1000000000u) /* others need it for as long as a connect() takes */

/* What is at the path: 0, nobody serves it; EADDRINUSE, somebody does; or why that is unknown. Does
 * not wait for one that takes no clients at the moment. */
static int look(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), why = 0;

    memcpy(address.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, mr_address(&address), sizeof address))
        why = errno;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && (!why || why == EAGAIN))
        return EADDRINUSE;
    return why == ECONNREFUSED || why == ENOENT ? 0 : why;
}

enum mr_status mr_control_socket_check(const char *path, const char *const *coming,
                                       struct mr_error *error)
{
    const size_t most = PATH_BYTES - 1;
    struct stat there;

    if (!*path || strlen(path) > most)
        return mr_fail(error, MR_ERR_USAGE,
                       "--control %.80s: the path of a socket has 1 to %zu bytes", path, most);
    int why = lstat(path, &there) ? mr_may_put(path, coming) : 0;
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
    enum mr_status status = mr_control_socket_check(path, NULL, error);

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

struct lock {
    int fd;
    bool made; /* by us, so that nobody else will remove it */
    char name[ROOM];
};

/* 0, or why it cannot be had. Who waited for it may have one in hand that was removed meanwhile. */
static int take_lock(const char *path, struct lock *lock)
{
    uint64_t until_ns = mr_clock_ns() + LOCK_NS;
    struct stat held, there;
    int why;

    snprintf(lock->name, sizeof lock->name, "%s%s", path, LOCK_SUFFIX);
    lock->made = false;
    do {
        int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        lock->fd = open(lock->name, flags | O_CREAT | O_EXCL, 0600);
        lock->made |= lock->fd >= 0;
        if (lock->fd < 0 && errno == EEXIST)
            lock->fd = open(lock->name, flags);
        if (lock->fd >= 0 && !flock(lock->fd, LOCK_EX | LOCK_NB)) {
            if (!fstat(lock->fd, &held) && !lstat(lock->name, &there) &&
                held.st_ino == there.st_ino && held.st_dev == there.st_dev)
                return 0;
            errno = ENOENT;
        }
        why = errno;
        if (lock->fd >= 0)
            close(lock->fd);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    } while ((why == EWOULDBLOCK || why == EINTR || why == ENOENT) && mr_clock_ns() < until_ns);
    return why;
}

/* Removes a socket that nobody serves. Only who holds the lock does: what others put there
 * meanwhile is served from its first moment on. */
static enum mr_status clear(const char *path, struct mr_error *error)
{
    struct lock lock;
    int why = take_lock(path, &lock);

    if (why)
        return mr_fail(error, MR_ERR_START,
                       "--control %s: an engine that is gone has left a socket there, and %s "
                       "cannot be locked: %s; remove the socket, or give another path",
                       path, lock.name,
                       why == EWOULDBLOCK ? "another process has it" : strerror(why));
    enum mr_status status = check(path, error);
    if (!status && unlink(path) && errno != ENOENT)
        status = mr_fail(error, MR_ERR_START,
                         "--control %s: what an engine that is gone has left there cannot be "
                         "removed: %s; give another path",
                         path, strerror(errno));
    if (lock.made)
        unlink(lock.name);
    close(lock.fd);
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

/* Gives it a name, which may be longer than an address holds: then by way of its folder. */
static int bind_at(int fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    char parent[ROOM];
    int folder = -1;

    if (strlen(name) < PATH_BYTES) {
        memcpy(address.sun_path, name, strlen(name));
    } else {
        snprintf(parent, sizeof parent, "%.*s", (int)(base - name), name);
        folder = open(*parent ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            return errno;
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.16s", folder, base);
    }
    int why = bind(fd, mr_address(&address), sizeof address) ? errno : 0;
    if (folder >= 0)
        close(folder);
    return why;
}

/* Listens under a name beside the path; for nobody else, from the first moment on. */
static int listen_beside(struct mr_control_socket *control, char name[ROOM], const char *path,
                         int backlog)
{
    const char *slash = strrchr(path, '/');
    /* what was bound is what tools show: where there is room, it tells the path */
    int kept = strlen(path) + 8 < PATH_BYTES ? (int)strlen(path)
               : slash                       ? (int)(slash + 1 - path)
                                             : 0;
    int why = EADDRINUSE, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    mode_t mask = umask(0177);
    for (uint32_t i = 0; i < NAMES && why == EADDRINUSE; i++) {
        snprintf(name, ROOM, "%.*s.%07u", kept, path,
                 (unsigned)((mr_clock_ns() / 16 + (uint64_t)getpid() * 7919) % 10000000));
        why = bind_at(fd, name);
    }
    umask(mask);
    if (!why && (listen(fd, backlog) || lstat(name, &control->own))) {
        why = errno;
        unlink(name);
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
    char beside[ROOM];

    control->listener = -1;
    enum mr_status status = check(path, error);
    if (status)
        return status;
    int why = listen_beside(control, beside, path, backlog);
    if (why)
        return mr_fail(error, MR_ERR_START, "--control %s: %s", path, strerror(why));
    why = name_it(beside, path);
    if (why == EEXIST && !(status = clear(path, error)))
        why = name_it(beside, path);
    if (!status && why == EEXIST)
        status = check(path, error); /* another one came first */
    if (!status && why)
        status = mr_fail(error, MR_ERR_START, "--control %s: %s", path, strerror(why));
    if (status) {
        unlink(beside);
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
