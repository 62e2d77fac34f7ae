/* SPDX-License-Identifier: Apache-2.0
 *
 * Running automata over a message on the device: by one thread, or for a long message by a warp.
 */
#ifndef MR_REGEX_RUN_CUH
#define MR_REGEX_RUN_CUH

#include "kernels/device.cuh"
#include "kernels/regex_kernels.h"

#define MR_ALL  0xffffffffu
#define MR_WARM 64u /* bytes after which most automata have forgotten where they began */

/* What a thread knows of the automaton it runs; `data` may be a copy in shared memory. */
struct mr_running {
    const uint8_t *data;
    uint32_t kind, n_classes, start, end_from;
};

/* The byte at `at`, by words: *word is kept from call to call. */
static __device__ __forceinline__ uint32_t mr_next_byte(const uint8_t *at, bool first,
                                                        uint32_t *word)
{
    uintptr_t address = reinterpret_cast<uintptr_t>(at);

    if (first || (address & 3) == 0)
        *word = __ldg(reinterpret_cast<const uint32_t *>(address & ~uintptr_t{3}));
    return *word >> (8 * (address & 3)) & 0xff;
}

/* ---- DFAs ---- */

static __device__ __forceinline__ uint32_t mr_dfa_step(const struct mr_running &a, uint32_t state,
                                                       uint32_t byte)
{
    return a.kind == MR_AUTOMATON_DFA8 ? mr_dfa8_step(a.data, a.n_classes, state, byte)
                                       : mr_dfa16_step(a.data, a.n_classes, state, byte);
}

static __device__ __forceinline__ uint32_t mr_dfa_run(const struct mr_running &a, uint32_t state,
                                                      const uint8_t *bytes, uint32_t len)
{
    uint32_t word = 0;

    for (uint32_t i = 0; i < len && state > MR_DFA_DEAD; i++)
        state = mr_dfa_step(a, state, mr_next_byte(bytes + i, i == 0, &word));
    return state;
}

/* One lane's piece of a long message. */
struct mr_piece {
    uint32_t begin, len;
    uint32_t entry, exit; /* states before and after it, */
    uint32_t last;        /* and after the whole message */
};

static __device__ __forceinline__ struct mr_piece mr_piece_of(uint32_t len)
{
    uint32_t lane = threadIdx.x & 31, each = (len + 31) / 32;
    struct mr_piece piece;

    piece.begin = lane * each < len ? lane * each : len;
    piece.len = len - piece.begin < each ? len - piece.begin : each;
    piece.entry = piece.exit = piece.last = 0;
    return piece;
}

/* All lanes call it with the same automaton and message. Each runs its piece from a guess, that the
 * bytes just before it suffice. Then the pieces are gone through in their order; where the left
 * neighbour ends otherwise, all from there on run theirs again from its state, for most automata
 * that have not forgotten yet will not forget any more (`abc.*def`): two or three rounds, and one
 * for each piece at the worst. What a lane has tried last but one it remembers. */
static __device__ __forceinline__ struct mr_piece mr_dfa_pieces(const struct mr_running &a,
                                                                const uint8_t *bytes, uint32_t len)
{
    uint32_t lane = threadIdx.x & 31, done = 1;
    struct mr_piece piece = mr_piece_of(len);
    uint32_t warm = piece.begin < MR_WARM ? piece.begin : MR_WARM, other_entry, other_exit;

    piece.entry = mr_dfa_run(a, a.start, bytes + piece.begin - warm, warm);
    piece.exit = mr_dfa_run(a, piece.entry, bytes + piece.begin, piece.len);
    other_entry = piece.entry;
    other_exit = piece.exit;
    __syncwarp();
    uint32_t state = __shfl_sync(MR_ALL, piece.exit, 0);
    while (done < 32) {
        bool known = piece.entry == state || other_entry == state;
        if (!__shfl_sync(MR_ALL, known ? 1 : 0, static_cast<int>(done))) {
            if (lane >= done && !known) {
                other_entry = piece.entry;
                other_exit = piece.exit;
                piece.entry = state;
                piece.exit = mr_dfa_run(a, state, bytes + piece.begin, piece.len);
            }
            __syncwarp();
        }
        if (lane == done && piece.entry != state) {
            piece.entry = other_entry;
            piece.exit = other_exit;
        }
        state = __shfl_sync(MR_ALL, piece.exit, static_cast<int>(done));
        done++;
    }
    piece.last = state;
    return piece;
}

