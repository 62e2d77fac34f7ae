/* Small pieces of memory that come and go: size classes over chunks of the buffer pool. The chunks
 * stay until the slab is freed. One owner at a time. */
#ifndef MR_RUNTIME_SLAB_H
#define MR_RUNTIME_SLAB_H

#include "base/buffers.h"

#define MR_SLAB_CLASSES 8 /* 64 bytes to 8 KiB; larger pieces are buffers of their own */

struct mr_slab_free {
    struct mr_slab_free *next;
};

struct mr_slab {
    struct mr_buffers *pool;
    struct mr_buffer *chunks; /* the newest first: what is left of it is given out */
    struct mr_slab_free *free[MR_SLAB_CLASSES];
};

void mr_slab_init(struct mr_slab *slab, struct mr_buffers *pool);
void mr_slab_release(struct mr_slab *slab); /* all of it; large pieces must be back */

/* 16-byte aligned, not zeroed; NULL when the pool's cap is reached. *large: what it belongs to when
 * it is a buffer of its own, else NULL: hand it back to mr_slab_put(). */
void *mr_slab_get(struct mr_slab *slab, size_t bytes, struct mr_buffer **large);
void mr_slab_put(struct mr_slab *slab, void *piece, size_t bytes, struct mr_buffer *large);

#endif
