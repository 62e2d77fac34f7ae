/* What the system tells of memory. Any thread; each call reads a file of /proc. */
#ifndef MR_BASE_MEMORY_H
#define MR_BASE_MEMORY_H

#include <stdint.h>

/* The most memory that this process has had so far; 0: the system does not say. */
uint64_t mr_memory_peak(void);

/* What could be taken now without swapping, as Linux reckons; UINT64_MAX: it does not say. */
uint64_t mr_memory_available(void);

#endif