static __device__ __forceinline__ bool mr_dfa_accepts(const struct mr_running &a, uint32_t state)
{
    return state == MR_DFA_ACCEPT || (state != MR_DFA_DEAD && state >= a.end_from);
}

/* ---- NFAs ---- */

/* The rows of an NFA. */
static __device__ __forceinline__ const uint32_t *mr_nfa_rows(const struct mr_running &a)
{
    return reinterpret_cast<const uint32_t *>(a.data + 256);
}

/* Goes on from a set of positions over some bytes; not 0: it accepts on the way, and stops. */
template <uint32_t W>
static __device__ __forceinline__ uint32_t mr_nfa_go(const struct mr_running &a, uint32_t state[W],
                                                     const uint8_t *bytes, uint32_t len)
{
    const uint32_t *rows = mr_nfa_rows(a);
    const uint32_t *reach = rows + MR_NFA_ROWS * W, *leads = reach + a.n_classes * W;
    uint32_t next[W], word = 0, on = 0;

    for (uint32_t i = 0; i < len && on == 0; i++) {
        const uint32_t *into = reach + a.data[mr_next_byte(bytes + i, i == 0, &word)] * W;
        uint32_t carry = 0;
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++) {
            uint32_t shift = state[w] & rows[MR_NFA_SHIFT * W + w];
            next[w] = shift << 1 | carry | (state[w] & rows[MR_NFA_STAY * W + w]) |
                      rows[MR_NFA_EACH * W + w];
            carry = shift >> 31;
        }
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++) {
            uint32_t bits = state[w] & rows[MR_NFA_EXCEPTIONS * W + w];
            for (; bits != 0; bits &= bits - 1) {
                uint32_t bit = static_cast<uint32_t>(__ffs(static_cast<int>(bits)) - 1);
                const uint32_t *row = leads + (w * 32 + bit) * W;
                MR_UNROLL
                for (uint32_t k = 0; k < W; k++)
                    next[k] |= row[k];
            }
        }
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++) {
            state[w] = next[w] & into[w];
            on |= state[w] & rows[MR_NFA_ACCEPT_NOW * W + w];
        }
    }
    return on;
}

template <uint32_t W>
static __device__ __forceinline__ uint32_t mr_nfa_at_end(const struct mr_running &a,
                                                         const uint32_t state[W])
{
    const uint32_t *rows = mr_nfa_rows(a);
    uint32_t on = 0;

    MR_UNROLL
    for (uint32_t w = 0; w < W; w++)
        on |= state[w] & rows[MR_NFA_ACCEPT_AT_END * W + w];
    return on;
}

template <uint32_t W>
static __device__ __forceinline__ void mr_nfa_begin(const struct mr_running &a, bool at_begin,
                                                    uint32_t state[W])
{
    MR_UNROLL
    for (uint32_t w = 0; w < W; w++)
        state[w] = at_begin ? mr_nfa_rows(a)[MR_NFA_INIT * W + w] : 0;
}

template <uint32_t W>
static __device__ __forceinline__ bool mr_nfa_run(const struct mr_running &a, const uint8_t *bytes,
                                                  uint32_t len)
{
    uint32_t state[W];

    mr_nfa_begin<W>(a, true, state);
    uint32_t on = mr_nfa_go<W>(a, state, bytes, len);
    return (on | mr_nfa_at_end<W>(a, state)) != 0;
}

/* A long message by all lanes, as mr_dfa_pieces(). The bytes just before a piece yield positions
 * that it is entered with, but perhaps not all: what is accepted from those is accepted. Where the
 * left neighbour ends with others, the next one runs again from them; those behind it try what of
 * them stays, and what they say counts only when that turns out to be what their neighbours end
 * with. A lane that accepts has not gone on: what is behind it does not matter any more. */
