/* A hash table of what begins with a struct mr_hung, chained; memory of the buffer pool. It grows
 * in slices, so that nobody waits for all of a large one. One thread at a time. */
#ifndef MR_RUNTIME_BUCKETS_H
#define MR_RUNTIME_BUCKETS_H

#include "base/buffers.h"

#include <assert.h>

struct mr_hung {
    struct mr_hung *next; /* in its bucket */
    uint64_t hash;
};

struct mr_buckets {
    struct mr_buffer *buckets;
    struct mr_buffer *old; /* while it grows: half as many; those before `moved` have been moved */
    uint64_t n_buckets, moved;
    uint64_t n; /* what hangs there: the caller's to count */
};

/* Room for one more. Buckets may move: what mr_bucket_of() gave before means nothing any more.
 * False: no memory for the first ones; without memory for more, chains become longer. */
bool mr_buckets_grow(struct mr_buckets *b, struct mr_buffers *pool);

/* What hangs there is the caller's: to be taken out before. Empty afterwards. */
void mr_buckets_free(struct mr_buckets *b, struct mr_buffers *pool);

static inline struct mr_hung **mr_buckets_in(struct mr_buffer *buffer)
{
    assert(buffer); /* made by the first grow() */
    return (struct mr_hung **)(void *)buffer->data;
}

/* Where things of this hash hang, once there has been room for one. All of them, for each hash
 * below n_buckets: what comes twice hangs at one place. */
static inline struct mr_hung **mr_bucket_of(const struct mr_buckets *b, uint64_t hash)
{
    uint64_t in_old = hash & (b->n_buckets / 2 - 1);

    if (b->old && in_old >= b->moved)
        return &mr_buckets_in(b->old)[in_old];
    return &mr_buckets_in(b->buckets)[hash & (b->n_buckets - 1)];
}

static inline void mr_bucket_hang(struct mr_hung **bucket, struct mr_hung *thing)
{
    thing->next = *bucket;
    *bucket = thing;
}

#endif
