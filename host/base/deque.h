/* A work-stealing deque: the owner pushes and pops at the bottom, thieves take from the top.
 *
 * Chase and Lev, SPAA 2005, with the C11 orderings of Le, Pop, Cohen and Zappa Nardelli, PPoPP
 * 2013; their fences are sequentially consistent accesses here, which ThreadSanitizer understands.
 * The ring has a fixed capacity: a push into a full deque is refused, nothing is ever reallocated.
 * Both ends share a line: who pops or steals reads both, and the line is all that a thief fetches
 * to see that there is nothing. Suffixes say who may call: _owner one thread, _any all.
 */
#ifndef MR_BASE_DEQUE_H
#define MR_BASE_DEQUE_H

#include "millrace/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct mr_deque {
    _Alignas(32) _Atomic int64_t top;
    _Atomic int64_t bottom;
    int64_t mask;
    _Atomic(void *) *slots;
};

/* Capacity is rounded up to a power of two. */
static inline enum mr_status mr_deque_init(struct mr_deque *deque, uint32_t capacity)
{
    int64_t size = 2;
    while (size < (int64_t)capacity)
        size *= 2;
    atomic_init(&deque->top, 0);
    atomic_init(&deque->bottom, 0);
    deque->mask = size - 1;
    deque->slots = calloc((size_t)size, sizeof *deque->slots);
    return deque->slots ? MR_OK : MR_ERR_MEMORY;
}

static inline void mr_deque_free(struct mr_deque *deque)
{
    free((void *)deque->slots);
    deque->slots = NULL;
}

/* false: full. */
static inline bool mr_deque_push_owner(struct mr_deque *deque, void *item)
{
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    if (bottom - top > deque->mask)
        return false;
    atomic_store_explicit(&deque->slots[bottom & deque->mask], item, memory_order_relaxed);
    /* sequentially consistent: a worker about to sleep looks once more after announcing it */
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_seq_cst);
    return true;
}

/* The item pushed last; NULL: empty. */
static inline void *mr_deque_pop_owner(struct mr_deque *deque)
{
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    atomic_store_explicit(&deque->bottom, bottom, memory_order_seq_cst);
    int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    void *item = NULL;
    if (top <= bottom) {
        item = atomic_load_explicit(&deque->slots[bottom & deque->mask], memory_order_relaxed);
        if (top < bottom)
            return item;
        /* the last one: whoever moves top has it */
        if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1,
                                                     memory_order_seq_cst, memory_order_relaxed))
            item = NULL;
    }
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_relaxed);
    return item;
}

/* The item pushed first; NULL: empty, or lost to another taker. */
static inline void *mr_deque_steal_any(struct mr_deque *deque)
{
    int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_seq_cst);
    if (top >= bottom)
        return NULL;
    void *item = atomic_load_explicit(&deque->slots[top & deque->mask], memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&deque->top, &top, top + 1, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return NULL;
    return item;
}

/* How many items; a guess while others work. */
static inline int64_t mr_deque_size_any(struct mr_deque *deque)
{
    int64_t top = atomic_load_explicit(&deque->top, memory_order_seq_cst);
    int64_t size = atomic_load_explicit(&deque->bottom, memory_order_seq_cst) - top;
    return size > 0 ? size : 0;
}

#endif
