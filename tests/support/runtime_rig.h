/* What the tests of the runtime share: mock functions, made-up packets, and a run that checks order
 * and accounts and returns the records as text. It is long because most of these tests need all of
 * it, and a header is compiled into each. */
#ifndef RUNTIME_RIG_H
#define RUNTIME_RIG_H

#include "analog/analog.h"
#include "packet/clock.h"
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__) /* who meets whom is seen in half of them as well */
#define N_PACKETS 3000
#else
#define N_PACKETS 6000
#endif
#define N_KEYS 37

/* ---- mock functions ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static const struct mr_packet *packet_of(const struct mr_call *call, uint32_t row)
{
    return call->args[0][row].b.ptr;
}

static void call_key(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t r = mix(packet_of(call, row)->number);
        /* skewed: half of the packets have key 0 */
        call->out[row] = mr_value_int(r & 1 ? 0 : (int64_t)(r >> 8) % N_KEYS);
    }
}

struct counted {
    uint64_t last_packet;
    int64_t seen;
    _Atomic uint32_t busy;
};

static _Atomic uint32_t faults;

/* Counts the packets of a key: yields nothing for some, two values for others, and a farewell when
 * the context goes. */
static void call_sequence(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        struct counted *c = mr_context(call, row);
        if (atomic_exchange(&c->busy, 1))
            atomic_fetch_add(&faults, 1);
        if (call->cause != MR_CAUSE_DATA) {
            mr_yield(call, row, mr_value_int(-1000 * (int64_t)call->cause - c->seen));
        } else {
            const struct mr_packet *p = packet_of(call, row);
            if (p->number < c->last_packet)
                atomic_fetch_add(&faults, 1);
            c->last_packet = p->number;
            c->seen++;
            if (c->seen % 7)
                mr_yield(call, row, mr_value_int(c->seen));
            if (!(c->seen % 5))
                mr_yield(call, row, mr_value_int(-c->seen));
            mr_context_deadline(call, row, p->time_ns + 3u * 1000000000u);
        }
        atomic_store(&c->busy, 0);
    }
}

static void call_hash(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t h = (uint64_t)call->args[0][row].i;
        for (int i = 0; i < 20; i++)
            h = mix(h + 1);
        call->out[row] = mr_value_int((int64_t)(h & 15));
    }
}

static void call_total(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        int64_t *total = mr_context(call, row);
        call->out[row] = mr_value_int(++*total);
    }
}

/* At about every sixth packet, others for another argument. */
static bool its_turn(const struct mr_call *call, uint32_t row)
{
    return mix(packet_of(call, row)->number * 64 + (uint64_t)call->args[1][row].i) % 6 == 0;
}

static void tell_seen(struct mr_call *call, uint32_t row)
{
    struct counted *c = mr_context(call, row);

    if (call->cause == MR_CAUSE_DATA) {
        mr_context_deadline(call, row, call->packets[row]->time_ns + 3u * 1000000000u);
        mr_yield(call, row, mr_value_int(++c->seen));
    } else if (c->seen) {
        mr_yield(call, row, mr_value_int(-1000 * (int64_t)call->cause - c->seen));
    }
}

/* Counts the packets of a key up to one with which it ends the context. */
static void call_until(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        tell_seen(call, row);
        if (call->cause == MR_CAUSE_DATA && its_turn(call, row))
            mr_context_end(call, row);
    }
}

/* The same up to one with which the next context begins. */
static void call_again(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        if (call->cause == MR_CAUSE_DATA && its_turn(call, row))
            mr_context_renew(call, row);
        tell_seen(call, row);
    }
}

/* Says at the end how much it has seen. */
static void call_last(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        int64_t *seen = mr_context(call, row);
        ++*seen;
        if (call->cause != MR_CAUSE_DATA)
            mr_yield(call, row, mr_value_int(call->args[0][row].i * 100000 + *seen));
    }
}

/* No lock: the runtime must see to it that a source and a destination are never seen twice at
 * once (ThreadSanitizer would tell), and in order. Results depend on both histories. */
static struct {
    uint64_t last, sum;
} by_source[8], by_destination[8];

static void call_pair(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        uint64_t number = packet_of(call, row)->number;
        uint64_t s = (uint64_t)call->args[1][row].i, d = (uint64_t)call->args[2][row].i;
        if (by_source[s].last >= number || by_destination[d].last >= number)
            atomic_fetch_add(&faults, 1);
        by_source[s].last = by_destination[d].last = number;
        by_source[s].sum = mix(by_source[s].sum + by_destination[d].sum + number);
        by_destination[d].sum = mix(by_destination[d].sum ^ by_source[s].sum);
        call->out[row] = mr_value_int((int64_t)(by_destination[d].sum >> 1));
    }
}

