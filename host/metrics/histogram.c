/* Reading histograms. */
#include "metrics/histogram.h"

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

void mr_histogram_sum(struct mr_histogram *sum, const struct mr_histogram *h)
{
    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
        set(&sum->buckets[i], get(&sum->buckets[i]) + get(&h->buckets[i]));
    set(&sum->sum, get(&sum->sum) + get(&h->sum));
    if (get(&h->max) > get(&sum->max))
        set(&sum->max, get(&h->max));
}

void mr_histogram_subtract(struct mr_histogram *now, const struct mr_histogram *before)
{
    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
        set(&now->buckets[i], get(&now->buckets[i]) - get(&before->buckets[i]));
    set(&now->sum, get(&now->sum) - get(&before->sum));
}

uint64_t mr_histogram_count(const struct mr_histogram *h)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++)
        n += get(&h->buckets[i]);
    return n;
}

double mr_histogram_mean(const struct mr_histogram *h)
{
    uint64_t n = mr_histogram_count(h);
    return n ? (double)get(&h->sum) / (double)n : 0;
}

/* The middle of a bucket. */
static uint64_t middle(uint32_t bucket)
{
    if (bucket < 2 * MR_HISTOGRAM_SUB)
        return bucket;
    uint32_t shift = bucket / MR_HISTOGRAM_SUB - 1;
    uint64_t low = (uint64_t)(MR_HISTOGRAM_SUB + bucket % MR_HISTOGRAM_SUB) << shift;
    return low + (1ull << shift) / 2;
}

uint64_t mr_histogram_quantile(const struct mr_histogram *h, double share)
{
    uint64_t n = mr_histogram_count(h), seen = 0;
    uint64_t max = get(&h->max);

    if (!n)
        return 0;
    double wanted = share * (double)n;
    for (uint32_t i = 0; i < MR_HISTOGRAM_BUCKETS; i++) {
        seen += get(&h->buckets[i]);
        if (seen && (double)seen >= wanted) {
            uint64_t value = middle(i);
            return value < max ? value : max;
        }
    }
    return max;
}
