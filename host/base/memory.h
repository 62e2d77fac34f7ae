/* What the system tells of memory. Any thread; each call reads files of /proc. */
#ifndef MR_BASE_MEMORY_H
#define MR_BASE_MEMORY_H

#include <stdint.h>

/* The most memory that this process has had so far; 0: the system does not say. */
uint64_t mr_memory_peak(void);

/* What could be taken now without swapping, as Linux reckons, and within the limits of the control
 * groups that the process is in (a container's, a service's); UINT64_MAX: it does not say. */
uint64_t mr_memory_available(void);

/* What these limits leave, UINT64_MAX: all. Files are looked for under `root` ("": the system's).
 */
uint64_t mr_memory_allowed(const char *root);

#endif
