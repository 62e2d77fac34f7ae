/* SPDX-License-Identifier: Apache-2.0
 *
 * The device side of CUDA as host C++: qualifiers, vector types, intrinsics, warp operations,
 * barriers, atomics. Only what kernels/device.cuh allows, with CUDA's own signatures, so that
 * what compiles here compiles with nvcc.
 */
#ifndef MR_EMULATION_CUDA_H
#define MR_EMULATION_CUDA_H

#include "kernels/emulation/grid.h"
#include "kernels/emulation/runtime.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n)    __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("mr_shared")))

#define threadIdx  (mr_emu_thread_idx())
#define blockIdx   (mr_emu_block_idx())
#define blockDim   (mr_emu_block_dim())
#define gridDim    (mr_emu_grid_dim())

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
};

static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

static inline int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}

/* Where a call stands, filled in by the compiler. */
#define EMU_WHERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* ---- barriers ---- */

static inline void __syncthreads(EMU_WHERE)
{
    mr_emu_meet({EMU_BARRIER, line, "__syncthreads", file}, {0, 0, 0, 0});
}

static inline int __syncthreads_or(int value, EMU_WHERE)
{
    return static_cast<int>(
        mr_emu_meet({EMU_BARRIER_OR, line, "__syncthreads_or", file}, {value != 0, 0, 0, 0}));
}

static inline int __syncthreads_and(int value, EMU_WHERE)
{
    return static_cast<int>(
        mr_emu_meet({EMU_BARRIER_AND, line, "__syncthreads_and", file}, {value != 0, 0, 0, 0}));
}

static inline int __syncthreads_count(int value, EMU_WHERE)
{
    return static_cast<int>(
        mr_emu_meet({EMU_BARRIER_COUNT, line, "__syncthreads_count", file}, {value != 0, 0, 0, 0}));
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_WHERE)
{
    mr_emu_meet({EMU_SYNCWARP, line, "__syncwarp", file}, {0, mask, 0, 32});
}

/* ---- warp operations ---- */

template <typename T>
T mr_emu_shuffle(const struct mr_emu_site &site, unsigned mask, T value, int argument, int width)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles 4 and 8 bytes");
    uint64_t bits = 0;

    memcpy(&bits, &value, sizeof(T));
    bits = mr_emu_meet(site, {bits, mask, argument, width});
    memcpy(&value, &bits, sizeof(T));
    return value;
}

#define EMU_SHUFFLE(name, op, argument_type)                                                       \
    template <typename T>                                                                          \
    T name(unsigned mask, T value, argument_type argument, int width = 32, EMU_WHERE)              \
    {                                                                                              \
        return mr_emu_shuffle({op, line, #name, file}, mask, value, static_cast<int>(argument),    \
                              width);                                                              \
    }
EMU_SHUFFLE(__shfl_sync, EMU_SHFL, int)
EMU_SHUFFLE(__shfl_up_sync, EMU_SHFL_UP, unsigned)
EMU_SHUFFLE(__shfl_down_sync, EMU_SHFL_DOWN, unsigned)
EMU_SHUFFLE(__shfl_xor_sync, EMU_SHFL_XOR, int)

static inline unsigned __ballot_sync(unsigned mask, int value, EMU_WHERE)
{
    return static_cast<unsigned>(
        mr_emu_meet({EMU_BALLOT, line, "__ballot_sync", file}, {value != 0, mask, 0, 32}));
}

static inline int __any_sync(unsigned mask, int value, EMU_WHERE)
{
    return mr_emu_meet({EMU_BALLOT, line, "__any_sync", file}, {value != 0, mask, 0, 32}) != 0;
}

static inline int __all_sync(unsigned mask, int value, EMU_WHERE)
{
    return mr_emu_meet({EMU_BALLOT, line, "__all_sync", file}, {value != 0, mask, 0, 32}) == mask;
}

template <typename T> unsigned __match_any_sync(unsigned mask, T value, EMU_WHERE)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA matches 4 and 8 bytes");
    uint64_t bits = 0;

    memcpy(&bits, &value, sizeof(T));
    return static_cast<unsigned>(
        mr_emu_meet({EMU_MATCH_ANY, line, "__match_any_sync", file}, {bits, mask, 0, 32}));
}

