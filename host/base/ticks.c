/* Which clock there is, and how long its ticks are. */
#include "base/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdatomic.h>

#define LEAF_POWER    0x80000007u
#define INVARIANT_TSC (1u << 8) /* of EDX */

/* Asked once: a virtual machine answers it by way of its host, which takes tens of microseconds. */
static bool counter_is_even(void)
{
    static _Atomic int known; /* 0: not asked yet, 1: no, 2: yes */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    unsigned a, b, c, d;

    if (!answer) {
        answer = 1 + (__get_cpuid(LEAF_POWER, &a, &b, &c, &d) && d & INVARIANT_TSC);
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 2;
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
