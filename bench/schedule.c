/* What scheduling costs: the runtime alone, between a source that makes packets up and a sink that
 * counts them, running a program whose functions do nothing (or, with --work, only burn time).
 *
 *     schedule [--workers N] [--burst N] [--packets N] [--keys N] [--work ROUNDS]
 *              [--last parallel|serial] [--lanes N] [--tokens N]
 *
 * Prints one line of JSON: seconds, cpu_seconds, packets, and what the workers did.
 * tbb_pipeline.cpp is the same with oneTBB; README.md here says what is compared.
 */
#include "analog/analog.h"
#include "base/clock.h"
#include "runtime/runtime.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct job {
    uint64_t packets, keys, work;
    uint32_t workers, burst, lanes, tokens;
    const char *last;
    uint64_t made, left, tokens_out;
};

static struct job job = {
    .packets = 2000000, .keys = 1024, .workers = 1, .burst = 32, .last = "parallel"};

/* ---- the program and its functions ---- */

static const char program[] = "component first(parallel) {\n"
                              "a1 keyed(@N,PKT,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT). }\n"
                              "component second(parallel_context_order, context_keys(keyed(3))) {\n"
                              "b1 ordered(@N,PKT,KEY,X) :- keyed(@N,PKT,KEY), X = f_work(KEY). }\n"
                              "component third(%s) {\n"
                              "c1 done(@N,Y) :- ordered(@N,PKT,KEY,X), Y = f_nothing(X). }\n";

static void call_key(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = call->args[0][row].b.ptr;
        call->out[row] = mr_value_int((int64_t)(packet->number % job.keys));
    }
}

static void call_work(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t x = (uint64_t)call->args[0][row].i;
        for (uint64_t i = 0; i < job.work; i++)
            x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u + i; /* a chain: each step waits for the last */
        call->out[row] = mr_value_int((int64_t)x);
    }
}

static void call_nothing(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = call->args[0][row];
}

static const struct mr_function functions[] = {
    {.name = "f_key",
     .summary = "a key",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_key},
    {.name = "f_work",
     .summary = "burns time",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_MAP,
     .context_bytes = 8,
     .call = call_work},
    {.name = "f_nothing",
     .summary = "does nothing",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_nothing},
};

static const struct mr_component component = {.abi = MR_COMPONENT_ABI,
                                              .bytes = sizeof component,
                                              .name = "empty",
                                              .summary = "functions that do nothing",
                                              .functions = functions,
                                              .n_functions = sizeof functions / sizeof *functions};

/* ---- the machine around the runtime ---- */

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    (void)user;
    (void)metrics;
    if (job.made == job.packets)
        return MR_EOF;
    uint32_t n = 0;
    for (; n < job.burst && job.made < job.packets; n++) {
        struct mr_packet *packet = &token->burst.packets[n];
        packet->number = ++job.made;
        packet->time_ns = 1000000000u + packet->number * 10; /* 100 M packets a second */
        packet->data = (const uint8_t *)"";
    }
    token->burst.n = n;
    return MR_OK;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    (void)user;
    mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_RESULTS, tuples->n);
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    (void)user;
    (void)metrics;
    (void)records;
    if (token->number != ++job.tokens_out) {
        fprintf(stderr, "schedule: token %" PRIu64 " came out in place %" PRIu64 "\n",
                token->number, job.tokens_out);
        exit(2);
    }
    job.left += token->burst.n;
}

static struct mr_plan *compile(void)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config config = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    char text[1024];
    int len = snprintf(text, sizeof text, program, job.last);

    mr_analog_compile_text("empty", text, (size_t)len, &config, diagnostics, &plan);
    mr_diagnostics_print(diagnostics, stderr, false);
    mr_diagnostics_free(diagnostics);
    return plan;
}

static uint64_t number(const char *text, const char *option)
{
    char *end = NULL;
    uint64_t n = strtoull(text, &end, 10);
    if (!*text || *end || (!n && strcmp(option, "--work"))) {
        fprintf(stderr, "schedule: %s wants a number, not '%s'\n", option, text);
        exit(1);
    }
    return n;
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(option, "--last"))
            job.last = value;
        else if (!strcmp(option, "--workers"))
            job.workers = (uint32_t)number(value, option);
        else if (!strcmp(option, "--burst"))
            job.burst = (uint32_t)number(value, option);
        else if (!strcmp(option, "--packets"))
            job.packets = number(value, option);
        else if (!strcmp(option, "--keys"))
            job.keys = number(value, option);
        else if (!strcmp(option, "--work"))
            job.work = number(value, option);
        else if (!strcmp(option, "--lanes"))
            job.lanes = (uint32_t)number(value, option);
        else if (!strcmp(option, "--tokens"))
            job.tokens = (uint32_t)number(value, option);
        else {
            fprintf(stderr, "schedule: no option %s; the first lines of schedule.c name them\n",
                    option);
            exit(1);
        }
    }
    if (job.burst > MR_BURST_MAX)
        job.burst = MR_BURST_MAX;
}

int main(int argc, char **argv)
{
    struct mr_buffers *buffers = NULL;
    struct mr_runtime *runtime = NULL;
    struct mr_error error = {0};
    struct mr_metrics sum = {0};

    read_options(argc, argv);
    struct mr_plan *plan = compile();
    if (!plan || mr_buffers_new(&buffers, (uint64_t)1 << 30))
        return 2;
    struct mr_runtime_config config = {
        .plan = plan,
        .hooks = {.intake = intake, .leave = leave, .retire = retire},
        .buffers = buffers,
        .workers = job.workers,
        .lanes = job.lanes,
        .burst = job.burst,
        .tokens = job.tokens};
    if (mr_secret_draw(&config.secret, 1) || mr_runtime_new(&runtime, &config, &error)) {
        fprintf(stderr, "schedule: %s\n", error.text);
        return 2;
    }
    uint64_t start = mr_clock_ns(), cpu = mr_clock_cpu_ns();
    enum mr_status status = mr_runtime_run(runtime, &error);
    uint64_t end = mr_clock_ns();
    cpu = mr_clock_cpu_ns() - cpu;
    mr_runtime_metrics(runtime, &sum);
    uint64_t results = atomic_load(&sum.counters[MR_COUNT_RESULTS]);
    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"packets\": %" PRIu64
           ", \"steals\": %" PRIu64 ", \"local\": %" PRIu64 ", \"parks\": %" PRIu64 "}\n",
           (double)(end - start) / 1e9, (double)cpu / 1e9, job.left,
           atomic_load(&sum.counters[MR_COUNT_STEALS]),
           atomic_load(&sum.counters[MR_COUNT_LOCAL_RUNS]),
           atomic_load(&sum.counters[MR_COUNT_PARKS]));
    mr_runtime_free(runtime);
    mr_buffers_free(buffers);
    mr_plan_free(plan);
    if (status || job.left != job.packets || results != job.packets) {
        fprintf(stderr, "schedule: %" PRIu64 " packets in, %" PRIu64 " out, %" PRIu64 " results\n",
                job.packets, job.left, results);
        return 2;
    }
    return 0;
}