static void call_part(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(
            (int64_t)(mix(packet_of(call, row)->number * 2 + (uint64_t)call->args[1][row].i) % 5));
}

/* Tells its key once the context goes, and how often it was seen: from an address and from a text.
 */
static void call_farewell(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        struct counted *c = mr_context(call, row);
        c->seen++;
        mr_context_deadline(call, row, call->packets[row]->time_ns + 2u * 1000000000u);
        if (call->cause == MR_CAUSE_DATA)
            continue;
        const struct mr_endpoint *address = call->args[0][row].b.ptr;
        const char *text = call->args[1][row].b.ptr;
        int64_t key = address->port * 100 + (call->args[1][row].b.len ? text[0] : 0);
        mr_yield(call, row, mr_value_int(key * 100000 + c->seen));
    }
}

static void call_number(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int((int64_t)packet_of(call, row)->number);
}

static void call_text(struct mr_call *call)
{
    static const char letters[] = "abcdefg";
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_bytes(letters + mix(packet_of(call, row)->number) % 7, 1);
}

#ifndef MORE_FUNCTIONS /* of one test */
#define MORE_FUNCTIONS
#endif
#ifndef MORE_COMPONENTS
#define MORE_COMPONENTS
#endif

static const struct mr_function functions[] = {
    MORE_FUNCTIONS{.name = "f_farewell",
                   .summary = "at the end",
                   .args = {MR_TYPE_ADDRESS, MR_TYPE_STRING},
                   .n_args = 2,
                   .result = MR_TYPE_INT,
                   .order = MR_ORDER_CONTEXT,
                   .shape = MR_SHAPE_EXPAND,
                   .context_bytes = sizeof(struct counted),
                   .call = call_farewell},
    {.name = "f_number",
     .summary = "a key of its own",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_number},
    {.name = "f_text",
     .summary = "a letter",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_STRING,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_text},
    {.name = "f_pair",
     .summary = "two histories",
     .args = {MR_TYPE_PACKET, MR_TYPE_INT, MR_TYPE_INT},
     .n_args = 3,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_pair},
    {.name = "f_part",
     .summary = "a key",
     .args = {MR_TYPE_PACKET, MR_TYPE_INT},
     .n_args = 2,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_part},
    {.name = "f_key",
     .summary = "a key",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_key},
    {.name = "f_sequence",
     .summary = "counts",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_EXPAND,
     .context_bytes = sizeof(struct counted),
     .call = call_sequence},
    {.name = "f_hash",
     .summary = "hashes",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .pure = true,
     .call = call_hash},
    {.name = "f_until",
     .summary = "counts, and ends",
     .args = {MR_TYPE_PACKET, MR_TYPE_INT},
     .n_args = 2,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_EXPAND,
     .flow_use = MR_FLOW_ENDS,
     .context_bytes = sizeof(struct counted),
     .call = call_until},
    {.name = "f_again",
     .summary = "counts, and begins anew",
     .args = {MR_TYPE_PACKET, MR_TYPE_INT},
     .n_args = 2,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_EXPAND,
     .flow_use = MR_FLOW_RENEWS,
     .context_bytes = sizeof(struct counted),
     .call = call_again},
    {.name = "f_last",
     .summary = "counts everything, and tells it at the end",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_TOTAL,
     .shape = MR_SHAPE_EXPAND,
     .context_bytes = 8,
     .call = call_last},
    {.name = "f_total",
     .summary = "counts everything",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_TOTAL,
     .shape = MR_SHAPE_MAP,
     .context_bytes = 8,
     .call = call_total},
};

static const struct mr_component component = {.abi = MR_COMPONENT_ABI,
                                              .bytes = sizeof component,
                                              .name = "mock",
                                              .summary = "mock",
                                              .functions = functions,
                                              .n_functions = sizeof functions / sizeof *functions};

/* ---- the machine around the runtime ---- */

enum stamps { STAMPS_GOOD, STAMPS_BROKEN, STAMPS_TWO_CAPTURES, STAMPS_FROM_0 };

