/* Adding up what workers did at a stage. */
#include "metrics/stage.h"

static void add(_Atomic uint64_t *sum, const _Atomic uint64_t *value)
{
    uint64_t v = atomic_load_explicit(sum, memory_order_relaxed) +
                 atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(sum, v, memory_order_relaxed);
}

uint64_t mr_stage_batches(const struct mr_stage_metrics *m)
{
    uint64_t n = 0;

    for (int i = 0; i < MR_N_BATCH_WAYS; i++)
        n += atomic_load_explicit(&m->batches[i], memory_order_relaxed);
    return n;
}

void mr_stage_sum(struct mr_stage_metrics *sum, const struct mr_stage_metrics *m)
{
    for (int i = 0; i < MR_N_BATCH_WAYS; i++)
        add(&sum->batches[i], &m->batches[i]);
    mr_stage_in_flight(sum, atomic_load_explicit(&m->most_in_flight, memory_order_relaxed));
    add(&sum->tuples, &m->tuples);
    for (int i = 0; i < MR_N_LANE_CLASSES; i++)
        mr_histogram_sum(&sum->queued[i], &m->queued[i]);
    mr_histogram_sum(&sum->tuple, &m->tuple);
    mr_histogram_sum(&sum->batch, &m->batch);
}
