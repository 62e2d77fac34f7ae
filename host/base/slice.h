/* How soon the kernel lets a thread run that shares its core with others. */
#ifndef MR_BASE_SLICE_H
#define MR_BASE_SLICE_H

#include <stdint.h>

/* Asks for turns of `slice_ns` (100 us to 100 ms; 0: the usual ones) for the calling thread: who
 * asks for short ones has them sooner, and no more in sum. Linux 6.12 and later (EEVDF, custom
 * slices); before that, or where it is not permitted, nothing happens. */
void mr_thread_slice(uint64_t slice_ns);

#endif
