/* What the engine tells when it is done: a summary for people and one as JSON, and the plan of
 * memory and threads that -T prints. */
#include "engine/internal.h"

#include "capture/dpdk.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include <yajl/yajl_gen.h>

/* The figures both summaries are made of. */
struct figures {
    double seconds, cpu_seconds, start_seconds;
    uint64_t received, bytes, processed, dropped;
    uint64_t peak_kib;
    struct mr_runtime_usage usage;
    struct mr_buffers_usage buffers;
};

static uint64_t counter(const struct mr_engine *engine, enum mr_counter id)
{
    return atomic_load_explicit(&engine->metrics.counters[id], memory_order_relaxed);
}

static uint64_t drop(const struct mr_engine *engine, int id)
{
    return atomic_load_explicit(&engine->metrics.drops[id], memory_order_relaxed);
}

static void collect(const struct mr_engine *engine, struct figures *f)
{
    struct rusage usage;

    *f = (struct figures){
        .seconds = (double)(engine->ended_ns - engine->first_burst_ns) / 1e9,
        .cpu_seconds = (double)(engine->cpu_ended_ns - engine->cpu_ready_ns) / 1e9,
        .start_seconds = (double)(engine->ready_ns - engine->started_ns) / 1e9,
        .received = counter(engine, MR_COUNT_PACKETS_RECEIVED),
        .bytes = counter(engine, MR_COUNT_BYTES_RECEIVED),
        .processed = counter(engine, MR_COUNT_PACKETS_PROCESSED),
    };
    if (!engine->first_burst_ns)
        f->seconds = 0;
    for (int i = 1; i < MR_N_DROPS; i++)
        f->dropped += drop(engine, i);
    if (!getrusage(RUSAGE_SELF, &usage))
        f->peak_kib = (uint64_t)usage.ru_maxrss;
    mr_runtime_usage(engine->runtime, &f->usage);
    mr_buffers_usage(engine->buffers, &f->buffers);
}

uint64_t mr_engine_packets(const struct mr_engine *engine)
{
    return counter(engine, MR_COUNT_PACKETS_RECEIVED);
}

/* ---- for people ---- */

static void print_counters(const struct mr_engine *engine, FILE *to)
{
    static const enum mr_counter shown[] = {MR_COUNT_RESULTS,
                                            MR_COUNT_ALERTS,
                                            MR_COUNT_ANOMALIES,
                                            MR_COUNT_ANOMALIES_SUPPRESSED,
                                            MR_COUNT_FLOWS,
                                            MR_COUNT_FLOWS_EVICTED,
                                            MR_COUNT_CONTEXTS_REFUSED,
                                            MR_COUNT_DATAGRAMS_REASSEMBLED,
                                            MR_COUNT_EVENTS,
                                            MR_COUNT_EVENTS_LOST,
                                            MR_COUNT_DERIVATIONS_CUT,
                                            MR_COUNT_TOKEN_MEMORY_REFUSED};

    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (counter(engine, shown[i]) || shown[i] == MR_COUNT_RESULTS)
            fprintf(to, "  %-14llu %s\n", (unsigned long long)counter(engine, shown[i]),
                    mr_counter_text(shown[i]));
}

/* Counters of the program's functions, one line a function. */
static void print_functions(const struct mr_engine *engine, FILE *to)
{
    const struct mr_plan *plan = engine->plan;
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            for (uint32_t o = 0; o < rule->n_ops; o++) {
                const struct mr_op *op = &rule->ops[o];
                bool any = false;
                if (op->kind != MR_OP_CALL || !op->function->counters)
                    continue;
                for (uint32_t i = 0; op->function->counters[i]; i++) {
                    uint64_t v = mr_runtime_function_counter(engine->runtime, op->binding, i);
                    if (!v)
                        continue;
                    fprintf(to, "%s%s %llu", any ? ", " : "  ", op->function->counters[i],
                            (unsigned long long)v);
                    any = true;
                }
                if (any)
                    fprintf(to, "   (%s in %s)\n", op->function->name, plan->stages[s].name);
            }
        }
}

