/* Mempools of packets: last-in first-out stacks that grow as they are used.
 *
 * Blocks of files need an rte_mbuf and nothing else, since their bytes lie with the reader;
 * packets of the kernel's interfaces are copied into theirs. A pool's memory is address
 * space at first; a packet costs memory when it is taken for the first time, and its room as far
 * as it was ever written. Last in, first out: what was freed just now is still in the cache.
 */
#ifndef MR_CAPTURE_POOL_H
#define MR_CAPTURE_POOL_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

/* Packets without room are put into use so many at a time, fewer at the end of a pool. */
#define MR_POOL_STEP 4096u

struct mr_pool_config {
    const char *name; /* one of its own, up to 20 characters; copied */
    uint32_t packets;
    uint32_t room; /* bytes of each packet, with RTE_PKTMBUF_HEADROOM; 0: headers only */
    bool whole;    /* all of it in use from the start, in one piece */
};

enum mr_status mr_pool_new(struct rte_mempool **out, const struct mr_pool_config *config,
                           struct mr_error *error);
uint64_t mr_pool_memory_bytes(uint32_t packets, uint32_t room);
void mr_pool_free(struct rte_mempool *pool); /* NULL is allowed; packets in use become invalid */

#endif
