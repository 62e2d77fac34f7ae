/* Files that people name, opened to be read. */
#ifndef MR_BASE_OPEN_H
#define MR_BASE_OPEN_H

#include <stdio.h>

/* Opens it without waiting for who might write into a pipe, or for a device (non-blocking then):
 * the caller looks at what it is. A lease on a file (fcntl(2)) is waited for. -1: errno says why.
 */
int mr_open_read(const char *path);

/* Opens it to be written anew, for reports: a file, or what is there. Does not wait for who might
 * read a pipe. NULL: errno says why. */
FILE *mr_open_report(const char *path);

/* errno of opening, in words. */
const char *mr_open_text(int why);

#endif
