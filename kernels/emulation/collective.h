/* SPDX-License-Identifier: Apache-2.0
 *
 * What a meeting of lanes computes: shuffles, votes, reductions, and the rules that a lane must
 * keep.
 */
#ifndef MR_EMULATION_COLLECTIVE_H
#define MR_EMULATION_COLLECTIVE_H

#include "kernels/emulation/grid.h"

enum lane_state : uint8_t { LANE_READY, LANE_WARP, LANE_BARRIER, LANE_DONE };

struct mr_emu_lane {
    struct uint3 thread_idx;
    enum lane_state state;
    struct mr_emu_site site; /* where it waits, or waited last */
    struct mr_emu_offer offer;
    uint64_t result;
};

bool same_site(const struct mr_emu_site &x, const struct mr_emu_site &y);

/* What is wrong with the offer of lane `own` of its warp, or NULL. */
const char *collective_check(const struct mr_emu_lane *lane, uint32_t own);

/* All lanes of `mask` are there: fills their results. */
void collective_finish(struct mr_emu_lane *warp, uint32_t mask);

/* The result of a barrier that all `n` lanes have reached. */
uint64_t barrier_result(const struct mr_emu_lane *lanes, uint32_t n);

#endif
