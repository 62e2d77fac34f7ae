/* The buffer pool: a list for each size class and thread (base/near.h), one atomic account of all
 * bytes. A lock is held for a few instructions, some thousand times a second, and mostly by its own
 * thread: mails and held segments, not packets. */
#include "base/buffers.h"

#include "base/near.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SMALLEST_SHIFT 9
#define LARGEST_SHIFT  26
#define N_CLASSES      (LARGEST_SHIFT - SMALLEST_SHIFT + 1)
#define TRIM_SHARE     32
#define DATA_OFFSET    64 /* keeps data on a cache line of its own */

/* What lies in front of the data. */
struct block {
    struct mr_buffer buffer;
    bool for_token, kept;
};

struct shelf {
    _Alignas(64) pthread_mutex_t lock;
    struct mr_buffer *free[N_CLASSES];
};

struct mr_buffers {
    uint64_t cap_bytes;
    _Atomic uint64_t held_bytes;  /* taken from the heap */
    _Atomic uint64_t used_bytes;  /* of these, in users' hands */
    _Atomic uint64_t token_bytes; /* of those, as long as a token lives */
    _Atomic uint64_t kept_bytes;  /* of the others, the same from now on */
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t refused;
    _Atomic uint64_t untrimmed_bytes; /* given back to the heap, which may hold them still */
    struct mr_near near;
    struct shelf shelves[MR_NEAR_LISTS];
};

enum mr_status mr_buffers_new(struct mr_buffers **out, uint64_t cap_bytes)
{
    struct mr_buffers *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return MR_ERR_MEMORY;
    *pool = (struct mr_buffers){.cap_bytes = cap_bytes};
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++)
        pthread_mutex_init(&pool->shelves[i].lock, NULL);
    *out = pool;
    return MR_OK;
}

/* Gives the listed buffers of one class back to the heap; returns the bytes freed. */
static uint64_t drain(struct mr_buffers *pool, int index)
{
    uint64_t freed = 0;

    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++) {
        struct shelf *shelf = &pool->shelves[i];
        pthread_mutex_lock(&shelf->lock);
        struct mr_buffer *buffer = shelf->free[index];
        shelf->free[index] = NULL;
        pthread_mutex_unlock(&shelf->lock);
        while (buffer) {
            struct mr_buffer *next = buffer->next;
            freed += buffer->capacity;
            free(buffer);
            buffer = next;
        }
    }
    atomic_fetch_sub_explicit(&pool->held_bytes, freed, memory_order_relaxed);
    return freed;
}

/* What lies free in the heap amid what is used stays this process's memory, and what another class
 * takes next comes on top: beyond the cap. Now and then the system gets its pages back. */
static void trim(struct mr_buffers *pool, uint64_t freed)
{
    uint64_t most = pool->cap_bytes / TRIM_SHARE;
    uint64_t before =
        atomic_fetch_add_explicit(&pool->untrimmed_bytes, freed, memory_order_relaxed);
    if (before < most && before + freed >= most) {
        malloc_trim(0);
        atomic_store_explicit(&pool->untrimmed_bytes, 0, memory_order_relaxed);
    }
}

void mr_buffers_free(struct mr_buffers *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < N_CLASSES; i++)
        drain(pool, i);
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++)
        pthread_mutex_destroy(&pool->shelves[i].lock);
    free(pool);
}

static int class_of(size_t capacity)
{
    if (capacity <= (size_t)1 << SMALLEST_SHIFT)
        return 0;
    return 64 - __builtin_clzll(capacity - 1) - SMALLEST_SHIFT;
}

