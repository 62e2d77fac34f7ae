/* Histograms of fixed size over 1 .. 2^40: sixteen buckets for each power of two, so that what is
 * read is within 1/32 (3.2 %) of what was put in. One writer; anyone may read at any time
 * (relaxed), and adds the writers' histograms up. Values have the unit that the writer gives them.
 */
#ifndef MR_METRICS_HISTOGRAM_H
#define MR_METRICS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define MR_HISTOGRAM_SUB_BITS 4
#define MR_HISTOGRAM_SUB      (1u << MR_HISTOGRAM_SUB_BITS)
#define MR_HISTOGRAM_BITS     40 /* what is more counts as 2^40 - 1 */
#define MR_HISTOGRAM_BUCKETS  ((MR_HISTOGRAM_BITS - MR_HISTOGRAM_SUB_BITS + 1) * MR_HISTOGRAM_SUB)

struct mr_histogram {
    _Atomic uint64_t sum, max;
    _Atomic uint64_t buckets[MR_HISTOGRAM_BUCKETS];
};

/* The bucket of a value: exact below 16, else by its highest five bits. */
static inline uint32_t mr_histogram_bucket(uint64_t value)
{
    if (value < MR_HISTOGRAM_SUB)
        return (uint32_t)value;
    if (value >> MR_HISTOGRAM_BITS)
        return MR_HISTOGRAM_BUCKETS - 1;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - MR_HISTOGRAM_SUB_BITS;
    return shift * MR_HISTOGRAM_SUB + (uint32_t)(value >> shift);
}

/* Writer only: `value`, seen n times. */
static inline void mr_histogram_add(struct mr_histogram *h, uint64_t value, uint64_t n)
{
    _Atomic uint64_t *bucket = &h->buckets[mr_histogram_bucket(value)];
    uint64_t v = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_store_explicit(bucket, v + n, memory_order_relaxed);
    v = atomic_load_explicit(&h->sum, memory_order_relaxed);
    atomic_store_explicit(&h->sum, v + value * n, memory_order_relaxed);
    if (value > atomic_load_explicit(&h->max, memory_order_relaxed))
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

/* sum += h, for readers. */
void mr_histogram_sum(struct mr_histogram *sum, const struct mr_histogram *h);

/* now -= before: what came in between two readings of one histogram. The greatest is that of all
 * time. */
void mr_histogram_subtract(struct mr_histogram *now, const struct mr_histogram *before);

/* How many values were added. */
uint64_t mr_histogram_count(const struct mr_histogram *h);

/* 0 where there are no values. */
double mr_histogram_mean(const struct mr_histogram *h);

/* The value that `share` (0 .. 1) of the values do not pass: the middle of its bucket, at most the
 * greatest value. 0 where there are no values. */
uint64_t mr_histogram_quantile(const struct mr_histogram *h, double share);

#endif