#define EMU_REDUCE(name, op)                                                                       \
    static inline unsigned name(unsigned mask, unsigned value, EMU_WHERE)                          \
    {                                                                                              \
        return static_cast<unsigned>(mr_emu_meet({op, line, #name, file}, {value, mask, 0, 32}));  \
    }
EMU_REDUCE(__reduce_add_sync, EMU_REDUCE_ADD)
EMU_REDUCE(__reduce_or_sync, EMU_REDUCE_OR)
EMU_REDUCE(__reduce_and_sync, EMU_REDUCE_AND)

/* ---- memory ---- */

template <typename T> T __ldg(const T *at, EMU_WHERE)
{
    mr_emu_read_only(at, sizeof(T), file, line);
    return *at;
}

/* Every atomic is a loop of compare and exchange: `next` is the new value made of `old`. */
#define EMU_ATOMIC(name, type, next)                                                               \
    static inline type name(type *at, type value, EMU_WHERE)                                       \
    {                                                                                              \
        type old = 0, changed;                                                                     \
        mr_emu_atomic(at, sizeof(type), #name, file, line);                                        \
        do {                                                                                       \
            changed = static_cast<type>(next);                                                     \
        } while (!mr_emu_replace(at, &old, &changed, sizeof(type)));                               \
        return old;                                                                                \
    }
#define EMU_ATOMICS(type)                                                                          \
    EMU_ATOMIC(atomicOr, type, old | value)                                                        \
    EMU_ATOMIC(atomicAnd, type, old &value)                                                        \
    EMU_ATOMIC(atomicMax, type, old > value ? old : value)                                         \
    EMU_ATOMIC(atomicMin, type, old < value ? old : value)                                         \
    EMU_ATOMIC(atomicExch, type, value)                                                            \
    static inline type atomicCAS(type *at, type compare, type value, EMU_WHERE)                    \
    {                                                                                              \
        mr_emu_atomic(at, sizeof(type), "atomicCAS", file, line);                                  \
        mr_emu_replace(at, &compare, &value, sizeof(type));                                        \
        return compare;                                                                            \
    }
EMU_ATOMICS(int)
EMU_ATOMICS(unsigned)
EMU_ATOMICS(unsigned long long)
EMU_ATOMIC(atomicAdd, int, static_cast<unsigned>(old) + static_cast<unsigned>(value))
EMU_ATOMIC(atomicAdd, unsigned, old + value)
EMU_ATOMIC(atomicAdd, unsigned long long, old + value)

/* ---- integers ---- */

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}

static inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}

static inline int __clzll(long long x)
{
    return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}

static inline unsigned __brev(unsigned x)
{
    unsigned y = 0;

    for (int i = 0; i < 32; i++)
        y |= (x >> i & 1) << (31 - i);
    return y;
}

/* Byte i of the result is byte number s[4i..4i+2] of y:x; with s[4i+3] its sign, eight times. */
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s)
{
    uint64_t bytes = uint64_t{y} << 32 | x;
    unsigned result = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned byte = static_cast<unsigned>(bytes >> 8 * (s >> 4 * i & 7) & 0xff);
        if (s >> 4 * i & 8)
            byte = byte & 0x80 ? 0xff : 0;
        result |= byte << 8 * i;
    }
    return result;
}

static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}

static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}

static inline unsigned __umulhi(unsigned x, unsigned y)
{
    return static_cast<unsigned>(uint64_t{x} * y >> 32);
}

/* ---- launches ---- */

template <typename... P> struct mr_emu_arguments {
    void (*kernel)(P...);
    std::tuple<P...> values;
};

template <typename... P, typename... A>
void mr_emu_launch(const char *name, void (*kernel)(P...), uint32_t n_blocks, uint32_t n_threads,
                   size_t shared_bytes, cudaStream_t stream, A... values)
{
    using arguments = struct mr_emu_arguments<P...>;
    static_assert((std::is_trivially_destructible_v<P> && ...), "arguments are plain data");
    static_assert(sizeof(arguments) <= 4096, "CUDA passes at most 4 KB");
    const arguments packed = {kernel, std::tuple<P...>(values...)};

    mr_emu_enqueue_kernel({name,
                           [](const void *bytes) {
                               const arguments *a = static_cast<const arguments *>(bytes);
                               std::apply(a->kernel, a->values);
                           },
                           nullptr, n_blocks, n_threads, shared_bytes},
                          reinterpret_cast<const void *>(kernel), &packed, sizeof(packed), stream);
}

#endif
