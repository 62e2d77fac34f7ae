/* The runtime on virtual workers, over recorded costs: where do order and skew limit it?
 *
 *     simulate COSTS [--workers N] [--lanes N] [--tokens N] [--window N] [--few N] [--burst N]
 *              [--home-rows N]
 *              [--repeat N]
 *              [--intake turn|ahead|decode-outside|capture]
 *              [--decode-share PERCENT] [--read-share PERCENT]
 *              [--hit NS] [--change NS] [--miss NS] [--gap NS] [--wake NS] [--move NS]
 *              [--packet NS] [--copy NS]
 *
 * The sources of host/runtime run as they are (tests/support/virtual); only the functions of the
 * program, the source and the sink are stand-ins: they let time pass, as much as record_costs.c
 * measured for each packet. Prints one line of JSON.
 *
 * --intake: `turn`, as a pipe is read: one worker at a time reads and decodes; `ahead`, as a file
 * is: each worker reads a burst beforehand (--read-share of what intake costs) and decodes it in
 * its turn; `decode-outside`: one reads, decoding is done by whoever has the burst; `capture`:
 * capture threads of their own do both, and the turn only takes their descriptions over.
 */
#include "costs.h"

#include "analog/analog.h"
#include "runtime/internal.h"
#include "virtual/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    WORK,        /* stages: front, lanes, back */
    INTAKE,      /* in the intake turn */
    OUTPUT,      /* in the turn of the last gate */
    SPLIT,       /* onto lanes */
    ACCESS,      /* atomics, mutexes, system calls of the runtime */
    MOVE,        /* what another worker has touched of a flow comes over */
    LINES,       /* the same of packets, and of what was derived from them */
    IDLE_INTAKE, /* another worker reads, and nothing else is there to do */
    IDLE_OUTPUT, /* the window is full, and a worker writes */
    IDLE_ORDER,  /* the window is full, and what is in it waits for lanes that run */
    IDLE_OTHER,
    IDLE_END, /* the input is over, the last lanes run */
    N_KINDS
};

static const char *const kind_names[N_KINDS] = {
    "work",  "intake",      "output",      "split",      "access",     "move",
    "lines", "idle_intake", "idle_output", "idle_order", "idle_other", "idle_end"};

static const char program[] =
    "component front(parallel) {\n"
    "f1 segment(@N,PKT,FLOW) :- input(@N,PKT,_,_), FLOW = f_front(PKT). }\n"
    "component lane(parallel_context_order, context_keys(segment(3))) {\n"
    "l1 mail(@N,PKT,M) :- segment(@N,PKT,FLOW), M = f_lane(PKT, FLOW). }\n"
    "component back(parallel) {\n"
    "b1 found(@N,R) :- mail(@N,PKT,M), R = f_back(PKT), R == 1. }\n";

static struct {
    struct costs_header header;
    struct costs_token *tokens;
    struct costs_packet *packets;
    uint64_t next_packet, next_token, in_token; /* how far the recorded run is replayed */
    double intake_ns;                           /* a packet, of the recorded token under way */
    uint64_t out;
    const char *intake;
    double split_ns, retire_ns, rest_ns, read_ns; /* a packet, on the average */
    double decode_share, read_share, move_ns, packet_ns, copy_ns;
    uint64_t read, taken;               /* bursts read ahead, and taken */
    uint64_t mine[MR_SIMULATE_THREADS]; /* 1 + the burst that a worker has read last */
    double all_ns, longest_flow_ns;
    uint32_t burst, repeat;       /* the record so many times over: long enough for many workers */
    uint8_t last_worker[1 << 16]; /* 1 + who ran a flow last */
    struct mr_runtime *runtime;
} job = {.intake = "turn",
         .decode_share = 0.5,
         .read_share = 0.6,
         .move_ns = -1,
         .packet_ns = -1,
         .copy_ns = -1,
         .burst = 256,
         .repeat = 1};

/* ---- stand-ins ---- */

static const struct costs_packet *costs_of(const struct mr_call *call, uint32_t row)
{
    const struct mr_packet *packet = call->args[0][row].b.ptr;
    return &job.packets[(packet->number - 1) % job.header.n_packets];
}

static void call_front(struct mr_call *call)
{
    double ns = 0;
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = call->args[0][row].b.ptr;
        const struct costs_packet *costs = costs_of(call, row);
        ns += costs->front_ns + job.rest_ns + packet->wire_len;
        call->out[row] = mr_value_int(costs->flow);
    }
    mr_simulate_charge(WORK, ns);
}

