/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests may ask of the emulated device besides CUDA's own calls.
 */
#ifndef MR_EMULATION_CONTROL_H
#define MR_EMULATION_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The order of lanes, of blocks, and when queued work runs. 0: lanes and blocks in order, work only
 * when somebody waits for it. Two seeds must give the same results. */
void mr_emulation_seed(uint64_t seed);

/* Copies what the last fault was, in words: "kernel k, block 0: stuck: threads 0-31 at
 * __syncthreads (k.cu:12); threads 32-63 returned". Empty when there was none since the last
 * cudaDeviceReset(). Returns its length. */
size_t mr_emulation_report(char *text, size_t bytes);

/* Whether this build sees races between lanes (kernels/emulation/watch.h): they are faults. */
bool mr_emulation_watches(void);

/* One grid in so many is watched, drawn by itself whatever the seed: all of them at first. It makes
 * a grid ten times slower. Before anything is queued. */
void mr_emulation_watch(uint32_t one_grid_in);

/* So much shared memory a block may ask for, from now on; 0: as much as a large GPU has. */
void mr_emulation_shared(uint32_t bytes);

/* How many kernels were launched that nobody had loaded before, all resets forgetting what was: a
 * GPU's driver loads those in the middle of the work, and on some GPUs compiles them first. */
uint32_t mr_emulation_unloaded(void);

/* The device fails, as after a kernel that has: every call says so until cudaDeviceReset(). */
void mr_emulation_fail(void);

#ifdef __cplusplus
}
#endif

#endif
