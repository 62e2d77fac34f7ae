/* The summary as one JSON object. README.md of this folder tells the keys. */
#include "engine/json.h"
#include "engine/report.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include "base/open.h"
#include "base/plain.h"

#include <errno.h>
#include <string.h>

static void write_functions(const struct mr_engine *engine, yajl_gen g)
{
    const struct mr_plan *plan = engine->plan;
    mr_json_string(g, "functions");
    yajl_gen_map_open(g);
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = &plan->stages[s].rules[r].ops[o];
                char name[192];
                if (op->kind != MR_OP_CALL || !op->function->counters)
                    continue;
                snprintf(name, sizeof name, "%s.%s", plan->stages[s].name, op->function->name);
                mr_json_string(g, name);
                yajl_gen_map_open(g);
                const union mr_value *called = mr_call_name(op);
                if (called) {
                    mr_json_string(g, "name");
                    yajl_gen_string(g, called->b.ptr, called->b.len);
                }
                for (uint32_t i = 0; op->function->counters[i]; i++)
                    mr_json_int(g, op->function->counters[i],
                                mr_runtime_function_counter(engine->runtime, op->binding, i));
                yajl_gen_map_close(g);
            }
    yajl_gen_map_close(g);
}

static void write_unloaded(const struct mr_engine *engine, yajl_gen g)
{
    mr_json_string(g, "functions_unloaded");
    yajl_gen_map_open(g);
    for (const struct mr_unloaded *u = mr_unloaded_first(engine); u; u = u->next) {
        char name[192];
        if (mr_unloaded_is_zero(u))
            continue;
        snprintf(name, sizeof name, "%s.%s", u->component, u->function->name);
        mr_json_string(g, name);
        yajl_gen_map_open(g);
        for (uint32_t i = 0; u->function->counters[i]; i++)
            mr_json_int(g, u->function->counters[i], u->counters[i]);
        yajl_gen_map_close(g);
    }
    yajl_gen_map_close(g);
}

/* Nanoseconds; only the number where there is none. */
static void put_times(yajl_gen g, const char *name, const struct mr_times *t)
{
    mr_json_string(g, name);
    yajl_gen_map_open(g);
    mr_json_int(g, "n", t->n);
    if (t->n) {
        mr_json_real(g, "mean_ns", t->mean);
        mr_json_real(g, "p50_ns", t->p50);
        mr_json_real(g, "p90_ns", t->p90);
        mr_json_real(g, "p99_ns", t->p99);
        mr_json_real(g, "p999_ns", t->p999);
        mr_json_real(g, "max_ns", t->max);
    }
    yajl_gen_map_close(g);
}

static void write_stage(const struct mr_stage_figures *s, yajl_gen g)
{
    yajl_gen_map_open(g);
    mr_json_text(g, "name", s->name);
    mr_json_text(g, "kind", s->kind);
    mr_json_text(g, "backends", s->backends);
    mr_json_int(g, "tuples", s->tuples);
    mr_json_int(g, "batches", s->batches);
    mr_json_int(g, "batches_taken_in", s->taken_in);
    mr_json_int(g, "batches_local", s->local);
    mr_json_int(g, "batches_stolen", s->stolen);
    mr_json_int(g, "most_in_flight", s->most_in_flight);
    put_times(g, "queueing", &s->queued);
    put_times(g, "queueing_hot_lanes", &s->hot);
    put_times(g, "processing", &s->tuple);
    put_times(g, "processing_batch", &s->batch);
    yajl_gen_map_close(g);
}

static void write_stages(const struct mr_engine *engine, yajl_gen g)
{
    struct mr_stage_figures s;

    mr_json_string(g, "stages");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < engine->plan->n_groups; i++)
        if (!mr_stage_figures(engine, i, &s))
            write_stage(&s, g);
    yajl_gen_array_close(g);
    mr_json_string(g, "stages_unloaded");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; !mr_unloaded_stage_figures(engine, i, &s); i++)
        write_stage(&s, g);
    yajl_gen_array_close(g);
}

