/* SPDX-License-Identifier: Apache-2.0
 *
 * A team scores one text at a time: a warp a short one, then a block a long one. A warp takes 512
 * bytes at a time, a lane 16 of them: the lane in whose bytes a token begins reads it to its end,
 * looks it up, and adds its entry if no other lane has. In which kind of text a tile begins is
 * found first, by the last mark of each tile.
 */
// registers: sum_tokens 64
#include "kernels/bayes.h"
#include "kernels/device.cuh"

#define THREADS     256u
#define WARPS       (THREADS / 32)
#define TILE        512u /* bytes of a warp: 32 lanes, 16 bytes each */
#define TILES       (MR_BAYES_TEXT_BYTES / TILE)
#define ALL         0xffffffffu
#define SEEN_LOG2   12u
#define SHORT       2048u /* bytes of a text that has one warp: it has fewer than 683 tokens */
#define SHORT_LOG2  10u
#define SHORT_TILES (SHORT / TILE)
#define NO_KIND     256u

/* What a team has in common for the text at hand. */
struct tally {
    uint32_t n_known, n_strong, overflow, reserved;
    unsigned long long spam, ham, weight; /* two's complement */
};

/* The memory of it: of a block, or of its warps. */
union memory {
    struct {
        struct tally tally;
        uint32_t seen[1u << SEEN_LOG2]; /* entries + 1, by open addressing */
        uint32_t kinds[TILES]; /* of the last mark of a tile, or NO_KIND; then: in which a tile
                                  begins */
    } block;
    struct {
        struct tally tally;
        uint32_t seen[1u << SHORT_LOG2];
        uint32_t kinds[SHORT_TILES];
    } warps[WARPS];
};

/* A block, or one of its warps. */
struct team {
    struct tally *tally;
    uint32_t *seen, *kinds;
    uint32_t seen_log2, me, n; /* this thread, of so many */
};

struct lane {
    int64_t spam, ham, weight;
    uint32_t n_known, n_strong;
};

struct text {
    const uint8_t *bytes;
    uint32_t len;
};

/* 16 bytes of the text; those behind its end are zeros: no tokens, no marks. */
static __device__ __forceinline__ void load(const struct text &text, uint32_t at, uint32_t words[4])
{
    uint4 raw = {0, 0, 0, 0};

    if (at < text.len)
        raw = __ldg(reinterpret_cast<const uint4 *>(text.bytes + at));
    words[0] = raw.x;
    words[1] = raw.y;
    words[2] = raw.z;
    words[3] = raw.w;
    MR_UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t from = at + 4 * i;
        if (from >= text.len)
            words[i] = 0;
        else if (text.len - from < 4)
            words[i] &= (1u << (8 * (text.len - from))) - 1;
    }
}

/* The kind that the mark at `at` names, or `kind` if it is cut off by the end. */
static __device__ __forceinline__ uint32_t kind_at(const struct text &text, uint32_t at,
                                                   uint32_t kind)
{
    if (text.len - at <= 2)
        return kind;
    return mr_bayes_kind(__ldg(text.bytes + at + 1), __ldg(text.bytes + at + 2));
}

/* Bits of the lane's bytes: tokens, marks. */
static __device__ __forceinline__ void classify(const uint32_t words[4], uint32_t *tokens,
                                                uint32_t *marks)
{
    *tokens = *marks = 0;
    MR_UNROLL
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t c = words[i / 4] >> (8 * (i & 3)) & 255;
        *tokens |= (mr_bayes_is_token(c) ? 1u : 0u) << i;
        *marks |= (c == MR_BAYES_MARK ? 1u : 0u) << i;
    }
}

/* The last mark of the lane's bytes that is whole; none: `kind`. */
static __device__ __forceinline__ uint32_t last_kind(const struct text &text, uint32_t at,
                                                     uint32_t marks, uint32_t kind)
{
    while (marks != 0) {
        uint32_t last = 31 - static_cast<uint32_t>(__clz(static_cast<int>(marks)));
        if (text.len - (at + last) > 2)
            return kind_at(text, at + last, kind);
        marks &= ~(1u << last);
    }
    return kind;
}