struct rig {
    const struct mr_plan *plan;
    enum stamps stamps;
    struct mr_packet_clock clock;
    uint64_t next; /* packets handed out */
    uint64_t n_packets;
    uint32_t burst; /* at most; 0: random */
    uint64_t random;
    uint64_t last_token, tokens;
    char *text;
    size_t len, capacity;
    bool little_memory;
    char dummy[64];
};

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct rig *rig = user;
    uint32_t n = rig->burst;

    if (!n) {
        rig->random = mix(rig->random + 1);
        n = (uint32_t)(rig->random % MR_BURST_MAX) + 1;
    }
    if (rig->next == rig->n_packets)
        return MR_EOF;
    for (uint32_t i = 0; i < n && rig->next < rig->n_packets; i++) {
        struct mr_packet *p = &token->burst.packets[token->burst.n++];
        memset(p, 0, sizeof *p);
        p->number = ++rig->next;
        p->data = (const uint8_t *)rig->dummy;
        /* about 170 packets a second, a leap of 10 s now and then, sometimes backwards */
        p->time_ns = p->number * 6000000u + p->number / 1700 * 10000000000u + 1000000000u;
        if (p->number % 97 == 0)
            p->time_ns -= 900000000u;
        if (rig->stamps == STAMPS_BROKEN && p->number % 1201 == 1)
            p->time_ns = p->number % 2 ? UINT64_MAX / 2 : 1;
        uint64_t half = rig->n_packets / 2;
        if (rig->stamps == STAMPS_FROM_0 && p->number > half) /* 0.1 s to begin with */
            p->time_ns -= half * 6000000u + half / 1700 * 10000000000u + 900000000u;
        if (rig->stamps >= STAMPS_TWO_CAPTURES && p->number <= half)
            p->time_ns += 7200000000000u; /* two hours: the older one comes second */
        if (!mr_packet_clock_follows(&rig->clock, p->time_ns)) {
            p->flags |= MR_PACKET_STRAY_TIME;
            mr_metrics_add(metrics, MR_COUNT_TIME_JUMPS, 1);
        }
        p->src.family = 4;
        p->src.port = (uint16_t)(p->number % 5);
        p->dst.port = (uint16_t)(p->number % 3);
    }
    return MR_OK;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    struct rig *rig = user;
    const struct mr_plan_predicate *p = &rig->plan->predicates[tuples->predicate];

    for (uint32_t row = 0; row < tuples->n; row++) {
        char text[256];
        int at = snprintf(text, sizeof text, "%llu %s",
                          (unsigned long long)tuples->origins[row]->number, p->name);
        for (uint32_t c = 1; c < p->arity; c++)
            if (p->attributes[c].type == MR_TYPE_INT)
                at += snprintf(text + at, sizeof text - (size_t)at, " %lld",
                               (long long)tuples->columns[c][row].i);
        text[at++] = '\n';
        uint32_t ordinal = tuples->ordinals ? tuples->ordinals[row] : 0;
        if (!mr_exec_record(exec, tuples->origins[row], ordinal, text, (size_t)at) &&
            !rig->little_memory)
            atomic_fetch_add(&faults, 1);
    }
}

static void watch(void *user, struct mr_exec *exec, const struct mr_tuples *tuples,
                  const char *change)
{
    struct rig *rig = user;
    const struct mr_plan_predicate *p = &rig->plan->predicates[tuples->predicate];

    for (uint32_t row = 0; row < tuples->n; row++) {
        char text[256];
        int at = snprintf(text, sizeof text, "%llu %s %s",
                          (unsigned long long)tuples->origins[row]->number, change, p->name);
        for (uint32_t c = 1; c < p->arity; c++)
            if (p->attributes[c].type == MR_TYPE_INT)
                at += snprintf(text + at, sizeof text - (size_t)at, " %lld",
                               (long long)tuples->columns[c][row].i);
        text[at++] = '\n';
        uint32_t ordinal = tuples->ordinals ? tuples->ordinals[row] : 0;
        if (!mr_exec_record(exec, tuples->origins[row], ordinal, text, (size_t)at) &&
            !rig->little_memory)
            atomic_fetch_add(&faults, 1);
    }
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    struct rig *rig = user;

    (void)metrics;
    bool again = rig->tokens && records && token->number == rig->last_token; /* it has many */
    if (token->number != rig->last_token + !again)
        atomic_fetch_add(&faults, 1);
    rig->last_token = token->number;
    rig->tokens += !again;
    for (; records; records = records->next) {
        if (rig->len + records->len > rig->capacity) {
            rig->capacity = rig->capacity * 2 + records->len + 4096;
            rig->text = realloc(rig->text, rig->capacity);
            assert_non_null(rig->text);
        }
        memcpy(rig->text + rig->len, records->bytes, records->len);
        rig->len += records->len;
    }
}

