/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a function a device (a GPU) can do. A function of a parallel component whose first
 * argument is a string may name a `struct mr_device_op`. Where it is called on an attribute of the
 * tuples that enter its component, their bytes go to the device once for all such calls, and the
 * function finds there, row by row, what the device says: mr_device_answer(). It must be able to do
 * without: a row without an answer is the function's own, and a row that is to be checked is
 * computed by the function as well. The result must not depend on it.
 */
#ifndef MILLRACE_DEVICE_H
#define MILLRACE_DEVICE_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_call;

/* What it is that the device computes. */
enum mr_device_work {
    MR_DEVICE_REGEX, /* which of a list of patterns match: words of an answer are their indices */
    MR_DEVICE_BAYES  /* the sums of the tokens of a text by a model of spam: the words of an answer
                        are one struct mr_bayes_sums (kernels/bayes_table.h) */
};

/* Bytes that go to the device. */
struct mr_device_text {
    const void *bytes; /* NULL: there are none, the row is the function's */
    uint32_t len;
};

/* Flags of patterns; the meaning is Hyperscan's. */
enum mr_device_flag {
    MR_DEVICE_CASELESS = 1,
    MR_DEVICE_MULTILINE = 2,
    MR_DEVICE_DOTALL = 4,
    MR_DEVICE_UTF8 = 16, /* what it says of bytes that are not UTF-8 is not to be believed */
    MR_DEVICE_UCP = 32,
    MR_DEVICE_OTHER = 64 /* anything more: it is not for a device */
};

struct mr_device_pattern {
    const char *regex; /* with a NUL; lives as long as the binding */
    uint32_t flags;
};

/* In a word of an answer: the device cannot tell, the function decides. */
#define MR_ANSWER_UNDECIDED (UINT32_C(1) << 31)

/* Which part of a pattern is the device's. */
enum mr_device_part {
    MR_DEVICE_DECIDES,
    MR_DEVICE_HINTS, /* a row that does not have MR_ANSWER_UNDECIDED for it does not match */
    MR_DEVICE_NEVER  /* it is the function's alone */
};

struct mr_device_op {
    enum mr_device_work work;

    /* (optional, both or none) What goes there is not the argument but a text made of it. Calls on
     * one attribute whose view() is the same function, and its key the same, share the text; all
     * texts of an attribute and its own bytes go to the device in one transfer. view() runs in a
     * worker, before the component: of the call there are config, thread and runtime (mr_buffer_*).
     * The text is borrowed until view() comes again for the binding. */
    uint32_t (*view_key)(const void *config);
    struct mr_device_text (*view)(struct mr_call *call, const void *bytes, uint32_t len);

    /* MR_DEVICE_BAYES: the model, as its file is (host/models/spam_model.h) and checked; lives as
     * long as the binding. */
    const void *(*model)(const void *config);

    /* MR_DEVICE_REGEX, of a binding's config. Start-up, one thread at a time. */
    uint32_t (*n_patterns)(const void *config);
    struct mr_device_pattern (*pattern)(const void *config, uint32_t index);
    /* Bits of the patterns that match, and of those that the bytes are not for; both are zero
     * before and have n_patterns() bits. This is what is right. */
    void (*search)(const void *config, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                   uint32_t *unfit);
    /* parts[i] is an enum mr_device_part. At any time, one thread at a time; calls that began
     * before may go by what was settled before. A pattern never comes back to the device. Any
     * error: the binding gets no answers. */
    enum mr_status (*settle)(void *config, const uint8_t *parts);
    /* What settle() was given last; NULL: nothing yet. */
    const uint8_t *(*settled)(const void *config);
};

/* What the device says about a row of the call. */
struct mr_device_answer {
    const uint32_t *words;
    uint32_t n;
    bool check; /* compute it as well, and tell mr_device_checked() */
};

/* NULL: nothing, the row is the function's. Fast when rows are asked for in ascending order. Only
 * rows of the first argument count, as they stand there. */
const struct mr_device_answer *mr_device_answer(struct mr_call *call, uint32_t row);

/* What the device said and what is right differ in these indices (none: n is 0). What the function
 * returns is what is right. */
void mr_device_checked(struct mr_call *call, uint32_t row, const uint32_t *indices, uint32_t n);

#endif
