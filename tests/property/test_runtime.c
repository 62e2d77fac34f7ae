/* The runtime's promises: outputs are the same for any number of workers, lanes, tokens, any burst
 * size and any scheduling; per key in order, never two at once; every token passes every gate;
 * timers by packet time; recursion ends. Programs with mock functions over made-up packets. */
// layers: runtime analog base
#include "analog/analog.h"
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_PACKETS 6000
#define N_KEYS    37

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

static const struct mr_function functions[] = {
    {.name = "f_farewell",
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

struct rig {
    const struct mr_plan *plan;
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

    (void)metrics;
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

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    struct rig *rig = user;

    (void)metrics;
    if (token->number != rig->last_token + 1)
        atomic_fetch_add(&faults, 1);
    rig->last_token = token->number;
    rig->tokens++;
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
};

static char *run(const char *program, struct setting s, size_t *len, struct mr_metrics *metrics)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config analog = {.components = list, .n_components = 1};
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
                      .random = s.yield_seed};
    rig.little_memory = s.memory;
    struct mr_buffers *buffers = NULL;
    assert_int_equal(mr_buffers_new(&buffers, s.memory ? s.memory : (uint64_t)1 << 30), MR_OK);
    struct mr_runtime_config config = {
        .plan = plan,
        .hooks = {.user = &rig, .intake = intake, .leave = leave, .retire = retire},
        .buffers = buffers,
        .workers = s.workers,
        .tokens = s.tokens,
        .window = s.window,
        .lanes = s.lanes,
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
    assert_int_equal(used.used_bytes, 0);
    if (metrics)
        mr_runtime_metrics(runtime, metrics);
    mr_runtime_free(runtime);
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
};

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

static void context_order(void **state)
{
    (void)state;
    same_everywhere(KEYER SEQUENCER, N_PACKETS / 2);
}

static void parallel_tail_and_filter(void **state)
{
    (void)state;
    same_everywhere(KEYER SEQUENCER
                    "component tail(parallel) { t1 result(@N,KEY,SEQ,H) :- counted(@N,PKT,KEY,SEQ),"
                    " H = f_hash(SEQ), H != 3. t2 other(@N,KEY,SEQ) :- counted(@N,PKT,KEY,SEQ),"
                    " SEQ % 11 == 0. }\n",
                    N_PACKETS / 2);
}

static void exchange_to_another_key(void **state)
{
    (void)state;
    same_everywhere(
        KEYER SEQUENCER
        "component mid(parallel) { t1 hashed(@N,PKT,KEY,SEQ,H) :-"
        " counted(@N,PKT,KEY,SEQ), H = f_hash(SEQ). }\n"
        "component again(parallel_context_order, context_keys(hashed(5))) {\n"
        "a1 twice(@N,KEY,SEQ,H,T) :- hashed(@N,PKT,KEY,SEQ,H), T = f_sequence(PKT). }\n",
        N_PACKETS / 3);
}

static void two_keys_at_once(void **state)
{
    (void)state;
    same_everywhere("component ends(parallel) { e1 conn(@N,PKT,SRC,DST) :- input(@N,PKT,S,D),"
                    " SRC = f_part(PKT, 0), DST = f_part(PKT, 1). }\n"
                    "component both(parallel_context_order, context_keys(conn(3), conn(4))) {\n"
                    "b1 pair(@N,SRC,DST,H) :- conn(@N,PKT,SRC,DST), H = f_pair(PKT, SRC, DST). }\n",
                    N_PACKETS);
}

static void serial_sees_everything_in_order(void **state)
{
    (void)state;
    same_everywhere(KEYER SEQUENCER
                    "component all(serial) { z1 totalled(@N,KEY,SEQ,T) :- counted(@N,PKT,KEY,SEQ),"
                    " T = f_total(SEQ). }\n",
                    N_PACKETS / 2);
}

static void serial_first_and_pass_through(void **state)
{
    (void)state;
    same_everywhere("component one(serial) { z1 seen(@N,PKT,T) :- input(@N,PKT,S,D),"
                    " K = f_key(PKT), T = f_total(K), K < 20. }\n"
                    "component other(parallel) { o1 never(@N,X) :- nothing(@N,X). }\n"
                    "component empty(serial) { }\n",
                    N_PACKETS / 3);
}

static void recursion_reaches_its_fixpoint(void **state)
{
    (void)state;
    same_everywhere(KEYER "component down(parallel) {"
                          "d1 step(@N,X) :- keyed(@N,PKT,KEY), X = KEY % 9."
                          "d2 step(@N,Y) :- step(@N,X), X > 0, Y = X - 1."
                          "d3 step(@N,X) :- step(@N,X)."
                          "d4 found(@N,X) :- step(@N,X), X % 2 == 0. }\n",
                    N_PACKETS / 2);
}

static void endless_recursion_is_cut(void **state)
{
    size_t len = 0;
    struct mr_metrics metrics = {0};
    (void)state;
    struct setting s = {.workers = 2, .lanes = 16, .secret_seed = 1};
    char *text = run(KEYER "component up(parallel) {"
                           "u1 step(@N,X) :- keyed(@N,PKT,KEY), KEY == 36, X = KEY."
                           "u2 step(@N,Y) :- step(@N,X), Y = X + 1. "
                           "u3 high(@N,X) :- step(@N,X), X == 100. }\n",
                     s, &len, &metrics);
    assert_true(len > 0);
    assert_true(atomic_load(&metrics.counters[MR_COUNT_DERIVATIONS_CUT]) > 0);
    free(text);
}

static void full_tables_evict_the_oldest(void **state)
{
    size_t len = 0;
    struct mr_metrics metrics = {0};
    (void)state;
    struct setting s = {.workers = 4, .lanes = 1, .secret_seed = 1, .max_contexts = 8};
    char *text = run(KEYER SEQUENCER, s, &len, &metrics);
    assert_true(len > 0);
    assert_true(atomic_load(&metrics.counters[MR_COUNT_FLOWS_EVICTED]) > 0);
    free(text);
}

static void farewells_carry_their_key(void **state)
{
    (void)state;
    same_everywhere("component texts(parallel) { t1 said(@N,PKT,S,T) :- input(@N,PKT,S,D),"
                    " T = f_text(PKT). }\n"
                    "component ends(parallel_context_order, context_keys(said(3))) {\n"
                    "e1 gone(@N,S,T,F) :- said(@N,PKT,S,T), F = f_farewell(S, T). }\n"
                    "component behind(parallel) { b1 late(@N,F,H) :- gone(@N,S,T,F), S == S,"
                    " H = f_hash(F). }\n",
                    5);
    same_everywhere("component texts(parallel) { t1 said(@N,PKT,S,T) :- input(@N,PKT,S,D),"
                    " T = f_text(PKT). }\n"
                    "component ends(parallel_context_order, context_keys(said(4))) {\n"
                    "e1 gone(@N,F) :- said(@N,PKT,S,T), T != \"b\", F = f_farewell(S, T). }\n",
                    6);
}

/* A predicate that comes in without a key and is derived inside as well. */
static void passing_meets_derived(void **state)
{
    (void)state;
    same_everywhere("component a(parallel) { a1 keyed(@N,PKT,KEY) :- input(@N,PKT,S,D),"
                    " KEY = f_key(PKT). a2 counted(@N,PKT,KEY,SEQ) :- input(@N,PKT,S,D),"
                    " KEY = f_key(PKT), SEQ = 0. }\n" SEQUENCER,
                    N_PACKETS);
}

/* What runs out is told and nothing breaks: no crash, no leak, every token through. */
static void little_memory(void **state)
{
    (void)state;
    for (uint64_t cap = 1 << 16; cap < 1 << 24; cap *= 2)
        for (uint32_t workers = 1; workers <= 8; workers += 7) {
            struct mr_metrics metrics = {0};
            size_t len = 0;
            struct setting s = {.workers = workers,
                                .lanes = 256,
                                .secret_seed = cap,
                                .yield_seed = cap,
                                .memory = cap};
            char *text = run(KEYER SEQUENCER "component tail(parallel) { t1 result(@N,KEY,SEQ,H) :-"
                                             " counted(@N,PKT,KEY,SEQ), H = f_hash(SEQ). }\n"
                                             "component again(parallel_context_order,"
                                             " context_keys(result(4))) { a1 r2(@N,KEY,SEQ,H) :-"
                                             " result(@N,KEY,SEQ,H), SEQ > 0. }\n",
                             s, &len, &metrics);
            if (cap == 1 << 16)
                assert_true(atomic_load(&metrics.counters[MR_COUNT_TOKEN_MEMORY_REFUSED]) > 0);
            free(text);
        }
}

/* Tens of thousands of contexts that end at once, then a gate: linear, or this takes minutes. */
static void many_ends_at_once(void **state)
{
    size_t len = 0;
    (void)state;
    struct setting s = {.workers = 2, .lanes = 16, .secret_seed = 1, .packets = 60000};
    char *text = run("component each(parallel) { e1 own(@N,PKT,KEY) :- input(@N,PKT,S,D),"
                     " KEY = f_number(PKT). }\n"
                     "component seq(parallel_context_order, context_keys(own(3))) {"
                     " s1 counted(@N,KEY,SEQ) :- own(@N,PKT,KEY), SEQ = f_sequence(PKT). }\n"
                     "component all(serial) { z1 last(@N,SEQ,T) :- counted(@N,KEY,SEQ),"
                     " T = f_total(SEQ). }\n",
                     s, &len, NULL);
    assert_true(len > 60000);
    free(text);
}

static void first_line(const char *body, const char *expected)
{
    char program[1024], line[256];
    size_t len = 0;
    struct setting s = {.workers = 1, .lanes = 1, .burst = 3, .secret_seed = 1};

    snprintf(program, sizeof program, "component c(parallel) { c1 %s }\n", body);
    char *text = run(program, s, &len, NULL);
    size_t n = 0;
    while (n < len && text[n] != '\n')
        n++;
    snprintf(line, sizeof line, "%.*s", (int)n, text);
    assert_string_equal(line, expected);
    free(text);
}

#define INPUT "input(@N,PKT,S,D), "

static void expressions(void **state)
{
    (void)state;
    first_line("r(@N,A,B,C,D1) :- " INPUT "X = 7, A = X / 2, B = -X % 3, C = X * -3, D1 = X - 8.",
               "1 r 3 -1 -21 -1");
    first_line("r(@N,A,B,C,D1,E) :- " INPUT
               "X = 6, A = X << 2, B = X >> 1, C = X & 3, D1 = X | 9, E = X ^ 5.",
               "1 r 24 3 2 15 3");
    first_line("r(@N,A,B,C) :- " INPUT "X = 2, A = 1 + X * 3, B = (1 + X) * 3, C = 10 - X - 3.",
               "1 r 7 9 5");
    first_line("r(@N,A,B,C) :- " INPUT "X = 2, A = X > 1 && X < 3, B = X == 3 || X != 2, C = !X.",
               "1 r 1 0 0");
    first_line("r(@N,A) :- " INPUT "X = 0x10, A = 1 << 64, X == 16.", "1 r 0");
    first_line("r(@N,A) :- " INPUT "X = 2.5, Y = X * 2, Y == 5.0, A = 1.", "1 r 1");
    first_line("r(@N,A) :- " INPUT "X = \"ab\", Y = X + \"c\", Y == \"abc\", Y > \"abb\", A = 1.",
               "1 r 1");
    /* the quotient does not exist: the row vanishes, the others stay */
    first_line("r(@N,K,A) :- " INPUT "K = f_key(PKT), A = 100 / K, A > 0.", "2 r 10 10");
    first_line("r(@N,A) :- " INPUT "S == S, D != S, A = 1.", "1 r 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),
        cmocka_unit_test(context_order),
        cmocka_unit_test(parallel_tail_and_filter),
        cmocka_unit_test(exchange_to_another_key),
        cmocka_unit_test(farewells_carry_their_key),
        cmocka_unit_test(passing_meets_derived),
        cmocka_unit_test(little_memory),
        cmocka_unit_test(many_ends_at_once),
        cmocka_unit_test(two_keys_at_once),
        cmocka_unit_test(serial_sees_everything_in_order),
        cmocka_unit_test(serial_first_and_pass_through),
        cmocka_unit_test(recursion_reaches_its_fixpoint),
        cmocka_unit_test(endless_recursion_is_cut),
        cmocka_unit_test(full_tables_evict_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
