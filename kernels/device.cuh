/* SPDX-License-Identifier: Apache-2.0
 *
 * The one header every .cu file includes: CUDA as nvcc has it, or its emulation in host C++.
 *
 * The subset, which scripts/check-kernels enforces:
 *   static __global__ void, __device__, __host__, __forceinline__, __launch_bounds__, constants;
 *   1-D grids and blocks, blocks of a multiple of 32 threads; threadIdx.x ... gridDim.x;
 *   __shared__ variables in functions that are no templates, MR_DYNAMIC_SHARED();
 *   __syncthreads(_or, _and, _count), __syncwarp; __shfl(_up, _down, _xor)_sync, __ballot_sync,
 *   __any_sync, __all_sync, __match_any_sync, __reduce_add/or/and_sync;
 *   atomicAdd, Or, And, Max, Min, CAS, Exch on int, unsigned and unsigned long long;
 *   __ldg, __popc(ll), __ffs(ll), __clz(ll), __brev, __byte_perm, __funnelshift_l/r, __umulhi,
 *   double arithmetic with fma and exp, uint2, uint4, int4.
 * All threads of a block reach the same barrier and none returns before one that others reach; all
 * lanes of a mask make the same call. What one lane writes others touch only behind a barrier of
 * both, or all by atomics; blocks of a grid meet in atomics only, for there are no fences; __ldg is
 * for what no lane of the grid writes. No block waits for another. No inline PTX, textures,
 * cooperative groups, printf, assert, allocation, float.
 */
#ifndef MR_DEVICE_CUH
#define MR_DEVICE_CUH

#ifdef __CUDACC__

#include <cuda_runtime.h>

/* Queues a kernel; whether it could be is asked by cudaGetLastError(). */
#define MR_LAUNCH(kernel, n_blocks, n_threads, shared_bytes, stream, ...)                          \
    kernel<<<(n_blocks), (n_threads), (shared_bytes), (stream)>>>(__VA_ARGS__)

/* type *name: the block's dynamic shared memory, aligned to 16 bytes. */
#define MR_DYNAMIC_SHARED(type, name)                                                              \
    extern __shared__ __align__(16) unsigned char mr_dynamic_shared[];                             \
    type *const name = reinterpret_cast<type *>(mr_dynamic_shared)

/* The loop that follows is unrolled: arrays it indexes stay in registers. */
#define MR_UNROLL _Pragma("unroll")

/* What a file exports under one name for each back end. */
#define MR_BACKEND(name) name##_cuda

#else

#include "kernels/emulation/cuda.h"

#define MR_LAUNCH(kernel, n_blocks, n_threads, shared_bytes, stream, ...)                          \
    mr_emu_launch(#kernel, kernel, n_blocks, n_threads, shared_bytes, stream, __VA_ARGS__)
#define MR_DYNAMIC_SHARED(type, name)                                                              \
    type *const name = reinterpret_cast<type *>(mr_emu_dynamic_shared())
#define MR_UNROLL
#define MR_BACKEND(name) name##_emulated

#endif
#endif