/* Puts `bytes` on the account; false when they do not fit under the cap. */
static bool reserve(struct mr_buffers *pool, uint64_t bytes)
{
    uint64_t held = atomic_load_explicit(&pool->held_bytes, memory_order_relaxed);
    do {
        if (held + bytes > pool->cap_bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool->held_bytes, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    uint64_t peak = atomic_load_explicit(&pool->peak_bytes, memory_order_relaxed);
    while (peak < held + bytes &&
           !atomic_compare_exchange_weak_explicit(&pool->peak_bytes, &peak, held + bytes,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return true;
}

static struct mr_buffer *fresh(struct mr_buffers *pool, int index)
{
    size_t capacity = (size_t)1 << (index + SMALLEST_SHIFT);

    if (!reserve(pool, capacity)) {
        /* what lies listed in other classes may be what is missing */
        uint64_t freed = 0;
        for (int i = N_CLASSES - 1; i >= 0 && freed < capacity; i--)
            freed += drain(pool, i);
        trim(pool, freed);
        if (!reserve(pool, capacity))
            return NULL;
    }
    struct mr_buffer *buffer = aligned_alloc(64, DATA_OFFSET + capacity);
    if (!buffer) {
        atomic_fetch_sub_explicit(&pool->held_bytes, capacity, memory_order_relaxed);
        return NULL;
    }
    buffer->data = (uint8_t *)buffer + DATA_OFFSET;
    buffer->capacity = (uint32_t)capacity;
    return buffer;
}

static struct mr_buffer *from_shelf(struct shelf *shelf, int index)
{
    pthread_mutex_lock(&shelf->lock);
    struct mr_buffer *buffer = shelf->free[index];
    if (buffer) {
        shelf->free[index] = buffer->next;
        __builtin_prefetch(buffer->next, 1); /* the one that is taken next */
    }
    pthread_mutex_unlock(&shelf->lock);
    return buffer;
}

/* One that lies listed, first where this thread put it. */
static struct mr_buffer *listed(struct mr_buffers *pool, int index)
{
    uint32_t mine = mr_near_list(&pool->near);
    struct mr_buffer *buffer = from_shelf(&pool->shelves[mine], index);

    if (buffer || atomic_load_explicit(&pool->held_bytes, memory_order_relaxed) ==
                      atomic_load_explicit(&pool->used_bytes, memory_order_relaxed))
        return buffer;
    for (uint32_t i = 0; !buffer && i < MR_NEAR_LISTS; i++)
        if (i != mine && atomic_load_explicit(&pool->near.owners[i], memory_order_relaxed))
            buffer = from_shelf(&pool->shelves[i], index);
    return buffer;
}

static uint64_t used_over_time(const struct mr_buffers *pool)
{
    uint64_t tokens = atomic_load_explicit(&pool->token_bytes, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
    return used > tokens ? used - tokens : 0;
}

uint32_t mr_buffers_room(const struct mr_buffers *pool, uint64_t token_bytes)
{
    uint64_t short_lived = atomic_load_explicit(&pool->token_bytes, memory_order_relaxed) +
                           atomic_load_explicit(&pool->kept_bytes, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
    uint64_t held = used > short_lived ? used - short_lived : 0;
    uint64_t room = pool->cap_bytes > held ? pool->cap_bytes - held : 0, n = room / token_bytes;

    if (short_lived > room / 3 || !n)
        return 1;
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static struct mr_buffer *get(struct mr_buffers *pool, size_t capacity, bool for_token)
{
    struct mr_buffer *buffer = NULL;

    if (capacity <= (size_t)1 << LARGEST_SHIFT) {
        int index = class_of(capacity);
        buffer = listed(pool, index);
        if (!buffer)
            buffer = fresh(pool, index);
    }
    if (!buffer) {
        atomic_fetch_add_explicit(&pool->refused, 1, memory_order_relaxed);
        return NULL;
    }
    buffer->len = 0;
    buffer->next = NULL;
    ((struct block *)(void *)buffer)->for_token = for_token;
    ((struct block *)(void *)buffer)->kept = false;
    atomic_fetch_add_explicit(&pool->used_bytes, buffer->capacity, memory_order_relaxed);
    if (for_token)
        atomic_fetch_add_explicit(&pool->token_bytes, buffer->capacity, memory_order_relaxed);
    return buffer;
}

struct mr_buffer *mr_buffers_get(struct mr_buffers *pool, size_t capacity)
{
    if (used_over_time(pool) + capacity > pool->cap_bytes - pool->cap_bytes / 8) {
        atomic_fetch_add_explicit(&pool->refused, 1, memory_order_relaxed);
        return NULL;
    }
    return get(pool, capacity, false);
}

struct mr_buffer *mr_buffers_get_for_token(struct mr_buffers *pool, size_t capacity)
{
    return get(pool, capacity, true);
}

void mr_buffers_keep(struct mr_buffers *pool, struct mr_buffer *buffer)
{
    ((struct block *)(void *)buffer)->kept = true;
    atomic_fetch_add_explicit(&pool->kept_bytes, buffer->capacity, memory_order_relaxed);
}

void mr_buffers_put(struct mr_buffers *pool, struct mr_buffer *buffer)
{
    if (!buffer)
        return;
    struct shelf *shelf = &pool->shelves[mr_near_list(&pool->near)];
    int index = class_of(buffer->capacity);
    if (((struct block *)(void *)buffer)->for_token)
        atomic_fetch_sub_explicit(&pool->token_bytes, buffer->capacity, memory_order_relaxed);
    if (((struct block *)(void *)buffer)->kept)
        atomic_fetch_sub_explicit(&pool->kept_bytes, buffer->capacity, memory_order_relaxed);
    atomic_fetch_sub_explicit(&pool->used_bytes, buffer->capacity, memory_order_relaxed);
    pthread_mutex_lock(&shelf->lock);
    buffer->next = shelf->free[index];
    shelf->free[index] = buffer;
    pthread_mutex_unlock(&shelf->lock);
}

void mr_buffers_usage(struct mr_buffers *pool, struct mr_buffers_usage *usage)
{
    uint64_t held = atomic_load_explicit(&pool->held_bytes, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&pool->used_bytes, memory_order_relaxed);
    *usage = (struct mr_buffers_usage){
        .cap_bytes = pool->cap_bytes,
        .used_bytes = used,
        .token_bytes = atomic_load_explicit(&pool->token_bytes, memory_order_relaxed),
        .kept_bytes = atomic_load_explicit(&pool->kept_bytes, memory_order_relaxed),
        .listed_bytes = held > used ? held - used : 0,
        .peak_bytes = atomic_load_explicit(&pool->peak_bytes, memory_order_relaxed),
        .refused = atomic_load_explicit(&pool->refused, memory_order_relaxed),
    };
}
