/* Which of a few lists of a pool a thread takes from and gives back to: what it gives back is still
 * in its cache, and is the first that it takes again. The first threads to come have a list each,
 * more of them share. Any thread. */
#ifndef MR_BASE_NEAR_H
#define MR_BASE_NEAR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define MR_NEAR_LISTS 16u

struct mr_near {
    _Alignas(64) _Atomic uintptr_t owners[MR_NEAR_LISTS]; /* threads; 0: nobody yet */
};

static inline uint32_t mr_near_list(struct mr_near *near)
{
    uintptr_t me = (uintptr_t)pthread_self();

    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++) {
        uintptr_t owner = atomic_load_explicit(&near->owners[i], memory_order_relaxed);
        if (!owner && atomic_compare_exchange_strong_explicit(
                          &near->owners[i], &owner, me, memory_order_relaxed, memory_order_relaxed))
            return i;
        if (owner == me)
            return i;
    }
    return (uint32_t)(me * 0x9e3779b97f4a7c15u >> 60) % MR_NEAR_LISTS;
}

#endif
