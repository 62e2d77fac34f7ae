/* SPDX-License-Identifier: Apache-2.0
 *
 * Pairs are sorted by pattern, so that the lanes of a warp mostly run one automaton, each on its
 * own message; a small table is copied to shared memory first. Long messages are taken out and read
 * by the whole warp, one after the other: so where there are fewer pairs than lanes, a warp takes
 * fewer.
 */
// registers: count_pairs 32
// registers: scan_starts 32
// registers: scatter_pairs 32
// registers: verify_pairs 80
#include "kernels/device.cuh"
#include "kernels/regex_run.cuh"

#define THREADS 256
#define WARPS   (THREADS / 32)
#define STAGED  4096u /* bytes of a table that a warp copies */
#define LEAST   4u    /* pairs of a warp: the copy is to pay */

static __device__ __forceinline__ uint32_t number_of_pairs(const struct mr_regex_pairs &pairs)
{
    uint32_t n = pairs.counts->n_pairs;
    return n < pairs.capacity ? n : pairs.capacity;
}

static __global__ void __launch_bounds__(THREADS) count_pairs(struct mr_regex_pairs pairs)
{
    uint32_t n = number_of_pairs(pairs);

    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS)
        atomicAdd(&pairs.starts[pairs.pairs[i].id], 1u);
}

/* One block: each pattern's number becomes the number of pairs before it. */
static __global__ void __launch_bounds__(THREADS)
    scan_starts(struct mr_regex_pairs pairs, uint32_t n_patterns)
{
    __shared__ uint32_t sums[WARPS];
    uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, before = 0;

    for (uint32_t tile = 0; tile < n_patterns; tile += THREADS) {
        uint32_t at = tile + threadIdx.x, own = at < n_patterns ? pairs.starts[at] : 0;
        uint32_t sum = own, all = 0, left = 0;
        for (uint32_t step = 1; step < 32; step *= 2) {
            uint32_t other = __shfl_up_sync(MR_ALL, sum, step);
            sum += lane >= step ? other : 0;
        }
        if (lane == 31)
            sums[warp] = sum;
        __syncthreads();
        for (uint32_t w = 0; w < WARPS; w++) {
            left += w < warp ? sums[w] : 0;
            all += sums[w];
        }
        if (at < n_patterns)
            pairs.starts[at] = before + left + sum - own;
        before += all;
        __syncthreads();
    }
}

static __global__ void __launch_bounds__(THREADS) scatter_pairs(struct mr_regex_pairs pairs)
{
    uint32_t n = number_of_pairs(pairs);

    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS)
        pairs.order[atomicAdd(&pairs.starts[pairs.pairs[i].id], 1u)] = i;
}

/* Whether the pair's message matches, by this thread alone; automata on long messages are left. */
static __device__ __forceinline__ bool decide(const struct mr_running &a, const uint8_t *bytes,
                                              uint32_t len)
{
    switch (a.kind) {
    case MR_AUTOMATON_NONE:
    case MR_AUTOMATON_LITERAL:
        return true;
    case MR_AUTOMATON_NFA:
        return len <= MR_REGEX_LONG && mr_nfa_matches(a, bytes, len);
    default:
        return len <= MR_REGEX_LONG && mr_dfa_accepts(a, mr_dfa_run(a, a.start, bytes, len));
    }
}

/* The long messages of all lanes, one after the other, each by all lanes. */
static __device__ __forceinline__ bool decide_long(const struct mr_regex_batch &batch, bool is_long,
                                                   const struct mr_running &own, uint32_t message)
{
    uint32_t lane = threadIdx.x & 31, lanes = __ballot_sync(MR_ALL, is_long);
    unsigned long long data = reinterpret_cast<unsigned long long>(own.data);
    bool match = false;

    for (; lanes != 0; lanes &= lanes - 1) {
        int from = __ffs(static_cast<int>(lanes)) - 1;
        struct mr_running a;
        a.data = reinterpret_cast<const uint8_t *>(__shfl_sync(MR_ALL, data, from));
        a.kind = __shfl_sync(MR_ALL, own.kind, from);
        a.n_classes = __shfl_sync(MR_ALL, own.n_classes, from);
        a.start = __shfl_sync(MR_ALL, own.start, from);
        a.end_from = __shfl_sync(MR_ALL, own.end_from, from);
        uint32_t which = __shfl_sync(MR_ALL, message, from);
        const uint8_t *bytes = batch.bytes + __ldg(&batch.messages[which].offset);
        uint32_t len = __ldg(&batch.messages[which].len);
        bool found = a.kind == MR_AUTOMATON_NFA
                         ? mr_nfa_matches_long(a, bytes, len)
                         : mr_dfa_accepts(a, mr_dfa_pieces(a, bytes, len).last);
        if (lane == static_cast<uint32_t>(from))
            match = found;
    }
    return match;
}

/* Copies the table of the automaton that all lanes run, if there is one and it fits. */
static __device__ __forceinline__ void stage(const struct mr_regex_table *table, bool valid,
                                             uint32_t pattern, uint32_t bytes, uint8_t *staged,
                                             struct mr_running *a)
{
    uint32_t lane = threadIdx.x & 31, first = __shfl_sync(MR_ALL, pattern, 0);
    uint32_t size = __shfl_sync(MR_ALL, bytes, 0);

