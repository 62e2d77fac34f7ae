/* A burst: what a source reads at one go, before it gets a token.
 *
 * The mbufs keep the memory of the frames alive and are freed when the token closes: of a port one
 * for each packet, mbufs[i] that of packets[i]; of a file one for each block that packets lie in,
 * since two more cache lines a packet are what reading small packets costs. Sources fill data, len,
 * wire_len, time_ns, link_type, interface and number (counted from 1 in each source: the engine
 * makes one count of all); mr_decode() the rest. One owner at a time.
 */
#ifndef MR_PACKET_BURST_H
#define MR_PACKET_BURST_H

#include "millrace/packet.h"

#define MR_BURST_MAX   1024
#define MR_BURST_USUAL 256 /* what one worker, and live capture, have at most */

struct rte_mbuf;

struct mr_burst {
    uint32_t n, n_mbufs;
    struct rte_mbuf *mbufs[MR_BURST_MAX];
    struct mr_packet packets[MR_BURST_MAX];
};

#endif
