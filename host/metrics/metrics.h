/* Counters and drop reasons. Every worker counts into its own block; readers add the blocks up.
 * A counter is written by its owner only and may be read by anyone (relaxed). */
#ifndef MR_METRICS_METRICS_H
#define MR_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

enum mr_counter {
#define COUNTER(name, text) MR_COUNT_##name,
#include "metrics/counters.def"
#undef COUNTER
    MR_N_COUNTERS
};

enum mr_drop {
    MR_DROP_NONE, /* kept */
#define DROP(name, text) MR_DROP_##name,
#include "metrics/drops.def"
#undef DROP
    MR_N_DROPS
};

struct mr_metrics {
    _Alignas(64) _Atomic uint64_t counters[MR_N_COUNTERS];
    _Atomic uint64_t drops[MR_N_DROPS]; /* [MR_DROP_NONE] stays 0 */
};

/* The snake_case name (in upper case, as in the .def file) and the text for people. */
const char *mr_counter_name(enum mr_counter counter);
const char *mr_counter_text(enum mr_counter counter);
const char *mr_drop_name(enum mr_drop drop);
const char *mr_drop_text(enum mr_drop drop);

/* Owner only. */
static inline void mr_metrics_add(struct mr_metrics *m, enum mr_counter counter, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&m->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&m->counters[counter], v + n, memory_order_relaxed);
}

static inline void mr_metrics_drop(struct mr_metrics *m, enum mr_drop reason, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&m->drops[reason], memory_order_relaxed);
    /* released: who sees the drop sees that the packet was received before */
    atomic_store_explicit(&m->drops[reason], v + n, memory_order_release);
    mr_metrics_add(m, MR_COUNT_PACKETS_DROPPED, n);
}

/* sum += m, for readers. */
void mr_metrics_sum(struct mr_metrics *sum, const struct mr_metrics *m);

#endif
