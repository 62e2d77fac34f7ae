#include "base/replace.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES 64 /* tried, where others are in use */
#define LINKS 40 /* followed, as by the system */

enum mr_status mr_may_replace(const char *path, struct mr_error *error)
{
    struct stat there;

    if (lstat(path, &there) || S_ISREG(there.st_mode) || S_ISDIR(there.st_mode))
        return MR_OK; /* rename() itself refuses folders */
    return mr_fail(error, MR_ERR_OUTPUT,
                   "%s is no file, and would be replaced by one: name a file of its own", path);
}

/* Its last part, without what it ends with: *len bytes. */
static const char *last_part(const char *path, size_t *len)
{
    size_t end = strlen(path), start;

    while (end && path[end - 1] == '/')
        end--;
    for (start = end; start && path[start - 1] != '/';)
        start--;
    *len = end - start;
    return path + start;
}

/* The folder that it is in, without what says nothing at its end ("a/./"); NULL: no memory. */
static char *folder_of(const char *path)
{
    size_t len, n = (size_t)(last_part(path, &len) - path);

    while (n > 1 && (path[n - 1] == '/' || (path[n - 1] == '.' && path[n - 2] == '/')))
        n--;
    return n ? strndup(path, n) : strdup(".");
}

/* Are they one name in one folder? Neither what they name nor the folder need be there. */
static bool same_place(const char *a, const char *b)
{
    char *in_a = folder_of(a), *in_b = folder_of(b);
    struct stat one, other;
    size_t len_a, len_b;
    const char *name_a = last_part(a, &len_a), *name_b = last_part(b, &len_b);
    bool same = in_a && in_b && len_a && len_a == len_b && !memcmp(name_a, name_b, len_a);

    if (same) {
        bool there = !stat(in_a, &one), too = !stat(in_b, &other);
        same = there && too ? one.st_dev == other.st_dev && one.st_ino == other.st_ino
                            : !there && !too && same_place(in_a, in_b);
    }

    free(in_a);
    free(in_b);
    return same;
}

/* May something new be made beside it? */
static int may_make(const char *path, const char *const *coming)
{
    char *folder = folder_of(path);
    int why = !folder ? ENOMEM : access(folder, W_OK | X_OK) ? errno : 0;

    for (bool found = false; why == ENOENT && coming && *coming && !found; coming++)
        if ((found = same_place(folder, *coming)))
            why = may_make(*coming, coming + 1);
    free(folder);
    return why;
}

/* Where a link leads nowhere, what it names would be made. */
static int may_open_new(const char *path, const char *const *coming, uint32_t links)
{
    char target[PATH_MAX], *at = NULL;
    ssize_t n = readlink(path, target, sizeof target - 1);

    if (n < 0)
        return may_make(path, coming);
    target[n] = 0;
    if (!links)
        return ELOOP;
    size_t len, before = (size_t)(last_part(path, &len) - path);
    if (asprintf(&at, "%.*s%s", *target == '/' ? 0 : (int)before, path, target) < 0)
        return ENOMEM;
    int why = may_open_new(at, coming, links - 1);
    free(at);
    return why;
}

int mr_may_write(const char *path, const char *const *coming)
{
    struct stat there;

    if (!*path)
        return ENOENT;
    if (!stat(path, &there))
        return access(path, S_ISDIR(there.st_mode) ? W_OK | X_OK : W_OK) ? errno : 0;
    return errno == ENOENT ? may_open_new(path, coming, LINKS) : errno;
}

/* As open() would say it of a folder, there or not. */
static bool is_folder(const char *path)
{
    size_t n = strlen(path);
    struct stat there;

    return (n && path[n - 1] == '/') || (!stat(path, &there) && S_ISDIR(there.st_mode));
}

int mr_may_write_file(const char *path, const char *const *coming)
{
    return is_folder(path) ? EISDIR : mr_may_write(path, coming);
}

int mr_may_put(const char *path, const char *const *coming)
{
    struct stat there;

    if (!*path)
        return ENOENT;
    if (is_folder(path))
        return EISDIR;
    return lstat(path, &there) && errno != ENOENT ? errno : may_make(path, coming);
}

/* Files are made with the rights that others have as well: mkstemp() would keep them from reading
 * it, and the umask is the process's. */
static int make_beside(const char *path, char **name)
{
    uint64_t seed = mr_clock_ns() + (uint64_t)getpid() * 7919;
    int fd = -1;

    errno = EEXIST;
    for (uint64_t i = 0; i < NAMES && fd < 0 && errno == EEXIST; i++) {
        if (asprintf(name, "%s.%07u", path, (unsigned)((seed + i * 104729) % 10000000)) < 0) {
            *name = NULL;
            errno = ENOMEM;
            return -1;
        }
        fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0) {
            int why = errno;
            free(*name);
            *name = NULL;
            errno = why;
        }
    }
    return fd;
}

bool mr_replace_begin(struct mr_replacement *new, const char *path)
{
    int fd = make_beside(path, &new->name);

    new->path = path;
    new->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd < 0 || new->file)
        return fd >= 0;
    int why = errno;
    close(fd);
    unlink(new->name);
    free(new->name);
    errno = why;
    return false;
}

bool mr_replace_end(struct mr_replacement *new)
{
    bool good = !fflush(new->file) && !ferror(new->file);
    int why = errno ? errno : EIO;

    if (fclose(new->file) && good) {
        good = false;
        why = errno;
    }
    if (good && rename(new->name, new->path)) {
        good = false;
        why = errno;
    }
    if (!good)
        unlink(new->name);
    free(new->name);
    errno = why;
    return good;
}
