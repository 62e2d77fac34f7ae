/* The table of --stats: what Scalanytics tells of a run (threads, throughput, memory, share of
 * tasks stolen; latency of a tuple split into waiting and processing), and each stage's part. */
#include "engine/report.h"
#include "engine/sites.h"

const char *mr_time_text(double ns, uint64_t n, char text[16])
{
    if (!n)
        snprintf(text, 16, "-");
    else if (ns < 999.5)
        snprintf(text, 16, "%.0fns", ns);
    else if (ns < 999.5e3)
        snprintf(text, 16, "%.1fus", ns / 1e3);
    else if (ns < 999.5e6)
        snprintf(text, 16, "%.1fms", ns / 1e6);
    else
        snprintf(text, 16, "%.2fs", ns / 1e9);
    return text;
}

static void print_three(const struct mr_times *t, FILE *to)
{
    char mean[16], p50[16], p99[16];
    fprintf(to, " %8s %8s %8s", mr_time_text(t->mean, t->n, mean), mr_time_text(t->p50, t->n, p50),
            mr_time_text(t->p99, t->n, p99));
}

static void print_run(const struct mr_engine *engine, const struct mr_figures *f, FILE *to)
{
    double seconds = f->seconds > 0 ? f->seconds : 1e-9;

    fprintf(to,
            "\n%-8s %8s %9s %10s %12s %12s %10s %12s %8s\n"
            "%-8u %8.2f %9.3f %10.1f %12.0f %12.0f %10.1f %12.1f %7.1f%%\n",
            "threads", "speedup", "wall s", "Mbit/s", "packets/s", "tuples/s", "RSS MiB",
            "planned MiB", "stolen", f->usage.workers, f->cpu_seconds / seconds, f->seconds,
            (double)f->bytes * 8 / seconds / 1e6, (double)f->received / seconds,
            (double)mr_report_counter(engine, MR_COUNT_TUPLES) / seconds,
            (double)f->peak_kib / 1024, (double)f->planned_bytes / 1048576, 100 * f->stolen_share);
    /* one run has nothing else that it could be compared with */
    fprintf(to,
            "speedup: CPU time over wall time; `millrace scale` measures it against one worker\n");
    fprintf(to,
            "%llu local hits, %llu steals, %llu failed steals, %llu parks, highest in flight %u\n",
            (unsigned long long)f->local_runs, (unsigned long long)f->steals,
            (unsigned long long)mr_report_counter(engine, MR_COUNT_FAILED_STEALS),
            (unsigned long long)mr_report_counter(engine, MR_COUNT_PARKS), f->usage.max_in_flight);
}

static void print_stage(const struct mr_stage_figures *s, FILE *to)
{
    fprintf(to, "%11llu %9llu %7.1f", (unsigned long long)s->tuples, (unsigned long long)s->batches,
            s->batches ? (double)s->tuples / (double)s->batches : 0);
    print_three(&s->queued, to);
    print_three(&s->tuple, to);
    print_three(&s->batch, to);
    fprintf(to, "  %s (%s, %s)\n", s->name, s->kind, s->backends);
    if (!s->hot.n)
        return;
    fprintf(to, "%11llu %17s", (unsigned long long)s->hot.n, "in hot lanes");
    print_three(&s->hot, to);
    fprintf(to, "\n");
}

/* Who ran it. */
static void print_ways(const struct mr_stage_figures *s, FILE *to)
{
    double batches = s->batches ? (double)s->batches : 1;

    fprintf(to, "%11llu %11llu %11llu %7.1f%% %9llu  %s\n", (unsigned long long)s->taken_in,
            (unsigned long long)s->local, (unsigned long long)s->stolen,
            100 * (double)s->stolen / batches, (unsigned long long)s->most_in_flight, s->name);
}

static void print_worker(const struct mr_engine *engine, uint32_t worker, FILE *to)
{
    static const enum mr_counter shown[] = {MR_COUNT_TOKENS,        MR_COUNT_TUPLES,
                                            MR_COUNT_LOCAL_RUNS,    MR_COUNT_STEALS,
                                            MR_COUNT_FAILED_STEALS, MR_COUNT_PARKS};
    struct mr_metrics counted = {0};

    mr_runtime_worker(engine->runtime, worker, &counted);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        fprintf(to, "%s%11llu", i ? " " : "",
                (unsigned long long)atomic_load_explicit(&counted.counters[shown[i]],
                                                         memory_order_relaxed));
    fprintf(to, "  worker %u\n", worker);
}

