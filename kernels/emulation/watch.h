/* SPDX-License-Identifier: Apache-2.0
 *
 * Who of a grid touched which word of memory, and whether a barrier stood between: what two lanes
 * touch, one of them writing and not both by atomics, must be apart by __syncthreads or, within a
 * warp, by a __syncwarp of both; between blocks nothing keeps it apart. As in the CUDA C++
 * programming guide, shuffles, votes and atomics order no memory.
 *
 * The compiler calls us at every access of code that is compiled with MR_WATCH (CMakeLists.txt):
 * the hooks are those of ThreadSanitizer, whose runtime is not linked. In other builds nothing is
 * seen but __ldg of shared memory. Inner header of the emulation; one grid at a time.
 */
#ifndef MR_EMULATION_WATCH_H
#define MR_EMULATION_WATCH_H

#include <cstddef>
#include <cstdint>

/* Of how many grids one is watched, drawn at random. */
void watch_one_in(uint32_t n);

/* A grid begins on the calling thread; what lies in [stacks, stacks + bytes) is the lanes' own. */
void watch_grid(const void *stacks, size_t bytes);
void watch_grid_end(void);
/* Its next block, with shared memory at [dynamic, dynamic + dynamic_bytes) and what is static. */
void watch_block(uint32_t n_lanes, const void *dynamic, size_t dynamic_bytes);

/* Whose accesses follow. */
void watch_turn(uint32_t lane);

/* All lanes of the block have met; those of `mask` in the warp that begins at lane `first`. */
void watch_barrier(void);
void watch_syncwarp(uint32_t first, uint32_t mask);

/* The running lane changes what is there by an atomic; reads it by way of the read-only cache. */
void watch_atomic(const void *at, size_t bytes, const void *code);
void watch_read_only(const void *at, size_t bytes, const void *code);

/* Memory is given back: nobody has touched it. */
void watch_forget(const void *at, size_t bytes);

#endif
