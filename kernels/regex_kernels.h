/* SPDX-License-Identifier: Apache-2.0
 *
 * The later stages of regex on the device: every (message, pattern) pair that the factor filter
 * found is decided by the pattern's automaton, and the automata of patterns without a factor run
 * over every message. The answer is the set of (message, pattern), each once.
 */
#ifndef MR_REGEX_KERNELS_H
#define MR_REGEX_KERNELS_H

#include "kernels/factor_filter.h"
#include "kernels/regex_table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Messages of more bytes are read by a whole warp, in pieces. */
#define MR_REGEX_LONG 4096u

struct mr_regex_match {
    uint32_t message;
    uint32_t pattern; /* | MR_REGEX_UNDECIDED: a factor is there, the CPU decides */
};
#define MR_REGEX_UNDECIDED 0x80000000u

/* Where both kernels put what they find. All pointers are the device's. */
struct mr_regex_output {
    struct mr_regex_match *matches; /* [capacity], aligned to 8; may be pinned memory */
    uint32_t capacity;
    uint32_t *n_matches; /* that were to be stored: more than capacity if it overflowed */
    uint32_t *overflows; /* [n_messages]: not 0: a match of the message found no room, its matches
                            mean nothing and it is to be searched anew on the CPU */
    uint32_t *seen;      /* n_messages x words(n_patterns), for the calls' use */
    uint32_t n_patterns;
};

struct mr_regex_batch {
    const struct mr_regex_table *table;
    const uint8_t *bytes; /* as for the factor filter */
    const struct mr_batch_message *messages;
    uint32_t n_messages;
    uint32_t n_blocks_max;
    struct mr_regex_output output;
};

/* Pairs as the factor filter left them. */
struct mr_regex_pairs {
    const struct mr_factor_pair *pairs;
    const struct mr_factor_counts *counts;
    uint32_t capacity;
    const uint32_t *states; /* messages that overflowed there are passed over */
    uint32_t *order;        /* [capacity], for the call's use: pairs by pattern */
    uint32_t *starts;       /* [n_patterns + 1], for the call's use */
};

struct mr_regex_kernels {
    const char *name; /* of the back end */
    /* First, once for every opening of the device in use by this thread: loads the kernels, which
     * is not to happen while messages wait. The device's error code, also when there is no code
     * for such a device. */
    int (*load)(void);
    /* Each queues its work on a cudaStream_t and returns the device's error code, 0 for success.
     * begin() clears the output; the others add to it, in any order. The order of matches means
     * nothing. */
    int (*begin)(const struct mr_regex_batch *batch, void *stream);
    int (*verify)(const struct mr_regex_batch *batch, const struct mr_regex_pairs *pairs,
                  void *stream);
    /* n_always: the table's, which the host cannot read there. */
    int (*always)(const struct mr_regex_batch *batch, uint32_t n_always, void *stream);
};

extern const struct mr_regex_kernels mr_regex_kernels_cuda;
extern const struct mr_regex_kernels mr_regex_kernels_emulated;

#ifdef __cplusplus
}
#endif

#endif
