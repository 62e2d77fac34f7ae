/* Millions of flows that expire in the same second: how long is a worker held by that?
 *
 * FLOWS flows get a packet each within the first second. A thousand others go on; a minute later
 * all the silent ones expire at once, while packets go on to come. From that moment on, and before
 * it while contexts are made and tables grow, each worker notes how long it is between two of its
 * tasks: in CPU time of its thread, since on a busy machine others have the core now and then, and
 * by the wall clock.
 *
 * usage: timers [-f FLOWS] [-w WORKERS] [-l LANES]
 * Prints one JSON object.
 */
#include "analog/analog.h"
#include "runtime/runtime.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS           1000000000ull
#define BUSY_FLOWS   1000u
#define BUSY_PPS     20000u /* of packet time */
#define RING_SECOND  62     /* packets of second 1, the end of that second, a minute */
#define END_SECOND   65
#define MOST_WORKERS 64

extern const struct mr_component mr_component_packet, mr_component_flow_count;

/* What one worker has seen since the timers began to ring. */
struct watch {
    _Alignas(64) uint64_t cpu_ns, wall_ns; /* of the last pulse; 0: none yet */
    uint64_t longest_cpu_ns, longest_wall_ns;
    uint64_t pulses, over_1ms_cpu;
    uint64_t longest_filling_ns, filling_over_1ms; /* before they ring, in CPU time */
};

struct run {
    uint64_t flows, n;
    _Atomic uint32_t ringing;
    uint64_t ring_started_ns, packets_meanwhile;
    _Atomic uint64_t closed;
    uint64_t all_closed_ns;
    struct watch watches[MOST_WORKERS];
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static void fill(struct mr_packet *packet, uint64_t flow, uint64_t number, uint64_t time_ns)
{
    static const uint8_t frame[64];

    memset(packet, 0, sizeof *packet);
    packet->data = frame;
    packet->len = packet->wire_len = 60;
    packet->number = number;
    packet->time_ns = time_ns;
    packet->src =
        (struct mr_endpoint){.port = (uint16_t)(1024 + flow % 7), .family = 4, .protocol = 17};
    packet->dst = (struct mr_endpoint){.port = 53, .family = 4, .protocol = 17};
    for (int i = 0; i < 4; i++) {
        packet->src.address[i] = (uint8_t)(flow >> (24 - 8 * i));
        packet->dst.address[i] = 10;
    }
}

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct run *run = user;
    struct mr_burst *burst = &token->burst;

    (void)metrics;
    for (burst->n = 0; burst->n < MR_BURST_MAX; burst->n++) {
        uint64_t i = run->n, time_ns = NS + i * (NS - 1) / (run->flows + 1), flow = i;
        if (i >= run->flows) {
            uint64_t busy = i - run->flows;
            flow = run->flows + busy % BUSY_FLOWS;
            time_ns = 2 * NS + busy * NS / BUSY_PPS;
        }
        if (time_ns / NS >= END_SECOND)
            break;
        if (time_ns / NS >= RING_SECOND) {
            if (!atomic_load_explicit(&run->ringing, memory_order_relaxed))
                run->ring_started_ns = clock_ns(CLOCK_MONOTONIC);
            atomic_store_explicit(&run->ringing, 1, memory_order_relaxed);
            run->packets_meanwhile +=
                atomic_load_explicit(&run->closed, memory_order_relaxed) < run->flows;
        }
        fill(&burst->packets[burst->n], flow, ++run->n, time_ns);
    }
    return burst->n ? MR_OK : MR_EOF;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    (void)user;
    (void)exec;
    (void)tuples;
}

static void flow_closed(void *user, struct mr_exec *exec, const struct mr_packet *origin,
                        uint32_t ordinal, const struct mr_flow *flow, bool left)
{
    struct run *run = user;

    (void)exec;
    (void)origin;
    (void)ordinal;
    (void)flow;
    (void)left;
    if (atomic_fetch_add_explicit(&run->closed, 1, memory_order_relaxed) + 1 == run->flows)
        run->all_closed_ns = clock_ns(CLOCK_MONOTONIC);
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    (void)user;
    (void)metrics;
    (void)token;
    (void)records;
}

static void pulse(void *user, uint32_t worker)
{
    struct run *run = user;
    struct watch *w = &run->watches[worker];
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);

    if (!atomic_load_explicit(&run->ringing, memory_order_relaxed)) {
        uint64_t held = w->cpu_ns ? cpu - w->cpu_ns : 0;
        w->longest_filling_ns = held > w->longest_filling_ns ? held : w->longest_filling_ns;
        w->filling_over_1ms += held > 1000000;
    } else if (w->cpu_ns) {
        uint64_t held = cpu - w->cpu_ns, passed = wall - w->wall_ns;
        w->longest_cpu_ns = held > w->longest_cpu_ns ? held : w->longest_cpu_ns;
        w->longest_wall_ns = passed > w->longest_wall_ns ? passed : w->longest_wall_ns;
        w->over_1ms_cpu += held > 1000000;
        w->pulses++;
    }
    w->cpu_ns = cpu;
    w->wall_ns = wall;
}

