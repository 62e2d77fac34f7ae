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
 * For the longest in CPU time it says how many pages were touched first in it.
 *
 * Of the tasks that took over a millisecond of CPU time it says where that went. Calls into the
 * system for memory are timed, and so are the steps of a task: a batch of rows, 16 contexts that
 * end, a burst taken in. A task that was too long is one of
 *   calls     half a millisecond or more was spent in such calls
 *   touching  else: pages were touched first in it
 *   stuck     else: all but half a millisecond was spent in one step
 *   working   else: its steps took long; and each that did more, rows, ends, records or pages, than
 *             every task that took less, whatever else is true of it
 * What is stuck, or touches as few pages as others, was stopped, or waited for memory that the host
 * was slow with; stops.c says how often that is.
 *
 * usage: timers [-f FLOWS] [-w WORKERS] [-l LANES] [-r RATE] [-b BURST] [-e BYTES] [-p]
 * RATE: flows that begin a second, by the wall clock; 0: as many as workers can take.
 * BURST: packets a token at most; as many as live capture has by default.
 * BYTES: of a record that each flow leaves at its end, as an event does; 0: none.
 * -p: the memory of all flows is taken before the first.
 * Prints one JSON object.
 */
#include "analog/analog.h"
#include "runtime/runtime.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS           1000000000ull
#define BUSY_FLOWS   1000u
#define BUSY_PPS     20000u /* of packet time */
#define RENEW_SECOND 31
#define MOVE_SECOND  62 /* packets of second 1, the end of that second, a minute */
#define RING_SECOND  92 /* the same after those of second 31 */
#define END_SECOND   95
#define MOST_WORKERS 64
#define LONG_NS      1000000
#define MOST_BYTES   65536
#define MOST_OVER    1024u /* that are looked at, of a worker in a phase */

extern const struct mr_component mr_component_packet, mr_component_flow_count;

enum phase { FILLING, LIVING, RENEWING, MOVING, EXPIRING, N_PHASES };

static const char *const phase_names[N_PHASES] = {"filling", "living", "renewing", "moving",
                                                  "expiring"};

struct clocks {
    uint64_t cpu_ns, wall_ns, faults, switches, waits;
};

enum cause { CALLS, TOUCHING, STUCK, WORKING, N_CAUSES };

static const char *const cause_names[N_CAUSES] = {"calls", "touching", "stuck", "working"};

/* What the task under way has done. */
struct doing {
    uint64_t work; /* rows, and contexts that ended */
    uint64_t last_ns, longest_step_ns, calls_ns;
};

static _Thread_local struct doing doing;

/* A task that took over a millisecond of CPU time. */
struct over {
    uint64_t work, faults;
    enum cause cause;
};

/* What one worker has seen in a phase. */
struct watch {
    uint64_t tasks, longest_cpu_ns, longest_wall_ns;
    uint64_t most_work, most_fine_faults; /* of those that took less */
    struct over over[MOST_OVER];
    uint64_t over_1ms;
    uint64_t waited, preempted, stopped; /* over 1 ms by the wall clock only */
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
    uint32_t burst, record_bytes;
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

static void step(void)
{
    uint64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID), took = now - doing.last_ns;

    doing.longest_step_ns = took > doing.longest_step_ns ? took : doing.longest_step_ns;
    doing.last_ns = now;
}

/* Calls into the system for memory, in place of the C library's. */
static long timed(long number, long a, long b, long c, long d, long e)
{
    uint64_t begun = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    long result = syscall(number, a, b, c, d, e);
    doing.calls_ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun;
    return result;
}

int madvise(void *at, size_t bytes, int advice)
{
    return (int)timed(SYS_madvise, (long)at, (long)bytes, advice, 0, 0);
}

int munmap(void *at, size_t bytes)
{
    return (int)timed(SYS_munmap, (long)at, (long)bytes, 0, 0, 0);
}

void *mremap(void *from, size_t before, size_t bytes, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    long to = flags & MREMAP_FIXED ? (long)va_arg(rest, void *) : 0;
    va_end(rest);
    return (void *)timed(SYS_mremap, (long)from, (long)before, (long)bytes, flags, to);
}

static struct mr_function counting;

static void count_rows(struct mr_call *call)
{
    mr_component_flow_count.functions[0].call(call);
    doing.work += call->n;
    step();
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
    step();
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
    static const char record[MOST_BYTES];
    struct run *run = user;

    (void)flow;
    (void)left;
    if (run->record_bytes)
        (void)mr_exec_record(exec, origin, ordinal, record, run->record_bytes);
    if (doing.work++ % 16 == 0)
        step();
    if (atomic_fetch_add_explicit(&run->closed, 1, memory_order_relaxed) + 1 == run->flows)
        run->all_closed_ns = clock_ns(CLOCK_MONOTONIC);
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    (void)user;
    (void)metrics;
    (void)token;
    for (; records; records = records->next)
        if (doing.work++ % 16 == 0)
            step();
}

static enum cause cause_of(uint64_t cpu_ns, uint64_t faults)
{
    if (doing.calls_ns >= LONG_NS / 2)
        return CALLS;
    if (faults)
        return TOUCHING;
    return doing.longest_step_ns + LONG_NS / 2 >= cpu_ns ? STUCK : WORKING;
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
    if (cpu > LONG_NS) {
        if (w->over_1ms < MOST_OVER)
            w->over[w->over_1ms] = (struct over){doing.work, faults, cause_of(cpu, faults)};
        w->over_1ms++;
    } else {
        w->most_work = doing.work > w->most_work ? doing.work : w->most_work;
        w->most_fine_faults = faults > w->most_fine_faults ? faults : w->most_fine_faults;
    }
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

