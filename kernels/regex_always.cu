/* SPDX-License-Identifier: Apache-2.0
 *
 * Automata that run over every message: a warp takes up to 32 messages and one automaton, a lane a
 * message. Long messages are read by the whole warp, one after the other.
 */
// registers: run_always 80
#include "kernels/device.cuh"
#include "kernels/regex_run.cuh"

#define THREADS 256
#define WARPS   (THREADS / 32)
#define LEAST   4u /* messages of a warp */

static __device__ __forceinline__ void report(const struct mr_regex_output &output,
                                              uint32_t message, const uint8_t *data,
                                              const struct mr_automaton *a, uint32_t list)
{
    const uint32_t *lists = reinterpret_cast<const uint32_t *>(data + a->lists_at);
    const uint32_t *patterns = reinterpret_cast<const uint32_t *>(data + __ldg(&lists[list]));

    for (uint32_t i = 0; i < __ldg(&patterns[0]); i++)
        mr_found_once(output, message, __ldg(&patterns[1 + i]));
}

/* Runs a group over some bytes and reports what it accepts on the way; returns the state. */
static __device__ __forceinline__ uint32_t run_group(const struct mr_regex_output &output,
                                                     const struct mr_automaton *automaton,
                                                     const struct mr_running &a, uint32_t message,
                                                     uint32_t state, const uint8_t *bytes,
                                                     uint32_t len)
{
    const uint16_t *which = reinterpret_cast<const uint16_t *>(a.data + automaton->pattern);
    uint32_t word = 0, reported = 0;

    for (uint32_t i = 0; i < len && state != MR_DFA_DEAD; i++) {
        state = mr_dfa16_step(a.data, a.n_classes, state, mr_next_byte(bytes + i, i == 0, &word));
        if (state < a.end_from)
            continue;
        uint32_t list = __ldg(&which[2 * state]);
        if (list != MR_NO_ACCEPTS && list != reported)
            report(output, message, a.data, automaton, list);
        reported = list;
    }
    return state;
}

static __device__ __forceinline__ void report_end(const struct mr_regex_output &output,
                                                  const struct mr_automaton *automaton,
                                                  const struct mr_running &a, uint32_t message,
                                                  uint32_t state)
{
    const uint16_t *which = reinterpret_cast<const uint16_t *>(a.data + automaton->pattern);

    if (state >= a.end_from && __ldg(&which[2 * state + 1]) != MR_NO_ACCEPTS)
        report(output, message, a.data, automaton, __ldg(&which[2 * state + 1]));
}

/* One message by all lanes: first where each piece begins, then what is accepted in it. */
static __device__ __forceinline__ void run_long(const struct mr_regex_batch &batch,
                                                const struct mr_automaton *automaton,
                                                const struct mr_running &a, uint32_t message)
{
    const uint8_t *bytes = batch.bytes + __ldg(&batch.messages[message].offset);
    uint32_t len = __ldg(&batch.messages[message].len);

    if (a.kind == MR_AUTOMATON_NFA) {
        if (mr_nfa_matches_long(a, bytes, len) && (threadIdx.x & 31) == 0)
            mr_found(batch.output, message, automaton->pattern);
        __syncwarp();
        return;
    }
    struct mr_piece piece = mr_dfa_pieces(a, bytes, len);
    run_group(batch.output, automaton, a, message, piece.entry, bytes + piece.begin, piece.len);
    if ((threadIdx.x & 31) == 0)
        report_end(batch.output, automaton, a, message, piece.last);
    __syncwarp();
}

static __global__ void __launch_bounds__(THREADS, 3)
    run_always(struct mr_regex_batch batch, uint32_t n_always, uint32_t each)
{
    uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    uint32_t n_tiles = (batch.n_messages + each - 1) / each;
    const struct mr_automaton *automata =
        mr_table_automata(batch.table) + (batch.table->n_automata - n_always);

    for (uint64_t item = blockIdx.x * WARPS + warp; item < uint64_t{n_tiles} * n_always;
         item += gridDim.x * WARPS) {
        const struct mr_automaton *automaton = &automata[item / n_tiles];
        struct mr_running a = mr_running_of(batch.table, automaton);
        uint32_t first = static_cast<uint32_t>(item % n_tiles) * each, message = first + lane;
        bool valid = lane < each && message < batch.n_messages;
        bool group = a.kind == MR_AUTOMATON_GROUP;
        uint32_t len = valid ? __ldg(&batch.messages[message].len) : 0;
        bool is_long = len > MR_REGEX_LONG;
        const uint8_t *bytes = batch.bytes + (valid ? __ldg(&batch.messages[message].offset) : 0);
        if (valid && group && !is_long)
            report_end(batch.output, automaton, a, message,
                       run_group(batch.output, automaton, a, message, a.start, bytes, len));
        else if (valid && !group && !is_long && mr_nfa_matches(a, bytes, len))
            mr_found(batch.output, message, automaton->pattern);
        __syncwarp();
        for (uint32_t lanes = __ballot_sync(MR_ALL, is_long); lanes != 0; lanes &= lanes - 1)
            run_long(batch, automaton, a,
                     first + static_cast<uint32_t>(__ffs(static_cast<int>(lanes)) - 1));
    }
}

extern "C" int MR_BACKEND(mr_regex_load_always)(void)
{
    cudaFuncAttributes kernel;

    return static_cast<int>(cudaFuncGetAttributes(&kernel, run_always));
}

extern "C" int MR_BACKEND(mr_regex_always)(const struct mr_regex_batch *batch, uint32_t n_always,
                                           void *stream_handle)
{
    uint64_t n_warps_max = uint64_t{batch->n_blocks_max} * WARPS;
    uint64_t each = (uint64_t{batch->n_messages} * n_always + n_warps_max - 1) / n_warps_max;

    each = each < LEAST ? LEAST : each < 32 ? each : 32;
    uint64_t items = (batch->n_messages + each - 1) / each * n_always;
    uint64_t n_blocks = (items + WARPS - 1) / WARPS;
    if (items == 0)
        return 0;
    if (n_blocks > batch->n_blocks_max)
        n_blocks = batch->n_blocks_max;
    MR_LAUNCH(run_always, static_cast<uint32_t>(n_blocks), THREADS, 0,
              static_cast<cudaStream_t>(stream_handle), *batch, n_always,
              static_cast<uint32_t>(each));
    return static_cast<int>(cudaGetLastError());
}
