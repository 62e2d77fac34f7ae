/* Blocks of file bytes that packets point into.
 *
 * A block goes back to its pool when its reader and all bursts with packets in it have let go, from
 * whatever thread that happens; it is then the next to be read into, so that few packets in flight
 * mean few blocks, and those stay in the cache. The pool is address space until its blocks are
 * used.
 */
#ifndef MR_CAPTURE_BLOCKS_H
#define MR_CAPTURE_BLOCKS_H

#include <rte_mbuf_core.h>
#include <stdint.h>

/* Half a megabyte: the most that can stand in one piece. */
#define MR_BLOCK_BYTES (512u << 10)

/* What is read ahead at a time, by a thread of several: it stands behind MR_BLOCK_BYTES of room,
 * for what straddles its beginning. Half an L2 cache at most, together with what it is copied from,
 * and about a burst of full-sized frames. */
#define MR_PIECE_BYTES (256u << 10)

struct mr_blocks;

struct mr_block {
    struct rte_mbuf_ext_shared_info shared; /* holds the reference count */
    struct mr_blocks *pool;
    struct mr_block *next; /* in the pool's list */
    _Alignas(64) uint8_t bytes[MR_BLOCK_BYTES + MR_PIECE_BYTES];
};

/* NULL when there is no memory. */
struct mr_blocks *mr_blocks_new(uint32_t cap);

/* The owner is done; the memory goes when the last block is back. NULL is allowed. */
void mr_blocks_close(struct mr_blocks *blocks);

/* A block with one reference, the caller's; NULL when all `cap` blocks are out. */
struct mr_block *mr_block_get(struct mr_blocks *blocks);

/* Adds n (which may be negative) to the references; the block must not be used after its last. */
void mr_block_references(struct mr_block *block, int16_t n);

#endif
