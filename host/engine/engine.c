/* The engine: the one place that knows every folder. Loads a program, starts what it needs, runs.
 */
#include "engine/anomaly_caps.h"
#include "engine/report.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include "base/clock.h"
#include "base/cores.h"
#include "base/memory.h"
#include "capture/card.h"
#include "capture/dpdk.h"
#include "mime/mime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE_SPINS    4000 /* of a worker, where packets are live and there are cores to spare */
#define MAX_WORKERS    127  /* DPDK's RTE_MAX_LCORE less one */
#define MANY_WORKERS   8    /* a token of live capture is better large */
#define DEFAULT_MEMORY ((uint64_t)2 << 30)

/* Is there such an event? Programs that come later may have more. */
static enum mr_status check_event_types(const struct mr_engine *engine, struct mr_error *error)
{
    static const char *const known[] = {"alert", "action", "anomaly", "fileinfo", "flow",
                                        "smtp",  "stats",  "table",   "watch",    "none"};

    if (engine->config.control || engine->config.n_at_packets)
        return MR_OK;
    for (uint32_t i = 0; i < engine->n_event_types; i++) {
        const char *type = engine->event_types[i];
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || !strcmp(known[k], type);
        for (uint32_t p = 0; p < engine->plan->n_predicates; p++)
            found = found || !strcmp(engine->plan->predicates[p].name, type);
        if (!found)
            return mr_fail(
                error, MR_ERR_USAGE,
                "--events %s: no event is called so: give alert, action, anomaly, "
                "fileinfo, flow, smtp, stats, table, watch, none, program or a predicate "
                "that leaves the program",
                type);
    }
    return MR_OK;
}

/* Capture threads want cores of their own where there are enough. */
static uint32_t default_workers(const struct mr_engine_config *config, uint32_t cores)
{
    uint64_t all = cores < MAX_WORKERS ? cores : MAX_WORKERS;
    uint64_t threads = (uint64_t)config->n_ports * config->queues;
    uint64_t half = (all + 1) / 2;
    if (!threads || all <= 2)
        return (uint32_t)all;
    return (uint32_t)(all > threads + half ? all - threads : half);
}

/* No core is left for the kernel, which brings the packets: who spins takes it from whoever has
 * something to do, for as long as a turn lasts (milliseconds). */
static bool is_crowded(const struct mr_engine_config *config, uint32_t cores)
{
    return (uint64_t)config->n_ports * config->queues + config->workers >= cores;
}

/* Small enough that what is derived from it stays in the second-level cache; but where several
 * workers share a file, all that one of them reads ahead at a time: each burst is split onto lanes
 * and passes gates, where it costs cache lines that go from core to core. For the same reason many
 * workers take more of what a port has at a time, where so much waits. */
static uint32_t usual_burst(const struct mr_engine_config *config)
{
    if (config->workers > 1 && !config->n_ports)
        return MR_BURST_MAX;
    return config->workers < MANY_WORKERS ? MR_BURST_USUAL : 2 * MR_BURST_USUAL;
}