    if (!__all_sync(MR_ALL, !valid || pattern == first) || size > STAGED)
        return;
    const uint8_t *from = mr_table_at(table, mr_table_automata(table)[first].at);
    for (uint32_t i = lane * 16; i < size; i += 512)
        *reinterpret_cast<uint4 *>(staged + i) = __ldg(reinterpret_cast<const uint4 *>(from + i));
    __syncwarp();
    a->data = staged;
}

static __global__ void __launch_bounds__(THREADS, 3)
    verify_pairs(struct mr_regex_batch batch, struct mr_regex_pairs pairs)
{
    __shared__ __align__(16) uint8_t staged[WARPS][STAGED];
    uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, n = number_of_pairs(pairs);
    uint32_t n_warps = gridDim.x * WARPS, each = (n + n_warps - 1) / n_warps;
    const struct mr_automaton *automata = mr_table_automata(batch.table);

    each = each < LEAST ? LEAST : each < 32 ? each : 32;
    for (uint32_t base = (blockIdx.x * WARPS + warp) * each; base < n; base += n_warps * each) {
        bool valid = lane < each && base + lane < n, match = false;
        /* lanes without a pair look at the first one, and decide nothing */
        struct mr_factor_pair pair = pairs.pairs[pairs.order[valid ? base + lane : base]];
        const struct mr_automaton *automaton = &automata[pair.id];
        struct mr_running a = mr_running_of(batch.table, automaton);
        stage(batch.table, valid, pair.id, automaton->bytes, staged[warp], &a);
        valid = valid && (pairs.states[pair.message] & MR_MESSAGE_OVERFLOW) == 0;
        uint32_t len = __ldg(&batch.messages[pair.message].len);
        bool runs = a.kind != MR_AUTOMATON_NONE && a.kind != MR_AUTOMATON_LITERAL;
        if (valid)
            match = decide(a, batch.bytes + __ldg(&batch.messages[pair.message].offset), len);
        match |= decide_long(batch, valid && runs && len > MR_REGEX_LONG, a, pair.message);
        if (match)
            mr_found(batch.output, pair.message,
                     a.kind == MR_AUTOMATON_NONE ? pair.id | MR_REGEX_UNDECIDED : pair.id);
        __syncwarp(); /* nobody reads the staged table any more */
    }
}

static int load(void)
{
    cudaFuncAttributes kernel;
    cudaError_t error = cudaFuncGetAttributes(&kernel, count_pairs);

    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&kernel, scan_starts);
    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&kernel, scatter_pairs);
    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&kernel, verify_pairs);
    return error != cudaSuccess ? static_cast<int>(error) : MR_BACKEND(mr_regex_load_always)();
}

static uint32_t blocks_for(const struct mr_regex_batch *batch, uint32_t items, uint32_t each)
{
    uint32_t n = (items + each - 1) / each;

    n = n != 0 ? n : 1;
    return n < batch->n_blocks_max ? n : batch->n_blocks_max;
}

static int verify(const struct mr_regex_batch *batch, const struct mr_regex_pairs *pairs,
                  void *stream_handle)
{
    cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
    uint32_t n_blocks = blocks_for(batch, pairs->capacity, THREADS);

    if (batch->n_messages == 0 || batch->output.n_patterns == 0)
        return 0;
    cudaError_t error =
        cudaMemsetAsync(pairs->starts, 0, (size_t{batch->output.n_patterns} + 1) * 4, stream);
    if (error != cudaSuccess)
        return static_cast<int>(error);
    MR_LAUNCH(count_pairs, n_blocks, THREADS, 0, stream, *pairs);
    MR_LAUNCH(scan_starts, 1, THREADS, 0, stream, *pairs, batch->output.n_patterns);
    MR_LAUNCH(scatter_pairs, n_blocks, THREADS, 0, stream, *pairs);
    MR_LAUNCH(verify_pairs, n_blocks, THREADS, 0, stream, *batch, *pairs);
    return static_cast<int>(cudaGetLastError());
}

static int begin(const struct mr_regex_batch *batch, void *stream_handle)
{
    cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
    const struct mr_regex_output *output = &batch->output;
    size_t seen = size_t{batch->n_messages} * ((output->n_patterns + 31) / 32) * 4;
    cudaError_t error = cudaMemsetAsync(output->n_matches, 0, 4, stream);

    if (error == cudaSuccess && batch->n_messages != 0)
        error = cudaMemsetAsync(output->overflows, 0, size_t{batch->n_messages} * 4, stream);
    if (error == cudaSuccess && seen != 0)
        error = cudaMemsetAsync(output->seen, 0, seen, stream);
    return static_cast<int>(error);
}

extern "C" const struct mr_regex_kernels MR_BACKEND(mr_regex_kernels) = {
#ifdef __CUDACC__
    "cuda",
#else
    "emulated",
#endif
    load,   begin, verify, MR_BACKEND(mr_regex_always),
};