/* Who took the packets in has them, and their tuples. */
static void charge_packets(const struct mr_call *call)
{
    uint32_t away = 0;

    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = call->args[0][row].b.ptr;
        away += packet->interface != mr_simulate_thread();
    }
    if (away)
        mr_simulate_charge(LINES, away * job.packet_ns);
}

static void call_lane(struct mr_call *call)
{
    if (call->cause == MR_CAUSE_DATA)
        charge_packets(call);
    for (uint32_t row = 0; row < call->n; row++) {
        if (call->cause != MR_CAUSE_DATA)
            continue;
        const struct costs_packet *costs = costs_of(call, row);
        uint8_t *last = &job.last_worker[costs->flow & 0xffff];
        uint8_t self = (uint8_t)(1 + mr_simulate_thread());
        if (*last && *last != self)
            mr_simulate_charge(MOVE, job.move_ns);
        *last = self;
        mr_simulate_charge(WORK, costs->lane_ns);
        if (costs->back_ns)
            mr_yield(call, row, mr_value_int(costs->back_ns));
    }
}

static void call_back(struct mr_call *call)
{
    charge_packets(call);
    for (uint32_t row = 0; row < call->n; row++) {
        mr_simulate_charge(WORK, costs_of(call, row)->back_ns);
        call->out[row] = mr_value_int(0);
    }
}

static const struct mr_function functions[] = {
    {.name = "f_front",
     .summary = "-",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_front},
    {.name = "f_lane",
     .summary = "-",
     .args = {MR_TYPE_PACKET, MR_TYPE_INT},
     .n_args = 2,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_EXPAND,
     .context_bytes = 8,
     .call = call_lane},
    {.name = "f_back",
     .summary = "-",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_back},
};

static const struct mr_component component = {.abi = MR_COMPONENT_ABI,
                                              .bytes = sizeof component,
                                              .name = "costs",
                                              .summary = "-",
                                              .functions = functions,
                                              .n_functions = sizeof functions / sizeof *functions};

/* wire_len of a made-up packet: nanoseconds of decoding that its front does. */
static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    bool outside = !strcmp(job.intake, "decode-outside"), capture = !strcmp(job.intake, "capture");
    double ns = 0;
    uint32_t n = 0;

    (void)user;
    (void)metrics;
    if (job.next_packet == job.header.n_packets * job.repeat)
        return MR_EOF;
    for (; n < job.burst && job.next_packet < job.header.n_packets * job.repeat; n++) {
        while (!job.in_token) {
            const struct costs_token *t = &job.tokens[job.next_token++ % job.header.n_tokens];
            job.in_token = t->n;
            job.intake_ns = (double)t->intake_ns / t->n;
        }
        job.in_token--;
        struct mr_packet *packet = &token->burst.packets[n];
        packet->number = ++job.next_packet;
        packet->interface = (uint16_t)mr_simulate_thread(); /* the token's home */
        packet->time_ns = 1000000000u + packet->number;
        packet->data = (const uint8_t *)"";
        packet->wire_len = outside ? (uint32_t)(job.intake_ns * job.decode_share) : 0;
        ns += capture ? 0 : job.intake_ns - packet->wire_len;
    }
    token->burst.n = n;
    if (!strcmp(job.intake, "ahead"))
        ns *= 1 - job.read_share;
    job.taken++;
    mr_simulate_charge(INTAKE, capture ? 100 + job.copy_ns * n : ns);
    return MR_OK;
}

/* As host/capture/ahead.c, of which it is a picture: all pieces are a burst, and cost the same. */
static bool ahead(void *user, uint32_t worker, bool help)
{
    (void)user;
    uint64_t *mine = &job.mine[worker];

    if (*mine <= job.taken && job.read < job.taken + 2 * MR_SIMULATE_THREADS) {
        uint64_t number = job.read++;
        *mine = UINT64_MAX; /* others see that it is not there yet */
        mr_simulate_charge(INTAKE, job.read_ns * job.burst);
        *mine = number + 1;
    }
    if (*mine == job.taken + 1)
        return true;
    if (!help)
        return job.taken == job.read;
    for (uint32_t i = 0; i < MR_SIMULATE_THREADS; i++)
        if (job.mine[i] == job.taken + 1)
            return true;
    return job.taken == job.read;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    (void)user;
    (void)exec;
    (void)tuples;
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    (void)user;
    (void)metrics;
    (void)records;
    mr_simulate_charge(OUTPUT, job.retire_ns * token->burst.n);
    job.out += token->burst.n;
}