static void fail(const char *what, const struct mr_error *error)
{
    fprintf(stderr, "timers: %s%s%s\n", what, error ? ": " : "", error ? error->text : "");
    exit(2);
}

static struct mr_plan *compile(void)
{
    static const char text[] =
        "component keys(parallel) { k1 keyed(@N, FLOW) :- input(@N, PKT, SRC, DST),"
        " FLOW = f_getUDPFlowId(SRC, DST). }\n"
        "component flows(parallel_context_order, context_keys(keyed(2))) {"
        " f1 kept(@N, COUNT) :- keyed(@N, FLOW), COUNT = f_flowCount(FLOW, 60), COUNT < 0. }\n";
    const struct mr_component *list[] = {&mr_component_packet, &mr_component_flow_count};
    struct mr_analog_config config = {.components = list, .n_components = 2};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;

    if (!diagnostics ||
        mr_analog_compile_text("bench", text, strlen(text), &config, diagnostics, &plan)) {
        mr_diagnostics_print(diagnostics, stderr, false);
        fail("the program does not compile", NULL);
    }
    mr_diagnostics_free(diagnostics);
    return plan;
}

static void report(const struct run *run, uint32_t workers, double load_seconds)
{
    uint64_t cpu = 0, wall = 0, pulses = 0, over = 0, filling = 0, filling_over = 0;

    for (uint32_t i = 0; i < workers; i++) {
        const struct watch *w = &run->watches[i];
        cpu = w->longest_cpu_ns > cpu ? w->longest_cpu_ns : cpu;
        wall = w->longest_wall_ns > wall ? w->longest_wall_ns : wall;
        pulses += w->pulses;
        over += w->over_1ms_cpu;
        filling = w->longest_filling_ns > filling ? w->longest_filling_ns : filling;
        filling_over += w->filling_over_1ms;
    }
    double expiry = (double)(run->all_closed_ns - run->ring_started_ns) / 1e9;
    printf("{\"flows\": %llu, \"workers\": %u, \"seconds_until_expiry\": %.2f, "
           "\"expiry_seconds\": %.3f, \"ns_per_flow\": %.0f, \"packets_meanwhile\": %llu, "
           "\"tasks\": %llu, \"longest_held_cpu_us\": %.0f, \"held_over_1ms\": %llu, "
           "\"longest_wall_us\": %.0f, \"longest_filling_cpu_us\": %.0f, "
           "\"filling_over_1ms\": %llu}\n",
           (unsigned long long)run->flows, workers, load_seconds, expiry,
           expiry * 1e9 / (double)run->flows, (unsigned long long)run->packets_meanwhile,
           (unsigned long long)pulses, (double)cpu / 1e3, (unsigned long long)over,
           (double)wall / 1e3, (double)filling / 1e3, (unsigned long long)filling_over);
}

int main(int argc, char **argv)
{
    static struct run run = {.flows = 10000000};
    struct mr_runtime_config config = {
        .hooks = {.user = &run,
                  .intake = intake,
                  .leave = leave,
                  .flow_closed = flow_closed,
                  .retire = retire,
                  .pulse = pulse},
        .workers = 1,
        .tokens = 1000,
        .window = 1000, /* as with live capture */
    };
    struct mr_runtime *runtime = NULL;
    struct mr_error error = {0};
    int option;

    while ((option = getopt(argc, argv, "f:w:l:")) != -1) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 'f')
            run.flows = value;
        else if (option == 'w')
            config.workers = (uint32_t)value;
        else if (option == 'l')
            config.lanes = (uint32_t)value;
        else
            return 1;
    }
    if (!run.flows || run.flows > 1u << 29 || !config.workers || config.workers > MOST_WORKERS) {
        fprintf(stderr, "usage: timers [-f FLOWS] [-w WORKERS] [-l LANES]\n");
        return 1;
    }
    struct mr_plan *plan = compile();
    config.plan = plan;
    config.max_contexts = run.flows + run.flows / 16 + BUSY_FLOWS;
    if (mr_buffers_new(&config.buffers, (uint64_t)1 << 30) || mr_secret_draw(&config.secret, 1))
        fail("out of memory", NULL);
    uint64_t started_ns = clock_ns(CLOCK_MONOTONIC);
    if (mr_runtime_new(&runtime, &config, &error) || mr_runtime_run(runtime, &error))
        fail("cannot run", &error);
    struct mr_metrics metrics = {0};
    mr_runtime_metrics(runtime, &metrics);
    if (atomic_load(&run.closed) != run.flows + BUSY_FLOWS ||
        atomic_load(&metrics.counters[MR_COUNT_FLOWS_EVICTED]))
        fail("flows are missing", NULL);
    report(&run, config.workers, (double)(run.ring_started_ns - started_ns) / 1e9);
    mr_runtime_free(runtime);
    mr_buffers_free(config.buffers);
    mr_plan_free(plan);
    return 0;
}