template <uint32_t W>
static __device__ __forceinline__ bool mr_nfa_pieces(const struct mr_running &a,
                                                     const uint8_t *bytes, uint32_t len)
{
    const uint32_t *stay = mr_nfa_rows(a) + MR_NFA_STAY * W;
    uint32_t lane = threadIdx.x & 31, entry[W] = {0}, exit[W], on = 0, fresh = 1, round = 0;
    struct mr_piece piece = mr_piece_of(len);
    uint32_t warm = piece.begin < MR_WARM ? piece.begin : MR_WARM;

    mr_nfa_begin<W>(a, piece.begin == warm, exit);
    for (;; round++) { /* the bytes before it, the piece, then again what differs */
        if (fresh != 0)
            on = mr_nfa_go<W>(a, exit, bytes + piece.begin - (round == 0 ? warm : 0),
                              round == 0 ? warm : piece.len);
        __syncwarp();
        if (round == 0) {
            MR_UNROLL
            for (uint32_t w = 0; w < W; w++)
                entry[w] = exit[w];
            fresh = on == 0 ? 1 : 0;
            continue;
        }
        if (round == 1 && __any_sync(MR_ALL, on != 0))
            return true;
        uint32_t others = 0;
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++)
            others |= entry[w] ^ __shfl_up_sync(MR_ALL, exit[w], 1);
        uint32_t differ = __ballot_sync(MR_ALL, lane != 0 && others != 0);
        if (differ == 0)
            break;
        uint32_t first = static_cast<uint32_t>(__ffs(static_cast<int>(differ)) - 1);
        if (__ballot_sync(MR_ALL, lane < first && on != 0) != 0)
            return true;
        fresh = 0;
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++) {
            uint32_t there = __shfl_sync(MR_ALL, exit[w], static_cast<int>(first - 1));
            uint32_t more = lane == first ? there : entry[w] | (there & stay[w]);
            fresh |= lane >= first ? entry[w] ^ more : 0;
            entry[w] = lane >= first ? more : entry[w];
        }
        MR_UNROLL
        for (uint32_t w = 0; w < W; w++)
            exit[w] = fresh != 0 ? entry[w] : exit[w];
    }
    if (lane == 31)
        on |= mr_nfa_at_end<W>(a, exit);
    return __any_sync(MR_ALL, on != 0) != 0;
}

static __device__ __forceinline__ bool mr_nfa_matches(const struct mr_running &a,
                                                      const uint8_t *bytes, uint32_t len)
{
    switch (a.end_from) {
    case 1:
        return mr_nfa_run<1>(a, bytes, len);
    case 2:
        return mr_nfa_run<2>(a, bytes, len);
    case 4:
        return mr_nfa_run<4>(a, bytes, len);
    default:
        return mr_nfa_run<8>(a, bytes, len);
    }
}

/* The same by all lanes, which call it with the same automaton and message. */
static __device__ __forceinline__ bool mr_nfa_matches_long(const struct mr_running &a,
                                                           const uint8_t *bytes, uint32_t len)
{
    switch (a.end_from) {
    case 1:
        return mr_nfa_pieces<1>(a, bytes, len);
    case 2:
        return mr_nfa_pieces<2>(a, bytes, len);
    case 4:
        return mr_nfa_pieces<4>(a, bytes, len);
    default:
        return mr_nfa_pieces<8>(a, bytes, len);
    }
}

/* ---- what is found ---- */

static __device__ __forceinline__ void mr_found(const struct mr_regex_output &output,
                                                uint32_t message, uint32_t pattern)
{
    uint32_t at = atomicAdd(output.n_matches, 1u);

    if (at < output.capacity) {
        uint2 match; /* one store: it may go to the host's memory */
        match.x = message;
        match.y = pattern;
        *reinterpret_cast<uint2 *>(&output.matches[at]) = match;
    } else {
        atomicOr(&output.overflows[message], 1u);
    }
}

/* The same, where it may have been found before. */
static __device__ __forceinline__ void mr_found_once(const struct mr_regex_output &output,
                                                     uint32_t message, uint32_t pattern)
{
    size_t word = size_t{message} * ((output.n_patterns + 31) / 32) + (pattern >> 5);
    uint32_t bit = 1u << (pattern & 31);

    if ((atomicOr(&output.seen[word], bit) & bit) == 0)
        mr_found(output, message, pattern);
}

static __device__ __forceinline__ struct mr_running
mr_running_of(const struct mr_regex_table *table, const struct mr_automaton *a)
{
    struct mr_running running = {mr_table_at(table, a->at), a->kind, a->n_classes, a->start,
                                 a->end_from};
    return running;
}

/* Implemented in regex_always.cu. */
extern "C" int MR_BACKEND(mr_regex_load_always)(void);
extern "C" int MR_BACKEND(mr_regex_always)(const struct mr_regex_batch *batch, uint32_t n_always,
                                           void *stream);

#endif
