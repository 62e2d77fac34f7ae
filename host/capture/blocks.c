/* The pool of blocks: a list of free ones behind a lock, since blocks move seldom. */
#include "capture/blocks.h"

#include <pthread.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

struct mr_blocks {
    pthread_mutex_t lock;
    struct mr_block *free; /* last in, first out */
    struct mr_block *memory;
    uint32_t cap, used; /* blocks of `memory` that were in use once */
    uint32_t out;
    bool closed;
};

struct mr_blocks *mr_blocks_new(uint32_t cap)
{
    struct mr_blocks *blocks = calloc(1, sizeof *blocks);
    void *memory = mmap(NULL, cap * sizeof(struct mr_block), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!blocks || memory == MAP_FAILED) {
        if (memory != MAP_FAILED)
            munmap(memory, cap * sizeof(struct mr_block));
        free(blocks);
        return NULL;
    }
    pthread_mutex_init(&blocks->lock, NULL);
    blocks->memory = memory;
    blocks->cap = cap;
    return blocks;
}

static void destroy(struct mr_blocks *blocks)
{
    munmap(blocks->memory, blocks->cap * sizeof(struct mr_block));
    pthread_mutex_destroy(&blocks->lock);
    free(blocks);
}

void mr_blocks_close(struct mr_blocks *blocks)
{
    if (!blocks)
        return;
    pthread_mutex_lock(&blocks->lock);
    blocks->closed = true;
    bool last = blocks->out == 0;
    pthread_mutex_unlock(&blocks->lock);
    if (last)
        destroy(blocks);
}

/* The last reference is gone: DPDK calls it too, when it frees a packet. */
static void come_back(void *address, void *opaque)
{
    struct mr_block *block = opaque;
    struct mr_blocks *blocks = block->pool;
    (void)address;
    pthread_mutex_lock(&blocks->lock);
    block->next = blocks->free;
    blocks->free = block;
    bool last = --blocks->out == 0 && blocks->closed;
    pthread_mutex_unlock(&blocks->lock);
    if (last)
        destroy(blocks);
}

struct mr_block *mr_block_get(struct mr_blocks *blocks)
{
    pthread_mutex_lock(&blocks->lock);
    struct mr_block *block = blocks->free;
    if (block)
        blocks->free = block->next;
    else if (blocks->used < blocks->cap)
        block = &blocks->memory[blocks->used++];
    blocks->out += block != NULL;
    pthread_mutex_unlock(&blocks->lock);
    if (block) {
        block->pool = blocks;
        block->shared.free_cb = come_back;
        block->shared.fcb_opaque = block;
        rte_mbuf_ext_refcnt_set(&block->shared, 1);
    }
    return block;
}

void mr_block_references(struct mr_block *block, int16_t n)
{
    if (rte_mbuf_ext_refcnt_update(&block->shared, n) == 0)
        come_back(NULL, block);
}
