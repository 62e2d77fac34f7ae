/* DPDK's environment: started once for a process, without hugepages and without root.
 *
 * Packets lie in rte_mbufs. Blocks of files, with many frames each, are attached to them as
 * external buffers, so the pool made here holds headers only; ports make their own (port.h).
 */
#ifndef MR_CAPTURE_DPDK_H
#define MR_CAPTURE_DPDK_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

struct mr_dpdk_config {
    uint32_t max_packets;     /* that may be held at the same time: size of the mempool, of which
                                 a burst takes one for each block of a file, mostly a single one */
    bool verbose;             /* let DPDK log to standard error; otherwise only its errors */
    const char *const *cards; /* PCI addresses of network cards that may be used; no others are */
    uint32_t n_cards;
    bool no_huge;        /* cards: no hugepages, even if there are some */
    uint64_t card_bytes; /* cards without hugepages: memory for their packets */
};

/* Starts the EAL (no telemetry, no files; without cards no hugepages and no PCI) and makes the
 * pool. The calling
 * thread keeps its affinity and its signal mask; SIGURG is used meanwhile. MR_ERR_START with a
 * sentence of ours when it fails. Once a process. */
enum mr_status mr_dpdk_start(const struct mr_dpdk_config *config, struct mr_error *error);
void mr_dpdk_stop(void);

/* Registers the calling thread with the EAL, which ports want of threads that use them (files do
 * not: the pool keeps no caches per thread). MR_ERR_LIMIT when there are too many (RTE_MAX_LCORE).
 */
enum mr_status mr_dpdk_thread_register(void);
void mr_dpdk_thread_unregister(void);

/* The pool of packet buffers; how many of them are in use; and the most memory that DPDK takes for
 * so many (it grows as they are used). */
struct rte_mempool *mr_dpdk_pool(void);
uint32_t mr_dpdk_packets_in_use(void);
uint64_t mr_dpdk_memory_bytes(uint32_t max_packets);
/* Bytes of hugepages that nobody uses yet. */
uint64_t mr_dpdk_hugepages_free(void);
const char *mr_dpdk_version(void);

#endif