/* ---- tokens ---- */

/* Where the run that begins at `begin` ends, or a byte more than a token may have. */
static __device__ __forceinline__ uint32_t end_of(const struct text &text, uint32_t begin)
{
    uint32_t end = begin + 1, stop = begin + MR_BAYES_TOKEN_BYTES + 1;

    while (end < text.len && end < stop && mr_bayes_is_token(__ldg(text.bytes + end)))
        end++;
    return end;
}

/* False: what begins there is no token. */
static __device__ __forceinline__ bool hash_of(const struct text &text, uint32_t begin,
                                               uint32_t kind, uint64_t *out)
{
    uint32_t end = end_of(text, begin);

    if (end - begin > MR_BAYES_TOKEN_BYTES)
        return false;
    while (begin < end && mr_bayes_is_edge(__ldg(text.bytes + begin)))
        begin++;
    while (begin < end && mr_bayes_is_edge(__ldg(text.bytes + end - 1)))
        end--;
    if (end - begin < 2)
        return false;
    uint64_t hash = mr_bayes_hash_begin(kind, end - begin), word = 0;
    for (uint32_t i = 0; begin + i < end; i++) {
        word |= uint64_t{__ldg(text.bytes + begin + i)} << (8 * (i & 7));
        if ((i & 7) == 7 || begin + i + 1 == end) {
            hash = mr_bayes_hash_word(hash, mr_bayes_fold8(word));
            word = 0;
        }
    }
    *out = mr_bayes_hash_end(hash);
    return true;
}

/* False: the token is not in the model. */
static __device__ __forceinline__ bool find(const struct mr_bayes_batch &batch, uint64_t hash,
                                            uint32_t *where, uint4 *entry)
{
    uint32_t fingerprint = mr_bayes_fingerprint(hash), last = (1u << batch.bucket_log2) - 1;
    uint32_t bucket = mr_bayes_bucket(hash, batch.bucket_log2);

    for (uint32_t probe = 0; probe < MR_BAYES_PROBES; probe++, bucket = (bucket + 1) & last) {
        for (uint32_t i = 0; i < MR_BAYES_SLOTS; i++) {
            *where = bucket * MR_BAYES_SLOTS + i;
            *entry = __ldg(reinterpret_cast<const uint4 *>(batch.entries + *where));
            if (entry->x == fingerprint)
                return true;
            if (entry->x == 0)
                return false;
        }
    }
    return false;
}

/* True for the one lane that is first with an entry. */
static __device__ __forceinline__ bool first_time(const struct team &team, uint32_t where)
{
    uint32_t slot = (where * 0x9e3779b1u) >> (32 - team.seen_log2);
    uint32_t last = (1u << team.seen_log2) - 1;

    for (uint32_t tries = 0; tries <= last; tries++, slot = (slot + 1) & last) {
        uint32_t there = atomicCAS(&team.seen[slot], 0u, where + 1);
        if (there == where + 1)
            return false;
        if (there != 0)
            continue;
        if (atomicAdd(&team.tally->n_known, 1u) >= MR_BAYES_KNOWN_MAX)
            atomicExch(&team.tally->overflow, 1u);
        return true;
    }
    return false;
}

static __device__ __forceinline__ void
take(const struct mr_bayes_batch &batch, const struct team &team, struct lane *lane, uint64_t hash)
{
    uint32_t where;
    uint4 entry;

    if (!find(batch, hash, &where, &entry) || atomicOr(&team.tally->overflow, 0u) != 0 ||
        !first_time(team, where))
        return;
    lane->spam += static_cast<int32_t>(entry.y);
    lane->ham += static_cast<int32_t>(entry.z);
    lane->weight += static_cast<int32_t>(entry.w);
    lane->n_strong += entry.y != 0 ? 1 : 0;
}