static void print_scheduler(const struct mr_engine *engine, const struct figures *f, FILE *to)
{
    uint64_t local = counter(engine, MR_COUNT_LOCAL_RUNS);
    uint64_t steals = counter(engine, MR_COUNT_STEALS);
    double share = local + steals ? 100.0 * (double)steals / (double)(local + steals) : 0;

    fprintf(
        to,
        "workers     %u, %u lanes; %llu bursts, at most %u in flight; %.1f %% of tasks stolen\n",
        f->usage.workers, f->usage.lanes, (unsigned long long)counter(engine, MR_COUNT_TOKENS),
        f->usage.max_in_flight, share);
    fprintf(to, "memory      %.1f MiB at the most; buffers %.1f MiB of %.0f MiB\n",
            (double)f->peak_kib / 1024, (double)f->buffers.peak_bytes / 1048576,
            (double)f->buffers.cap_bytes / 1048576);
    if (f->buffers.refused)
        fprintf(to, "            %llu requests for a buffer refused: raise --memory\n",
                (unsigned long long)f->buffers.refused);
}

void mr_engine_print_summary(const struct mr_engine *engine, FILE *to)
{
    struct figures f;
    collect(engine, &f);
    double seconds = f.seconds > 0 ? f.seconds : 1e-9;

    fprintf(to, "\nprogram     %s (%u rules, %u components)\n", engine->plan->name,
            engine->plan->n_rules, engine->plan->n_components);
    if (engine->stop_asked)
        fprintf(to, "stopped     before the end of the input; what was read is accounted for\n");
    fprintf(to, "packets     %llu received = %llu processed + %llu dropped; %.1f MB\n",
            (unsigned long long)f.received, (unsigned long long)f.processed,
            (unsigned long long)f.dropped, (double)f.bytes / 1e6);
    for (int i = 1; i < MR_N_DROPS; i++)
        if (drop(engine, i))
            fprintf(to, "  dropped     %-10llu %s\n", (unsigned long long)drop(engine, i),
                    mr_drop_text((enum mr_drop)i));
    fprintf(to, "time        %.3f s, %.3f s of CPU, after a start-up of %.3f s\n", f.seconds,
            f.cpu_seconds, f.start_seconds);
    fprintf(to, "rate        %.3f Gbit/s, %.0f packets/s\n", (double)f.bytes * 8 / seconds / 1e9,
            (double)f.received / seconds);
    print_scheduler(engine, &f, to);
    fprintf(to, "results\n");
    print_counters(engine, to);
    print_functions(engine, to);
}

/* ---- as JSON ---- */

static void key(yajl_gen g, const char *name)
{
    yajl_gen_string(g, (const unsigned char *)name, strlen(name));
}

static void put_int(yajl_gen g, const char *name, uint64_t value)
{
    key(g, name);
    yajl_gen_integer(g, (long long)value);
}

static void put_real(yajl_gen g, const char *name, double value)
{
    key(g, name);
    yajl_gen_double(g, value);
}

static void put_name(yajl_gen g, const char *upper, uint64_t value)
{
    char name[64];
    size_t i = 0;
    for (; upper[i] && i + 1 < sizeof name; i++)
        name[i] = upper[i] >= 'A' && upper[i] <= 'Z' ? (char)(upper[i] + 32) : upper[i];
    name[i] = '\0';
    put_int(g, name, value);
}

static void write_functions(const struct mr_engine *engine, yajl_gen g)
{
    const struct mr_plan *plan = engine->plan;
    key(g, "functions");
    yajl_gen_map_open(g);
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = &plan->stages[s].rules[r].ops[o];
                char name[192];
                if (op->kind != MR_OP_CALL || !op->function->counters)
                    continue;
                snprintf(name, sizeof name, "%s.%s", plan->stages[s].name, op->function->name);
                key(g, name);
                yajl_gen_map_open(g);
                for (uint32_t i = 0; op->function->counters[i]; i++)
                    put_int(g, op->function->counters[i],
                            mr_runtime_function_counter(engine->runtime, op->binding, i));
                yajl_gen_map_close(g);
            }
    yajl_gen_map_close(g);
}