static enum mr_status settle(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_engine_config *config = &engine->config;

    engine->cores = mr_cores();
    if (!config->queues)
        config->queues = 1;
    if (!config->workers)
        config->workers = default_workers(config, engine->cores);
    if (!config->tokens)
        config->tokens = 1000;
    if (!config->burst)
        config->burst = usual_burst(config);
    if (!config->memory_bytes)
        config->memory_bytes = DEFAULT_MEMORY;
    if (!config->max_flows)
        config->max_flows = 1u << 20;
    if (!config->diagnostics)
        config->diagnostics = stderr;
    if (!config->offload_deadline_set)
        config->offload_deadline_ns = 2000000;
    if (config->workers > MAX_WORKERS)
        return mr_fail(error, MR_ERR_USAGE,
                       "--workers %u is too many: give 1 to %u (%u cores can be used here)",
                       config->workers, MAX_WORKERS, engine->cores);
    if (config->burst > MR_BURST_MAX)
        return mr_fail(error, MR_ERR_USAGE, "--burst %u is too many: give 1 to %u", config->burst,
                       MR_BURST_MAX);
    if (config->queues > MR_PORT_QUEUES_MAX)
        return mr_fail(error, MR_ERR_USAGE, "--queues %u is too many: give 1 to %u", config->queues,
                       MR_PORT_QUEUES_MAX);
    if (config->n_ports && config->n_inputs)
        return mr_fail(error, MR_ERR_USAGE,
                       "files (-r) and live capture (-i) exclude each other: give one of them");
    for (uint32_t i = 0; i < config->n_ports; i++)
        for (uint32_t j = 0; j < i; j++)
            if (mr_port_same(config->ports[i], config->ports[j]))
                return mr_fail(error, MR_ERR_USAGE,
                               "-i %s and -i %s name the same port: its packets would count twice",
                               config->ports[j], config->ports[i]);
    if (config->tokens > 1u << 20)
        return mr_fail(error, MR_ERR_USAGE, "--tokens %u is too many: give 1 to %u", config->tokens,
                       1u << 20);
    if (config->lanes > 1u << 16)
        return mr_fail(error, MR_ERR_USAGE, "--lanes %u is too many: give 1 to %u", config->lanes,
                       1u << 16);
    return mr_syslog_check(config->syslog, error);
}

static enum mr_status read_event_types(struct mr_engine *engine, struct mr_error *error)
{
    const char *list = engine->config.event_types;
    char *rest = NULL;

    if (!list)
        return MR_OK;
    engine->event_type_text = strdup(list);
    if (!engine->event_type_text)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    for (char *type = strtok_r(engine->event_type_text, ", ", &rest); type;
         type = strtok_r(NULL, ", ", &rest)) {
        if (!strcmp(type, "program")) {
            engine->program_events = true;
            continue;
        }
        if (engine->n_event_types == MR_MAX_EVENT_TYPES)
            return mr_fail(error, MR_ERR_USAGE, "--events: more than %u types", MR_MAX_EVENT_TYPES);
        engine->event_types[engine->n_event_types++] = type;
    }
    return MR_OK;
}

/* With what the inputs want of it: packets of files, or network cards. */
static enum mr_status start_dpdk(struct mr_engine *engine, struct mr_error *error)
{
    const struct mr_engine_config *config = &engine->config;
    struct mr_dpdk_config dpdk = {
        .max_packets = mr_engine_held(engine),
        .verbose = config->verbose,
        .no_huge = config->no_huge,
    };
    enum mr_status status = MR_OK;
    const char **cards = calloc(config->n_ports + 1, sizeof *cards);
    if (!cards)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < config->n_ports && !status; i++)
        if (mr_port_kind_of(config->ports[i]) == MR_PORT_CARD) {
            cards[dpdk.n_cards++] = config->ports[i];
            status = mr_card_check(config->ports[i], config->no_huge, error);
        }
    dpdk.cards = cards;
    dpdk.card_bytes =
        (uint64_t)dpdk.n_cards *
        (mr_live_packets(config) + config->queues * mr_port_own_packets(MR_PORT_CARD)) * 4096;
    if (!status) {
        status = mr_dpdk_start(&dpdk, error);
        engine->dpdk_started = !status;
    }
    free(cards);
    return status;
}

static enum mr_status make_tops(struct mr_engine *engine)
{
    uint32_t n = engine->config.workers;

    engine->tops = aligned_alloc(64, n * sizeof *engine->tops);
    if (!engine->tops)
        return MR_ERR_MEMORY;
    memset(engine->tops, 0, n * sizeof *engine->tops);
    for (uint32_t i = 0; i < n; i++)
        if (mr_top_init(&engine->tops[i], engine->config.top))
            return MR_ERR_MEMORY;
    return MR_OK;
}

