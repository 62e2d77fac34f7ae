/* The file of --prometheus: all counters, stages and latencies, replaced as a whole each time. */
#include "engine/report.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include "base/clock.h"
#include "base/replace.h"
#include "metrics/prometheus.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void lower(const char *name, char *to, size_t room)
{
    size_t i = 0;
    for (; name[i] && i + 1 < room; i++)
        to[i] = (char)tolower((unsigned char)name[i]);
    to[i] = '\0';
}

static void put_counters(const struct mr_engine *engine, FILE *to)
{
    for (int i = 0; i < MR_N_COUNTERS; i++) {
        char lowered[64], name[96];
        lower(mr_counter_name((enum mr_counter)i), lowered, sizeof lowered);
        snprintf(name, sizeof name, "millrace_%s_total", lowered);
        mr_prometheus_family(to, name, "counter", mr_counter_text((enum mr_counter)i));
        mr_prometheus_count(to, name, "", NULL, 0, mr_report_counter(engine, (enum mr_counter)i));
    }
    mr_prometheus_family(to, "millrace_drops_total", "counter",
                         "packets dropped before they got a token, by reason");
    for (int i = 1; i < MR_N_DROPS; i++) {
        char reason[64];
        if (i == MR_DROP_FRAGMENT_HELD) /* falls, too: a gauge */
            continue;
        lower(mr_drop_name((enum mr_drop)i), reason, sizeof reason);
        struct mr_prometheus_label label = {"reason", reason};
        mr_prometheus_count(to, "millrace_drops_total", "", &label, 1, mr_report_drop(engine, i));
    }
}

/* One family over all queues of all ports. */
static void put_port_family(const struct mr_engine *engine, FILE *to, const char *name,
                            const char *type, const char *help, size_t offset)
{
    struct mr_live_account a;

    mr_prometheus_family(to, name, type, help);
    for (uint32_t i = 0; mr_live_account(engine->live, i, &a); i++) {
        char queue[16];
        snprintf(queue, sizeof queue, "%u", a.queue);
        struct mr_prometheus_label labels[] = {{"port", a.port}, {"queue", queue}};
        const char *at = (const char *)&a + offset;
        mr_prometheus_count(to, name, "", labels, 2, *(const uint64_t *)(const void *)at);
    }
}

static void put_port_drops(const struct mr_engine *engine, FILE *to)
{
    struct mr_live_account a;

    mr_prometheus_family(to, "millrace_port_drops_total", "counter",
                         "packets of a queue that were dropped, by reason");
    for (uint32_t i = 0; mr_live_account(engine->live, i, &a); i++)
        for (int d = 1; d < MR_N_DROPS; d++) {
            char queue[16], reason[64];
            if (d == MR_DROP_FRAGMENT_HELD)
                continue;
            snprintf(queue, sizeof queue, "%u", a.queue);
            lower(mr_drop_name((enum mr_drop)d), reason, sizeof reason);
            struct mr_prometheus_label labels[] = {
                {"port", a.port}, {"queue", queue}, {"reason", reason}};
            mr_prometheus_count(to, "millrace_port_drops_total", "", labels, 3, a.dropped[d]);
        }
}

/* received = processed + drops + held + waiting; each family of the moment that it is written at.
 */
static void put_ports(const struct mr_engine *engine, FILE *to)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } families[] = {
        {"millrace_port_packets_received_total", "counter", "packets that came into a queue",
         offsetof(struct mr_live_account, received)},
        {"millrace_port_bytes_received_total", "counter", "bytes that were read from a queue",
         offsetof(struct mr_live_account, bytes)},
        {"millrace_port_packets_processed_total", "counter", "packets of a queue that got a token",
         offsetof(struct mr_live_account, processed)},
        {"millrace_port_packets_handed_over_total", "counter",
         "packets that its thread handed to the port's other threads",
         offsetof(struct mr_live_account, handed_over)},
        {"millrace_port_packets_waiting", "gauge", "packets of a queue that are on their way",
         offsetof(struct mr_live_account, waiting)},
        {"millrace_port_fragments_held", "gauge", "fragments of a queue that wait for others",
         offsetof(struct mr_live_account, dropped) + MR_DROP_FRAGMENT_HELD * sizeof(uint64_t)}};

    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        put_port_family(engine, to, families[i].name, families[i].type, families[i].help,
                        families[i].offset);
    put_port_drops(engine, to);
}

