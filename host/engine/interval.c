/* What is told while a run goes on: a stats event and the Prometheus file at each interval of
 * packet time, and once more at the end. All of it runs in the output turn, or after the run. */
#include "engine/report.h"
#include "engine/sites.h"

#include "base/clock.h"
#include "base/replace.h"

#include <ctype.h>
#include <string.h>

#define SECOND_NS 1000000000u
#define SWEEP_NS  (60ull * SECOND_NS)
#define FLUSH_NS  100000000u
/* A stats event at the most: counters and flows, and the accounts of each queue. */
#define RECORD_BYTES 131072u
#define QUEUE_BYTES  2048u

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void mr_metrics_refresh(struct mr_engine *engine)
{
    memset(&engine->metrics, 0, sizeof engine->metrics);
    mr_runtime_metrics(engine->runtime, &engine->metrics);
    if (engine->live) {
        mr_live_metrics(engine->live, &engine->metrics);
        mr_live_check(engine->live);
    }
    mr_sites_metrics(engine, &engine->metrics);
    mr_metrics_add(&engine->metrics, MR_COUNT_EVENTS_UNWRITTEN, load(&engine->unwritten));
    mr_alarms_count(engine->alarms, &engine->metrics);
    mr_metrics_sum(&engine->metrics, &engine->past_alarms);
}

const char *mr_interval_write(struct mr_engine *engine)
{
    const char *failure = NULL;
    uint64_t lost;

    mr_writer_flush(engine->writer);
    if (mr_writer_was_made_again(engine->writer))
        fprintf(engine->config.diagnostics,
                "millrace: %s/eve.json was removed; it was made again\n",
                engine->config.log_folder);
    mr_writer_state(engine->writer, NULL, &lost, &failure);
    atomic_store_explicit(&engine->unwritten, lost, memory_order_relaxed);
    return failure;
}

static const char *lower(const char *name, char *to, size_t room)
{
    size_t i = 0;
    for (; name[i] && i + 1 < room; i++)
        to[i] = (char)tolower((unsigned char)name[i]);
    to[i] = '\0';
    return to;
}

/* Latency of the packets that left since the last event, in nanoseconds. */
static void put_latency(struct mr_engine *engine, struct mr_eve *eve)
{
    struct mr_interval *interval = &engine->interval;
    struct mr_times t;

    memset(&interval->latency_now, 0, sizeof interval->latency_now);
    mr_runtime_latency(engine->runtime, &interval->latency_now);
    mr_histogram_subtract(&interval->latency_now, &interval->latency);
    mr_times_of(engine, &interval->latency_now, &t);
    mr_eve_object(eve, "latency");
    mr_eve_int(eve, "packets", (int64_t)t.n);
    mr_eve_int(eve, "p50_ns", (int64_t)t.p50);
    mr_eve_int(eve, "p99_ns", (int64_t)t.p99);
    mr_eve_int(eve, "p999_ns", (int64_t)t.p999);
    mr_eve_end(eve);
}

/* The account of each port and queue, or what was added to it; `waiting` is on its way. */
static void put_ports(const struct mr_engine *engine, struct mr_eve *eve, bool since)
{
    struct mr_live_account a;
    char name[64];

    mr_eve_array(eve, "ports");
    for (uint32_t i = 0; mr_live_interval(engine->live, i, since, &a); i++) {
        mr_eve_object(eve, NULL);
        mr_eve_string(eve, "port", a.port, strlen(a.port));
        mr_eve_int(eve, "queue", a.queue);
        mr_eve_int(eve, "received", (int64_t)a.received);
        mr_eve_int(eve, "processed", (int64_t)a.processed);
        mr_eve_int(eve, "waiting", (int64_t)a.waiting);
        mr_eve_object(eve, "drops");
        for (int d = 1; d < MR_N_DROPS; d++)
            if (a.dropped[d])
                mr_eve_int(eve, lower(mr_drop_name((enum mr_drop)d), name, sizeof name),
                           (int64_t)a.dropped[d]);
        mr_eve_end(eve);
        mr_eve_end(eve);
    }
    mr_eve_end(eve);
}

