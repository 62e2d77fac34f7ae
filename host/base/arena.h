/* Arenas: memory that is given back all at once. Not thread-safe: one owner at a time.
 *
 * A growing arena takes blocks from the heap (load time). A capped one refuses to grow past its
 * cap and is reset and reused with each token (run time): after the first rounds it no longer
 * touches the heap.
 */
#ifndef MR_BASE_ARENA_H
#define MR_BASE_ARENA_H

#include <stddef.h>

struct mr_arena_block;

struct mr_arena {
    struct mr_arena_block *first, *current;
    size_t used;       /* bytes used in the current block */
    size_t held_bytes; /* taken from the heap */
    size_t cap_bytes;  /* 0: no cap */
};

void mr_arena_init(struct mr_arena *arena, size_t cap_bytes);

/* 16-byte aligned, not zeroed; NULL when the cap or the heap is exhausted. */
void *mr_arena_alloc(struct mr_arena *arena, size_t bytes);
void *mr_arena_zalloc(struct mr_arena *arena, size_t bytes);

/* A NUL-terminated copy of len bytes; NULL as above. */
char *mr_arena_string(struct mr_arena *arena, const char *text, size_t len);

/* Forgets everything, keeps the blocks. */
void mr_arena_reset(struct mr_arena *arena);

/* Gives the blocks back to the heap; the arena can be used again. */
void mr_arena_free(struct mr_arena *arena);

#endif
