/* The figures that all reports of a run are made of: the summary, the table of --stats, JSON,
 * Prometheus and the stats events. */
#ifndef MR_ENGINE_REPORT_H
#define MR_ENGINE_REPORT_H

#include "engine/internal.h"
#include "output/eve_text.h"

struct mr_memory_plan {
    uint64_t buffers, tokens, packets, blocks, flows, device; /* bytes at the most */
    uint64_t stock;                                           /* large pages kept ready */
    struct mr_live_memory live;                               /* of ports */
    uint64_t loaded; /* what the process had when it began: its programs with their patterns and
                        models, and what compiling these took */
    uint64_t all;
};

void mr_memory_plan(const struct mr_engine *engine, struct mr_memory_plan *plan);

/* Of one run, when it is over. */
struct mr_figures {
    double seconds, cpu_seconds, start_seconds;
    uint64_t received, bytes, processed, dropped;
    uint64_t peak_kib, planned_bytes;
    uint64_t local_runs, steals;
    double stolen_share; /* 0 .. 1, of tasks */
    struct mr_runtime_usage usage;
    struct mr_buffers_usage buffers;
};

void mr_figures(const struct mr_engine *engine, struct mr_figures *figures);

/* A histogram as people read it, in nanoseconds. */
struct mr_times {
    uint64_t n;
    double mean, p50, p90, p99, p999, max;
};

#define MR_STAGE_NAME_BYTES 160

struct mr_stage_figures {
    char name[MR_STAGE_NAME_BYTES]; /* its components, "a+b" where they run in one go */
    char backends[64];              /* of its functions */
    const char *kind;               /* "parallel", "context", "serial", "unloaded" */
    uint64_t batches, tuples;
    uint64_t taken_in, local, stolen; /* of batches: enum mr_batch_way */
    uint64_t most_in_flight;          /* bursts that were in it at once */
    struct mr_times queued;           /* per tuple: waiting */
    struct mr_times hot;              /* the same, in lanes that hold an elephant */
    struct mr_times tuple;            /* per tuple: processing */
    struct mr_times batch;            /* per batch: processing */
};

/* Of group 0 .. n_groups - 1 of the plan. MR_ERR_MEMORY: out of memory. */
enum mr_status mr_stage_figures(const struct mr_engine *engine, uint32_t group,
                                struct mr_stage_figures *figures);
/* Of stages of that name that are gone. MR_EOF: none. */
enum mr_status mr_unloaded_stage_figures(const struct mr_engine *engine, uint32_t index,
                                         struct mr_stage_figures *figures);
void mr_stage_name(const struct mr_plan *plan, uint32_t group, char name[MR_STAGE_NAME_BYTES]);
enum mr_status mr_latency_figures(const struct mr_engine *engine, struct mr_times *times);
/* A histogram of the runtime's ticks. */
void mr_times_of(const struct mr_engine *engine, const struct mr_histogram *h,
                 struct mr_times *times);

/* The name that a call counts under, as in f_traffic(PKT, "web"): a constant that is bound to
 * nothing. NULL: none. */
const union mr_value *mr_call_name(const struct mr_op *op);

/* The largest flows, largest first, into flows[MR_TOP_MOST]; returns how many. */
uint32_t mr_top_flows(const struct mr_engine *engine, struct mr_top_flow *flows);
/* An endpoint with its NUL. */
const char *mr_endpoint_text(const struct mr_endpoint *endpoint, char text[MR_TEXT_BYTES + 1]);
/* The transport protocol's name, or its number in `text`. */
const char *mr_transport_text(const struct mr_endpoint *endpoint, char text[8]);

/* A time with its unit, e.g. "12.3us"; "-" where n is 0. */
const char *mr_time_text(double ns, uint64_t n, char text[16]);

uint64_t mr_report_counter(const struct mr_engine *engine, enum mr_counter id);
uint64_t mr_report_drop(const struct mr_engine *engine, int id);

#endif