/* What came in since the last event, a second. */
static void put_rates(struct mr_engine *engine, struct mr_eve *eve, double seconds)
{
    const struct mr_metrics *now = &engine->metrics, *then = &engine->interval.last;
    static const struct {
        enum mr_counter counter;
        const char *name;
        double factor;
    } rates[] = {{MR_COUNT_PACKETS_RECEIVED, "packets_per_second", 1},
                 {MR_COUNT_PACKETS_PROCESSED, "packets_processed_per_second", 1},
                 {MR_COUNT_BYTES_RECEIVED, "mbit_per_second", 8e-6},
                 {MR_COUNT_PACKETS_DROPPED, "packets_dropped_per_second", 1},
                 {MR_COUNT_TUPLES, "tuples_per_second", 1},
                 {MR_COUNT_RESULTS, "results_per_second", 1},
                 {MR_COUNT_ALERTS, "alerts_per_second", 1},
                 {MR_COUNT_FLOWS, "flows_per_second", 1},
                 {MR_COUNT_EVENTS, "events_per_second", 1}};

    mr_eve_object(eve, "interval");
    mr_eve_real(eve, "seconds", seconds);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint64_t n =
            load(&now->counters[rates[i].counter]) - load(&then->counters[rates[i].counter]);
        mr_eve_real(eve, rates[i].name, (double)n * rates[i].factor / seconds);
    }
    mr_eve_object(eve, "drops_per_second");
    for (int i = 1; i < MR_N_DROPS; i++) {
        char name[64];
        /* a fragment that was held may have moved to those that came too late */
        int64_t n = (int64_t)(load(&now->drops[i]) - load(&then->drops[i]));
        if (n)
            mr_eve_real(eve, lower(mr_drop_name((enum mr_drop)i), name, sizeof name),
                        (double)n / seconds);
    }
    mr_eve_end(eve);
    if (engine->live)
        put_ports(engine, eve, true);
    put_latency(engine, eve);
    mr_eve_end(eve);
}

static void put_top(struct mr_engine *engine, struct mr_eve *eve)
{
    struct mr_top_flow flows[MR_TOP_MOST];
    uint32_t n = mr_top_flows(engine, flows);

    if (n)
        mr_eve_array(eve, "top_flows");
    for (uint32_t i = 0; i < n; i++) {
        const char *app = flows[i].app_protocol;
        char text[8];
        const char *transport = mr_transport_text(&flows[i].client, text);
        mr_eve_object(eve, NULL);
        mr_eve_string(eve, "proto", transport, strlen(transport));
        mr_eve_address(eve, "client", &flows[i].client);
        mr_eve_address(eve, "server", &flows[i].server);
        if (app)
            mr_eve_string(eve, "app_proto", app, strlen(app));
        mr_eve_int(eve, "bytes", (int64_t)flows[i].bytes);
        mr_eve_int(eve, "packets", (int64_t)flows[i].packets);
        mr_eve_int(eve, "uninspected_bytes", (int64_t)flows[i].uninspected);
        mr_eve_end(eve);
    }
    if (n)
        mr_eve_end(eve);
}

static void write_event(struct mr_engine *engine, uint64_t time_ns)
{
    struct mr_interval *interval = &engine->interval;
    uint64_t until = engine->ended_ns ? engine->ended_ns : mr_clock_ns();
    uint32_t queues = engine->live ? mr_live_queues(engine->live) : 0;
    struct mr_eve_config config = {.max_record_bytes = RECORD_BYTES + queues * QUEUE_BYTES};
    struct mr_eve *eve = NULL;
    char name[64];
    size_t len;

    if (engine->config.ordered || !mr_events_wanted(engine, "stats") || mr_eve_new(&eve, &config))
        return;
    if (engine->live)
        mr_live_interval_begin(engine->live);
    mr_eve_begin(eve, &(struct mr_eve_header){.type = "stats", .time_ns = time_ns});
    mr_eve_object(eve, "stats");
    mr_eve_int(eve, "uptime", (int64_t)((until - engine->started_ns) / SECOND_NS));
    for (int i = 0; i < MR_N_COUNTERS; i++)
        mr_eve_int(eve, lower(mr_counter_name((enum mr_counter)i), name, sizeof name),
                   (int64_t)load(&engine->metrics.counters[i]));
    mr_eve_object(eve, "drops");
    for (int i = 1; i < MR_N_DROPS; i++)
        mr_eve_int(eve, lower(mr_drop_name((enum mr_drop)i), name, sizeof name),
                   (int64_t)load(&engine->metrics.drops[i]));
    mr_eve_end(eve);
    if (engine->live)
        put_ports(engine, eve, false);
    if (interval->begun && time_ns > interval->last_ns)
        put_rates(engine, eve, (double)(time_ns - interval->last_ns) / SECOND_NS);
    put_top(engine, eve);
    mr_eve_end(eve);
    const char *bytes = mr_eve_finish(eve, &len);
    if (bytes)
        mr_writer_record(engine->writer, bytes, len);
    mr_eve_free(eve);
}

enum mr_status mr_interval_open(struct mr_engine *engine, struct mr_error *error)
{
    /* who cannot write there learns it now and not when the traffic is over */
    const char *path = engine->config.prometheus;
    const char *coming[] = {engine->config.extract, mr_writer_folder(engine->config.log_folder),
                            NULL};

