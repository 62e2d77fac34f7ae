#include "base/replace.h"

#include <sys/stat.h>

enum mr_status mr_may_replace(const char *path, struct mr_error *error)
{
    struct stat there;

    if (lstat(path, &there) || S_ISREG(there.st_mode) || S_ISDIR(there.st_mode))
        return MR_OK; /* rename() itself refuses folders */
    return mr_fail(error, MR_ERR_OUTPUT,
                   "%s is no file, and would be replaced by one: name a file of its own", path);
}
