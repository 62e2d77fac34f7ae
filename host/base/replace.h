/* Files that are written beside the old one and take its place as a whole. */
#ifndef MR_BASE_REPLACE_H
#define MR_BASE_REPLACE_H

#include "millrace/status.h"

/* May a file take the place of what is at `path`? Not that of a device, a pipe or a link such as
 * /dev/stdout: for root, rename() would do it, and the machine would be without. MR_ERR_OUTPUT with
 * a sentence: no. */
enum mr_status mr_may_replace(const char *path, struct mr_error *error);

#endif
