/* SPDX-License-Identifier: Apache-2.0
 *
 * The first stage of regex on the device: which factors does each message of a batch contain?
 * Every byte is looked at once, whatever the message lengths; the bytes around a hit are compared
 * exactly. The answer is the set of (message, id), each once.
 */
#ifndef MR_FACTOR_FILTER_H
#define MR_FACTOR_FILTER_H

#include "kernels/factor_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Messages lie in order of offset and do not overlap; what is between them is never matched. */
struct mr_batch_message {
    uint32_t offset;
    uint32_t len;
};

struct mr_factor_pair {
    uint32_t message; /* its index */
    uint32_t id;      /* of the factor */
};

#define MR_MESSAGE_OVERFLOW 0x80000000u

struct mr_factor_counts {
    uint32_t n_pairs;      /* that were to be queued: more than capacity if it overflowed */
    uint32_t n_candidates; /* grams that passed the bitmap */
};

/* All pointers are the device's, and stay valid until the work is done. */
struct mr_factor_filter_batch {
    const struct mr_factor_table *table;
    const uint8_t *bytes; /* 16-byte aligned, a multiple of 16 readable */
    uint32_t n_bytes;     /* a message may end there, at most 2^31 */
    uint32_t n_messages;  /* at most 2^24 */
    const struct mr_batch_message *messages;
    uint32_t *seen;               /* n_messages x words(n_slots), for the call's use */
    uint32_t *states;             /* per message: pairs found | MR_MESSAGE_OVERFLOW */
    struct mr_factor_pair *pairs; /* [capacity] */
    uint32_t capacity;
    uint32_t pairs_per_message_max; /* more: overflow */
    struct mr_factor_counts *counts;
    /* The same as in the table, which the host cannot read. */
    uint32_t n_slots;
    uint32_t bitmap_log2; /* at most what load() has said */
    uint32_t gram_mask;
    uint32_t n_blocks_max; /* two to four times the device's processors */
};

/* u32 words of seen[] for each message. */
MR_BOTH uint32_t mr_factor_seen_words(uint32_t n_slots)
{
    return (n_slots + 31) / 32;
}

struct mr_factor_filter {
    const char *name; /* of the back end */
    /* First, once for every opening of the device, which is the one in use by this thread: loads
     * the kernel, which is not to happen while messages wait, and says how large a bitmap its
     * blocks have room for: tables with a larger one are to be narrowed (factor_table.h). Returns
     * the device's error code, also when there is no code for such a device. */
    int (*load)(int device, uint32_t *bitmap_log2_max);
    /* Queues the work on a cudaStream_t: clears seen, states and counts, then fills them.
     * pairs[0 .. min(n_pairs, capacity)) is exact for messages without MR_MESSAGE_OVERFLOW; those
     * with it are to be searched anew on the CPU, and their pairs to be passed over. The order of
     * pairs means nothing. Returns the device's error code, 0 for success. */
    int (*enqueue)(const struct mr_factor_filter_batch *batch, void *stream);
};

extern const struct mr_factor_filter mr_factor_filter_cuda;
extern const struct mr_factor_filter mr_factor_filter_emulated;

#ifdef __cplusplus
}
#endif

#endif
