/* What the engine tells people: the summary when it is done, and the plan of memory and threads
 * that -T prints. */
#include "engine/report.h"
#include "engine/sites.h"

#include "base/plain.h"
#include "capture/dpdk.h"

#define EXPIRED_FLOW_BYTES 2000u /* of buffers: what a flow takes that expires, with its event */

uint64_t mr_engine_packets(const struct mr_engine *engine)
{
    return mr_report_counter(engine, MR_COUNT_PACKETS_RECEIVED);
}

/* ---- for people ---- */

static void print_counters(const struct mr_engine *engine, FILE *to)
{
    static const enum mr_counter shown[] = {MR_COUNT_RESULTS,
                                            MR_COUNT_ALERTS,
                                            MR_COUNT_ACTIONS,
                                            MR_COUNT_ACTIONS_FAILED,
                                            MR_COUNT_ALARMS,
                                            MR_COUNT_ALARMS_LIMITED,
                                            MR_COUNT_ALARMS_SYSLOG_LOST,
                                            MR_COUNT_ALARM_COMMANDS_RUN,
                                            MR_COUNT_ALARM_COMMANDS_FAILED,
                                            MR_COUNT_ALARM_COMMANDS_LOST,
                                            MR_COUNT_FILES_EXTRACTED,
                                            MR_COUNT_FILES_NOT_EXTRACTED,
                                            MR_COUNT_ANOMALIES,
                                            MR_COUNT_ANOMALIES_SUPPRESSED,
                                            MR_COUNT_FLOWS,
                                            MR_COUNT_FLOWS_EVICTED,
                                            MR_COUNT_DEPTH_FLOWS,
                                            MR_COUNT_DEPTH_BYTES,
                                            MR_COUNT_BYPASSED_FLOWS,
                                            MR_COUNT_BYPASSED_BYTES,
                                            MR_COUNT_CONTEXTS_REFUSED,
                                            MR_COUNT_DATAGRAMS_REASSEMBLED,
                                            MR_COUNT_EVENTS,
                                            MR_COUNT_EVENTS_UNWRITTEN,
                                            MR_COUNT_REOPENS_FAILED,
                                            MR_COUNT_EVENTS_LOST,
                                            MR_COUNT_DERIVATIONS_CUT,
                                            MR_COUNT_TABLE_ROWS_EVICTED,
                                            MR_COUNT_TABLE_ROWS_REFUSED,
                                            MR_COUNT_TIMERS_SKIPPED,
                                            MR_COUNT_TIME_JUMPS,
                                            MR_COUNT_TOKEN_MEMORY_REFUSED};

    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (mr_report_counter(engine, shown[i]) || shown[i] == MR_COUNT_RESULTS)
            fprintf(to, "  %-14llu %s\n", (unsigned long long)mr_report_counter(engine, shown[i]),
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
                const union mr_value *name = mr_call_name(op);
                if (any && name) {
                    fprintf(to, "   (%s \"", op->function->name);
                    mr_print_plain(to, name->b.ptr, name->b.len);
                    fprintf(to, "\" in %s)\n", plan->stages[s].name);
                } else if (any) {
                    fprintf(to, "   (%s in %s)\n", op->function->name, plan->stages[s].name);
                }
            }
        }
}

static void print_scheduler(const struct mr_engine *engine, const struct mr_figures *f, FILE *to)
{
    fprintf(
        to,
        "workers     %u, %u lanes; %llu bursts, at most %u in flight; %.1f %% of tasks stolen\n",
        f->usage.workers, f->usage.lanes,
        (unsigned long long)mr_report_counter(engine, MR_COUNT_TOKENS), f->usage.max_in_flight,
        100 * f->stolen_share);
    fprintf(to, "memory      %.1f MiB at the most; buffers %.1f MiB of %.0f MiB\n",
            (double)f->peak_kib / 1024, (double)f->buffers.peak_bytes / 1048576,
            (double)f->buffers.cap_bytes / 1048576);
    if (f->buffers.refused)
        fprintf(to, "            %llu requests for a buffer refused: raise --memory\n",
                (unsigned long long)f->buffers.refused);
}

static void print_programs(const struct mr_engine *engine, FILE *to)
{
    const struct mr_plan *plan = engine->plan;
    uint32_t shared = 0;

    for (uint32_t i = 0; i < plan->n_programs; i++)
        fprintf(to, "program     %s: %u rules, %u components\n", plan->programs[i].name,
                plan->programs[i].n_rules,
                plan->programs[i].n_components - 1); /* less packet capture */
    for (uint32_t s = 0; s < plan->n_stages; s++)
        shared += !plan->stages[s].fork && plan->stages[s].users & (plan->stages[s].users - 1);
    if (plan->n_programs > 1)
        fprintf(to, "            %u components are shared\n", shared);
}

