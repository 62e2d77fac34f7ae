/* How the scheduler scales, on virtual workers in virtual time: the same numbers in every run and
 * on every machine. Independent flows use all workers; one flow that has half of the work is what
 * order costs, and no more; a slow source or sink is what it is. */
// layers: simulated analog base
#include "analog/analog.h"
#include "runtime/internal.h"
#include "runtime/runtime.h"
#include "virtual/simulate.h"
#include "virtual/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <linux/futex.h>

#include <cmocka.h>

enum { WORK, INTAKE, OUTPUT, ACCESS, IDLE };

struct load {
    uint64_t packets, made, left;
    uint32_t burst, flows;
    bool one_has_half;           /* of the packets */
    double work, intake, output; /* ns a packet */
    uint64_t group;              /* packets that come at a time, live; 0: all are there */
    double group_ns, longest;    /* when the last group came; until one was through, at most */
    uint64_t there;              /* packets that have come */
    struct mr_runtime *runtime;
};

static struct load load;

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void call_flow(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t r = mix(((const struct mr_packet *)call->args[0][row].b.ptr)->number);
        call->out[row] =
            mr_value_int(load.one_has_half && r & 1 ? 0 : (int64_t)(r >> 8) % load.flows);
    }
}

static void call_work(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        mr_simulate_charge(WORK, load.work);
        call->out[row] = mr_value_int(1);
    }
}

static const struct mr_function functions[] = {
    {.name = "f_flow",
     .summary = "a key",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_flow},
    {.name = "f_work",
     .summary = "takes its time",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_MAP,
     .context_bytes = 8,
     .call = call_work},
};

static const struct mr_component component = {.abi = MR_COMPONENT_ABI,
                                              .bytes = sizeof component,
                                              .name = "mock",
                                              .summary = "mock",
                                              .functions = functions,
                                              .n_functions = sizeof functions / sizeof *functions};

static const char program[] =
    "component front(parallel) { f1 keyed(@N,PKT,K) :- input(@N,PKT,_,_), K = f_flow(PKT). }\n"
    "component lanes(parallel_context_order, context_keys(keyed(3))) {\n"
    "l1 done(@N,X) :- keyed(@N,PKT,K), X = f_work(K). }\n";

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    (void)user;
    (void)metrics;
    uint64_t there = load.group ? load.there : load.packets;
    if (load.made == load.packets)
        return MR_EOF;
    if (load.made == there)
        return MR_AGAIN;
    for (token->burst.n = 0; token->burst.n < load.burst && load.made < there;) {
        struct mr_packet *packet = &token->burst.packets[token->burst.n++];
        packet->number = ++load.made;
        packet->time_ns = 1000000000u + packet->number;
        packet->data = (const uint8_t *)"";
    }
    mr_simulate_charge(INTAKE, load.intake * token->burst.n);
    return MR_OK;
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
    load.left += token->burst.n;
    mr_simulate_charge(OUTPUT, load.output * token->burst.n);
    if (load.group && load.left % load.group == 0) {
        double took = mr_simulate_now() - load.group_ns;
        load.longest = took > load.longest ? took : load.longest;
    }
}

static bool ready(void *user)
{
    (void)user;
    return load.made < load.there;
}

/* A capture thread: packets in groups, with pauses in which all workers fall asleep. */
static void *capture(void *argument)
{
    static uint32_t nobody;
    const struct timespec pause = {.tv_nsec = 200000000};

    while (load.there < load.packets) {
        mr_virtual_syscall(SYS_futex, &nobody, FUTEX_WAIT_PRIVATE, 0, &pause, NULL, 0);
        load.group_ns = mr_simulate_now();
        load.there += load.group;
        mr_runtime_notify(load.runtime);
    }
    return argument;
}

static uint32_t idle(void *user)
{
    (void)user;
    return IDLE;
}

static void run(void *user)
{
    struct mr_error error = {0};
    pthread_t thread = {0};
    (void)user;
    if (load.group)
        mr_virtual_create(&thread, NULL, capture, NULL);
    if (mr_runtime_run(load.runtime, &error))
        fprintf(stderr, "%s\n", error.text);
    if (load.group)
        mr_virtual_join(thread, NULL);
}

