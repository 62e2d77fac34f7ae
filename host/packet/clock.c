/* Stamps that are out of the usual order. */
#include "packet/clock.h"

#define AGREE 16 /* so many in a row that are far off, within an hour of each other, are right */

static uint64_t distance(uint64_t x, uint64_t y)
{
    return x > y ? x - y : y - x;
}

bool mr_packet_clock_judges(struct mr_packet_clock *clock, uint64_t time_ns)
{
    uint64_t most = time_ns > clock->last_ns ? MR_CLOCK_GAP_NS : MR_CLOCK_BACK_NS;

    if (!clock->last_ns || distance(time_ns, clock->last_ns) <= most) {
        clock->strays = 0;
        if (time_ns > clock->last_ns)
            clock->last_ns = time_ns;
        return true;
    }
    if (clock->strays && distance(time_ns, clock->stray_ns) > MR_CLOCK_BACK_NS)
        clock->strays = 0;
    clock->stray_ns = time_ns;
    if (++clock->strays < AGREE)
        return false;
    clock->strays = 0;
    clock->last_ns = time_ns;
    return true;
}
