/* What one worker did at one stage (a group of fused components). Times are in the ticks of
 * base/ticks.h. A tuple's processing time is its share of its batch's. */
#ifndef MR_METRICS_STAGE_H
#define MR_METRICS_STAGE_H

#include "metrics/histogram.h"

/* A hot lane has been given many times its share of the tuples: an elephant lives there. */
enum mr_lane_class { MR_LANE_USUAL, MR_LANE_HOT, MR_N_LANE_CLASSES };

/* How a batch came to the worker that ran it: in a burst that this worker took in (or with answers
 * that it took back), in a task of its own deque, or in one that it stole. */
enum mr_batch_way { MR_WAY_TAKEN_IN, MR_WAY_LOCAL, MR_WAY_STOLEN, MR_N_BATCH_WAYS };

struct mr_stage_metrics {
    _Alignas(64) _Atomic uint64_t batches[MR_N_BATCH_WAYS], tuples;
    _Atomic uint64_t most_in_flight;               /* bursts that were in the stage at once; kept
                                                      with the first stage behind a gate */
    struct mr_histogram queued[MR_N_LANE_CLASSES]; /* a tuple's wait: from when its batch was ready
                                                      until it was run */
    struct mr_histogram tuple;                     /* processing */
    struct mr_histogram batch;                     /* processing of all its tuples */
};

/* What a batch was measured at. */
struct mr_stage_times {
    enum mr_lane_class class;
    uint64_t queued, tuple, batch;
};

/* Writer only: a batch of `tuples` was processed. */
static inline void mr_stage_count(struct mr_stage_metrics *m, enum mr_batch_way way,
                                  uint64_t tuples)
{
    uint64_t v = atomic_load_explicit(&m->batches[way], memory_order_relaxed);
    atomic_store_explicit(&m->batches[way], v + 1, memory_order_relaxed);
    v = atomic_load_explicit(&m->tuples, memory_order_relaxed);
    atomic_store_explicit(&m->tuples, v + tuples, memory_order_relaxed);
}

/* Writer only: so many bursts were in the stage at once. */
static inline void mr_stage_in_flight(struct mr_stage_metrics *m, uint64_t n)
{
    if (n > atomic_load_explicit(&m->most_in_flight, memory_order_relaxed))
        atomic_store_explicit(&m->most_in_flight, n, memory_order_relaxed);
}

/* Writer only: so many batches and tuples have taken these times. */
static inline void mr_stage_time(struct mr_stage_metrics *m, const struct mr_stage_times *times,
                                 uint64_t batches, uint64_t tuples)
{
    mr_histogram_add(&m->batch, times->batch, batches);
    if (!tuples)
        return;
    mr_histogram_add(&m->queued[times->class], times->queued, tuples);
    mr_histogram_add(&m->tuple, times->tuple, tuples);
}

/* All batches; readers. */
uint64_t mr_stage_batches(const struct mr_stage_metrics *m);

/* sum += m, but the most of what was in flight, for readers. */
void mr_stage_sum(struct mr_stage_metrics *sum, const struct mr_stage_metrics *m);

#endif