static void write_object(const struct mr_engine *engine, yajl_gen g)
{
    struct figures f;
    collect(engine, &f);
    yajl_gen_map_open(g);
    key(g, "program");
    key(g, engine->plan->name);
    put_int(g, "workers", f.usage.workers);
    put_int(g, "lanes", f.usage.lanes);
    put_int(g, "max_in_flight", f.usage.max_in_flight);
    put_real(g, "start_seconds", f.start_seconds);
    put_real(g, "seconds", f.seconds);
    put_real(g, "cpu_seconds", f.cpu_seconds);
    put_int(g, "peak_memory_kib", f.peak_kib);
    put_int(g, "buffers_peak_bytes", f.buffers.peak_bytes);
    put_int(g, "buffers_refused", f.buffers.refused);
    key(g, "counters");
    yajl_gen_map_open(g);
    for (int i = 0; i < MR_N_COUNTERS; i++)
        put_name(g, mr_counter_name((enum mr_counter)i), counter(engine, (enum mr_counter)i));
    yajl_gen_map_close(g);
    key(g, "drops");
    yajl_gen_map_open(g);
    for (int i = 1; i < MR_N_DROPS; i++)
        put_name(g, mr_drop_name((enum mr_drop)i), drop(engine, i));
    yajl_gen_map_close(g);
    write_functions(engine, g);
    yajl_gen_map_close(g);
}

enum mr_status mr_engine_write_summary_json(const struct mr_engine *engine, const char *path,
                                            struct mr_error *error)
{
    const unsigned char *text = NULL;
    size_t len = 0;
    enum mr_status status = MR_OK;
    yajl_gen g = yajl_gen_alloc(NULL);
    FILE *file = fopen(path, "w");

    if (!file || !g) {
        status = mr_fail(error, MR_ERR_OUTPUT, "%s: cannot be written: %s", path, strerror(errno));
        goto done;
    }
    yajl_gen_config(g, yajl_gen_beautify, 1);
    write_object(engine, g);
    yajl_gen_get_buf(g, &text, &len);
    if (fwrite(text, 1, len, file) != len || fflush(file))
        status = mr_fail(error, MR_ERR_OUTPUT, "%s: cannot be written: %s", path, strerror(errno));
done:
    if (file)
        fclose(file);
    if (g)
        yajl_gen_free(g);
    return status;
}

/* ---- the plan ---- */

void mr_engine_print_plan(const struct mr_engine *engine, FILE *to)
{
    const struct mr_engine_config *c = &engine->config;
    struct mr_runtime_usage usage;
    mr_runtime_usage(engine->runtime, &usage);
    uint32_t window = mr_runtime_window(c->workers, c->tokens);
    uint32_t packets = (window + 1) * MR_BURST_MAX;

    fprintf(to, "program     %s: %u rules, %u components\n", engine->plan->name,
            engine->plan->n_rules, engine->plan->n_components);
    fprintf(to, "workers     %u, %u lanes for each context-ordered group\n", usage.workers,
            usage.lanes);
    fprintf(to, "tokens      %u at most; a source that can wait fills %u of %u packets each\n",
            c->tokens, window, c->burst);
    fprintf(to, "memory      at most, and taken as it is needed:\n");
    fprintf(to, "  %8.1f MiB buffers: mails, held segments, fragments, results (--memory)\n",
            (double)c->memory_bytes / 1048576);
    fprintf(to, "  %8.1f MiB tokens\n", (double)usage.token_bytes * window / 1048576);
    fprintf(to, "  %8.1f MiB packet buffers, %.1f MiB blocks of a capture file\n",
            (double)mr_dpdk_memory_bytes(packets) / 1048576,
            (double)mr_source_memory_bytes(packets) / 1048576);
    fprintf(
        to,
        "  %8.1f MiB flows: %llu of %llu bytes (--max-flows; a lane may hold twice its share)\n",
        (double)usage.context_bytes * (double)c->max_flows / 1048576,
        (unsigned long long)c->max_flows, (unsigned long long)usage.context_bytes);
    fprintf(to, "dpdk        %s, no hugepages\n", mr_dpdk_version());
    for (uint32_t i = 0; i < c->n_inputs; i++)
        fprintf(to, "input       %s\n", c->inputs[i]);
}