/* The tokens that begin in the lane's bytes; all lanes of the warp call it. */
static __device__ __forceinline__ void scan_tile(const struct mr_bayes_batch &batch,
                                                 const struct text &text, const struct team &team,
                                                 struct lane *lane, uint32_t tile)
{
    uint32_t me = threadIdx.x & 31, at = tile * TILE + me * 16, words[4], tokens, marks;

    load(text, at, words);
    classify(words, &tokens, &marks);
    uint32_t mine = last_kind(text, at, marks, NO_KIND);
    uint32_t before = __ballot_sync(ALL, mine != NO_KIND) & ((1u << me) - 1);
    uint32_t from = before != 0 ? 31 - static_cast<uint32_t>(__clz(static_cast<int>(before))) : 0;
    uint32_t kind = __shfl_sync(ALL, mine, static_cast<int>(from));
    uint32_t previous = __shfl_up_sync(ALL, tokens >> 15, 1);
    if (before == 0)
        kind = team.kinds[tile];
    if (me == 0)
        previous =
            at > 0 && at <= text.len && mr_bayes_is_token(__ldg(text.bytes + at - 1)) ? 1 : 0;
    uint32_t begins = tokens & ~(tokens << 1 | previous), events = begins | marks;
    while (events != 0) {
        uint32_t i = static_cast<uint32_t>(__ffs(static_cast<int>(events))) - 1;
        uint64_t hash;
        events &= events - 1;
        if ((marks >> i & 1) != 0)
            kind = kind_at(text, at + i, kind);
        else if (hash_of(text, at + i, kind, &hash))
            take(batch, team, lane, hash);
    }
}

/* ---- a text ---- */

/* All of the team have come here. */
static __device__ __forceinline__ void meet(const struct team &team)
{
    if (team.n == 32)
        __syncwarp();
    else
        __syncthreads();
}

/* find_kinds() meets behind it. */
static __device__ __forceinline__ void clear(const struct team &team)
{
    for (uint32_t i = team.me; i < 1u << team.seen_log2; i += team.n)
        team.seen[i] = 0;
    if (team.me == 0) {
        team.tally->n_known = team.tally->n_strong = team.tally->overflow = 0;
        team.tally->spam = team.tally->ham = team.tally->weight = 0;
    }
}

/* Fills team.kinds: first of each tile its last mark, then in what kind each begins. */
static __device__ __forceinline__ void find_kinds(const struct text &text, const struct team &team,
                                                  uint32_t n_tiles)
{
    uint32_t me = threadIdx.x & 31;

    for (uint32_t tile = team.me >> 5; tile < n_tiles; tile += team.n / 32) {
        uint32_t at = tile * TILE + me * 16, words[4], tokens, marks;
        load(text, at, words);
        classify(words, &tokens, &marks);
        uint32_t mine = last_kind(text, at, marks, NO_KIND);
        uint32_t lanes = __ballot_sync(ALL, mine != NO_KIND);
        uint32_t from = lanes != 0 ? 31 - static_cast<uint32_t>(__clz(static_cast<int>(lanes))) : 0;
        uint32_t last = __shfl_sync(ALL, mine, static_cast<int>(from));
        if (me == 0)
            team.kinds[tile] = last;
    }
    meet(team);
    if (team.me == 0) {
        uint32_t kind = 0;
        for (uint32_t tile = 0; tile < n_tiles; tile++) {
            uint32_t last = team.kinds[tile];
            team.kinds[tile] = kind;
            kind = last != NO_KIND ? last : kind;
        }
    }
    meet(team);
}

static __device__ __forceinline__ unsigned long long reduce(int64_t value)
{
    uint64_t sum = static_cast<uint64_t>(value);

    MR_UNROLL
    for (uint32_t step = 16; step != 0; step >>= 1)
        sum += __shfl_down_sync(ALL, sum, step);
    return sum;
}