static void put_gauge(FILE *to, const char *name, const char *help, double value)
{
    mr_prometheus_family(to, name, "gauge", help);
    mr_prometheus_sample(to, name, "", NULL, 0, value);
}

static void put_gauges(const struct mr_engine *engine, FILE *to)
{
    struct mr_figures f;
    uint64_t until = engine->ended_ns ? engine->ended_ns : mr_clock_ns();

    mr_figures(engine, &f);
    put_gauge(to, "millrace_uptime_seconds", "seconds since the start",
              (double)(until - engine->started_ns) / 1e9);
    put_gauge(to, "millrace_run_seconds", "from the first packet to the last result; 0 until then",
              f.seconds);
    put_gauge(to, "millrace_run_cpu_seconds", "of the same, of all threads", f.cpu_seconds);
    put_gauge(to, "millrace_workers", "worker threads", f.usage.workers);
    put_gauge(to, "millrace_lanes", "lanes of a context-ordered group", f.usage.lanes);
    put_gauge(to, "millrace_bursts_in_flight", "bursts under way", f.usage.tokens_in_flight);
    put_gauge(to, "millrace_bursts_in_flight_highest", "the most bursts that were under way",
              f.usage.max_in_flight);
    put_gauge(to, "millrace_fragments_held",
              "fragments that wait for others, or were merged into their datagram",
              (double)mr_report_drop(engine, MR_DROP_FRAGMENT_HELD));
    put_gauge(to, "millrace_buffers_used_bytes", "bytes of buffers in use",
              (double)f.buffers.used_bytes);
    put_gauge(to, "millrace_buffers_peak_bytes", "the most bytes of buffers that were in use",
              (double)f.buffers.peak_bytes);
    put_gauge(to, "millrace_memory_peak_bytes", "resident memory at the most",
              (double)f.peak_kib * 1024);
    put_gauge(to, "millrace_memory_planned_bytes", "memory that may be taken, as -T plans",
              (double)f.planned_bytes);
}

static void put_times(FILE *to, const char *name, const struct mr_prometheus_label *labels,
                      uint32_t n_labels, const struct mr_times *t)
{
    struct mr_prometheus_label all[4];
    const struct {
        const char *share;
        double ns;
    } quantiles[] = {{"0.5", t->p50}, {"0.9", t->p90}, {"0.99", t->p99}, {"0.999", t->p999}};

    if (n_labels)
        memcpy(all, labels, n_labels * sizeof *labels);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        all[n_labels] = (struct mr_prometheus_label){"quantile", quantiles[i].share};
        mr_prometheus_sample(to, name, "", all, n_labels + 1, quantiles[i].ns / 1e9);
    }
    mr_prometheus_sample(to, name, "_sum", labels, n_labels, t->mean * (double)t->n / 1e9);
    mr_prometheus_count(to, name, "_count", labels, n_labels, t->n);
}

/* Components of several programs may have one name: the group's number tells them apart. The sum
 * over all never falls. */
static void stage_labels(const struct mr_stage_figures *stage, uint32_t group, char text[16],
                         struct mr_prometheus_label labels[2])
{
    if (strcmp(stage->kind, "unloaded") != 0)
        snprintf(text, 16, "%u", group);
    else
        memcpy(text, "unloaded", sizeof "unloaded");
    labels[0] = (struct mr_prometheus_label){"group", text};
    labels[1] = (struct mr_prometheus_label){"stage", stage->name};
}

