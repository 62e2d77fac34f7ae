/* Text in Prometheus' exposition format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats): families of samples, each family told
 * once, samples right behind it. */
#ifndef MR_METRICS_PROMETHEUS_H
#define MR_METRICS_PROMETHEUS_H

#include <stdint.h>
#include <stdio.h>

struct mr_prometheus_label {
    const char *name, *value; /* value: any UTF-8, escaped here */
};

/* Begins a family; `type` is "counter", "gauge" or "summary". */
void mr_prometheus_family(FILE *to, const char *name, const char *type, const char *help);

/* One sample; `suffix` ("", "_sum", "_count") is put behind the name. */
void mr_prometheus_sample(FILE *to, const char *name, const char *suffix,
                          const struct mr_prometheus_label *labels, uint32_t n_labels,
                          double value);
/* The same for what is counted: all digits. */
void mr_prometheus_count(FILE *to, const char *name, const char *suffix,
                         const struct mr_prometheus_label *labels, uint32_t n_labels,
                         uint64_t value);

#endif
