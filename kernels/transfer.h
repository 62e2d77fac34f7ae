/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast bytes come to a device and back without the copy engine, and what a launch costs: for
 * measuring. gather() is what feeds a device straight from packets' memory.
 */
#ifndef MR_TRANSFER_H
#define MR_TRANSFER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of a message in pinned memory, and where it goes to. */
struct mr_segment {
    const uint8_t *from; /* any alignment; what lies up to three bytes behind its end in the same
                            aligned word is read as well */
    uint32_t to;         /* a multiple of 4 */
    uint32_t len;        /* the last word is written as a whole */
};

struct mr_transfer {
    const char *name; /* of the back end */
    /* Each queues one kernel on a cudaStream_t and returns the device's error code. Memory is
     * aligned to 16 bytes and a multiple of that. */
    int (*nothing)(void *stream);
    /* Reads all bytes; sums[0] becomes the sum of their 4-byte words (it is zero before). */
    int (*read)(const void *from, size_t bytes, uint32_t *sums, uint32_t n_blocks, void *stream);
    /* Each 4-byte word becomes its index plus `first`. */
    int (*write)(void *to, size_t bytes, uint32_t first, uint32_t n_blocks, void *stream);
    /* A warp a segment. */
    int (*gather)(const struct mr_segment *segments, uint32_t n, uint8_t *to, uint32_t n_blocks,
                  void *stream);
};

extern const struct mr_transfer mr_transfer_cuda;
extern const struct mr_transfer mr_transfer_emulated;

#ifdef __cplusplus
}
#endif

#endif
