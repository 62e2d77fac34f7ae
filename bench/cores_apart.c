/* How far are two cores apart? Prints the nanoseconds in which a cache line goes from the first
 * core that this process may use to the second and back: 50 to 60 where they share a cache, several
 * hundred where they do not. A virtual machine's cores may be either, and change while it runs, so
 * what two workers make of one is not to be judged without it.
 */
#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define ROUNDS 2000u
#define TRIES  100           /* the least counts: another process may have a core for a while */
#define ENOUGH 2000000000ull /* ns: on a busy machine a try takes seconds, and says little */

static _Alignas(128) _Atomic uint32_t ball;
static _Alignas(128) cpu_set_t cores[2];

static void sit_on(int which)
{
    (void)sched_setaffinity(0, sizeof cores[which], &cores[which]);
}

static void *return_it(void *unused)
{
    (void)unused;
    sit_on(1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        while (atomic_load_explicit(&ball, memory_order_acquire) != 2 * i + 1)
            ;
        atomic_store_explicit(&ball, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

static uint64_t play(void)
{
    pthread_t other;

    atomic_store_explicit(&ball, 0, memory_order_relaxed);
    if (pthread_create(&other, NULL, return_it, NULL))
        return UINT64_MAX;
    uint64_t begun = mr_clock_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        atomic_store_explicit(&ball, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&ball, memory_order_acquire) != 2 * i + 2)
            ;
    }
    uint64_t ns = mr_clock_ns() - begun;
    pthread_join(other, NULL);
    return ns;
}

int main(void)
{
    cpu_set_t all;
    uint32_t n = 0;
    uint64_t least = UINT64_MAX;

    if (sched_getaffinity(0, sizeof all, &all))
        return 1;
    for (size_t core = 0; core < CPU_SETSIZE && n < 2; core++)
        if (CPU_ISSET(core, &all))
            CPU_SET(core, &cores[n++]);
    if (n < 2) {
        fputs("cores_apart: there is but one core\n", stderr);
        return 1;
    }
    sit_on(0);
    uint64_t begun = mr_clock_ns();
    for (int i = 0; i < TRIES && mr_clock_ns() - begun < ENOUGH; i++) {
        uint64_t ns = play();
        least = ns < least ? ns : least;
    }
    printf("%.0f\n", (double)least / ROUNDS);
    return 0;
}
