/* Which clock there is, and how long its ticks are. */
#include "base/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define LEAF_POWER    0x80000007u
#define INVARIANT_TSC (1u << 8) /* of EDX */

static bool counter_is_even(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(LEAF_POWER, &a, &b, &c, &d) && d & INVARIANT_TSC;
}
#else
static bool counter_is_even(void)
{
    return false;
}
#endif

#define LEAST_NS 1000000u

void mr_ticks_start(struct mr_ticks *ticks)
{
    ticks->counter = counter_is_even();
    ticks->first_ns = mr_clock_ns();
    ticks->first_ticks = mr_ticks_now(ticks);
}

double mr_ticks_length_ns(const struct mr_ticks *ticks)
{
    uint64_t ns, now;

    if (!ticks->counter)
        return 1;
    do {
        ns = mr_clock_ns() - ticks->first_ns;
        now = mr_ticks_now(ticks) - ticks->first_ticks;
    } while (ns < LEAST_NS);
    return now ? (double)ns / (double)now : 1;
}