static void write_workers(const struct mr_engine *engine, uint32_t n, yajl_gen g)
{
    static const enum mr_counter shown[] = {
        MR_COUNT_TOKENS, MR_COUNT_BATCHES,       MR_COUNT_TUPLES, MR_COUNT_LOCAL_RUNS,
        MR_COUNT_STEALS, MR_COUNT_FAILED_STEALS, MR_COUNT_PARKS};

    mr_json_string(g, "worker_counters");
    yajl_gen_array_open(g);
    for (uint32_t w = 0; w < n; w++) {
        struct mr_metrics counted = {0};
        mr_runtime_worker(engine->runtime, w, &counted);
        yajl_gen_map_open(g);
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            mr_json_counter(
                g, mr_counter_name(shown[i]),
                atomic_load_explicit(&counted.counters[shown[i]], memory_order_relaxed));
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

static void write_top(const struct mr_engine *engine, yajl_gen g)
{
    struct mr_top_flow flows[MR_TOP_MOST];
    uint32_t n = mr_top_flows(engine, flows);

    mr_json_string(g, "top_flows");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < n; i++) {
        char text[MR_TEXT_BYTES + 1];
        yajl_gen_map_open(g);
        mr_json_text(g, "proto", mr_transport_text(&flows[i].client, text));
        mr_json_text(g, "client", mr_endpoint_text(&flows[i].client, text));
        mr_json_text(g, "server", mr_endpoint_text(&flows[i].server, text));
        if (flows[i].app_protocol)
            mr_json_text(g, "app_proto", flows[i].app_protocol);
        mr_json_int(g, "bytes", flows[i].bytes);
        mr_json_int(g, "packets", flows[i].packets);
        mr_json_int(g, "uninspected_bytes", flows[i].uninspected);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

static void write_rates(const struct mr_figures *f, uint64_t tuples, yajl_gen g)
{
    double seconds = f->seconds > 0 ? f->seconds : 1e-9;
    mr_json_real(g, "mbit_per_second", (double)f->bytes * 8 / seconds / 1e6);
    mr_json_real(g, "packets_per_second", (double)f->received / seconds);
    mr_json_real(g, "tuples_per_second", (double)tuples / seconds);
    mr_json_real(g, "stolen_share", f->stolen_share);
    mr_json_int(g, "planned_memory_bytes", f->planned_bytes);
}

static void write_object(const struct mr_engine *engine, yajl_gen g)
{
    struct mr_figures f;
    mr_figures(engine, &f);
    yajl_gen_map_open(g);
    mr_json_text(g, "program", engine->plan->name);
    mr_json_int(g, "workers", f.usage.workers);
    mr_json_int(g, "lanes", f.usage.lanes);
    mr_json_int(g, "max_in_flight", f.usage.max_in_flight);
    mr_json_int(g, "program_changes", f.usage.swaps);
    mr_json_int(g, "last_pause_microseconds", f.usage.last_pause_ns / 1000);
    mr_json_int(g, "longest_pause_microseconds", f.usage.max_pause_ns / 1000);
    mr_json_real(g, "start_seconds", f.start_seconds);
    mr_json_real(g, "seconds", f.seconds);
    mr_json_real(g, "cpu_seconds", f.cpu_seconds);
    mr_json_int(g, "peak_memory_kib", f.peak_kib);
    write_rates(&f, mr_report_counter(engine, MR_COUNT_TUPLES), g);
    mr_json_int(g, "buffers_peak_bytes", f.buffers.peak_bytes);
    mr_json_int(g, "buffers_refused", f.buffers.refused);
    mr_json_string(g, "counters");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_N_COUNTERS; i++)
        mr_json_counter(g, mr_counter_name((enum mr_counter)i),
                        mr_report_counter(engine, (enum mr_counter)i));
    yajl_gen_map_close(g);
    mr_json_string(g, "drops");
    yajl_gen_map_open(g);
    for (int i = 1; i < MR_N_DROPS; i++)
        mr_json_counter(g, mr_drop_name((enum mr_drop)i), mr_report_drop(engine, i));
    yajl_gen_map_close(g);
    if (engine->live)
        mr_live_put_accounts(engine->live, g);
    write_functions(engine, g);
    write_unloaded(engine, g);
    write_stages(engine, g);
    write_workers(engine, f.usage.workers, g);
    mr_sites_put(engine, g);
    struct mr_times latency;
    if (!mr_latency_figures(engine, &latency))
        put_times(g, "latency", &latency);
    write_top(engine, g);
    yajl_gen_map_close(g);
}

enum mr_status mr_engine_write_summary_json(const struct mr_engine *engine, const char *path,
                                            struct mr_error *error)
{
    const unsigned char *text = NULL;
    size_t len = 0;
    enum mr_status status = MR_OK;
    yajl_gen g = yajl_gen_alloc(NULL);
    bool standard = !strcmp(path, "-");
    FILE *file = standard ? stdout : mr_open_report(path);

    if (!file || !g) {
        status =
            mr_fail(error, MR_ERR_OUTPUT, "%s: cannot be written: %s", path, mr_open_text(errno));
        goto done;
    }
    yajl_gen_config(g, yajl_gen_beautify, 1);
    write_object(engine, g);
    yajl_gen_get_buf(g, &text, &len);
    if (!mr_print_json(file, (const char *)text, len) || fflush(file))
        status = mr_fail(error, MR_ERR_OUTPUT, "%s: cannot be written: %s",
                         standard ? "standard output" : path, strerror(errno));
done:
    if (file && !standard)
        fclose(file);
    if (g)
        yajl_gen_free(g);
    return status;
}
