/* SPDX-License-Identifier: Apache-2.0
 *
 * Warp operations and barriers, by their definitions in the CUDA C++ programming guide.
 */
#include "kernels/emulation/collective.h"

#include <cstring>

/* Of one object file they are mostly one string. */
static bool same_text(const char *x, const char *y)
{
    return x == y || strcmp(x, y) == 0;
}

bool same_site(const struct mr_emu_site &x, const struct mr_emu_site &y)
{
    return x.op == y.op && x.line == y.line && same_text(x.call, y.call) &&
           same_text(x.file, y.file);
}

/* The lane a shuffle reads; its own when the source lies outside its segment. */
static uint32_t shuffle_source(const struct mr_emu_lane *lane, uint32_t own)
{
    uint32_t width = static_cast<uint32_t>(lane->offer.width);
    uint32_t first = own & ~(width - 1), argument = static_cast<uint32_t>(lane->offer.argument);
    uint32_t in = own - first;

    switch (lane->site.op) {
    case EMU_SHFL:
        return first + (argument & (width - 1));
    case EMU_SHFL_UP:
        return argument <= in ? own - argument : own;
    case EMU_SHFL_DOWN:
        return argument < width - in ? own + argument : own;
    default: /* a partner in an earlier segment may be read, one in a later may not */
        return argument < 32 && (own ^ argument) < first + width ? own ^ argument : own;
    }
}

const char *collective_check(const struct mr_emu_lane *lane, uint32_t own)
{
    const struct mr_emu_offer *offer = &lane->offer;

    if ((offer->mask >> own & 1) == 0)
        return "the calling lane is not in the mask";
    if (lane->site.op > EMU_SHFL_XOR)
        return nullptr;
    if (offer->width < 1 || offer->width > 32 || (offer->width & (offer->width - 1)) != 0)
        return "the width is not a power of two up to 32";
    if ((offer->mask >> shuffle_source(lane, own) & 1) == 0)
        return "the lane it reads is not in the mask";
    return nullptr;
}

static uint64_t reduce(const struct mr_emu_lane *warp, uint32_t mask, enum mr_emu_op op)
{
    uint64_t sum = op == EMU_REDUCE_AND ? ~uint64_t{0} : 0;

    for (uint32_t i = 0; i < 32; i++) {
        uint64_t value = warp[i].offer.value;
        if ((mask >> i & 1) == 0)
            continue;
        if (op == EMU_REDUCE_ADD)
            sum += value;
        else if (op == EMU_REDUCE_AND)
            sum &= value;
        else if (op == EMU_REDUCE_OR)
            sum |= value;
        else
            sum |= uint64_t{value != 0} << i; /* ballot */
    }
    return sum;
}

static uint64_t match(const struct mr_emu_lane *warp, uint32_t mask, uint64_t value)
{
    uint64_t same = 0;

    for (uint32_t i = 0; i < 32; i++) {
        if ((mask >> i & 1) != 0 && warp[i].offer.value == value)
            same |= uint64_t{1} << i;
    }
    return same;
}

void collective_finish(struct mr_emu_lane *warp, uint32_t mask)
{
    enum mr_emu_op op = warp[__builtin_ctz(mask)].site.op;
    uint64_t common = op >= EMU_BALLOT && op != EMU_MATCH_ANY ? reduce(warp, mask, op) : 0;

    for (uint32_t i = 0; i < 32; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        if (op <= EMU_SHFL_XOR)
            warp[i].result = warp[shuffle_source(&warp[i], i)].offer.value;
        else if (op == EMU_MATCH_ANY)
            warp[i].result = match(warp, mask, warp[i].offer.value);
        else
            warp[i].result = common;
    }
}

uint64_t barrier_result(const struct mr_emu_lane *lanes, uint32_t n)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        count += lanes[i].offer.value != 0;
    switch (lanes[0].site.op) {
    case EMU_BARRIER_OR:
        return count != 0;
    case EMU_BARRIER_AND:
        return count == n;
    default:
        return count;
    }
}
