/* Files that people name, opened to be read. */
#ifndef MR_BASE_OPEN_H
#define MR_BASE_OPEN_H

/* Opens it without waiting for who might write into a pipe, or for a device (non-blocking then):
 * the caller looks at what it is. A lease on a file (fcntl(2)) is waited for. -1: errno says why.
 */
int mr_open_read(const char *path);

#endif