static __device__ __forceinline__ void add_lanes(const struct team &team, const struct lane &lane)
{
    unsigned long long spam = reduce(lane.spam), ham = reduce(lane.ham);
    unsigned long long weight = reduce(lane.weight);
    uint32_t n_strong = __reduce_add_sync(ALL, lane.n_strong);

    if ((threadIdx.x & 31) == 0) {
        atomicAdd(&team.tally->spam, spam);
        atomicAdd(&team.tally->ham, ham);
        atomicAdd(&team.tally->weight, weight);
        atomicAdd(&team.tally->n_strong, n_strong);
    }
    meet(team);
}

static __device__ __forceinline__ void score(const struct mr_bayes_batch &batch,
                                             const struct team &team, uint32_t m, uint32_t len)
{
    struct text text = {batch.bytes + __ldg(&batch.messages[m].offset), len};
    struct lane lane = {0, 0, 0, 0, 0};

    if (text.len > MR_BAYES_TEXT_BYTES)
        text.len = MR_BAYES_TEXT_BYTES;
    uint32_t n_tiles = (text.len + TILE - 1) / TILE;
    clear(team);
    find_kinds(text, team, n_tiles);
    for (uint32_t tile = team.me >> 5; tile < n_tiles; tile += team.n / 32)
        scan_tile(batch, text, team, &lane, tile);
    add_lanes(team, lane);
    if (team.me == 0) {
        struct mr_bayes_sums *sums = &batch.sums[m];
        sums->spam = static_cast<int64_t>(team.tally->spam);
        sums->ham = static_cast<int64_t>(team.tally->ham);
        sums->weight = static_cast<int64_t>(team.tally->weight);
        sums->n_known = team.tally->overflow != 0 ? MR_BAYES_NONE : team.tally->n_known;
        sums->n_strong = team.tally->n_strong;
    } /* the next text's tally is cleared by the same thread, and all else was done with before */
}

static __global__ void __launch_bounds__(THREADS, 4) sum_tokens(struct mr_bayes_batch batch)
{
    __shared__ union memory memory;
    uint32_t warp = threadIdx.x >> 5;
    const struct team one = {&memory.warps[warp].tally, memory.warps[warp].seen,
                             memory.warps[warp].kinds,  SHORT_LOG2,
                             threadIdx.x & 31,          32};
    const struct team all = {&memory.block.tally, memory.block.seen, memory.block.kinds,
                             SEEN_LOG2,           threadIdx.x,       THREADS};

    /* few texts are spread over many blocks */
    for (uint32_t m = warp * gridDim.x + blockIdx.x; m < batch.n_messages; m += gridDim.x * WARPS) {
        uint32_t len = __ldg(&batch.messages[m].len);
        if (len <= SHORT)
            score(batch, one, m, len);
    }
    __syncthreads();
    for (uint32_t m = blockIdx.x; m < batch.n_messages; m += gridDim.x) {
        uint32_t len = __ldg(&batch.messages[m].len);
        if (len > SHORT)
            score(batch, all, m, len);
    }
}

static int load(void)
{
    cudaFuncAttributes kernel;

    return static_cast<int>(cudaFuncGetAttributes(&kernel, sum_tokens));
}

static int enqueue(const struct mr_bayes_batch *batch, void *stream_handle)
{
    cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
    uint32_t n_blocks = batch->n_messages;

    if (n_blocks == 0)
        return static_cast<int>(cudaSuccess);
    if (n_blocks > batch->n_blocks_max)
        n_blocks = batch->n_blocks_max;
    MR_LAUNCH(sum_tokens, n_blocks, THREADS, 0, stream, *batch);
    return static_cast<int>(cudaGetLastError());
}

extern "C" const struct mr_bayes MR_BACKEND(mr_bayes) = {
#ifdef __CUDACC__
    "cuda",
#else
    "emulated",
#endif
    load,
    enqueue,
};
