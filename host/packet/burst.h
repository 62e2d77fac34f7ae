/* A burst: what a source reads at one go, before it gets a token.
 *
 * packets[i] describes the frame that mbufs[i] holds; the mbuf keeps the frame's memory alive and
 * is freed when the token closes. Sources fill data, len, wire_len, time_ns, link_type, interface
 * and number (counted from 1 in each source: the engine makes one count of all); mr_decode() the
 * rest. One owner at a time.
 */
#ifndef MR_PACKET_BURST_H
#define MR_PACKET_BURST_H

#include "millrace/packet.h"

#define MR_BURST_MAX   1024
#define MR_BURST_USUAL 256 /* what one worker, and live capture, have at most */

struct rte_mbuf;

struct mr_burst {
    uint32_t n;
    struct rte_mbuf *mbufs[MR_BURST_MAX];
    struct mr_packet packets[MR_BURST_MAX];
};

#endif