/* Splitting is the real one, done before a token reaches the gate of the lanes; what it costs is
 * charged here. */
void __real_mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase);
void __wrap_mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase);

void __wrap_mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    mr_simulate_charge(SPLIT, job.split_ns * token->burst.n);
    __real_mr_phase_split(worker, token, phase);
}

void __real_mr_phase_split_all(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                               struct mr_tuples *list);
void __wrap_mr_phase_split_all(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                               struct mr_tuples *list);

void __wrap_mr_phase_split_all(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                               struct mr_tuples *list)
{
    mr_simulate_charge(SPLIT, job.split_ns * (double)mr_tuples_rows(list)); /* of a whole train */
    __real_mr_phase_split_all(worker, token, phase, list);
}

static uint32_t idle_kind(void *user)
{
    const struct mr_runtime *runtime = job.runtime;
    (void)user;
    if (mr_virtual_peek(&runtime->input_over, 4))
        return IDLE_END;
    if (mr_virtual_peek(&runtime->in_flight_now, 4) >= runtime->config.window)
        return mr_virtual_peek(&runtime->gates[runtime->n_phases - 1].turn, 4) ? IDLE_OUTPUT
                                                                               : IDLE_ORDER;
    return mr_virtual_peek(&runtime->intake_turn, 4) ? IDLE_INTAKE : IDLE_OTHER;
}

static void run(void *user)
{
    struct mr_error error = {0};
    (void)user;
    if (mr_runtime_run(job.runtime, &error))
        fprintf(stderr, "simulate: %s\n", error.text);
}

/* ---- options, costs, results ---- */

static void stop(const char *what, const char *which)
{
    fprintf(stderr, "simulate: %s %s\n", what, which);
    exit(1);
}

static void read_costs(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fread(&job.header, sizeof job.header, 1, file) != 1 ||
        job.header.magic != COSTS_MAGIC)
        stop("cannot read", path);
    job.tokens = malloc(job.header.n_tokens * sizeof *job.tokens);
    job.packets = malloc(job.header.n_packets * sizeof *job.packets);
    if (!job.tokens || !job.packets ||
        fread(job.tokens, sizeof *job.tokens, job.header.n_tokens, file) != job.header.n_tokens ||
        fread(job.packets, sizeof *job.packets, job.header.n_packets, file) != job.header.n_packets)
        stop("cut short:", path);
    fclose(file);
}

/* What the record says as a whole: averages, the sum, the flow that takes longest. */
static void survey(void)
{
    static double flows[1 << 16];
    double n = (double)job.header.n_packets, intake_ns = 0, work = 0;

    for (uint64_t i = 0; i < job.header.n_tokens; i++) {
        intake_ns += job.tokens[i].intake_ns;
        job.split_ns += job.tokens[i].split_ns / n;
        job.retire_ns += job.tokens[i].retire_ns / n;
        job.rest_ns += job.tokens[i].ticks_ns / n; /* timers: on any lane, at some time */
    }
    job.rest_ns += (double)job.header.rest_ns / n;
    for (uint64_t i = 0; i < job.header.n_packets; i++) {
        const struct costs_packet *p = &job.packets[i];
        double *flow = &flows[p->flow & 0xffff];
        work += (double)p->front_ns + p->lane_ns + p->back_ns;
        *flow += p->lane_ns;
        if (*flow > job.longest_flow_ns)
            job.longest_flow_ns = *flow;
    }
    job.read_ns = job.read_share * intake_ns / n;
    job.all_ns = work + intake_ns + n * (job.split_ns + job.retire_ns + job.rest_ns);
}

struct options {
    struct mr_runtime_config config;
    struct mr_simulate machine;
};

