/* Millions of flows that begin, live, are renewed and expire together: how long is a worker held by
 * that?
 *
 * FLOWS flows get a packet each within the first second (`filling`); a thousand others go on all
 * the time (`living`). Half a minute later all flows get another packet (`renewing`). When the
 * timeout after the first packets has passed all timers ring and are set anew (`moving`), and half
 * a minute later all flows expire in the same second (`expiring`), while packets go on to come. For
 * each of these, workers note how long it is between two of their tasks: in CPU time of the thread,
 * which is the worker's own doing, and by the wall clock. Those that were over a millisecond by the
 * wall clock only are told apart: the worker waited (for work or a lock), another thread had its
 * core, or neither: the machine stopped it (bench/stops.c says how often it does that by itself).
 * For the longest in CPU time it says how many pages were touched first in it, and in how many of
 * those over a millisecond there were any.
 *
 * usage: timers [-f FLOWS] [-w WORKERS] [-l LANES] [-r RATE] [-b BURST]
 * RATE: flows that begin a second, by the wall clock; 0: as many as workers can take.
 * BURST: packets a token at most; as many as live capture has by default.
 * Prints one JSON object.
 */
#include "analog/analog.h"
#include "runtime/runtime.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NS           1000000000ull
#define BUSY_FLOWS   1000u
#define BUSY_PPS     20000u /* of packet time */
#define RENEW_SECOND 31
#define MOVE_SECOND  62 /* packets of second 1, the end of that second, a minute */
#define RING_SECOND  92 /* the same after those of second 31 */
#define END_SECOND   95
#define MOST_WORKERS 64
#define LONG_NS      1000000

extern const struct mr_component mr_component_packet, mr_component_flow_count;

enum phase { FILLING, LIVING, RENEWING, MOVING, EXPIRING, N_PHASES };

static const char *const phase_names[N_PHASES] = {"filling", "living", "renewing", "moving",
                                                  "expiring"};

struct clocks {
    uint64_t cpu_ns, wall_ns, faults, switches, waits;
};

/* What one worker has seen in a phase. */
struct watch {
    uint64_t tasks, longest_cpu_ns, longest_wall_ns;
    uint64_t over_1ms_cpu, over_touching; /* ... in which pages were first touched */
    uint64_t waited, preempted, stopped;  /* over 1 ms by the wall clock only */
    /* pages that were touched first; in the longest task; the most in any */
    uint64_t faults, longest_faults, most_faults;
    uint64_t cpu_ns;
};

struct worker {
    _Alignas(64) struct clocks last;
    enum phase phase;
    struct watch watches[N_PHASES];
};

struct run {
    uint64_t flows, n, rate;
    uint32_t burst;
    _Atomic uint32_t phase;
    uint64_t phase_started_ns[N_PHASES + 1], packets_meanwhile;
    _Atomic uint64_t closed;
    uint64_t all_closed_ns;
    struct worker workers[MOST_WORKERS];
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

/* Packet i of the run. */
static enum phase next_packet(const struct run *run, uint64_t i, uint64_t *flow, uint64_t *time_ns)
{
    const uint64_t silent =
        RENEW_SECOND - 2; /* seconds between the flows' first and second packet */

    for (int again = 0; again < 2; again++) {
        if (i < run->flows) {
            *flow = i;
            *time_ns = (again ? RENEW_SECOND : 1) * NS + i * (NS - 1) / (run->flows + 1);
            return again ? RENEWING : FILLING;
        }
        i -= run->flows;
        *flow = run->flows + i % BUSY_FLOWS;
        *time_ns = (again ? RENEW_SECOND + 1 : 2) * NS + i * NS / BUSY_PPS;
        if (!again && i < silent * BUSY_PPS)
            return LIVING;
        i -= again ? 0 : silent * BUSY_PPS;
    }
    return *time_ns / NS >= RING_SECOND ? EXPIRING : *time_ns / NS >= MOVE_SECOND ? MOVING : LIVING;
}

/* At the rate that was asked for the next burst of new flows comes later. */
static bool is_early(const struct run *run)
{
    if (!run->rate || run->n >= run->flows || !run->n)
        return false;
    uint64_t passed_ns = clock_ns(CLOCK_MONOTONIC) - run->phase_started_ns[FILLING];
    return (double)(run->n + run->burst) * NS / (double)run->rate > (double)passed_ns;
}

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct run *run = user;
    struct mr_burst *burst = &token->burst;

