/* What the parts of gpu_bench share: the device at hand, patterns, messages, and taking times. */
#ifndef MR_BENCH_GPU_H
#define MR_BENCH_GPU_H

#include "kernels/device.h"
#include "kernels/transfer.h"
#include "messages.h"
#include "offload/backend.h"

#include <stdio.h>

struct kit {
    struct mr_device_backend parts; /* device, kernels */
    const struct mr_transfer *transfer;
    const struct mr_backend *backend; /* made of these */
    int processors;
    void *stream, *from, *to; /* a stream and two events */
    double seconds;           /* what one figure may take */
    uint32_t batch_bytes;
    size_t copy_bytes; /* the largest copy */
    uint32_t threads;
    struct messages messages;
    struct mr_regex_set set;     /* n is 0 when there are no patterns */
    struct mr_spam_model *model; /* NULL when there is none */
    FILE *out;
};

/* Prints what the device says and returns 2; 0 for code 0. */
int kit_fail(const struct kit *kit, const char *what, int code);

/* Prints the error and returns 2. */
int kit_refuse(const struct mr_error *error);

/* Messages of all threads through the device: prints a member "callers". As parts. */
int kit_callers(struct kit *kit);

/* Nanoseconds that the device takes for what work() queues, over many repetitions: the median of
 * five groups of them. Returns the device's error code. */
int kit_time(const struct kit *kit, int (*work)(void *context, void *stream), void *context,
             double *ns);

/* Fills a batch with messages from *next on, in turn; those that are too long for it are left out.
 */
void kit_fill(const struct kit *kit, struct mr_offload_batch *batch, uint32_t *next);

/* So many of the sorted values, the share `q` of them. */
double kit_quantile(double *values, size_t n, double q); /* sorts them */

/* Each prints members of a JSON object and returns an exit code: 0, or 2 when something failed or
 * was wrong. */
int part_micro(struct kit *kit);   /* copies, zero-copy, gather, launches */
int part_stages(struct kit *kit);  /* each kernel stage on one batch */
int part_flow(struct kit *kit);    /* batches in flight, with and without graphs; with callers */
int part_score(struct kit *kit);   /* mails scored, beside the host */
int part_latency(struct kit *kit); /* of messages at half of what it can do */
/* Messages put into batches by 1, 2, 4 ... and by all threads; no device. */
int part_assemble(struct kit *kit);

#endif
