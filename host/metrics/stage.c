/* Adding up what workers did at a stage. */
#include "metrics/stage.h"

static void add(_Atomic uint64_t *sum, const _Atomic uint64_t *value)
{
    uint64_t v = atomic_load_explicit(sum, memory_order_relaxed) +
                 atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(sum, v, memory_order_relaxed);
}

void mr_stage_sum(struct mr_stage_metrics *sum, const struct mr_stage_metrics *m)
{
    add(&sum->batches, &m->batches);
    add(&sum->tuples, &m->tuples);
    for (int i = 0; i < MR_N_LANE_CLASSES; i++)
        mr_histogram_sum(&sum->queued[i], &m->queued[i]);
    mr_histogram_sum(&sum->tuple, &m->tuple);
    mr_histogram_sum(&sum->batch, &m->batch);
}
