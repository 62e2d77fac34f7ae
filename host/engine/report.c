/* Collects the figures of a run. */
#include "engine/report.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include "base/memory.h"
#include "capture/dpdk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t mr_report_counter(const struct mr_engine *engine, enum mr_counter id)
{
    return atomic_load_explicit(&engine->metrics.counters[id], memory_order_relaxed);
}

uint64_t mr_report_drop(const struct mr_engine *engine, int id)
{
    return atomic_load_explicit(&engine->metrics.drops[id], memory_order_relaxed);
}

const union mr_value *mr_call_name(const struct mr_op *op)
{
    const struct mr_operand *last = op->n_args ? &op->args[op->n_args - 1] : NULL;

    if (!op->function->n_constant || op->function->bind || !last || last->reg != MR_NO_REGISTER ||
        last->type != MR_TYPE_STRING)
        return NULL;
    return &last->constant;
}

uint32_t mr_top_flows(const struct mr_engine *engine, struct mr_top_flow *flows)
{
    return mr_top_merge(engine->tops, engine->config.workers, flows, engine->config.top);
}

const char *mr_endpoint_text(const struct mr_endpoint *endpoint, char text[MR_TEXT_BYTES + 1])
{
    text[mr_text_endpoint(text, endpoint)] = '\0';
    return text;
}

const char *mr_transport_text(const struct mr_endpoint *endpoint, char text[8])
{
    if (endpoint->protocol == 6 || endpoint->protocol == 17)
        return endpoint->protocol == 6 ? "TCP" : "UDP";
    snprintf(text, 8, "%u", endpoint->protocol);
    return text;
}

void mr_memory_plan(const struct mr_engine *engine, struct mr_memory_plan *plan)
{
    const struct mr_engine_config *c = &engine->config;
    struct mr_runtime_usage usage;
    uint32_t window = mr_engine_window(engine);
    uint32_t packets = mr_engine_held(engine);
    uint32_t buffers = engine->live ? packets : mr_source_buffers(window + 1, packets);

    mr_runtime_usage(engine->runtime, &usage);
    *plan = (struct mr_memory_plan){
        .buffers = c->memory_bytes,
        .tokens = usage.token_bytes * window,
        .packets = mr_dpdk_memory_bytes(buffers),
        .blocks = engine->live ? 0 : mr_source_memory_bytes(packets),
        .flows = usage.contexts_bytes,
        .stock = engine->live && !c->preallocate ? MR_STOCK_PAGES * MR_LARGE_PAGE_BYTES : 0,
        .device = mr_sites_memory(engine),
        .loaded = engine->loaded_bytes,
    };
    if (engine->live)
        mr_live_memory(engine->live, &plan->live);
    plan->all = plan->buffers + plan->tokens + plan->packets + plan->blocks + plan->flows +
                plan->stock + plan->device + plan->loaded + plan->live.packets + plan->live.rings +
                plan->live.bursts;
}

void mr_figures(const struct mr_engine *engine, struct mr_figures *f)
{
    struct mr_memory_plan plan;

    mr_memory_plan(engine, &plan);
    *f = (struct mr_figures){
        .start_seconds = (double)(engine->ready_ns - engine->started_ns) / 1e9,
        .received = mr_report_counter(engine, MR_COUNT_PACKETS_RECEIVED),
        .bytes = mr_report_counter(engine, MR_COUNT_BYTES_RECEIVED),
        .processed = mr_report_counter(engine, MR_COUNT_PACKETS_PROCESSED),
        .planned_bytes = plan.all,
        .local_runs = mr_report_counter(engine, MR_COUNT_LOCAL_RUNS),
        .steals = mr_report_counter(engine, MR_COUNT_STEALS),
    };
    if (engine->first_burst_ns && engine->ended_ns) {
        f->seconds = (double)(engine->ended_ns - engine->first_burst_ns) / 1e9;
        f->cpu_seconds = (double)(engine->cpu_ended_ns - engine->cpu_ready_ns) / 1e9;
    }
    if (f->local_runs + f->steals)
        f->stolen_share = (double)f->steals / (double)(f->local_runs + f->steals);
    for (int i = 1; i < MR_N_DROPS; i++)
        f->dropped += mr_report_drop(engine, i);
    f->peak_kib = mr_memory_peak() >> 10;
    mr_runtime_usage(engine->runtime, &f->usage);
    mr_buffers_usage(engine->buffers, &f->buffers);
}

static void times(const struct mr_histogram *h, double tick_ns, struct mr_times *t)
{
    *t = (struct mr_times){
        .n = mr_histogram_count(h),
        .mean = mr_histogram_mean(h) * tick_ns,
        .p50 = (double)mr_histogram_quantile(h, 0.5) * tick_ns,
        .p90 = (double)mr_histogram_quantile(h, 0.9) * tick_ns,
        .p99 = (double)mr_histogram_quantile(h, 0.99) * tick_ns,
        .p999 = (double)mr_histogram_quantile(h, 0.999) * tick_ns,
        .max = (double)atomic_load_explicit(&h->max, memory_order_relaxed) * tick_ns,
    };
}

