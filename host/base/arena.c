/* Arenas: blocks in a list, a bump pointer in the current one. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 * 1024)
#define ALIGNMENT   16u

struct mr_arena_block {
    struct mr_arena_block *next;
    size_t capacity;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

void mr_arena_init(struct mr_arena *arena, size_t cap_bytes)
{
    *arena = (struct mr_arena){.cap_bytes = cap_bytes};
}

/* The next block that holds `bytes`: one kept from before the last reset, else a new one. */
static struct mr_arena_block *next_block(struct mr_arena *arena, size_t bytes)
{
    struct mr_arena_block **link = arena->current ? &arena->current->next : &arena->first;
    struct mr_arena_block *block = *link;

    if (block && block->capacity >= bytes)
        return block;
    size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    if (arena->cap_bytes && arena->held_bytes + capacity > arena->cap_bytes)
        return NULL;
    if (capacity > SIZE_MAX - sizeof *block)
        return NULL;
    struct mr_arena_block *fresh = malloc(sizeof *fresh + capacity);
    if (!fresh)
        return NULL;
    fresh->next = block;
    fresh->capacity = capacity;
    arena->held_bytes += capacity;
    *link = fresh;
    return fresh;
}

void *mr_arena_alloc(struct mr_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct mr_arena_block *block = arena->current;
    if (!block || block->capacity - arena->used < bytes) {
        block = next_block(arena, bytes);
        if (!block)
            return NULL;
        arena->current = block;
        arena->used = 0;
    }
    void *memory = block->bytes + arena->used;
    arena->used += bytes;
    return memory;
}

void *mr_arena_zalloc(struct mr_arena *arena, size_t bytes)
{
    void *memory = mr_arena_alloc(arena, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

char *mr_arena_string(struct mr_arena *arena, const char *text, size_t len)
{
    char *copy = mr_arena_alloc(arena, len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void mr_arena_reset(struct mr_arena *arena)
{
    arena->current = arena->first;
    arena->used = 0;
}

void mr_arena_free(struct mr_arena *arena)
{
    struct mr_arena_block *block = arena->first;
    while (block) {
        struct mr_arena_block *next = block->next;
        free(block);
        block = next;
    }
    mr_arena_init(arena, arena->cap_bytes);
}
