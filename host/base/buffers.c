/* The buffer pool: a list for each size class and thread (base/near.h), one atomic account of all
 * bytes. A lock is held for a few instructions, some thousand times a second, and mostly by its own
 * thread: mails and held segments, not packets. */
#include "base/buffers.h"

#include "base/near.h"
#include "base/runs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALLEST_SHIFT 9
#define LARGEST_SHIFT  26
#define N_CLASSES      (LARGEST_SHIFT - SMALLEST_SHIFT + 1)
#define DATA_OFFSET    64 /* keeps data on a cache line of its own */
/* Short ones lie in runs (base/runs.h), but where a sanitizer is to see what is written behind one.
 */
#if defined(__SANITIZE_ADDRESS__)
#define LONGEST_IN_RUN 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LONGEST_IN_RUN 0
#endif
#endif
#ifndef LONGEST_IN_RUN
#define LONGEST_IN_RUN 32768
#endif
#define N_RUNS 7
/* So much is given back at once where less is missing: looking for it has its price as well. */
#define PIECE_BYTES ((uint64_t)256 << 10)

/* What lies in front of the data. */
struct block {
    struct mr_buffer buffer;
    bool for_token, kept;
    uint32_t slot;        /* in a run */
    uint32_t given_bytes; /* of a listed one: its last so many bytes' pages are the system's */
};
_Static_assert(sizeof(struct block) <= DATA_OFFSET, "the data lies behind it");

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
    uint64_t page_bytes;
    struct mr_runs runs[N_RUNS]; /* of the shortest classes */
    struct mr_near near;
    struct shelf shelves[MR_NEAR_LISTS];
};

enum mr_status mr_buffers_new(struct mr_buffers **out, uint64_t cap_bytes)
{
    struct mr_buffers *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return MR_ERR_MEMORY;
    *pool =
        (struct mr_buffers){.cap_bytes = cap_bytes, .page_bytes = (uint64_t)sysconf(_SC_PAGESIZE)};
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++)
        pthread_mutex_init(&pool->shelves[i].lock, NULL);
    for (uint32_t i = 0; i < N_RUNS; i++)
        mr_runs_init(&pool->runs[i], DATA_OFFSET + ((size_t)1 << (i + SMALLEST_SHIFT)));
    *out = pool;
    return MR_OK;
}

static struct block *block_of(struct mr_buffer *buffer)
{
    return (struct block *)(void *)buffer;
}

static int class_of(size_t capacity)
{
    if (capacity <= (size_t)1 << SMALLEST_SHIFT)
        return 0;
    return 64 - __builtin_clzll(capacity - 1) - SMALLEST_SHIFT;
}

static struct mr_buffer *memory_new(struct mr_buffers *pool, size_t capacity)
{
    uint32_t slot = 0;
    struct mr_buffer *buffer = capacity > LONGEST_IN_RUN
                                   ? aligned_alloc(64, DATA_OFFSET + capacity)
                                   : mr_runs_take(&pool->runs[class_of(capacity)], &slot);

    if (!buffer)
        return NULL;
    buffer->data = (uint8_t *)buffer + DATA_OFFSET;
    buffer->capacity = (uint32_t)capacity;
    block_of(buffer)->slot = slot;
    block_of(buffer)->given_bytes = 0;
    return buffer;
}

static void memory_free(struct mr_buffers *pool, struct mr_buffer *buffer)
{
    if (buffer->capacity > LONGEST_IN_RUN)
        free(buffer);
    else
        mr_runs_give(&pool->runs[class_of(buffer->capacity)], buffer, block_of(buffer)->slot);
}

void mr_buffers_free(struct mr_buffers *pool)
{
    if (!pool)
        return;
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++) {
        struct shelf *shelf = &pool->shelves[i];
        for (int index = 0; index < N_CLASSES; index++)
            for (struct mr_buffer *next, *buffer = shelf->free[index]; buffer; buffer = next) {
                next = buffer->next;
                memory_free(pool, buffer);
            }
        pthread_mutex_destroy(&shelf->lock);
    }
    for (uint32_t i = 0; i < N_RUNS; i++)
        mr_runs_free(&pool->runs[i]);
    free(pool);
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

static void onto_shelf(struct shelf *shelf, struct mr_buffer *buffer)
{
    int index = class_of(buffer->capacity);

    pthread_mutex_lock(&shelf->lock);
    buffer->next = shelf->free[index];
    shelf->free[index] = buffer;
    pthread_mutex_unlock(&shelf->lock);
}

/* Gives `want` bytes of a buffer that was listed back, or the whole where hardly more is left of
 * it; returns how many. The heap alone would keep them: what lies free amid what is used stays this
 * process's memory, and what another class takes next would come on top, beyond the cap. Of a long
 * one only the end goes, since a system that takes back all of it takes its time. */