static void read_options(int argc, char **argv, struct options *o)
{
    struct mr_simulate_costs *c = &o->machine.costs;

    if (argc < 2)
        stop("which costs?", "The first lines of simulate.c name the options.");
    read_costs(argv[1]);
    for (int i = 2; i < argc; i += 2) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        double n = atof(value);
        if (!strcmp(option, "--intake"))
            job.intake = value;
        else if (!strcmp(option, "--decode-share"))
            job.decode_share = n / 100;
        else if (!strcmp(option, "--read-share"))
            job.read_share = n / 100;
        else if (!strcmp(option, "--workers"))
            o->config.workers = (uint32_t)n;
        else if (!strcmp(option, "--lanes"))
            o->config.lanes = (uint32_t)n;
        else if (!strcmp(option, "--tokens"))
            o->config.tokens = (uint32_t)n;
        else if (!strcmp(option, "--window"))
            o->config.window = (uint32_t)n;
        else if (!strcmp(option, "--few"))
            o->config.few = (uint32_t)n;
        else if (!strcmp(option, "--burst"))
            job.burst = (uint32_t)n;
        else if (!strcmp(option, "--hit"))
            c->hit = n;
        else if (!strcmp(option, "--change"))
            c->change = n;
        else if (!strcmp(option, "--miss"))
            c->miss = n;
        else if (!strcmp(option, "--gap"))
            c->gap = n;
        else if (!strcmp(option, "--repeat"))
            job.repeat = (uint32_t)n;
        else if (!strcmp(option, "--wake"))
            c->wake = n;
        else if (!strcmp(option, "--move"))
            job.move_ns = n;
        else if (!strcmp(option, "--packet"))
            job.packet_ns = n;
        else if (!strcmp(option, "--copy"))
            job.copy_ns = n;
        else if (!strcmp(option, "--home-rows"))
            o->config.home_rows = (uint32_t)n;
        else
            stop("no option", option);
    }
    if (!job.burst || !job.repeat || job.burst > MR_BURST_MAX ||
        o->config.workers > MR_SIMULATE_THREADS)
        stop("out of bounds:", "--burst 1 to 256, --workers 1 to 64");
}

static struct mr_plan *compile(void)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config config = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;

    mr_analog_compile_text("costs", program, strlen(program), &config, diagnostics, &plan);
    mr_diagnostics_print(diagnostics, stderr, false);
    mr_diagnostics_free(diagnostics);
    return plan;
}

int main(int argc, char **argv)
{
    struct options o = {.config = {.workers = 1, .max_contexts = 1 << 20},
                        .machine = {.costs = {.hit = 1,
                                              .change = 6,
                                              .miss = 35,
                                              .gap = 10,
                                              .pause = 40,
                                              .call = 1000,
                                              .wake = 20000},
                                    .run = run,
                                    .idle_kind = idle_kind,
                                    .access_kind = ACCESS}};
    struct mr_error error = {0};
    struct mr_metrics sum = {0};

    read_options(argc, argv, &o);
    /* lines asked for beforehand and beside other work take 0.36 of what one alone takes */
    if (job.move_ns < 0) /* ten lines of a flow's state */
        job.move_ns = 4 * o.machine.costs.miss;
    if (job.packet_ns < 0) /* five lines: what describes it, and its tuples */
        job.packet_ns = 2 * o.machine.costs.miss;
    if (job.copy_ns < 0) /* two lines of a stream, of which one takes 0.07 */
        job.copy_ns = 0.2 * o.machine.costs.miss;
    survey();
    struct mr_plan *plan = compile();
    if (!plan || mr_buffers_new(&o.config.buffers, (uint64_t)4 << 30) ||
        mr_secret_draw(&o.config.secret, 1))
        return 2;
    o.config.plan = plan;
    o.config.hooks = (struct mr_runtime_hooks){.intake = intake, .leave = leave, .retire = retire};
    if (!strcmp(job.intake, "ahead")) {
        o.config.hooks.ahead = ahead;
        o.config.burst = job.burst % MR_BURST_MAX + 1; /* no burst is full: it is all of a piece */
    }
    if (mr_runtime_new(&job.runtime, &o.config, &error))
        stop(error.text, "");
    job.runtime->dear_ticks = 0; /* nothing is cheap: the clock that would tell is this machine's */
    atomic_store(&job.runtime->cheap, 0);
    mr_simulate(&o.machine);
    mr_runtime_metrics(job.runtime, &sum);
    printf("{\"workers\": %u, \"ns\": %.0f, \"all_ns\": %.0f, \"longest_flow_ns\": %.0f, "
           "\"packets\": %llu, \"steals\": %llu, \"local\": %llu",
           o.config.workers, o.machine.end, job.all_ns, job.longest_flow_ns,
           (unsigned long long)job.out,
           (unsigned long long)atomic_load(&sum.counters[MR_COUNT_STEALS]),
           (unsigned long long)atomic_load(&sum.counters[MR_COUNT_LOCAL_RUNS]));
    for (uint32_t i = 0; i < N_KINDS; i++)
        printf(", \"%s\": %.0f", kind_names[i], o.machine.spent[i]);
    printf("}\n");
    mr_runtime_free(job.runtime);
    mr_buffers_free(o.config.buffers);
    mr_plan_free(plan);
    free(job.tokens);
    free(job.packets);
    return job.out == job.header.n_packets * job.repeat ? 0 : 2;
}
