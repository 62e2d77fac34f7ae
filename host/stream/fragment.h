/* IP reassembly, IPv4 and IPv6 by one algorithm with two header adapters.
 *
 * Fragments of a datagram are kept in pooled buffers until it is whole, until its time is up (in
 * packet time) or a limit evicts it. Overlaps are decided by policy; IPv6 overlaps are always
 * refused (RFC 5722). One thread at a time (the engine's intake turn).
 */
#ifndef MR_STREAM_FRAGMENT_H
#define MR_STREAM_FRAGMENT_H

#include "base/buffers.h"
#include "base/hash.h"
#include "metrics/metrics.h"
#include "packet/decode.h"

/* Who wins where fragments overlap: as Suricata's and Snort's target policies. */
enum mr_overlap_policy {
    MR_OVERLAP_FIRST,
    MR_OVERLAP_LAST,
    MR_OVERLAP_BSD,
    MR_OVERLAP_LINUX,
    MR_OVERLAP_WINDOWS,
    MR_OVERLAP_SOLARIS
};

/* "first", "last", "bsd", ...; false when there is no such policy. */
bool mr_overlap_policy_parse(const char *name, enum mr_overlap_policy *policy);

/* Zero stands for the default. */
struct mr_fragment_config {
    enum mr_overlap_policy policy;
    uint64_t timeout_ns;    /* default 30 s */
    uint32_t max_datagrams; /* under way at the same time; default 4,096 */
    uint32_t max_fragments; /* of one datagram; default 1,024 */
    uint64_t max_bytes;     /* of buffers, all datagrams together; default 32 MiB */
};

struct mr_fragments;

enum mr_status mr_fragments_new(struct mr_fragments **out, const struct mr_fragment_config *config,
                                struct mr_buffers *buffers, const struct mr_secret *secret);
void mr_fragments_free(struct mr_fragments *fragments);

/* Takes one fragment. MR_DROP_NONE: it completed its datagram; *whole is filled as a packet whose
 * data (IP header, without fragment header, total length and checksum corrected, and payload) lies
 * in *buffer, which the caller now owns; l3_offset is 0, the flags have MR_PACKET_REASSEMBLED; it
 * still wants mr_decode_ip(). Number, time and interface are those of `packet`.
 * MR_DROP_FRAGMENT_HELD: it is kept and waits for others. Otherwise the reason for which it (and
 * where the policy says so, its datagram) was given up:
 *  - FRAGMENT_BAD: empty, not a multiple of 8 bytes, behind the datagram's end or beyond 65,535
 *    bytes, or a last fragment that ends elsewhere than the last one before it. IPv4: only this
 *    fragment is lost; IPv6: the datagram.
 *  - FRAGMENT_OVERLAP: IPv6 only; the datagram is refused, with what may still come of it. (Exact
 *    repetitions are no overlap.)
 *  - FRAGMENT_LIMIT: too many fragments, or no memory; the datagram is refused.
 *  - TRUNCATED: the capture has cut the fragment off; only this fragment is lost.
 * Datagrams that ran out of time (counted from their first fragment, in packet time; also when
 * that goes back by more than the timeout) are given up before; those unused for longest are
 * given up when there are too many, or too many bytes. *given_up gets the number of fragments that
 * any of this took away. Those fragments were counted HELD before. */
enum mr_drop mr_fragments_add(struct mr_fragments *fragments, const struct mr_packet *packet,
                              const struct mr_fragment_view *view, struct mr_packet *whole,
                              struct mr_buffer **buffer, uint32_t *given_up);

/* Fragments held at this moment. */
uint32_t mr_fragments_held(const struct mr_fragments *fragments);

#endif