struct setting {
    uint32_t workers, lanes, tokens, burst, window;
    uint64_t yield_seed, secret_seed, max_contexts;
    uint64_t memory, packets;
    enum stamps stamps;
};

/* What was measured adds up with what was counted, by stage and by worker. */
static void check_stages(const struct mr_runtime *runtime, const struct mr_plan *plan,
                         uint64_t packets)
{
    struct mr_stage_metrics *m = aligned_alloc(64, sizeof *m);
    struct mr_histogram *latency = calloc(1, sizeof *latency);
    struct mr_metrics sum = {0}, workers = {0};
    struct mr_runtime_usage usage;
    uint64_t tuples = 0, batches = 0, stolen = 0;

    mr_runtime_metrics(runtime, &sum);
    mr_runtime_usage(runtime, &usage);
    for (uint32_t w = 0; w < usage.workers; w++)
        mr_runtime_worker(runtime, w, &workers);
    assert_memory_equal(&workers, &sum, sizeof sum);
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        memset(m, 0, sizeof *m);
        mr_runtime_stage(runtime, g, m);
        assert_int_equal(mr_histogram_count(&m->batch), mr_stage_batches(m));
        assert_int_equal(mr_histogram_count(&m->tuple), m->tuples);
        assert_int_equal(mr_histogram_count(&m->queued[MR_LANE_USUAL]) +
                             mr_histogram_count(&m->queued[MR_LANE_HOT]),
                         m->tuples);
        tuples += m->tuples;
        batches += mr_stage_batches(m);
        stolen += m->batches[MR_WAY_STOLEN];
        assert_in_range(m->most_in_flight, m->tuples != 0, usage.max_in_flight);
        if (!g && plan->groups[0].kind == MR_STAGE_PARALLEL && packets == N_PACKETS &&
            !atomic_load(&sum.counters[MR_COUNT_TOKEN_MEMORY_REFUSED]))
            assert_int_equal(m->tuples, packets); /* the first stage sees every packet */
    }
    assert_int_equal(atomic_load(&sum.counters[MR_COUNT_TUPLES]), tuples);
    assert_int_equal(atomic_load(&sum.counters[MR_COUNT_BATCHES]), batches);
    if (!atomic_load(&sum.counters[MR_COUNT_STEALS]))
        assert_int_equal(stolen, 0);
    mr_runtime_latency(runtime, latency);
    assert_int_equal(mr_histogram_count(latency), packets);
    free(latency);
    free(m);
}

/* What functions counted, behind what came out. */
static void add_counters(struct rig *rig, const struct mr_runtime *runtime)
{
    for (uint32_t binding = 0; binding < rig->plan->n_bindings; binding++)
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t n = mr_runtime_function_counter(runtime, binding, i);
            char text[64];
            int len = snprintf(text, sizeof text, "call %u counter %u: %llu\n", binding, i,
                               (unsigned long long)n);
            if (!n)
                continue;
            rig->text = realloc(rig->text, rig->len + (size_t)len);
            assert_non_null(rig->text);
            memcpy(rig->text + rig->len, text, (size_t)len);
            rig->len += (size_t)len;
            rig->capacity = rig->len;
        }
}

