/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that only move bytes: whole 128-byte lines by each warp where that is possible.
 */
// registers: do_nothing 16
// registers: read_words 32
// registers: write_words 32
// registers: gather_segments 40
#include "kernels/device.cuh"
#include "kernels/transfer.h"

#define THREADS 256
#define ALL     0xffffffffu

static __global__ void __launch_bounds__(THREADS) do_nothing(uint32_t unused)
{
    (void)unused;
}

static __global__ void __launch_bounds__(THREADS)
    read_words(const uint4 *from, uint64_t n, uint32_t *sums)
{
    uint32_t sum = 0;

    for (uint64_t i = uint64_t{blockIdx.x} * THREADS + threadIdx.x; i < n;
         i += uint64_t{gridDim.x} * THREADS) {
        uint4 words = from[i];
        sum += words.x + words.y + words.z + words.w;
    }
    sum = __reduce_add_sync(ALL, sum);
    if ((threadIdx.x & 31) == 0)
        atomicAdd(sums, sum);
}

static __global__ void __launch_bounds__(THREADS) write_words(uint4 *to, uint64_t n, uint32_t first)
{
    for (uint64_t i = uint64_t{blockIdx.x} * THREADS + threadIdx.x; i < n;
         i += uint64_t{gridDim.x} * THREADS) {
        uint32_t at = first + static_cast<uint32_t>(i) * 4;
        uint4 words;
        words.x = at;
        words.y = at + 1;
        words.z = at + 2;
        words.w = at + 3;
        to[i] = words;
    }
}

static __global__ void __launch_bounds__(THREADS)
    gather_segments(const struct mr_segment *segments, uint32_t n, uint8_t *to)
{
    uint32_t lane = threadIdx.x & 31, warp = blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5);

    for (uint32_t s = warp; s < n; s += gridDim.x * (THREADS / 32)) {
        unsigned long long from = reinterpret_cast<unsigned long long>(segments[s].from);
        uint32_t off = static_cast<uint32_t>(from & 3), len = segments[s].len;
        const uint32_t *words = reinterpret_cast<const uint32_t *>(from - off);
        uint32_t *out = reinterpret_cast<uint32_t *>(to + segments[s].to);
        uint32_t n_out = (len + 3) / 4, n_in = (off + len + 3) / 4;
        for (uint32_t i = lane; i < n_out; i += 32) {
            uint32_t low = words[i], high = i + 1 < n_in ? words[i + 1] : 0;
            out[i] = __funnelshift_r(low, high, off * 8);
        }
    }
}

static int nothing(void *stream)
{
    MR_LAUNCH(do_nothing, 1, THREADS, 0, static_cast<cudaStream_t>(stream), 0u);
    return static_cast<int>(cudaGetLastError());
}

static int read(const void *from, size_t bytes, uint32_t *sums, uint32_t n_blocks, void *stream)
{
    MR_LAUNCH(read_words, n_blocks, THREADS, 0, static_cast<cudaStream_t>(stream),
              static_cast<const uint4 *>(from), uint64_t{bytes / 16}, sums);
    return static_cast<int>(cudaGetLastError());
}

static int write(void *to, size_t bytes, uint32_t first, uint32_t n_blocks, void *stream)
{
    MR_LAUNCH(write_words, n_blocks, THREADS, 0, static_cast<cudaStream_t>(stream),
              static_cast<uint4 *>(to), uint64_t{bytes / 16}, first);
    return static_cast<int>(cudaGetLastError());
}

static int gather(const struct mr_segment *segments, uint32_t n, uint8_t *to, uint32_t n_blocks,
                  void *stream)
{
    MR_LAUNCH(gather_segments, n_blocks, THREADS, 0, static_cast<cudaStream_t>(stream), segments, n,
              to);
    return static_cast<int>(cudaGetLastError());
}

extern "C" const struct mr_transfer MR_BACKEND(mr_transfer) = {
#ifdef __CUDACC__
    "cuda",
#else
    "emulated",
#endif
    nothing, read, write, gather,
};
