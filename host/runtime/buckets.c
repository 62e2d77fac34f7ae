/* Hash tables that grow in slices: half of the next table is filled from each bucket of the last.
 */
#include "runtime/buckets.h"

#include <string.h>

#define FIRST_BUCKETS 16u
#define MAX_BYTES     (64u * 1024 * 1024) /* of a buffer */
#define MOVED_AT_ONCE 4u

/* Buckets are set before they are read first: nothing is cleared ahead. */
static void go_on_growing(struct mr_buckets *b, struct mr_buffers *pool)
{
    struct mr_hung **to = mr_buckets_in(b->buckets);
    uint64_t half = b->n_buckets / 2;

    for (uint32_t i = 0; i < MOVED_AT_ONCE && b->moved < half; i++, b->moved++) {
        struct mr_hung *thing = mr_buckets_in(b->old)[b->moved], *next;
        to[b->moved] = to[b->moved + half] = NULL;
        for (; thing; thing = next) {
            next = thing->next;
            mr_bucket_hang(&to[thing->hash & (b->n_buckets - 1)], thing);
        }
    }
    if (b->moved < half)
        return;
    mr_buffers_put(pool, b->old);
    b->old = NULL;
}

bool mr_buckets_grow(struct mr_buckets *b, struct mr_buffers *pool)
{
    if (b->old) {
        go_on_growing(b, pool);
        return true;
    }
    if (b->buckets && b->n < b->n_buckets)
        return true;
    uint64_t n = b->buckets ? 2 * b->n_buckets : FIRST_BUCKETS;
    size_t bytes = (size_t)n * sizeof(struct mr_hung *);
    struct mr_buffer *fresh = bytes > MAX_BYTES ? NULL : mr_buffers_get(pool, bytes);
    if (!fresh)
        return b->buckets != NULL;
    if (!b->buckets)
        memset(fresh->data, 0, bytes);
    b->old = b->buckets;
    b->buckets = fresh;
    b->n_buckets = n;
    b->moved = 0;
    return true;
}

void mr_buckets_free(struct mr_buckets *b, struct mr_buffers *pool)
{
    mr_buffers_put(pool, b->buckets);
    mr_buffers_put(pool, b->old);
    *b = (struct mr_buckets){0};
}
