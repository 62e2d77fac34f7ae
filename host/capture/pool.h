/* The mempool of packet headers: a last-in first-out stack that grows as it is used.
 *
 * Packets of files need an rte_mbuf and nothing else, since their bytes lie in the reader's
 * blocks. The pool's memory is address space at first; a packet costs memory when it is taken for
 * the first time. Last in, first out: what was freed just now is still in the cache.
 */
#ifndef MR_CAPTURE_POOL_H
#define MR_CAPTURE_POOL_H

#include "millrace/status.h"

#include <stdint.h>

struct rte_mempool;

enum mr_status mr_pool_new(struct rte_mempool **out, uint32_t packets, struct mr_error *error);
uint64_t mr_pool_memory_bytes(uint32_t packets);
void mr_pool_free(struct rte_mempool *pool); /* NULL is allowed; packets in use become invalid */

#endif
