/* What is told of two ways to search the same traffic: for `millrace compare`. */
#ifndef MR_ENGINE_COMPARE_H
#define MR_ENGINE_COMPARE_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Is there a GPU that this build can use? Else *why says in one line what is missing. */
bool mr_compare_gpu(struct mr_error *why);

/* Medians of the runs of one side. */
struct mr_compare_side {
    const char *device;                      /* as --device takes it */
    double seconds, gbit, messages, packets; /* the last three a second */
    double p50_us, p90_us, p99_us;           /* of packets, until their results are out */
    double cores;                            /* CPU seconds a second */
    double device_messages;                  /* that the device was given */
    double device_share;                     /* of the messages, 0 to 1 */
    double kernels_share;                    /* of the time the device computed */
    double copy_share;                       /* copies, of what it was busy */
    double left;                             /* messages that came back to the CPU */
    double failed;                           /* of these because the device failed or was late */
    double too_long;                         /* and because they were longer than a batch */
};

/* One or two sentences on what to do, from the side that only uses the CPU and another one. */
void mr_compare_verdict(const struct mr_compare_side *cpu, const struct mr_compare_side *other,
                        char *text, size_t size);

#endif