static void print_latency(const struct mr_engine *engine, FILE *to)
{
    struct mr_times t;
    char p50[16], p90[16], p99[16], p999[16], max[16];

    if (mr_latency_figures(engine, &t))
        return;
    fprintf(to,
            "latency of packets, from being read to leaving: p50 %s, p90 %s, p99 %s, p99.9 %s, "
            "max %s\n",
            mr_time_text(t.p50, t.n, p50), mr_time_text(t.p90, t.n, p90),
            mr_time_text(t.p99, t.n, p99), mr_time_text(t.p999, t.n, p999),
            mr_time_text(t.max, t.n, max));
}

static void print_top(const struct mr_engine *engine, FILE *to)
{
    struct mr_top_flow flows[MR_TOP_MOST];
    uint32_t n = mr_top_flows(engine, flows);
    uint64_t all = mr_report_counter(engine, MR_COUNT_BYTES_RECEIVED);

    if (n)
        fprintf(to, "\n%14s %7s %11s %14s  largest flows\n", "bytes", "of all", "packets",
                "uninspected");
    for (uint32_t i = 0; i < n; i++) {
        const struct mr_top_flow *f = &flows[i];
        char client[MR_TEXT_BYTES + 1], server[MR_TEXT_BYTES + 1], protocol[8];
        fprintf(to, "%14llu %6.2f%% %11llu %14llu  %s %s -> %s%s%s\n", (unsigned long long)f->bytes,
                all ? 100.0 * (double)f->bytes / (double)all : 0, (unsigned long long)f->packets,
                (unsigned long long)f->uninspected, mr_transport_text(&f->client, protocol),
                mr_endpoint_text(&f->client, client), mr_endpoint_text(&f->server, server),
                f->app_protocol ? " " : "", f->app_protocol ? f->app_protocol : "");
    }
}

static void for_stages(const struct mr_engine *engine,
                       void (*print)(const struct mr_stage_figures *stage, FILE *to), FILE *to)
{
    for (uint32_t g = 0; g < engine->plan->n_groups; g++) {
        struct mr_stage_figures stage;
        if (!mr_stage_figures(engine, g, &stage))
            print(&stage, to);
    }
}

/* What no row of the table has, or one has together with what others did. */
static void print_changes(const struct mr_engine *engine, FILE *to)
{
    struct mr_stage_figures stage;
    uint64_t tuples = 0, batches = 0;

    for (uint32_t i = 0; !mr_unloaded_stage_figures(engine, i, &stage); i++) {
        tuples += stage.tuples;
        batches += stage.batches;
    }
    if (batches)
        fprintf(to, "%11llu %9llu %7.1f %79s  components that are gone\n",
                (unsigned long long)tuples, (unsigned long long)batches,
                (double)tuples / (double)batches, "");
    if (atomic_load_explicit(&engine->regrouped, memory_order_relaxed))
        fprintf(to, "programs changed: a stage has also what its components did together with "
                    "those that are gone\n");
}

void mr_engine_print_stats(const struct mr_engine *engine, FILE *to)
{
    struct mr_figures f;

    mr_figures(engine, &f);
    print_run(engine, &f, to);
    fprintf(to,
            "\n%29s %26s %26s %26s\n"
            "%11s %9s %7s %8s %8s %8s %8s %8s %8s %8s %8s %8s  %s\n",
            "", "tuple waits", "tuple is processed", "batch is processed", "tuples", "batches",
            "a batch", "mean", "p50", "p99", "mean", "p50", "p99", "mean", "p50", "p99", "stage");
    for_stages(engine, print_stage, to);
    print_changes(engine, to);
    fprintf(to, "\n%35s\n%11s %11s %11s %8s %9s  %s\n", "batches that came to a worker by",
            "own bursts", "local hits", "steals", "stolen", "in flight", "stage");
    for_stages(engine, print_ways, to);
    fprintf(to, "\n%11s %11s %11s %11s %11s %11s\n", "bursts", "tuples", "local hits", "steals",
            "failed", "parks"); /* of a worker that finds no stage to run */
    for (uint32_t w = 0; w < f.usage.workers; w++)
        print_worker(engine, w, to);
    print_latency(engine, to);
    mr_sites_print_stats(engine, to);
    print_top(engine, to);
}
