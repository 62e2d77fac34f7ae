/* SPDX-License-Identifier: Apache-2.0
 *
 * Spam on the device: the sums of the tokens of each text of a batch, by the table of a model. What
 * a token is, and what counts: bayes_table.h. The sums are those of the host, bit for bit; what
 * they mean is said there, by one function for all.
 */
#ifndef MR_BAYES_H
#define MR_BAYES_H

#include "kernels/bayes_table.h"
#include "kernels/factor_filter.h" /* struct mr_batch_message */

#ifdef __cplusplus
extern "C" {
#endif

/* Known tokens of one text that a block has room for; with more it is to be redone on the host. */
#define MR_BAYES_KNOWN_MAX 3072u

/* All pointers are the device's, and stay valid until the work is done. */
struct mr_bayes_batch {
    const struct mr_bayes_entry *entries; /* 2^bucket_log2 buckets, 64-byte aligned */
    uint32_t bucket_log2;
    const uint8_t *bytes; /* 16-byte aligned; readable to the next multiple of 16 */
    uint32_t n_messages;  /* texts; they begin at multiples of 16 */
    const struct mr_batch_message *messages;
    struct mr_bayes_sums *sums; /* [n_messages]; n_known MR_BAYES_NONE: redo this one */
    uint32_t n_blocks_max;      /* some times the device's processors */
};

struct mr_bayes {
    const char *name; /* of the back end */
    /* First, once for every opening of the device in use by this thread: loads the kernel, which is
     * not to happen while messages wait. */
    int (*load)(void);
    /* Queues the work on a cudaStream_t. Returns the device's error code, 0 for success. */
    int (*enqueue)(const struct mr_bayes_batch *batch, void *stream);
};

extern const struct mr_bayes mr_bayes_cuda;
extern const struct mr_bayes mr_bayes_emulated;

#ifdef __cplusplus
}
#endif

#endif