static enum mr_status open_writer(struct mr_engine *engine, struct mr_error *error)
{
    const struct mr_engine_config *config = &engine->config;
    const char *folder = config->log_folder;
    enum mr_status status = config->plan_only ? mr_writer_check(folder, error) : MR_OK;

    return status ? status
                  : mr_writer_open(&engine->writer, config->plan_only ? NULL : folder,
                                   config->n_ports, error);
}

static enum mr_status start(struct mr_engine *engine, struct mr_error *error)
{
    const struct mr_engine_config *config = &engine->config;
    struct mr_runtime_config runtime = {
        .plan = engine->plan,
        .hooks = {.user = engine,
                  .intake = config->n_ports ? mr_live_read : mr_intake_read,
                  .ahead = config->n_ports ? NULL : mr_intake_ahead,
                  .ready = config->n_ports ? mr_live_ready : NULL,
                  .worker_open = mr_events_worker_open,
                  .worker_close = mr_events_worker_close,
                  .leave = mr_events_leave,
                  .watch = mr_events_watch,
                  .flow_closed = mr_events_flow_closed,
                  .flow_grown = mr_events_flow_grown,
                  .retire = mr_events_retire,
                  .release = mr_events_release},
        .workers = config->workers,
        .tokens = config->tokens,
        .lanes = config->lanes,
        .burst = config->burst,
        .max_contexts = config->max_flows,
        .preallocate = config->preallocate && !config->plan_only,
        .depth = config->depth,
        .bypass_encrypted = config->programs.bypass_encrypted,
        .yield_seed = config->yield_seed,
    };
    enum mr_status status;

    if ((status = mr_devices_open(engine, error)))
        return status;
    if (engine->device.backend)
        runtime.hooks.device = mr_sites_hooks();
    runtime.window = mr_engine_window(engine);
    if (engine->device.backend) /* it wants its batches filled */
        runtime.few = runtime.window;
    if (mr_secret_draw(&engine->secret, config->seed))
        return mr_fail(error, MR_ERR_START, "the kernel gives no random numbers (getrandom)");
    runtime.secret = engine->secret;
    if ((status = mr_buffers_new(&engine->buffers, config->memory_bytes)))
        return mr_fail(error, status, "out of memory for the buffer pool");
    runtime.buffers = engine->buffers;
    if ((status = mr_pages_new(&engine->pages)))
        return mr_fail(error, status, "cannot start a thread for memory");
    runtime.pages = engine->pages;
    /* flows that begin do not wait for memory; of files nobody asks for that */
    if (config->n_ports && !config->preallocate)
        mr_pages_expect(engine->pages, MR_STOCK_PAGES);
    if (!(engine->charsets = mr_mime_charsets_keep()))
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    if ((status = make_tops(engine)))
        return mr_fail(error, status, "out of memory for the largest flows");
    if ((status = open_writer(engine, error)))
        return status;
    if ((status = mr_extractor_open(engine, error)))
        return status;
    if ((status = start_dpdk(engine, error)))
        return status;
    if ((status = mr_intake_open(engine, error)))
        return status;
    if ((status = mr_live_open(&engine->live, engine, error)))
        return status;
    if (engine->live)
        engine->live->crowded = is_crowded(config, engine->cores);
    if (engine->live && !engine->live->crowded)
        runtime.spins = SPARE_SPINS;
    if ((status = mr_runtime_new(&engine->runtime, &runtime, error)))
        return status;
    if ((status = mr_sites_open(&engine->sites, engine, engine->plan, NULL, error)))
        return status;
    if ((status = mr_actuator_open(engine, error)))
        return status;
    if ((status = mr_alarms_open(&engine->alarms, engine->plan, config->syslog, &engine->commands,
                                 config->diagnostics, error)))
        return status;
    if ((status = mr_interval_open(engine, error)))
        return status;
    return mr_control_open(engine, error);
}