void mr_engine_print_summary(const struct mr_engine *engine, FILE *to)
{
    struct mr_figures f;
    mr_figures(engine, &f);
    double seconds = f.seconds > 0 ? f.seconds : 1e-9;

    fputc('\n', to);
    print_programs(engine, to);
    if (engine->stop_asked && !engine->live)
        fprintf(to, "stopped     before the end of the input; what was read is accounted for\n");
    fprintf(to, "packets     %llu received = %llu processed + %llu dropped; %.1f MB\n",
            (unsigned long long)f.received, (unsigned long long)f.processed,
            (unsigned long long)f.dropped, (double)f.bytes / 1e6);
    for (int i = 1; i < MR_N_DROPS; i++)
        if (mr_report_drop(engine, i))
            fprintf(to, "  dropped     %-10llu %s\n", (unsigned long long)mr_report_drop(engine, i),
                    mr_drop_text((enum mr_drop)i));
    if (engine->live)
        mr_live_print_accounts(engine->live, to);
    fprintf(to, "time        %.3f s, %.3f s of CPU, after a start-up of %.3f s\n", f.seconds,
            f.cpu_seconds, f.start_seconds);
    fprintf(to, "rate        %.3f Gbit/s, %.0f packets/s\n", (double)f.bytes * 8 / seconds / 1e9,
            (double)f.received / seconds);
    print_scheduler(engine, &f, to);
    mr_sites_print(engine, to);
    mr_sites_print_work(engine, to);
    fprintf(to, "results\n");
    print_counters(engine, to);
    print_functions(engine, to);
}

/* ---- the plan ---- */

void mr_engine_print_plan(const struct mr_engine *engine, FILE *to)
{
    const struct mr_engine_config *c = &engine->config;
    struct mr_runtime_usage usage;
    mr_runtime_usage(engine->runtime, &usage);
    uint32_t window = mr_engine_window(engine);
    struct mr_memory_plan plan;
    mr_memory_plan(engine, &plan);

    print_programs(engine, to);
    fprintf(to, "workers     %u, %u lanes for each context-ordered group\n", usage.workers,
            usage.lanes);
    fprintf(to, "tokens      %u at most; a source that can wait fills %u of %u packets each\n",
            c->tokens, window, c->burst);
    fprintf(to, "memory      at most, and taken as it is needed%s:\n",
            c->preallocate ? ", that of flows at once" : "");
    fprintf(to, "  %8.1f MiB buffers: mails, held segments, fragments, results (--memory)\n",
            (double)plan.buffers / 1048576);
    if (plan.buffers / EXPIRED_FLOW_BYTES < c->max_flows) /* their token's memory is all of it */
        fprintf(to, "               room for events of %llu flows that expire at one second\n",
                (unsigned long long)(plan.buffers / EXPIRED_FLOW_BYTES));
    fprintf(to, "  %8.1f MiB tokens\n", (double)plan.tokens / 1048576);
    if (!engine->live)
        fprintf(to, "  %8.1f MiB packet buffers, %.1f MiB blocks of a capture file\n",
                (double)plan.packets / 1048576, (double)plan.blocks / 1048576);
    fprintf(to,
            "  %8.1f MiB flows: %llu of %llu bytes (--max-flows, and what may be over for "
            "a moment)\n",
            (double)plan.flows / 1048576, (unsigned long long)c->max_flows,
            (unsigned long long)usage.context_bytes);
    if (plan.stock)
        fprintf(to, "  %8.1f MiB that flows that begin find ready\n", (double)plan.stock / 1048576);
    if (engine->live)
        mr_live_print_plan(engine->live, to);
    if (plan.device)
        fprintf(to, "  %8.1f MiB batches for the device\n", (double)plan.device / 1048576);
    fprintf(to, "  %8.1f MiB the process with its programs, their patterns and models\n",
            (double)plan.loaded / 1048576);
    fprintf(to, "  %8.1f MiB altogether\n", (double)plan.all / 1048576);
    mr_sites_print(engine, to);
    fprintf(to, "dpdk        %s, no hugepages\n", mr_dpdk_version());
    for (uint32_t i = 0; i < c->n_inputs; i++)
        fprintf(to, "input       %s\n", c->inputs[i]);
}
