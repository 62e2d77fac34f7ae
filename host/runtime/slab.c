/* Size classes over chunks of the buffer pool. */
#include "runtime/slab.h"

#define SMALLEST    64u
#define FIRST_CHUNK 4096u
#define CHUNK       65536u

static uint32_t class_of(size_t bytes)
{
    uint32_t class = 0;
    while (class < MR_SLAB_CLASSES && ((size_t)SMALLEST << class) < bytes)
        class ++;
    return class;
}

void mr_slab_init(struct mr_slab *slab, struct mr_buffers *pool)
{
    *slab = (struct mr_slab){.pool = pool};
}

void mr_slab_release(struct mr_slab *slab)
{
    while (slab->chunks) {
        struct mr_buffer *next = slab->chunks->next;
        mr_buffers_put(slab->pool, slab->chunks);
        slab->chunks = next;
    }
    mr_slab_init(slab, slab->pool);
}

void *mr_slab_get(struct mr_slab *slab, size_t bytes, struct mr_buffer **large)
{
    uint32_t class = class_of(bytes);
    uint32_t piece = SMALLEST << class;

    *large = NULL;
    if (class == MR_SLAB_CLASSES) {
        *large = mr_buffers_get(slab->pool, bytes);
        return *large ? (*large)->data : NULL;
    }
    if (slab->free[class]) {
        struct mr_slab_free *first = slab->free[class];
        slab->free[class] = first->next;
        return first;
    }
    struct mr_buffer *chunk = slab->chunks;
    if (!chunk || chunk->capacity - chunk->len < piece) {
        /* small tables take little: there may be one in each lane */
        size_t wanted = !chunk ? FIRST_CHUNK : (size_t)2 * chunk->capacity;
        wanted = wanted > CHUNK ? CHUNK : wanted < piece ? piece : wanted;
        struct mr_buffer *fresh = mr_buffers_get(slab->pool, wanted);
        if (!fresh)
            return NULL;
        fresh->next = slab->chunks;
        slab->chunks = chunk = fresh;
    }
    void *memory = chunk->data + chunk->len;
    chunk->len += piece;
    return memory;
}

void mr_slab_put(struct mr_slab *slab, void *piece, size_t bytes, struct mr_buffer *large)
{
    if (large) {
        mr_buffers_put(slab->pool, large);
    } else if (piece) {
        struct mr_slab_free *entry = piece;
        uint32_t class = class_of(bytes);
        entry->next = slab->free[class];
        slab->free[class] = entry;
    }
}
