/* Packet time, as the stamps of frames tell it: which of them it follows.
 *
 * One whose stamp is far off, ahead or behind, it follows only when those after it agree: a single
 * broken stamp would stop all timers until the rest caught up with it. Every frame is heard, also
 * those that are dropped: on a link that is silent but for them time goes on. A matter of the
 * sequence of frames alone, however it is cut into bursts. */
#ifndef MR_PACKET_CLOCK_H
#define MR_PACKET_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* An hour: further back a stamp is not believed at once, nor a day ahead (links are quiet for
 * hours). */
#define MR_CLOCK_BACK_NS 3600000000000u
#define MR_CLOCK_GAP_NS  86400000000000u

/* All zero at first. One thread at a time. */
struct mr_packet_clock {
    uint64_t last_ns;  /* the latest stamp that it followed, since it went back last */
    uint64_t stray_ns; /* the last one that it did not follow ... */
    uint32_t strays;   /* ... and how many in a row; 0: none */
};

/* For stamps that do not come one after the other. */
bool mr_packet_clock_judges(struct mr_packet_clock *clock, uint64_t time_ns);

/* Does it follow the next frame? Further back than MR_CLOCK_BACK_NS it has gone back then. */
static inline bool mr_packet_clock_follows(struct mr_packet_clock *clock, uint64_t time_ns)
{
    uint64_t ahead_ns = time_ns - clock->last_ns; /* behind: huge */

    if (__builtin_expect(clock->strays || ahead_ns > MR_CLOCK_BACK_NS, 0))
        return mr_packet_clock_judges(clock, time_ns);
    clock->last_ns = time_ns;
    return true;
}

#endif
