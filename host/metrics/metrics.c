/* Names and texts of counters and drop reasons, generated from the .def files. */
#include "metrics/metrics.h"

#define NAMES(list) static const char *const list[]

NAMES(counter_texts) = {
#define COUNTER(name, text) text,
#include "metrics/counters.def"
#undef COUNTER
};

NAMES(counter_names) = {
#define COUNTER(name, text) #name,
#include "metrics/counters.def"
#undef COUNTER
};

NAMES(drop_texts) = {
    "kept",
#define DROP(name, text) text,
#include "metrics/drops.def"
#undef DROP
};

NAMES(drop_names) = {
    "NONE",
#define DROP(name, text) #name,
#include "metrics/drops.def"
#undef DROP
};

const char *mr_counter_name(enum mr_counter counter)
{
    return counter_names[counter];
}

const char *mr_counter_text(enum mr_counter counter)
{
    return counter_texts[counter];
}

const char *mr_drop_name(enum mr_drop drop)
{
    return drop_names[drop];
}

const char *mr_drop_text(enum mr_drop drop)
{
    return drop_texts[drop];
}

void mr_metrics_sum(struct mr_metrics *sum, const struct mr_metrics *m)
{
    for (int i = 0; i < MR_N_COUNTERS; i++)
        mr_metrics_add(sum, (enum mr_counter)i,
                       atomic_load_explicit(&m->counters[i], memory_order_relaxed));
    for (int i = 0; i < MR_N_DROPS; i++) {
        uint64_t v = atomic_load_explicit(&sum->drops[i], memory_order_relaxed);
        uint64_t n = atomic_load_explicit(&m->drops[i], memory_order_relaxed);
        atomic_store_explicit(&sum->drops[i], v + n, memory_order_relaxed);
    }
}
