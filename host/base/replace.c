#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum mr_status mr_may_replace(const char *path, struct mr_error *error)
{
    struct stat there;

    if (lstat(path, &there) || S_ISREG(there.st_mode) || S_ISDIR(there.st_mode))
        return MR_OK; /* rename() itself refuses folders */
    return mr_fail(error, MR_ERR_OUTPUT,
                   "%s is no file, and would be replaced by one: name a file of its own", path);
}

int mr_may_write(const char *path)
{
    size_t n = strlen(path);
    struct stat there;
    int why = ENOMEM;

    if (!stat(path, &there))
        return access(path, S_ISDIR(there.st_mode) ? W_OK | X_OK : W_OK) ? errno : 0;
    if (errno != ENOENT)
        return errno;
    while (n && path[n - 1] == '/')
        n--;
    while (n && path[n - 1] != '/')
        n--;
    char *folder = n ? strndup(path, n) : strdup(".");
    if (folder)
        why = access(folder, W_OK | X_OK) ? errno : 0;
    free(folder);
    return why;
}

/* The name beside it; NULL: no memory. */
static char *beside(const char *path)
{
    char *name = NULL;

    return asprintf(&name, "%s.new", path) < 0 ? NULL : name;
}

FILE *mr_replace_begin(const char *path)
{
    char *name = beside(path);
    FILE *file = NULL;
    int fd = -1, why = ENOMEM;

    if (name) {
        unlink(name); /* of a run that was killed */
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        file = fd >= 0 ? fdopen(fd, "w") : NULL;
        why = errno;
    }
    if (fd >= 0 && !file) {
        close(fd);
        unlink(name);
    }
    free(name);
    errno = why;
    return file;
}

bool mr_replace_end(const char *path, FILE *file)
{
    char *name = beside(path);
    bool good = !fflush(file) && !ferror(file) && name;
    int why = !name ? ENOMEM : errno ? errno : EIO;

    if (fclose(file) && good) {
        good = false;
        why = errno;
    }
    if (good && rename(name, path)) {
        good = false;
        why = errno;
    }
    if (!good && name)
        unlink(name);
    free(name);
    errno = why;
    return good;
}