    (void)metrics;
    if (is_early(run))
        return MR_AGAIN;
    for (burst->n = 0; burst->n < run->burst; burst->n++) {
        uint64_t flow, time_ns;
        enum phase phase = next_packet(run, run->n, &flow, &time_ns);
        if (time_ns / NS >= END_SECOND)
            break;
        if (!run->phase_started_ns[phase])
            run->phase_started_ns[phase] = clock_ns(CLOCK_MONOTONIC);
        atomic_store_explicit(&run->phase, phase, memory_order_relaxed);
        run->packets_meanwhile +=
            phase == EXPIRING &&
            atomic_load_explicit(&run->closed, memory_order_relaxed) < run->flows;
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

static void note(struct watch *w, const struct clocks *last, const struct clocks *now)
{
    uint64_t cpu = now->cpu_ns - last->cpu_ns, wall = now->wall_ns - last->wall_ns;
    uint64_t faults = now->faults - last->faults;

    w->tasks++;
    w->faults += faults;
    w->cpu_ns += cpu;
    w->most_faults = faults > w->most_faults ? faults : w->most_faults;
    if (cpu > w->longest_cpu_ns) {
        w->longest_cpu_ns = cpu;
        w->longest_faults = faults;
    }
    w->over_1ms_cpu += cpu > LONG_NS;
    w->over_touching += cpu > LONG_NS && faults;
    if (now->waits > last->waits) {
        w->waited += wall > LONG_NS && cpu <= LONG_NS;
        return; /* it slept, since there was nothing to do, or waited for a lock */
    }
    w->longest_wall_ns = wall > w->longest_wall_ns ? wall : w->longest_wall_ns;
    if (wall <= LONG_NS || cpu > LONG_NS)
        return;
    w->preempted += now->switches > last->switches;
    w->stopped += now->switches == last->switches;
}

static void pulse(void *user, uint32_t index)
{
    struct run *run = user;
    struct worker *worker = &run->workers[index];
    struct watch *w = &worker->watches[worker->phase];
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    struct clocks now = {clock_ns(CLOCK_THREAD_CPUTIME_ID), clock_ns(CLOCK_MONOTONIC),
                         (uint64_t)usage.ru_minflt, (uint64_t)usage.ru_nivcsw,
                         (uint64_t)usage.ru_nvcsw};
    if (worker->last.wall_ns)
        note(w, &worker->last, &now);
    worker->last = now;
    worker->phase = (enum phase)atomic_load_explicit(&run->phase, memory_order_relaxed);
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

static void report_phase(const struct run *run, enum phase phase, uint32_t workers)
{
    struct watch sum = {0};

    for (uint32_t i = 0; i < workers; i++) {
        const struct watch *w = &run->workers[i].watches[phase];
        sum.tasks += w->tasks;
        if (w->longest_cpu_ns > sum.longest_cpu_ns) {
            sum.longest_cpu_ns = w->longest_cpu_ns;
            sum.longest_faults = w->longest_faults;
        }
        if (w->longest_wall_ns > sum.longest_wall_ns)
            sum.longest_wall_ns = w->longest_wall_ns;
        sum.over_1ms_cpu += w->over_1ms_cpu;
        sum.waited += w->waited;
        sum.preempted += w->preempted;
        sum.stopped += w->stopped;
        sum.faults += w->faults;
        sum.cpu_ns += w->cpu_ns;
        sum.over_touching += w->over_touching;
        sum.most_faults = w->most_faults > sum.most_faults ? w->most_faults : sum.most_faults;
    }
    printf(", \"%s\": {\"tasks\": %llu, \"longest_cpu_us\": %.0f, \"longest_faults\": %llu, "
           "\"over_1ms_cpu\": %llu, \"longest_wall_us\": %.0f, \"preempted\": %llu, "
           "\"stopped\": %llu, \"waited\": %llu, \"page_faults\": %llu, "
           "\"over_touching\": %llu, \"most_faults\": %llu, \"cpu_seconds\": %.3f}",
           phase_names[phase], (unsigned long long)sum.tasks, (double)sum.longest_cpu_ns / 1e3,
           (unsigned long long)sum.longest_faults, (unsigned long long)sum.over_1ms_cpu,
           (double)sum.longest_wall_ns / 1e3, (unsigned long long)sum.preempted,
           (unsigned long long)sum.stopped, (unsigned long long)sum.waited,
           (unsigned long long)sum.faults, (unsigned long long)sum.over_touching,
           (unsigned long long)sum.most_faults, (double)sum.cpu_ns / 1e9);
}

static void report(const struct run *run, uint32_t workers)
{
    double fill = (double)(run->phase_started_ns[LIVING] - run->phase_started_ns[FILLING]) / 1e9;
    double expiry = (double)(run->all_closed_ns - run->phase_started_ns[EXPIRING]) / 1e9;

    printf("{\"flows\": %llu, \"workers\": %u, \"fill_seconds\": %.3f, \"expiry_seconds\": %.3f, "
           "\"packets_meanwhile\": %llu",
           (unsigned long long)run->flows, workers, fill, expiry,
           (unsigned long long)run->packets_meanwhile);
    for (enum phase phase = 0; phase < N_PHASES; phase++)
        report_phase(run, phase, workers);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct run run = {.flows = 10000000, .burst = MR_BURST_USUAL};
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

    while ((option = getopt(argc, argv, "f:w:l:r:b:")) != -1) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 'f')
            run.flows = value;
        else if (option == 'w')
            config.workers = (uint32_t)value;
        else if (option == 'l')
            config.lanes = (uint32_t)value;
        else if (option == 'r')
            run.rate = value;
        else if (option == 'b')
            run.burst = (uint32_t)value;
        else
            return 1;
    }
    if (!run.flows || run.flows > 1u << 29 || !config.workers || config.workers > MOST_WORKERS ||
        !run.burst || run.burst > MR_BURST_MAX) {
        fprintf(stderr, "usage: timers [-f FLOWS] [-w WORKERS] [-l LANES] [-r RATE] [-b BURST]\n");
        return 1;
    }
    struct mr_plan *plan = compile();
    config.plan = plan;
    config.burst = run.burst;
    config.max_contexts = run.flows + run.flows / 16 + BUSY_FLOWS;
    if (mr_buffers_new(&config.buffers, (uint64_t)1 << 30) || mr_pages_new(&config.pages) ||
        mr_secret_draw(&config.secret, 1))
        fail("out of memory", NULL);
    mr_pages_expect(config.pages, MR_STOCK_PAGES); /* as with live capture */
    if (mr_runtime_new(&runtime, &config, &error) || mr_runtime_run(runtime, &error))
        fail("cannot run", &error);
    struct mr_metrics metrics = {0};
    mr_runtime_metrics(runtime, &metrics);
    if (atomic_load(&run.closed) != run.flows + BUSY_FLOWS ||
        atomic_load(&metrics.counters[MR_COUNT_FLOWS_EVICTED]))
        fail("flows are missing", NULL);
    report(&run, config.workers);
    mr_runtime_free(runtime);
    mr_pages_free(config.pages);
    mr_buffers_free(config.buffers);
    mr_plan_free(plan);
    return 0;
}