/* Virtual nanoseconds that the load takes. */
static double takes(struct load what, uint32_t workers)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config analog = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_runtime_config config = {
        .hooks = {.intake = intake, .leave = leave, .retire = retire},
        .workers = workers,
        .lanes = 1024,
        .max_contexts = 1 << 16,
    };
    struct mr_simulate machine = {.costs = {.hit = 1,
                                            .change = 5,
                                            .miss = 60,
                                            .gap = 15,
                                            .pause = 40,
                                            .call = 1000,
                                            .wake = 20000},
                                  .run = run,
                                  .idle_kind = idle,
                                  .access_kind = ACCESS};
    struct mr_plan *plan = NULL;
    struct mr_error error = {0};

    assert_int_equal(
        mr_analog_compile_text("test", program, sizeof program - 1, &analog, diagnostics, &plan),
        MR_OK);
    mr_diagnostics_free(diagnostics);
    load = what;
    config.plan = plan;
    config.hooks.ready = load.group ? ready : NULL;
    config.burst = load.burst;
    assert_int_equal(mr_buffers_new(&config.buffers, (uint64_t)1 << 32), MR_OK);
    assert_int_equal(mr_secret_draw(&config.secret, 1), MR_OK);
    assert_int_equal(mr_runtime_new(&load.runtime, &config, &error), MR_OK);
    load.runtime->dear_ticks = 0; /* nothing is cheap: the clock would tell of this machine */
    atomic_store(&load.runtime->cheap, 0);
    load.runtime->straight = false; /* one worker goes by lanes as many do */
    mr_simulate(&machine);
    assert_int_equal(load.left, load.packets);
    mr_runtime_free(load.runtime);
    mr_buffers_free(config.buffers);
    mr_plan_free(plan);
    return machine.end;
}

static double speedup(const char *name, struct load what, uint32_t workers)
{
    double one = takes(what, 1), many = takes(what, workers);
    print_message("%-24s %2u workers: %.2f\n", name, workers, one / many);
    return one / many;
}

static const struct load usual = {
    .packets = 100000, .burst = 64, .flows = 5000, .work = 2000, .intake = 10};

static void independent_flows_use_all_workers(void **state)
{
    (void)state;
    assert_true(speedup("many flows", usual, 2) > 1.9);
    assert_true(speedup("many flows", usual, 16) > 0.85 * 16);
    assert_true(speedup("many flows", usual, 64) > 0.3 * 64);
}

/* Half of the work must be done one after the other: at most twice as fast, and nearly so. */
static void one_flow_is_no_faster_than_order_allows(void **state)
{
    struct load skewed = usual;
    (void)state;
    skewed.one_has_half = true;
    double s = speedup("one flow has half", skewed, 8);
    assert_true(s > 1.7 && s < 2.3);
}

static void a_slow_source_or_sink_is_what_it_is(void **state)
{
    struct load slow = usual;
    (void)state;
    slow.intake = 500; /* of 2,500: five times at most */
    double s = speedup("slow source", slow, 16);
    assert_true(s > 4 && s < 5.6);
    slow = usual;
    slow.output = 500;
    s = speedup("slow sink", slow, 16);
    assert_true(s > 3.7 && s < 5.6);
}

/* Live and light: all sleep, a group of packets comes, and whoever can help is awake at once, also
 * for lanes that are handed over in parcels. By 8 workers 10 ms of work are done in 1.7 (1.3, and
 * what lanes differ in); one who slept on for as long as it would, 64 ms, would be seen. */
static void a_group_wakes_those_who_can_help(void **state)
{
    (void)state;
    for (uint32_t bursts = 1; bursts <= 8; bursts *= 8) {
        struct load groups = usual;
        groups.packets = (uint64_t)5 * 512;
        groups.group = 512;
        groups.burst = 512 / bursts;
        groups.flows = 32;
        groups.work = 20000;
        takes(groups, 8);
        print_message("groups of %u bursts: %.2f ms at most\n", bursts, load.longest / 1e6);
        assert_true(load.longest < 2.5e6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(independent_flows_use_all_workers),
        cmocka_unit_test(one_flow_is_no_faster_than_order_allows),
        cmocka_unit_test(a_group_wakes_those_who_can_help),
        cmocka_unit_test(a_slow_source_or_sink_is_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