/* One family over all stages. */
static void put_stage_times(FILE *to, const char *name, const char *help,
                            const struct mr_stage_figures *stages, uint32_t n, size_t offset)
{
    mr_prometheus_family(to, name, "summary", help);
    for (uint32_t i = 0; i < n; i++) {
        char group[16];
        struct mr_prometheus_label labels[2];
        stage_labels(&stages[i], i, group, labels);
        const char *at = (const char *)&stages[i] + offset;
        put_times(to, name, labels, 2, (const struct mr_times *)(const void *)at);
    }
}

static void put_stage_counts(FILE *to, const struct mr_stage_figures *stages, uint32_t n)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } counts[] = {
        {"millrace_stage_tuples_total", "counter", "tuples run, by stage",
         offsetof(struct mr_stage_figures, tuples)},
        {"millrace_stage_batches_total", "counter", "batches run, by stage",
         offsetof(struct mr_stage_figures, batches)},
        {"millrace_stage_in_flight_highest", "gauge", "the most bursts that were in a stage",
         offsetof(struct mr_stage_figures, most_in_flight)},
    };

    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        mr_prometheus_family(to, counts[c].name, counts[c].type, counts[c].help);
        for (uint32_t i = 0; i < n; i++) {
            char group[16];
            uint64_t count;
            struct mr_prometheus_label labels[2];
            stage_labels(&stages[i], i, group, labels);
            memcpy(&count, (const char *)&stages[i] + counts[c].offset, sizeof count);
            mr_prometheus_count(to, counts[c].name, "", labels, 2, count);
        }
    }
}

/* Batches by how they came to the worker that ran them. */
static void put_stage_ways(FILE *to, const struct mr_stage_figures *stages, uint32_t n)
{
    const char *name = "millrace_stage_batches_by_way_total";

    mr_prometheus_family(to, name, "counter",
                         "batches run in a worker's own bursts, from its own deque, stolen");
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t counts[] = {stages[i].taken_in, stages[i].local, stages[i].stolen};
        static const char *const ways[] = {"own_burst", "local", "stolen"};
        for (int w = 0; w < 3; w++) {
            char group[16];
            struct mr_prometheus_label labels[3];
            stage_labels(&stages[i], i, group, labels);
            labels[2] = (struct mr_prometheus_label){"way", ways[w]};
            mr_prometheus_count(to, name, "", labels, 3, counts[w]);
        }
    }
}

static void put_workers(const struct mr_engine *engine, FILE *to)
{
    static const struct {
        const char *name, *help;
        enum mr_counter counter;
    } counts[] = {
        {"millrace_worker_tuples_total", "tuples run, by worker", MR_COUNT_TUPLES},
        {"millrace_worker_local_runs_total", "tasks of its own deque", MR_COUNT_LOCAL_RUNS},
        {"millrace_worker_steals_total", "tasks that it stole", MR_COUNT_STEALS},
        {"millrace_worker_failed_steals_total", "looks at others that found none",
         MR_COUNT_FAILED_STEALS},
        {"millrace_worker_parks_total", "times that it slept", MR_COUNT_PARKS},
    };
    struct mr_runtime_usage usage;

    mr_runtime_usage(engine->runtime, &usage);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        mr_prometheus_family(to, counts[c].name, "counter", counts[c].help);
        for (uint32_t w = 0; w < usage.workers; w++) {
            struct mr_metrics counted = {0};
            char text[16];
            mr_runtime_worker(engine->runtime, w, &counted);
            snprintf(text, sizeof text, "%u", w);
            struct mr_prometheus_label label = {"worker", text};
            mr_prometheus_count(
                to, counts[c].name, "", &label, 1,
                atomic_load_explicit(&counted.counters[counts[c].counter], memory_order_relaxed));
        }
    }
}