/* Less what was taken for flows, which the plan of memory has by itself. */
static uint64_t loaded_bytes(const struct mr_engine *engine)
{
    struct mr_runtime_usage usage;
    uint64_t peak = mr_memory_peak();

    mr_runtime_usage(engine->runtime, &usage);
    return peak > usage.preallocated_bytes ? peak - usage.preallocated_bytes : 0;
}

enum mr_status mr_engine_new(struct mr_engine **out, const struct mr_engine_config *config,
                             struct mr_error *error)
{
    uint64_t started_ns = mr_clock_ns();
    struct mr_engine *engine = aligned_alloc(64, (sizeof *engine + 63) / 64 * 64);

    if (!engine)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    memset(engine, 0, sizeof *engine);
    pthread_mutex_init(&engine->change_lock, NULL);
    pthread_mutex_init(&engine->edit_lock, NULL);
    engine->config = *config;
    engine->started_ns = started_ns;
    enum mr_status status = settle(engine, error);
    engine->anomaly_caps = mr_anomaly_caps_new();
    if (!status && !engine->anomaly_caps)
        status = mr_fail(error, MR_ERR_MEMORY, "out of memory");
    if (!status)
        status = read_event_types(engine, error);
    if (!status) {
        status = mr_load_programs(&config->programs, engine->config.diagnostics, engine->programs,
                                  error);
        engine->n_programs = config->programs.n_files;
    }
    if (!status) {
        status = mr_load_plan(engine->programs, engine->n_programs, NULL, false,
                              engine->config.diagnostics, &engine->plan);
        if (status)
            mr_fail(error, status, "%s", "");
    }
    if (!status)
        status = check_event_types(engine, error);
    if (!status)
        status = start(engine, error);
    if (status) {
        mr_engine_free(engine);
        return status;
    }
    engine->ready_ns = mr_clock_ns();
    engine->loaded_bytes = loaded_bytes(engine);
    engine->cpu_ready_ns = mr_clock_cpu_ns();
    *out = engine;
    return MR_OK;
}

void mr_engine_free(struct mr_engine *engine)
{
    if (!engine)
        return;
    mr_control_close(engine);
    mr_live_close(engine->live);
    mr_sites_close(engine->sites); /* tells the runtime of batches */
    mr_keeper_close(engine->keeper);
    mr_runtime_free(engine->runtime);
    mr_unloaded_free(engine);
    mr_alarms_close(engine->alarms, NULL);
    mr_actuator_close(engine);
    mr_intake_close(engine);
    mr_extractor_close(engine, NULL);
    if (engine->writer)
        mr_writer_close(engine->writer, NULL);
    mr_plan_free(engine->plan);
    mr_load_release(engine->programs);
    if (engine->dpdk_started)
        mr_dpdk_stop();
    mr_pages_free(engine->pages);
    mr_buffers_free(engine->buffers);
    mr_mime_charsets_release(engine->charsets); /* behind all decoders: of workers, programs */
    for (uint32_t i = 0; engine->tops && i < engine->config.workers; i++)
        mr_top_free(&engine->tops[i]);
    free(engine->tops);
    free(engine->event_type_text);
    mr_anomaly_caps_free(engine->anomaly_caps);
    pthread_mutex_destroy(&engine->change_lock);
    pthread_mutex_destroy(&engine->edit_lock);
    free(engine);
}

/* What fragments are still held when the input ends were never completed. */
static void settle_fragments(struct mr_engine *engine)
{
    uint32_t held = mr_fragments_held(engine->intake.sift.fragments);
    atomic_fetch_sub_explicit(&engine->metrics.drops[MR_DROP_FRAGMENT_HELD], held,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&engine->metrics.drops[MR_DROP_FRAGMENT_TIMEOUT], held,
                              memory_order_relaxed);
}

