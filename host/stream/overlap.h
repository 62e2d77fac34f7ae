/* Overlaps: who wins where two fragments of a datagram, or two segments of a stream, cover the same
 * bytes. The models are the published ones (Ptacek and Newsham; Novak and Sturges, "Target-Based
 * Fragmentation Reassembly" and "Target-Based TCP Stream Reassembly"): a policy decides from where
 * both pieces begin and end.
 */
#ifndef MR_STREAM_OVERLAP_H
#define MR_STREAM_OVERLAP_H

#include "stream/fragment.h"

/* Does the new piece win the bytes it shares with an older one? start_delta: where the new piece
 * begins, counted from where the old one begins; end_delta: the same of their ends. */
bool mr_overlap_new_wins_ip(enum mr_overlap_policy policy, int64_t start_delta, int64_t end_delta);
bool mr_overlap_new_wins_tcp(enum mr_overlap_policy policy, int64_t start_delta, int64_t end_delta);

#endif
