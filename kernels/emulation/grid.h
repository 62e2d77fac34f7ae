/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a grid: block after block, each lane of a block on a fiber of the calling thread. A lane
 * runs until it waits for others (barrier, warp operation); the next one is then drawn by the
 * seeded generator. What a GPU would leave undefined ends the grid with a report.
 */
#ifndef MR_EMULATION_GRID_H
#define MR_EMULATION_GRID_H

#include <cstddef>
#include <cstdint>

struct uint3 {
    unsigned x, y, z;
};

/* What a lane can wait for. */
enum mr_emu_op {
    EMU_SHFL,
    EMU_SHFL_UP,
    EMU_SHFL_DOWN,
    EMU_SHFL_XOR,
    EMU_BALLOT,
    EMU_MATCH_ANY,
    EMU_REDUCE_ADD,
    EMU_REDUCE_OR,
    EMU_REDUCE_AND,
    EMU_SYNCWARP,
    EMU_BARRIER, /* from here on all threads of the block take part */
    EMU_BARRIER_OR,
    EMU_BARRIER_AND,
    EMU_BARRIER_COUNT
};

/* One call in a kernel, for comparing and for reports. */
struct mr_emu_site {
    enum mr_emu_op op;
    int line;
    const char *call; /* "__shfl_sync" */
    const char *file;
};

/* What a lane brings to a call. */
struct mr_emu_offer {
    uint64_t value;
    uint32_t mask;    /* lanes that take part; unused at barriers */
    int32_t argument; /* source lane, delta or lane mask of a shuffle */
    int32_t width;    /* of a shuffle */
};

/* The running lane, NULL outside of kernels. There is one emulated device in a process, used by
 * one host thread at a time. */
struct mr_emu_lane;
extern struct mr_emu_lane *mr_emu_current;

/* Where the running lane is. */
struct uint3 mr_emu_thread_idx(void);
struct uint3 mr_emu_block_idx(void);
struct uint3 mr_emu_block_dim(void);
struct uint3 mr_emu_grid_dim(void);
unsigned char *mr_emu_dynamic_shared(void);

/* Waits for the others that take part and returns this lane's result. */
uint64_t mr_emu_meet(const struct mr_emu_site &site, const struct mr_emu_offer &offer);

/* An atomic: what is at `at`, of so many bytes (4, 8), becomes *next if it is *old; else it is put
 * into *old, and it is false. Lets other lanes run first, now and then, at the first try of each.
 * Hosts' threads may look on, through mapped memory. */
void mr_emu_atomic(const void *at, size_t bytes, const char *call, const char *file, int line);
bool mr_emu_replace(void *at, void *old, const void *next, size_t bytes);

/* What comes before a read by way of the read-only cache. */
void mr_emu_read_only(const void *at, size_t bytes, const char *file, int line);

/* Ends the grid with "<thread> at <file>:<line>: <text>" (file: NULL: not known). Does not
 * return. */
[[noreturn]] void mr_emu_fault(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct emu_grid {
    const char *kernel; /* its name */
    void (*call)(const void *arguments);
    const void *arguments;
    uint32_t n_blocks;
    uint32_t n_threads; /* of a block: a multiple of 32, at most 1024 */
    size_t shared_bytes;
};

/* The largest block, and the most shared memory of one (sm_90; sm_80 has 163 KB). */
#define EMU_THREADS_MAX      1024
#define EMU_SHARED_BYTES_MAX (227u * 1024)

/* Runs all of it; false when it faulted, with the reason in report[]. Reserves stacks at its first
 * call and keeps them for the life of the process. */
bool grid_run(const struct emu_grid *grid, uint64_t seed, char *report, size_t report_bytes);

/* SplitMix64. */
uint64_t emu_random(uint64_t *state);

#endif