static char *run(const char *program, struct setting s, size_t *len, struct mr_metrics *metrics)
{
    const struct mr_component *list[] = {&component, MORE_COMPONENTS};
    struct mr_analog_config analog = {.components = list,
                                      .n_components = sizeof list / sizeof(void *)};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    enum mr_status status =
        mr_analog_compile_text("test", program, strlen(program), &analog, diagnostics, &plan);
    mr_diagnostics_print(diagnostics, stderr, false);
    mr_diagnostics_free(diagnostics);
    assert_int_equal(status, MR_OK);

    struct rig rig = {.plan = plan,
                      .n_packets = s.packets ? s.packets : N_PACKETS,
                      .burst = s.burst,
                      .stamps = s.stamps,
                      .random = s.yield_seed};
    rig.little_memory = s.memory;
    struct mr_buffers *buffers = NULL;
    assert_int_equal(mr_buffers_new(&buffers, s.memory ? s.memory : (uint64_t)1 << 30), MR_OK);
    struct mr_runtime_config config = {
        .plan = plan,
        .hooks = {.user = &rig, .intake = intake, .leave = leave, .watch = watch, .retire = retire},
        .buffers = buffers,
        .workers = s.workers,
        .tokens = s.tokens,
        .window = s.window,
        .lanes = s.lanes,
        .burst = s.burst,
        .home_rows = s.yield_seed & 1, /* 0: as usual */
        .max_contexts = s.max_contexts,
        .yield_seed = s.yield_seed,
    };
    assert_int_equal(mr_secret_draw(&config.secret, s.secret_seed), MR_OK);
    struct mr_runtime *runtime = NULL;
    struct mr_error error = {0};
    assert_int_equal(mr_runtime_new(&runtime, &config, &error), MR_OK);
    atomic_store(&faults, 0);
    memset(by_source, 0, sizeof by_source);
    memset(by_destination, 0, sizeof by_destination);
    assert_int_equal(mr_runtime_run(runtime, &error), MR_OK);
    assert_int_equal(atomic_load(&faults), 0);
    assert_true(rig.tokens > 0);

    struct mr_runtime_usage usage;
    mr_runtime_usage(runtime, &usage);
    assert_true(usage.max_in_flight <= (s.tokens ? s.tokens : 1000));
    assert_int_equal(usage.tokens_in_flight, 0);
    struct mr_buffers_usage used;
    mr_buffers_usage(buffers, &used);
    if (!plan->n_tables) /* tables stay, to be read */
        assert_int_equal(used.used_bytes, 0);
    check_stages(runtime, plan, rig.n_packets);
    if (metrics)
        mr_runtime_metrics(runtime, metrics);
    add_counters(&rig, runtime);
    mr_runtime_free(runtime);
    mr_buffers_usage(buffers, &used);
    assert_int_equal(used.used_bytes, 0);
    mr_buffers_free(buffers);
    mr_plan_free(plan);
    *len = rig.len;
    return rig.text;
}

static const struct setting settings[] = {
    {.workers = 1, .lanes = 64, .tokens = 1000, .burst = 64, .secret_seed = 1},
    {.workers = 1, .lanes = 1, .tokens = 1, .burst = 1, .secret_seed = 2},
    {.workers = 2, .lanes = 256, .burst = 256, .secret_seed = 3, .yield_seed = 1},
    {.workers = 3, .lanes = 4, .burst = 17, .secret_seed = 4, .yield_seed = 2},
    {.workers = 8, .lanes = 512, .secret_seed = 5, .yield_seed = 3},
    {.workers = 8, .lanes = 16, .tokens = 3, .secret_seed = 6, .yield_seed = 4},
    {.workers = 8, .lanes = 64, .burst = 1, .window = 1000, .secret_seed = 7, .yield_seed = 5},
    {.workers = 4, .lanes = 2, .secret_seed = 8, .yield_seed = 6},
    /* the straight way, some bursts at a time, as far as they are cheap */
    {.workers = 1, .lanes = 4, .burst = 3, .secret_seed = 9},
    {.workers = 8, .lanes = 8, .burst = 1, .secret_seed = 10},
};

/* Whether there is something to see in it: for ThreadSanitizer not on one worker, but for the
 * first, which the others are held against. */
static bool worth_running(size_t i)
{
#if defined(__SANITIZE_THREAD__)
    return !i || settings[i].workers > 1;
#else
    return i < sizeof settings / sizeof *settings;
#endif
}

static void same_everywhere(const char *program, uint32_t at_least)
{
    size_t len = 0;
    char *expected = run(program, settings[0], &len, NULL);
    size_t lines = 0;

    for (size_t i = 0; i < len; i++)
        lines += expected[i] == '\n';
    assert_true(lines >= at_least);
    for (size_t i = 1; i < sizeof settings / sizeof *settings; i++) {
        size_t other_len = 0;
        if (!worth_running(i))
            continue;
        char *other = run(program, settings[i], &other_len, NULL);
        if (other_len != len || memcmp(other, expected, len)) {
            size_t at = 0, line = 1;
            while (at < len && at < other_len && other[at] == expected[at])
                line += expected[at++] == '\n';
            while (at && expected[at - 1] != '\n')
                at--;
            print_message("expected: %.120s\nfound: %.120s\n", expected + at, other + at);
            fail_msg("setting %zu differs from the first at line %zu (byte %zu of %zu/%zu)", i,
                     line, at, len, other_len);
        }
        free(other);
    }
    free(expected);
}

#define KEYER                                                                                      \
    "component keyer(parallel) { k1 keyed(@N,PKT,KEY) :- input(@N,PKT,S,D), KEY = f_key(PKT). }\n"
#define SEQUENCER                                                                                  \
    "component sequencer(parallel_context_order, context_keys(keyed(3))) {\n"                      \
    "s1 counted(@N,PKT,KEY,SEQ) :- keyed(@N,PKT,KEY), SEQ = f_sequence(PKT). }\n"

#endif
