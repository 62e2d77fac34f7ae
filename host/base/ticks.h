/* Time stamps that cost a few nanoseconds: the processor's time stamp counter where it runs evenly
 * on all cores (CPUID's "invariant TSC"), else CLOCK_MONOTONIC in nanoseconds. For measuring what
 * the machine does; what happens to traffic goes by packet time and never by this. */
#ifndef MR_BASE_TICKS_H
#define MR_BASE_TICKS_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct mr_ticks {
    bool counter;                   /* the processor's; else nanoseconds */
    uint64_t first_ticks, first_ns; /* both clocks at the start */
};

void mr_ticks_start(struct mr_ticks *ticks);

/* Nanoseconds a tick takes, by both clocks since mr_ticks_start(): the longer ago, the better.
 * Waits until that is a millisecond. */
double mr_ticks_length_ns(const struct mr_ticks *ticks);

static inline uint64_t mr_ticks_now(const struct mr_ticks *ticks)
{
#if defined(__x86_64__)
    if (ticks->counter)
        return __builtin_ia32_rdtsc();
#endif
    (void)ticks;
    return mr_clock_ns();
}

#endif
