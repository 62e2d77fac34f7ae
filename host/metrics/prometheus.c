/* Writing Prometheus' text format. */
#include "metrics/prometheus.h"

#include <math.h>

/* HELP escapes backslash and line feed, label values the quote as well. */
static void put_escaped(FILE *to, const char *text, int quoted)
{
    for (; *text; text++)
        if (*text == '\\')
            fputs("\\\\", to);
        else if (*text == '\n')
            fputs("\\n", to);
        else if (*text == '"' && quoted)
            fputs("\\\"", to);
        else
            fputc(*text, to);
}

void mr_prometheus_family(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s ", name);
    put_escaped(to, help, 0);
    fprintf(to, "\n# TYPE %s %s\n", name, type);
}

static void put_name(FILE *to, const char *name, const char *suffix,
                     const struct mr_prometheus_label *labels, uint32_t n_labels)
{
    fprintf(to, "%s%s", name, suffix);
    for (uint32_t i = 0; i < n_labels; i++) {
        fprintf(to, "%c%s=\"", i ? ',' : '{', labels[i].name);
        put_escaped(to, labels[i].value, 1);
        fputc('"', to);
    }
    fputs(n_labels ? "} " : " ", to);
}

void mr_prometheus_sample(FILE *to, const char *name, const char *suffix,
                          const struct mr_prometheus_label *labels, uint32_t n_labels, double value)
{
    put_name(to, name, suffix, labels, n_labels);
    if (isnan(value))
        fputs("NaN\n", to);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf\n" : "-Inf\n", to);
    else
        fprintf(to, "%.9g\n", value);
}

void mr_prometheus_count(FILE *to, const char *name, const char *suffix,
                         const struct mr_prometheus_label *labels, uint32_t n_labels,
                         uint64_t value)
{
    put_name(to, name, suffix, labels, n_labels);
    fprintf(to, "%llu\n", (unsigned long long)value);
}
