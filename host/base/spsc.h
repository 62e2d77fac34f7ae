/* A ring between two threads: one puts pointers in, one takes them out, in order. Bounded; neither
 * waits for the other. Suffixes say who may call: _producer, _consumer one thread each, _any all.
 */
#ifndef MR_BASE_SPSC_H
#define MR_BASE_SPSC_H

#include "millrace/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct mr_spsc {
    _Alignas(64) _Atomic uint32_t tail; /* the producer's */
    _Alignas(64) _Atomic uint32_t head; /* the consumer's */
    uint32_t mask;
    void **slots;
};

/* Capacity is rounded up to a power of two. */
static inline enum mr_status mr_spsc_init(struct mr_spsc *ring, uint32_t capacity)
{
    uint32_t size = 2;
    while (size < capacity)
        size *= 2;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    ring->mask = size - 1;
    ring->slots = calloc(size, sizeof *ring->slots);
    return ring->slots ? MR_OK : MR_ERR_MEMORY;
}

static inline void mr_spsc_free(struct mr_spsc *ring)
{
    free((void *)ring->slots);
    ring->slots = NULL;
}

/* false: full. */
static inline bool mr_spsc_put_producer(struct mr_spsc *ring, void *item)
{
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring->head, memory_order_acquire) > ring->mask)
        return false;
    ring->slots[tail & ring->mask] = item;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

/* NULL: empty. */
static inline void *mr_spsc_take_consumer(struct mr_spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&ring->tail, memory_order_acquire))
        return NULL;
    void *item = ring->slots[head & ring->mask];
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return item;
}

/* How many items; a guess while others work. */
static inline uint32_t mr_spsc_size_any(const struct mr_spsc *ring)
{
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint32_t size = atomic_load_explicit(&ring->tail, memory_order_acquire) - head;
    return size <= ring->mask + 1 ? size : ring->mask + 1;
}

#endif
