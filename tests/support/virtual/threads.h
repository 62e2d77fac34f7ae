/* A machine of virtual threads, put under sources of the engine when they are compiled a second
 * time with `-include` of this file: every atomic access, mutex, futex, thread and pause goes to
 * the functions below instead of the processor. The sources themselves know nothing of it.
 *
 * Two machines implement the functions: explore.c tries all interleavings of small cases,
 * simulate.c gives every thread a clock of its own. One of them is linked. Outside of a run
 * (set-up, reading results) they act at once, as on one thread.
 */
#ifndef MR_VIRTUAL_THREADS_H
#define MR_VIRTUAL_THREADS_H

/* what stays as it is: counters have one writer each, and nobody waits for them */
#include "metrics/metrics.h"
#include "metrics/stage.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Values travel as the low `bytes` (1 to 8) of 64 bits; orders are enum memory_order. */
uint64_t mr_virtual_load(const volatile void *at, size_t bytes, int order);
void mr_virtual_store(volatile void *at, uint64_t value, size_t bytes, int order);
uint64_t mr_virtual_exchange(volatile void *at, uint64_t value, size_t bytes);
uint64_t mr_virtual_add(volatile void *at, uint64_t value, size_t bytes); /* gives the old value */
bool mr_virtual_compare_exchange(volatile void *at, void *expected, uint64_t desired, size_t bytes);

int mr_virtual_lock(pthread_mutex_t *mutex);
int mr_virtual_unlock(pthread_mutex_t *mutex);
int mr_virtual_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *),
                      void *argument);
int mr_virtual_join(pthread_t thread, void **result);
long mr_virtual_syscall(long number, ...); /* SYS_futex only */
void mr_virtual_pause(void);               /* also for giving way and naps */
/* The line of `at` is wanted soon: where time counts it is on its way meanwhile. */
void mr_virtual_prefetch(const volatile void *at, bool changes);

/* Memory as it is: for the machines. */
static inline uint64_t mr_virtual_peek(const volatile void *at, size_t bytes)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)(uintptr_t)at, bytes);
    return value;
}

static inline void mr_virtual_poke(volatile void *at, uint64_t value, size_t bytes)
{
    memcpy((void *)(uintptr_t)at, &value, bytes);
}

#ifndef MR_VIRTUAL_MACHINE /* the machines themselves keep the real ones */

#define MR_VIRTUAL_BITS(type, value)                                                               \
    __extension__({                                                                                \
        type bits_from_ = (value);                                                                 \
        uint64_t bits_ = 0;                                                                        \
        memcpy(&bits_, &bits_from_, sizeof bits_from_);                                            \
        bits_;                                                                                     \
    })
#define MR_VIRTUAL_OF(type, bits)                                                                  \
    __extension__({                                                                                \
        uint64_t of_from_ = (bits);                                                                \
        type of_;                                                                                  \
        memcpy((void *)&of_, &of_from_, sizeof of_);                                               \
        of_;                                                                                       \
    })
/* the type without _Atomic */
#define MR_VIRTUAL_TYPE(at) __typeof__((void)0, *(at))

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#define atomic_load_explicit(at, order)                                                            \
    MR_VIRTUAL_OF(MR_VIRTUAL_TYPE(at), mr_virtual_load((at), sizeof *(at), (order)))
#define atomic_store_explicit(at, value, order)                                                    \
    mr_virtual_store((at), MR_VIRTUAL_BITS(MR_VIRTUAL_TYPE(at), (value)), sizeof *(at), (order))
#define MR_VIRTUAL_EXCHANGE(type, at, value)                                                       \
    MR_VIRTUAL_OF(type, mr_virtual_exchange((at), MR_VIRTUAL_BITS(type, value), sizeof *(at)))
#define atomic_exchange_explicit(at, value, order)                                                 \
    ((void)(order), MR_VIRTUAL_EXCHANGE(MR_VIRTUAL_TYPE(at), at, value))
#define atomic_fetch_add_explicit(at, value, order)                                                \
    ((void)(order),                                                                                \
     MR_VIRTUAL_OF(MR_VIRTUAL_TYPE(at), mr_virtual_add((at), (uint64_t)(value), sizeof *(at))))
#define atomic_fetch_sub_explicit(at, value, order)                                                \
    ((void)(order),                                                                                \
     MR_VIRTUAL_OF(MR_VIRTUAL_TYPE(at), mr_virtual_add((at), -(uint64_t)(value), sizeof *(at))))
#define atomic_compare_exchange_strong_explicit(at, expected, desired, order, other)               \
    ((void)(order), (void)(other),                                                                 \
     mr_virtual_compare_exchange((at), (expected),                                                 \
                                 MR_VIRTUAL_BITS(MR_VIRTUAL_TYPE(at), (desired)), sizeof *(at)))
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define MR_VIRTUAL_ORDER                      memory_order_seq_cst

#define atomic_load(at)                       atomic_load_explicit(at, MR_VIRTUAL_ORDER)
#define atomic_store(at, value)               atomic_store_explicit(at, value, MR_VIRTUAL_ORDER)
#define atomic_exchange(at, value)            atomic_exchange_explicit(at, value, MR_VIRTUAL_ORDER)
#define atomic_fetch_add(at, value)           atomic_fetch_add_explicit(at, value, MR_VIRTUAL_ORDER)
#define atomic_fetch_sub(at, value)           atomic_fetch_sub_explicit(at, value, MR_VIRTUAL_ORDER)
#define atomic_compare_exchange_strong(at, expected, desired)                                      \
    atomic_compare_exchange_strong_explicit(at, expected, desired, memory_order_seq_cst,           \
                                            memory_order_seq_cst)
#define atomic_compare_exchange_weak          atomic_compare_exchange_strong

#define pthread_mutex_lock                    mr_virtual_lock
#define pthread_mutex_unlock                  mr_virtual_unlock
#define pthread_create                        mr_virtual_create
#define pthread_join                          mr_virtual_join
#define syscall                               mr_virtual_syscall
#define __builtin_ia32_pause()                mr_virtual_pause()
#define MR_VIRTUAL_PREFETCH(at, changes, ...) mr_virtual_prefetch((at), (changes))
#define __builtin_prefetch(...)               MR_VIRTUAL_PREFETCH(__VA_ARGS__, 0, 0)
#define sched_yield()                         mr_virtual_pause()
#define nanosleep(how_long, left)             ((void)(how_long), mr_virtual_pause())

#endif
#endif
