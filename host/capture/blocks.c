/* The pool of blocks: a list of free ones behind a lock, since blocks move seldom. */
#include "capture/blocks.h"

#include "base/near.h"

#include <pthread.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mr_blocks {
    struct mr_near near;
    pthread_mutex_t lock;
    struct mr_block *free[MR_NEAR_LISTS]; /* last in, first out */
    struct mr_block *memory;
    uint32_t cap, used; /* blocks of `memory` that were in use once */
    uint32_t out;
    bool closed;
};

struct mr_blocks *mr_blocks_new(uint32_t cap)
{
    struct mr_blocks *blocks = aligned_alloc(64, (sizeof *blocks + 63) / 64 * 64);
    void *memory = mmap(NULL, cap * sizeof(struct mr_block), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!blocks || memory == MAP_FAILED) {
        if (memory != MAP_FAILED)
            munmap(memory, cap * sizeof(struct mr_block));
        free(blocks);
        return NULL;
    }
    memset(blocks, 0, sizeof *blocks);
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
    uint32_t mine = mr_near_list(&blocks->near);
    (void)address;
    /* DPDK's short way for the last reference reads the count without acquiring what those who let
     * go before have released: their reading of the bytes must be over when others are written. */
    (void)__atomic_fetch_add(&block->shared.refcnt, 0, __ATOMIC_ACQ_REL);
    pthread_mutex_lock(&blocks->lock);
    block->next = blocks->free[mine];
    blocks->free[mine] = block;
    bool last = --blocks->out == 0 && blocks->closed;
    pthread_mutex_unlock(&blocks->lock);
    if (last)
        destroy(blocks);
}

struct mr_block *mr_block_get(struct mr_blocks *blocks)
{
    uint32_t from = mr_near_list(&blocks->near);
    pthread_mutex_lock(&blocks->lock);
    for (uint32_t i = 0; !blocks->free[from] && i < MR_NEAR_LISTS; i++)
        if (blocks->free[i])
            from = i;
    struct mr_block *block = blocks->free[from];
    if (block)
        blocks->free[from] = block->next;
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