/* Adds a word to a list with `between` in between, unless it stands there. */
static void add_word(char *list, size_t room, const char *word, size_t len, const char *between)
{
    size_t used = strlen(list);
    for (const char *at = list; (at = strstr(at, word)); at += len)
        if (!strncmp(at, word, len))
            return;
    snprintf(list + used, room - used, "%s%.*s", used ? between : "", (int)len, word);
}

void mr_stage_name(const struct mr_plan *plan, uint32_t group, char name[MR_STAGE_NAME_BYTES])
{
    const struct mr_plan_group *g = &plan->groups[group];

    name[0] = '\0';
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        size_t used = strlen(name);
        snprintf(name + used, MR_STAGE_NAME_BYTES - used, "%s%s", used ? "+" : "",
                 plan->stages[s].name);
    }
}

static void describe_group(const struct mr_plan *plan, const struct mr_plan_group *group,
                           struct mr_stage_figures *f)
{
    for (uint32_t s = group->first_stage; s < group->first_stage + group->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++)
            for (uint32_t o = 0; o < stage->rules[r].n_ops; o++) {
                const struct mr_op *op = &stage->rules[r].ops[o];
                if (op->kind == MR_OP_CALL && op->function->backends)
                    add_word(f->backends, sizeof f->backends, op->function->backends,
                             strlen(op->function->backends), ",");
            }
    }
    if (!f->backends[0])
        snprintf(f->backends, sizeof f->backends, "cpu");
    f->kind = group->kind == MR_STAGE_PARALLEL  ? "parallel"
              : group->kind == MR_STAGE_CONTEXT ? "context"
                                                : "serial";
}

static void put_figures(const struct mr_stage_metrics *m, double tick_ns,
                        struct mr_stage_figures *f)
{
    f->batches = mr_stage_batches(m);
    f->taken_in = atomic_load_explicit(&m->batches[MR_WAY_TAKEN_IN], memory_order_relaxed);
    f->local = atomic_load_explicit(&m->batches[MR_WAY_LOCAL], memory_order_relaxed);
    f->stolen = atomic_load_explicit(&m->batches[MR_WAY_STOLEN], memory_order_relaxed);
    f->most_in_flight = atomic_load_explicit(&m->most_in_flight, memory_order_relaxed);
    f->tuples = atomic_load_explicit(&m->tuples, memory_order_relaxed);
    times(&m->queued[MR_LANE_USUAL], tick_ns, &f->queued);
    times(&m->queued[MR_LANE_HOT], tick_ns, &f->hot);
    times(&m->tuple, tick_ns, &f->tuple);
    times(&m->batch, tick_ns, &f->batch);
}

enum mr_status mr_stage_figures(const struct mr_engine *engine, uint32_t group,
                                struct mr_stage_figures *f)
{
    struct mr_stage_metrics *m = aligned_alloc(64, sizeof *m);

    if (!m)
        return MR_ERR_MEMORY;
    memset(m, 0, sizeof *m);
    *f = (struct mr_stage_figures){0};
    mr_stage_name(engine->plan, group, f->name);
    describe_group(engine->plan, &engine->plan->groups[group], f);
    mr_runtime_stage(engine->runtime, group, m);
    put_figures(m, mr_runtime_tick_ns(engine->runtime), f);
    free(m);
    return MR_OK;
}

enum mr_status mr_unloaded_stage_figures(const struct mr_engine *engine, uint32_t index,
                                         struct mr_stage_figures *f)
{
    const struct mr_unloaded_stage *u = mr_unloaded_stages(engine);

    while (u && index--)
        u = u->next;
    if (!u)
        return MR_EOF;
    *f = (struct mr_stage_figures){.kind = "unloaded", .backends = "-"};
    snprintf(f->name, sizeof f->name, "%s", u->name);
    put_figures(&u->metrics, mr_runtime_tick_ns(engine->runtime), f);
    return MR_OK;
}

void mr_times_of(const struct mr_engine *engine, const struct mr_histogram *h, struct mr_times *t)
{
    times(h, mr_runtime_tick_ns(engine->runtime), t);
}

enum mr_status mr_latency_figures(const struct mr_engine *engine, struct mr_times *t)
{
    struct mr_histogram *h = calloc(1, sizeof *h);

    if (!h)
        return MR_ERR_MEMORY;
    mr_runtime_latency(engine->runtime, h);
    times(h, mr_runtime_tick_ns(engine->runtime), t);
    free(h);
    return MR_OK;
}
