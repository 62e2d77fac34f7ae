/* SPDX-License-Identifier: Apache-2.0
 *
 * Factors in a batch: each thread tests the 16 grams that start in its 16 bytes against the bitmap
 * in shared memory; a warp gathers the hits of its lanes and checks 32 of them at a time.
 */
// registers: find_factors 64
#include "kernels/device.cuh"
#include "kernels/factor_filter.h"

#define THREADS    256u
#define THREADS_1  1024u /* where a large bitmap leaves room for one block only */
#define SMALL_LOG2 18u   /* bits of a bitmap of which there is room for several */
#define LARGE_LOG2 20u   /* bits of the largest one */
#define WARP_BYTES 512u  /* 32 lanes, 16 bytes each */
#define ALL        0xffffffffu
#define QUEUE      64u /* hits that wait: fewer than 32, and up to 32 new ones */

template <typename T>
static __device__ __forceinline__ const T *table_at(const struct mr_factor_table *table,
                                                    uint32_t offset)
{
    return reinterpret_cast<const T *>(reinterpret_cast<const uint8_t *>(table) + offset);
}

/* The last message that begins at or before `at`; there is none: n_messages. */
static __device__ __forceinline__ uint32_t find_message(const struct mr_factor_filter_batch &batch,
                                                        uint32_t at)
{
    uint32_t low = 0, high = batch.n_messages;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (__ldg(&batch.messages[middle].offset) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? batch.n_messages : low - 1;
}

static __device__ __forceinline__ uint32_t gram_at(const uint8_t *bytes, uint32_t at,
                                                   uint32_t gram_mask)
{
    uint32_t fourth = gram_mask >> 24 != 0 ? bytes[at + 3] : 0; /* there may be no more than 3 */

    return mr_fold4(uint32_t{bytes[at]} | uint32_t{bytes[at + 1]} << 8 |
                    uint32_t{bytes[at + 2]} << 16 | fourth << 24);
}

static __device__ __forceinline__ bool equal(const uint8_t *bytes, const uint8_t *literal,
                                             uint32_t len, bool caseless)
{
    for (uint32_t i = 0; i < len; i++) {
        uint32_t byte = bytes[i];
        if (caseless && byte - 'A' < 26)
            byte |= 0x20;
        if (byte != __ldg(&literal[i]))
            return false;
    }
    return true;
}

/* Does the factor stand around the gram at `at`, wholly within the message? */
static __device__ __forceinline__ bool confirm(const struct mr_factor_filter_batch &batch,
                                               const struct mr_factor_entry &entry, uint32_t at,
                                               uint32_t message)
{
    const struct mr_batch_message *m = &batch.messages[message];
    uint32_t begin = __ldg(&m->offset), len = __ldg(&m->len), in = at - begin;

    in -= entry.gram_at; /* before the message: beyond its length */
    if (in > len || len - in < entry.len)
        return false;
    return equal(batch.bytes + at - entry.gram_at,
                 table_at<uint8_t>(batch.table, batch.table->literals_at) + entry.literal,
                 entry.len, (entry.slot & MR_FACTOR_CASELESS) != 0);
}

/* Marks (message, slot); true for the first who does, unless the message has too many. */
static __device__ __forceinline__ bool mark(const struct mr_factor_filter_batch &batch,
                                            uint32_t message, uint32_t slot)
{
    uint32_t words = mr_factor_seen_words(batch.n_slots), bit = 1u << (slot & 31);
    size_t word = static_cast<size_t>(message) * words + (slot >> 5);

    if ((atomicOr(&batch.seen[word], bit) & bit) != 0)
        return false;
    if ((atomicAdd(&batch.states[message], 1u) & ~MR_MESSAGE_OVERFLOW) <
        batch.pairs_per_message_max)
        return true;
    atomicOr(&batch.states[message], MR_MESSAGE_OVERFLOW);
    return false;
}

/* Appends the pairs of those lanes that have one; all lanes call it. */
static __device__ __forceinline__ void append(const struct mr_factor_filter_batch &batch, bool has,
                                              uint32_t message, uint32_t slot)
{
    uint32_t lane = threadIdx.x & 31, lanes = __ballot_sync(ALL, has), base = 0;

    if (lanes == 0)
        return;
    if (lane == 0)
        base = atomicAdd(&batch.counts->n_pairs, static_cast<unsigned>(__popc(lanes)));
    base = __shfl_sync(ALL, base, 0) + static_cast<uint32_t>(__popc(lanes & ((1u << lane) - 1)));
    if (!has)
        return;
    if (base < batch.capacity) {
        batch.pairs[base].message = message;
        batch.pairs[base].id = __ldg(table_at<uint32_t>(batch.table, batch.table->ids_at) + slot);
    } else {
        atomicOr(&batch.states[message], MR_MESSAGE_OVERFLOW);
    }
}

/* One hit a lane (`valid`): walks the bucket of its gram. All lanes call it. */
static __device__ __forceinline__ void check_hits(const struct mr_factor_filter_batch &batch,
                                                  bool valid, uint32_t at)
{
    const struct mr_factor_table *table = batch.table;
    uint32_t next = 0, end = 0, gram = 0, message = batch.n_messages;

    if (valid && batch.n_bytes - at >= (batch.gram_mask >> 24 != 0 ? 4 : 3))
        message = find_message(batch, at);
    if (message < batch.n_messages) {
        gram = gram_at(batch.bytes, at, batch.gram_mask);
        const uint32_t *bucket =
            table_at<uint32_t>(table, table->buckets_at) + mr_gram_bucket(gram, table->bucket_log2);
        next = __ldg(bucket);
        end = __ldg(bucket + 1);
    }
    while (__any_sync(ALL, next < end)) {
        bool has = false;
        uint32_t slot = 0;
        if (next < end) {
            uint4 raw = __ldg(table_at<uint4>(table, table->entries_at) + next);
            struct mr_factor_entry entry = {raw.x, raw.y, static_cast<uint16_t>(raw.z & 0xffff),
                                            static_cast<uint16_t>(raw.z >> 16), raw.w};
            slot = entry.slot & ~MR_FACTOR_CASELESS;
            has = entry.gram == gram && confirm(batch, entry, at, message) &&
                  mark(batch, message, slot);
            next++;
        }
        append(batch, has, message, slot);
    }
}

/* Bit k: the gram that starts at byte k of this lane's 16 passes the bitmap. */
static __device__ __forceinline__ uint32_t test_grams(const struct mr_factor_filter_batch &batch,
                                                      const uint32_t *bitmap, uint32_t at)
{
    uint32_t lane = threadIdx.x & 31, hits = 0, words[5] = {0, 0, 0, 0, 0};

    if (at < batch.n_bytes) {
        uint4 raw = __ldg(reinterpret_cast<const uint4 *>(batch.bytes + at));
        words[0] = mr_fold4(raw.x);
        words[1] = mr_fold4(raw.y);
        words[2] = mr_fold4(raw.z);
        words[3] = mr_fold4(raw.w);
    }
    words[4] = __shfl_down_sync(ALL, words[0], 1);
    if (lane == 31) { /* its neighbour is in the next tile */
        words[4] = 0;
        if (at < batch.n_bytes && batch.n_bytes - at > 16)
            words[4] = mr_fold4(__ldg(reinterpret_cast<const uint32_t *>(batch.bytes + at + 16)));
    }
    if (at >= batch.n_bytes)
        return 0;
    MR_UNROLL
    for (uint32_t k = 0; k < 16; k++) {
        uint32_t gram =
            __funnelshift_r(words[k / 4], words[k / 4 + 1], 8 * (k & 3)) & batch.gram_mask;
        uint32_t bit = mr_gram_bit(gram, batch.bitmap_log2);
        hits |= (bitmap[bit >> 5] >> (bit & 31) & 1) << k;
    }
    return batch.n_bytes - at < 16 ? hits & ((1u << (batch.n_bytes - at)) - 1) : hits;
}

/* Shared memory: the bitmap, and a queue for each warp. */
static __global__ void __launch_bounds__(THREADS_1, 1)
    find_factors(struct mr_factor_filter_batch batch)
{
    MR_DYNAMIC_SHARED(uint32_t, bitmap);
    uint32_t n_words = 1u << (batch.bitmap_log2 - 5), n_warps = blockDim.x >> 5;
    uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n_queued = 0, n_candidates = 0;
    uint32_t *queue = bitmap + n_words + warp * QUEUE;
    const uint4 *from = table_at<uint4>(batch.table, batch.table->bitmap_at);

    for (uint32_t i = threadIdx.x; i < n_words / 4; i += blockDim.x)
        reinterpret_cast<uint4 *>(bitmap)[i] = __ldg(&from[i]);
    __syncthreads();
    /* 64 bits: the last step may go beyond 2^32 */
    for (uint64_t tile = uint64_t{blockIdx.x * n_warps + warp} * WARP_BYTES; tile < batch.n_bytes;
         tile += uint64_t{gridDim.x} * n_warps * WARP_BYTES) {
        uint32_t at = static_cast<uint32_t>(tile) + lane * 16;
        uint32_t hits = test_grams(batch, bitmap, at), lanes;
        while ((lanes = __ballot_sync(ALL, hits != 0)) != 0) {
            if (hits != 0) {
                uint32_t before = static_cast<uint32_t>(__popc(lanes & ((1u << lane) - 1)));
                queue[n_queued + before] =
                    at + static_cast<uint32_t>(__ffs(static_cast<int>(hits)) - 1);
                hits &= hits - 1;
            }
            n_queued += static_cast<uint32_t>(__popc(lanes));
            n_candidates += static_cast<uint32_t>(__popc(lanes));
            __syncwarp();
            if (n_queued >= 32) {
                n_queued -= 32;
                check_hits(batch, true, queue[n_queued + lane]);
                __syncwarp();
            }
        }
    }
    check_hits(batch, lane < n_queued, lane < n_queued ? queue[lane] : 0);
    if (lane == 0 && n_candidates != 0)
        atomicAdd(&batch.counts->n_candidates, n_candidates);
}

static uint32_t threads_for(uint32_t bitmap_log2)
{
    return bitmap_log2 > SMALL_LOG2 ? THREADS_1 : THREADS;
}

static uint32_t shared_for(uint32_t bitmap_log2)
{
    return (1u << (bitmap_log2 - 3)) + threads_for(bitmap_log2) / 32 * QUEUE * 4;
}

/* What a kernel may have of shared memory belongs to all its launches, those of other tables that
 * are captured or come from other threads too: it is raised, to one value for each device. */
static int load(int device, uint32_t *bitmap_log2_max)
{
    cudaFuncAttributes kernel;
    int room = 0;
    uint32_t log2 = LARGE_LOG2;
    cudaError_t error = cudaFuncGetAttributes(&kernel, find_factors);

    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&room, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    while (log2 > SMALL_LOG2 && shared_for(log2) > static_cast<uint32_t>(room))
        log2--;
    if (error == cudaSuccess)
        error = cudaFuncSetAttribute(find_factors, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(shared_for(log2)));
    *bitmap_log2_max = log2;
    return static_cast<int>(error);
}

static int enqueue(const struct mr_factor_filter_batch *batch, void *stream_handle)
{
    cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
    size_t seen = size_t{batch->n_messages} * mr_factor_seen_words(batch->n_slots) * 4;
    uint32_t n_threads = threads_for(batch->bitmap_log2);
    uint32_t n_blocks = batch->n_bytes / (n_threads / 32 * WARP_BYTES) + 1;
    cudaError_t error = cudaMemsetAsync(batch->counts, 0, sizeof(*batch->counts), stream);

    if (error == cudaSuccess && batch->n_messages != 0)
        error = cudaMemsetAsync(batch->states, 0, size_t{batch->n_messages} * 4, stream);
    if (error == cudaSuccess && seen != 0)
        error = cudaMemsetAsync(batch->seen, 0, seen, stream);
    if (error != cudaSuccess || seen == 0 || batch->n_bytes == 0)
        return static_cast<int>(error);
    if (n_blocks > batch->n_blocks_max)
        n_blocks = batch->n_blocks_max;
    MR_LAUNCH(find_factors, n_blocks, n_threads, shared_for(batch->bitmap_log2), stream, *batch);
    return static_cast<int>(cudaGetLastError());
}

extern "C" const struct mr_factor_filter MR_BACKEND(mr_factor_filter) = {
#ifdef __CUDACC__
    "cuda",
#else
    "emulated",
#endif
    load,
    enqueue,
};