    if (path && !strcmp(path, "-"))
        return MR_OK;
    enum mr_status status = path ? mr_may_replace(path, error) : MR_OK;
    if (!path || status || !engine->config.plan_only)
        return path && !status ? mr_prometheus_write(engine, path, error) : status;
    int why = mr_may_put(path, mr_coming(coming));
    return why ? mr_fail(error, MR_ERR_OUTPUT, "--prometheus %s: cannot be written: %s", path,
                         strerror(why))
               : MR_OK;
}

/* The kernel counts in 32 bits and forgets what it has told: it is asked long before they are full.
 */
static void sweep(struct mr_engine *engine, uint64_t time_ns)
{
    struct mr_interval *interval = &engine->interval;

    if (!engine->live || (time_ns >= interval->swept_ns && time_ns - interval->swept_ns < SWEEP_NS))
        return;
    interval->swept_ns = time_ns;
    mr_metrics_refresh(engine);
}

void mr_interval_pass(struct mr_engine *engine, uint64_t time_ns)
{
    struct mr_interval *interval = &engine->interval;
    uint64_t length_ns = (uint64_t)engine->config.stats_interval_s * SECOND_NS;

    if (!time_ns)
        return;
    sweep(engine, time_ns);
    if (!length_ns)
        return;
    if (!interval->begun) {
        interval->begun = true;
        interval->last_ns = time_ns;
        mr_runtime_latency(engine->runtime, &interval->latency);
        return;
    }
    if (time_ns - interval->last_ns < length_ns)
        return;
    mr_metrics_refresh(engine);
    write_event(engine, time_ns);
    mr_interval_write(engine);
    interval->last = engine->metrics;
    interval->last_ns = time_ns;
    memset(&interval->latency, 0, sizeof interval->latency);
    mr_runtime_latency(engine->runtime, &interval->latency);
    const char *path = engine->config.prometheus;
    if (path && strcmp(path, "-") != 0) { /* a failure is told at the end, should it last */
        struct mr_error error;
        mr_prometheus_write(engine, path, &error);
    }
}

void mr_interval_reopen(struct mr_engine *engine, struct mr_metrics *metrics)
{
    struct mr_interval *interval = &engine->interval;
    FILE *to = engine->config.diagnostics;
    struct mr_error error;
    uint32_t asked = atomic_exchange_explicit(&engine->reopen_asked, 0, memory_order_relaxed);

    if (!asked && mr_clock_ns() < interval->reopen_ns)
        return;
    if (!mr_writer_reopen(engine->writer, &error)) {
        if (interval->reopen_ns)
            fprintf(to, "millrace: %s/eve.json could be opened; events go there from now on\n",
                    engine->config.log_folder);
        interval->reopen_ns = 0;
        return;
    }
    mr_metrics_add(metrics, MR_COUNT_REOPENS_FAILED, 1);
    if (!interval->reopen_ns || asked)
        fprintf(to, "millrace: %s; events %s, and it is tried again each second\n", error.text,
                mr_writer_is_removed(engine->writer)
                    ? "are lost, as the file of before was removed"
                    : "go on to the file of before, which was moved");
    interval->reopen_ns = mr_clock_ns() + SECOND_NS;
}

/* Where what was removed cannot be made again that is told once, also when no events come. */
static void tell_removed(struct mr_engine *engine)
{
    struct mr_interval *interval = &engine->interval;
    struct mr_error error;
    bool removed = mr_writer_is_removed(engine->writer) &&
                   (interval->told_removed || mr_writer_reopen(engine->writer, &error));

    if (removed && !interval->told_removed)
        fprintf(engine->config.diagnostics,
                "millrace: eve.json was removed, and so are events until it can be made again: "
                "%s\n",
                error.text);
    interval->told_removed = removed;
}

void mr_interval_flush(struct mr_engine *engine, uint64_t time_ns)
{
    struct mr_interval *interval = &engine->interval;

    if (time_ns >= interval->flushed_ns && time_ns - interval->flushed_ns < FLUSH_NS)
        return;
    interval->flushed_ns = time_ns;
    const char *failure = mr_interval_write(engine);
    tell_removed(engine);
    if (failure && !interval->told && !interval->told_removed)
        fprintf(engine->config.diagnostics,
                "millrace: %s; it goes on, and counts the records that are lost\n", failure);
    interval->told = failure != NULL;
}

enum mr_status mr_interval_end(struct mr_engine *engine, struct mr_error *error)
{
    const uint64_t before = load(&engine->unwritten);

    write_event(engine, engine->live ? mr_live_now_ns(engine->live) : engine->intake.sift.last_ns);
    mr_interval_write(engine); /* also that event may be lost */
    mr_metrics_add(&engine->metrics, MR_COUNT_EVENTS_UNWRITTEN, load(&engine->unwritten) - before);
    return engine->config.prometheus ? mr_prometheus_write(engine, engine->config.prometheus, error)
                                     : MR_OK;
}