static void put_stages(const struct mr_engine *engine, FILE *to)
{
    uint32_t n = engine->plan->n_groups;
    struct mr_stage_figures *stages = calloc(n + MR_UNLOADED_STAGES + 1, sizeof *stages);

    for (uint32_t i = 0; stages && i < n; i++)
        if (mr_stage_figures(engine, i, &stages[i]))
            n = i;
    if (!stages)
        return;
    for (uint32_t i = 0; !mr_unloaded_stage_figures(engine, i, &stages[n]); i++)
        n++;
    put_stage_counts(to, stages, n);
    put_stage_ways(to, stages, n);
    put_stage_times(to, "millrace_stage_queueing_seconds", "how long a tuple waited for its run",
                    stages, n, offsetof(struct mr_stage_figures, queued));
    put_stage_times(to, "millrace_stage_queueing_hot_seconds",
                    "how long a tuple waited in a lane that holds an elephant", stages, n,
                    offsetof(struct mr_stage_figures, hot));
    put_stage_times(to, "millrace_stage_processing_seconds", "how long a tuple was processed",
                    stages, n, offsetof(struct mr_stage_figures, tuple));
    free(stages);
}

static void put_functions(const struct mr_engine *engine, FILE *to)
{
    const struct mr_plan *plan = engine->plan;

    mr_prometheus_family(to, "millrace_function_total", "counter",
                         "what functions of the program counted");
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = &plan->stages[s].rules[r].ops[o];
                char call[16];
                if (op->kind != MR_OP_CALL || !op->function->counters)
                    continue;
                snprintf(call, sizeof call, "%u", op->binding);
                for (uint32_t i = 0; op->function->counters[i]; i++) {
                    struct mr_prometheus_label labels[] = {
                        {"stage", plan->stages[s].name},
                        {"function", op->function->name},
                        {"call", call},
                        {"counter", op->function->counters[i]},
                    };
                    mr_prometheus_count(
                        to, "millrace_function_total", "", labels, 4,
                        mr_runtime_function_counter(engine->runtime, op->binding, i));
                }
            }
}

/* Of the same family: sums over `call` never fall. */
static void put_unloaded(const struct mr_engine *engine, FILE *to)
{
    for (const struct mr_unloaded *u = mr_unloaded_first(engine); u; u = u->next)
        for (uint32_t i = 0; u->function->counters[i] && !mr_unloaded_is_zero(u); i++) {
            struct mr_prometheus_label labels[] = {
                {"stage", u->component},
                {"function", u->function->name},
                {"call", "unloaded"},
                {"counter", u->function->counters[i]},
            };
            mr_prometheus_count(to, "millrace_function_total", "", labels, 4, u->counters[i]);
        }
}

static void put_latency(const struct mr_engine *engine, FILE *to)
{
    struct mr_times t;

    if (mr_latency_figures(engine, &t))
        return;
    mr_prometheus_family(to, "millrace_packet_latency_seconds", "summary",
                         "from being read until its burst left");
    put_times(to, "millrace_packet_latency_seconds", NULL, 0, &t);
}

static void put_all(const struct mr_engine *engine, FILE *to)
{
    put_counters(engine, to);
    if (engine->live)
        put_ports(engine, to);
    put_gauges(engine, to);
    put_stages(engine, to);
    put_workers(engine, to);
    put_latency(engine, to);
    put_functions(engine, to);
    put_unloaded(engine, to);
    mr_sites_prometheus(engine, to);
}

enum mr_status mr_prometheus_write(const struct mr_engine *engine, const char *path,
                                   struct mr_error *error)
{
    struct mr_replacement new; /* readers see the whole old file or the whole new one */
    bool standard = !strcmp(path, "-"), begun = standard || mr_replace_begin(&new, path);

    if (begun)
        put_all(engine, standard ? stdout : new.file);
    if (begun && (standard ? !fflush(stdout) && !ferror(stdout) : mr_replace_end(&new)))
        return MR_OK;
    return mr_fail(error, MR_ERR_OUTPUT, "--prometheus %s: cannot be written: %s", path,
                   strerror(errno));
}