static uint64_t give_back(struct mr_buffers *pool, struct shelf *shelf, struct mr_buffer *buffer,
                          uint64_t want)
{
    struct block *block = block_of(buffer);
    uint64_t page = pool->page_bytes, left = buffer->capacity - block->given_bytes;
    bool whole = left <= want + PIECE_BYTES;
    uint64_t bytes = whole ? left : (want + page - 1) / page * page;
    uintptr_t data = (uintptr_t)buffer->data, begin = data + left - bytes, end = data + left;

    begin = (begin + page - 1) / page * page;
    /* what comes behind is the heap's, or given back before */
    end = (block->given_bytes ? end + page - 1 : end) / page * page;
    if (begin < end && buffer->capacity > LONGEST_IN_RUN)
        (void)madvise(buffer->data + (begin - data), end - begin, MADV_DONTNEED);
    if (whole) {
        memory_free(pool, buffer);
    } else {
        block->given_bytes += (uint32_t)bytes;
        onto_shelf(shelf, buffer);
    }
    atomic_fetch_sub_explicit(&pool->held_bytes, bytes, memory_order_relaxed);
    return bytes;
}

/* Gives back listed buffers, the longest first, until it is `want` bytes; returns how many it is.
 * Each is taken by itself: whoever gives or takes one at the same time waits for none of it. */
static uint64_t drain(struct mr_buffers *pool, uint64_t want)
{
    uint64_t given = 0;

    for (int index = N_CLASSES - 1; index >= 0; index--)
        for (uint32_t i = 0; i < MR_NEAR_LISTS; i++) {
            struct mr_buffer *buffer;
            if (!atomic_load_explicit(&pool->near.owners[i], memory_order_relaxed))
                continue;
            while (given < want && (buffer = from_shelf(&pool->shelves[i], index)))
                given += give_back(pool, &pool->shelves[i], buffer, want - given);
            if (given >= want)
                return given;
        }
    return given;
}

/* Puts `bytes` on the account, in place of what lies listed where that is needed. */
static bool make_room(struct mr_buffers *pool, uint64_t bytes)
{
    /* others may take what was given back for this one: not more often than this */
    for (int round = 0; round < 4; round++) {
        if (reserve(pool, bytes))
            return true;
        if (atomic_load_explicit(&pool->used_bytes, memory_order_relaxed) + bytes > pool->cap_bytes)
            return false;
        uint64_t held = atomic_load_explicit(&pool->held_bytes, memory_order_relaxed);
        uint64_t missing = held + bytes > pool->cap_bytes ? held + bytes - pool->cap_bytes : 0;
        if (missing && !drain(pool, missing > PIECE_BYTES ? missing : PIECE_BYTES))
            return reserve(pool, bytes);
    }
    return reserve(pool, bytes);
}

static struct mr_buffer *fresh(struct mr_buffers *pool, int index)
{
    size_t capacity = (size_t)1 << (index + SMALLEST_SHIFT);

    if (!make_room(pool, capacity))
        return NULL;
    struct mr_buffer *buffer = memory_new(pool, capacity);
    if (!buffer)
        atomic_fetch_sub_explicit(&pool->held_bytes, capacity, memory_order_relaxed);
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

/* A listed one, of which a part may have been given back, with all its bytes on the account. */
static struct mr_buffer *complete(struct mr_buffers *pool, struct mr_buffer *buffer)
{
    struct block *block = block_of(buffer);

    if (block->given_bytes && !make_room(pool, block->given_bytes)) {
        onto_shelf(&pool->shelves[mr_near_list(&pool->near)], buffer);
        return NULL;
    }
    block->given_bytes = 0;
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
        buffer = buffer ? complete(pool, buffer) : fresh(pool, index);
    }
    if (!buffer) {
        atomic_fetch_add_explicit(&pool->refused, 1, memory_order_relaxed);
        return NULL;
    }
    buffer->len = 0;
    buffer->next = NULL;
    block_of(buffer)->for_token = for_token;
    block_of(buffer)->kept = false;
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
    block_of(buffer)->kept = true;
    atomic_fetch_add_explicit(&pool->kept_bytes, buffer->capacity, memory_order_relaxed);
}

void mr_buffers_put(struct mr_buffers *pool, struct mr_buffer *buffer)
{
    if (!buffer)
        return;
    if (block_of(buffer)->for_token)
        atomic_fetch_sub_explicit(&pool->token_bytes, buffer->capacity, memory_order_relaxed);
    if (block_of(buffer)->kept)
        atomic_fetch_sub_explicit(&pool->kept_bytes, buffer->capacity, memory_order_relaxed);
    atomic_fetch_sub_explicit(&pool->used_bytes, buffer->capacity, memory_order_relaxed);
    onto_shelf(&pool->shelves[mr_near_list(&pool->near)], buffer);
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