/* Invariant I3: nothing is lost without a reason; of a port, on every queue. */
static enum mr_status check_conservation(const struct mr_engine *engine, struct mr_error *error)
{
    const struct mr_metrics *m = &engine->metrics;
    uint64_t received = atomic_load(&m->counters[MR_COUNT_PACKETS_RECEIVED]);
    uint64_t processed = atomic_load(&m->counters[MR_COUNT_PACKETS_PROCESSED]);
    uint64_t dropped = 0;
    struct mr_live_account account;

    for (int i = 1; i < MR_N_DROPS; i++)
        dropped += atomic_load(&m->drops[i]);
    if (received != processed + dropped)
        return mr_fail(error, MR_ERR_INTERNAL,
                       "packets do not add up: %llu received, %llu processed, %llu dropped; please "
                       "report this",
                       (unsigned long long)received, (unsigned long long)processed,
                       (unsigned long long)dropped);
    if (engine->live && engine->live->unbalanced)
        return mr_fail(error, MR_ERR_INTERNAL,
                       "packets of a port did not add up at %u intervals; please report this",
                       engine->live->unbalanced);
    for (uint32_t i = 0; engine->live && mr_live_account(engine->live, i, &account); i++)
        if (account.waiting || account.unknown)
            return mr_fail(error, MR_ERR_INTERNAL,
                           "packets of %s, queue %u, do not add up: %llu received, %llu processed, "
                           "%lld neither processed nor dropped, %llu more than the device counted; "
                           "please report this",
                           account.port, account.queue, (unsigned long long)account.received,
                           (unsigned long long)account.processed, (long long)account.waiting,
                           (unsigned long long)account.unknown);
    return MR_OK;
}

enum mr_status mr_engine_run(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_error output_error = {0};

    if (engine->config.plan_only)
        return mr_fail(error, MR_ERR_USAGE, "the engine was made for its plan only");
    enum mr_status status = mr_writer_begin(engine->writer, error);
    engine->cpu_ready_ns = mr_clock_cpu_ns(); /* emptying what an earlier run wrote is no work */
    if (!status && engine->live)
        status = mr_live_start(engine->live, error);
    if (!status)
        status = mr_runtime_run(engine->runtime, error);
    if (!status)
        status = mr_control_result(engine, error);
    mr_control_close(engine);
    engine->ended_ns = mr_clock_ns();
    engine->cpu_ended_ns = mr_clock_cpu_ns();
    if (engine->live)
        mr_live_finish(engine->live);
    mr_interval_write(engine);
    mr_alarms_close(engine->alarms, &engine->past_alarms);
    engine->alarms = NULL;
    mr_metrics_refresh(engine);
    settle_fragments(engine);
    enum mr_status output = mr_interval_end(engine, &output_error);
    enum mr_status written = mr_writer_close(engine->writer, output ? NULL : &output_error);
    engine->writer = NULL;
    output = output ? output : written;
    written = mr_extractor_close(engine, output ? NULL : &output_error);
    output = output ? output : written;
    if (!status)
        status = check_conservation(engine, error);
    if (!status && output) {
        status = output;
        if (error)
            *error = output_error;
    }
    if (!status && engine->input_error.status) {
        status = engine->input_error.status;
        if (error)
            *error = engine->input_error;
    }
    return status;
}

void mr_engine_stop(struct mr_engine *engine)
{
    atomic_store_explicit(&engine->stop_asked, 1, memory_order_relaxed);
    atomic_store_explicit(&engine->commands.hurry, 1, memory_order_relaxed);
    if (!engine->live) /* which ends when all that was read is through */
        mr_runtime_stop(engine->runtime);
}

void mr_engine_abandon(struct mr_engine *engine)
{
    if (engine)
        mr_commands_abandon(&engine->commands);
    mr_ports_abandon();
}

void mr_engine_reopen(struct mr_engine *engine)
{
    atomic_store_explicit(&engine->reopen_asked, 1, memory_order_relaxed);
}