    step();
    getrusage(RUSAGE_THREAD, &usage);
    struct clocks now = {clock_ns(CLOCK_THREAD_CPUTIME_ID), clock_ns(CLOCK_MONOTONIC),
                         (uint64_t)usage.ru_minflt, (uint64_t)usage.ru_nivcsw,
                         (uint64_t)usage.ru_nvcsw};
    if (worker->last.wall_ns)
        note(w, &worker->last, &now);
    worker->last = now;
    worker->phase = (enum phase)atomic_load_explicit(&run->phase, memory_order_relaxed);
    doing = (struct doing){.last_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID)};
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
    struct mr_component counts = mr_component_flow_count;
    const struct mr_component *list[] = {&mr_component_packet, &counts};
    struct mr_analog_config config = {.components = list, .n_components = 2};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;

    counting = counts.functions[0];
    counting.call = count_rows;
    counts.functions = &counting;
    counts.n_functions = 1;
    if (!diagnostics ||
        mr_analog_compile_text("bench", text, strlen(text), &config, diagnostics, &plan)) {
        mr_diagnostics_print(diagnostics, stderr, false);
        fail("the program does not compile", NULL);
    }
    mr_diagnostics_free(diagnostics);
    return plan;
}

/* Who has done more than any task that took less was working. */
static void report_causes(const struct run *run, enum phase phase, uint32_t workers,
                          const struct watch *sum)
{
    uint64_t n[N_CAUSES] = {0}, most_work = 0;

    for (uint32_t i = 0; i < workers; i++) {
        const struct watch *w = &run->workers[i].watches[phase];
        for (uint64_t k = 0; k < w->over_1ms; k++) {
            const struct over *over = &w->over[k % MOST_OVER];
            bool more = over->work > sum->most_work || over->faults > sum->most_fine_faults;
            n[more || k >= MOST_OVER ? WORKING : over->cause]++;
            most_work = over->work > most_work ? over->work : most_work;
        }
    }
    for (enum cause c = 0; c < N_CAUSES; c++)
        printf(", \"%s\": %llu", cause_names[c], (unsigned long long)n[c]);
    printf(", \"most_work\": %llu, \"most_work_over_1ms\": %llu",
           (unsigned long long)sum->most_work, (unsigned long long)most_work);
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
        sum.over_1ms += w->over_1ms;
        sum.most_work = w->most_work > sum.most_work ? w->most_work : sum.most_work;
        if (w->most_fine_faults > sum.most_fine_faults)
            sum.most_fine_faults = w->most_fine_faults;
        sum.waited += w->waited;
        sum.preempted += w->preempted;
        sum.stopped += w->stopped;
        sum.faults += w->faults;
        sum.cpu_ns += w->cpu_ns;
        sum.most_faults = w->most_faults > sum.most_faults ? w->most_faults : sum.most_faults;
    }
    printf(", \"%s\": {\"tasks\": %llu, \"longest_cpu_us\": %.0f, \"longest_faults\": %llu, "
           "\"over_1ms_cpu\": %llu, \"longest_wall_us\": %.0f, \"preempted\": %llu, "
           "\"stopped\": %llu, \"waited\": %llu, \"page_faults\": %llu, "
           "\"most_faults\": %llu, \"cpu_seconds\": %.3f",
           phase_names[phase], (unsigned long long)sum.tasks, (double)sum.longest_cpu_ns / 1e3,
           (unsigned long long)sum.longest_faults, (unsigned long long)sum.over_1ms,
           (double)sum.longest_wall_ns / 1e3, (unsigned long long)sum.preempted,
           (unsigned long long)sum.stopped, (unsigned long long)sum.waited,
           (unsigned long long)sum.faults, (unsigned long long)sum.most_faults,
           (double)sum.cpu_ns / 1e9);
    report_causes(run, phase, workers, &sum);
    printf("}");
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

    while ((option = getopt(argc, argv, "f:w:l:r:b:e:p")) != -1) {
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
        else if (option == 'p')
            config.preallocate = true;
        else if (option == 'e')
            run.record_bytes = value < MOST_BYTES ? (uint32_t)value : MOST_BYTES;
        else
            return 1;
    }
    if (!run.flows || run.flows > 1u << 29 || !config.workers || config.workers > MOST_WORKERS ||
        !run.burst || run.burst > MR_BURST_MAX) {
        fprintf(stderr, "usage: timers [-f FLOWS] [-w WORKERS] [-l LANES] [-r RATE] [-b BURST] "
                        "[-e BYTES] [-p]\n");
        return 1;
    }
    struct mr_plan *plan = compile();
    config.plan = plan;
    config.burst = run.burst;
    config.max_contexts = run.flows + run.flows / 16 + BUSY_FLOWS;
    if (mr_buffers_new(&config.buffers, (uint64_t)1 << 30) || mr_pages_new(&config.pages) ||
        mr_secret_draw(&config.secret, 1))
        fail("out of memory", NULL);
    if (!config.preallocate)
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
