/* The runtime at its edges: expressions, recursion, timers, full tables, no memory. */
// layers: runtime analog base
#include "runtime_rig.h"

#include "runtime/internal.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* Workers that cannot open their state leave, while a change of plans waits for them. */
static struct {
    _Atomic uint32_t opening, may_go;
    struct mr_runtime *runtime;
    struct mr_plan *plan;
    enum mr_status run, swap;
} leaving;

static enum mr_status no_state(void *user, uint32_t worker, void **state)
{
    (void)user;
    (void)worker;
    (void)state;
    atomic_fetch_add(&leaving.opening, 1);
    while (!atomic_load(&leaving.may_go))
        usleep(1000);
    return MR_ERR_MEMORY;
}

static void *run_thread(void *argument)
{
    struct mr_error error = {0};
    leaving.run = mr_runtime_run(leaving.runtime, &error);
    return argument;
}

static void not_installed(void *user, const struct mr_runtime *gone)
{
    (void)user;
    (void)gone;
    atomic_fetch_add(&faults, 1);
}

static void *swap_thread(void *argument)
{
    struct mr_error error = {0};
    leaving.swap = mr_runtime_swap(leaving.runtime, leaving.plan, not_installed, NULL, &error);
    return argument;
}

static struct mr_plan *compiled(const char *program)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config analog = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;

    assert_int_equal(
        mr_analog_compile_text("test", program, strlen(program), &analog, diagnostics, &plan),
        MR_OK);
    mr_diagnostics_free(diagnostics);
    return plan;
}

static void a_swap_does_not_wait_for_workers_that_left(void **state)
{
    struct rig rig = {.n_packets = 100, .burst = 7};
    struct mr_runtime_config config = {
        .hooks = {.user = &rig,
                  .intake = intake,
                  .worker_open = no_state,
                  .leave = leave,
                  .watch = watch,
                  .retire = retire},
        .workers = 2,
    };
    struct mr_plan *old =
        compiled(KEYER "component one(parallel_context_order, context_keys(keyed(3))) {"
                       "o1 one(@N,KEY,S) :- keyed(@N,PKT,KEY), S = f_sequence(PKT). }\n");
    struct mr_error error = {0};
    struct timespec until;
    pthread_t running, swapping;
    (void)state;

    leaving.plan = compiled(KEYER);
    rig.plan = config.plan = old;
    assert_int_equal(mr_buffers_new(&config.buffers, 1u << 28), MR_OK);
    assert_int_equal(mr_secret_draw(&config.secret, 1), MR_OK);
    assert_int_equal(mr_runtime_new(&leaving.runtime, &config, &error), MR_OK);
    atomic_store(&faults, 0);
    assert_int_equal(pthread_create(&running, NULL, run_thread, NULL), 0);
    while (atomic_load(&leaving.opening) < config.workers)
        usleep(1000);
    assert_int_equal(pthread_create(&swapping, NULL, swap_thread, NULL), 0);
    while (atomic_load(&leaving.runtime->hold) == MR_HOLD_NONE)
        usleep(1000);
    atomic_store(&leaving.may_go, 1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60; /* else it would wait for ever */
    assert_int_equal(pthread_timedjoin_np(swapping, NULL, &until), 0);
    pthread_join(running, NULL);
    assert_int_equal(leaving.run, MR_ERR_MEMORY);
    assert_int_equal(leaving.swap, MR_EOF);
    assert_int_equal(atomic_load(&faults), 0);
    assert_ptr_equal(leaving.runtime->config.plan, old);
    mr_runtime_free(leaving.runtime);
    mr_buffers_free(config.buffers);
    mr_plan_free(leaving.plan);
    mr_plan_free(old);
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

/* Under one key come tuples of two predicates, and each has a function that says farewell: both are
 * asked, whichever came first, so that every packet is in one farewell. */
static void both_predicates_of_a_key_are_asked(void **state)
{
    static const char program[] =
        KEYER "component parts(parallel) {"
              "p1 odd(@N,PKT,KEY) :- keyed(@N,PKT,KEY), NR = f_number(PKT), NR % 2 == 1."
              "p2 even(@N,KEY,PKT) :- keyed(@N,PKT,KEY), NR = f_number(PKT), NR % 2 == 0. }\n"
              "component both(parallel_context_order, context_keys(odd(3), even(2))) {"
              "b1 first(@N,KEY,S) :- odd(@N,PKT,KEY), S = f_sequence(PKT)."
              "b2 second(@N,KEY,S) :- even(@N,KEY,PKT), S = f_sequence(PKT). }\n";
    struct setting s = {.workers = 1, .lanes = 16, .secret_seed = 1};
    size_t len = 0;
    long told = 0;
    (void)state;

    char *text = run(program, s, &len, NULL), *end = text + len, *line = text;
    while (line < end) {
        char *value = memchr(line, '\n', (size_t)(end - line));
        line = value + 1;
        while (value[-1] != ' ')
            value--;
        long seen = strtol(value, NULL, 10);
        told += seen <= -1000 ? -seen % 1000 : 0;
    }
    assert_int_equal(told, N_PACKETS);
    free(text);
    same_everywhere(program, 100);
}

/* Two functions set the timer of a context, for other times: the one called for the latest packet
 * counts, not the one that a burst came to last. */
static void timers_ring_for_the_latest_packet(void **state)
{
    (void)state;
    same_everywhere(
        "component parts(parallel) {"
        "p1 part(@N,PKT,K,S,T,NR) :- input(@N,PKT,S,D), NR = f_number(PKT), K = NR / 200,"
        " T = f_text(PKT). }\n"
        "component both(parallel_context_order, context_keys(part(3))) {"
        "b1 first(@N,K,Q) :- part(@N,PKT,K,S,T,NR), NR % 5 > 1, Q = f_sequence(PKT)."
        "b2 second(@N,K,Q) :- part(@N,PKT,K,S,T,NR), NR % 5 < 2, Q = f_farewell(S, T). }\n",
        1000);
}

/* One packet, or one timer, has two results of different predicates in a component that takes two:
 * they stand in one order, whichever predicate was first in the burst or lane. */
static void results_of_two_predicates_keep_their_order(void **state)
{
    (void)state;
    same_everywhere(
        "component parts(parallel) {"
        "p1 some(@N,PKT,K) :- input(@N,PKT,S,D), NR = f_number(PKT), K = (NR + 90) / 97,"
        " NR % 97 == 0."
        "p2 all(@N,PKT,K) :- input(@N,PKT,S,D), NR = f_number(PKT), K = (NR + 90) / 97. }\n"
        "component both(parallel_context_order, context_keys(some(3), all(3))) {"
        "b1 first(@N,K,Q) :- some(@N,PKT,K), Q = f_sequence(PKT)."
        "b2 second(@N,K,Q) :- all(@N,PKT,K), Q = f_sequence(PKT). }\n",
        1000);
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

#define NUMBERS                                                                                    \
    "component numbers(parallel) { n1 numbered(@N,PKT,NUMBER) :-"                                  \
    " input(@N,PKT,S,D), NUMBER = f_number(PKT). }\n"                                              \
    "component once(parallel_context_order, context_keys(numbered(3))) {\n"                        \
    "o1 counted(@N,NUMBER,SEQ) :- numbered(@N,PKT,NUMBER), SEQ = f_sequence(PKT). }\n"

/* Who is evicted, and at which packet, is a matter of the packets and the secret: the same for any
 * number of workers, lanes, bursts, tokens. */
static void full_tables_evict_the_same_everywhere(void **state)
{
    static const char *programs[] = {KEYER SEQUENCER, NUMBERS};
#if defined(__SANITIZE_THREAD__) /* any who evict and any who do not: the rest is for others */
    static const uint64_t caps[] = {8, 300};
#else
    static const uint64_t caps[] = {1, 8, 30, 300};
#endif
    (void)state;
    for (size_t p = 0; p < 2; p++)
        for (size_t c = 0; c < sizeof caps / sizeof *caps; c++) {
            uint64_t evicted = 0;
            char *first = NULL;
            size_t first_len = 0;
            for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
                struct setting s = settings[i];
                struct mr_metrics metrics = {0};
                size_t len = 0;
                if (!worth_running(i))
                    continue;
                s.secret_seed = 1 + c;
                s.max_contexts = caps[c];
                char *text = run(programs[p], s, &len, &metrics);
                uint64_t n = atomic_load(&metrics.counters[MR_COUNT_FLOWS_EVICTED]);
                assert_int_equal(atomic_load(&metrics.counters[MR_COUNT_CONTEXTS_REFUSED]), 0);
                if (i) {
                    assert_int_equal(n, evicted);
                    assert_int_equal(len, first_len);
                    assert_memory_equal(text, first, len);
                    free(text);
                } else {
                    evicted = n;
                    first = text;
                    first_len = len;
                }
            }
            assert_true(evicted > 0 || caps[c] > (p ? 100 : 30));
            free(first);
        }
}

/* A key of its own for every packet: at a leap of time hundreds of contexts ring at once, in a
 * single lane more than a slice. */
static void many_timers_ring_at_once(void **state)
{
    (void)state;
    same_everywhere(NUMBERS
                    "component behind(parallel) { b1 late(@N,NUMBER,H) :- counted(@N,NUMBER,SEQ),"
                    " SEQ < 0, H = f_hash(SEQ). }\n",
                    N_PACKETS);
}

/* Contexts that ended since they were silent: their last word is -1000 less what they saw. */
static uint32_t silent_ones(const char *text)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, " counted ")); at++) {
        long key = 0, said = 0;
        n += sscanf(at, " counted %ld %ld", &key, &said) == 2 && said <= -1000 && said > -2000;
    }
    return n;
}

/* As text that ends. */
static char *text_of(struct setting s, struct mr_metrics *metrics)
{
    size_t len = 0;
    s.packets = 6000; /* of which some twenty have broken stamps */
    char *text = run(KEYER SEQUENCER, s, &len, metrics);
    char *whole = strndup(text, len);
    assert_non_null(whole);
    free(text);
    return whole;
}

/* A few stamps far ahead or behind, the first one too, or an older capture behind a newer one:
 * timers ring as they would have, and the same ones for any burst. */
static void broken_stamps(void **state)
{
    (void)state;
    char *good = text_of(settings[0], NULL);
    uint32_t expected = silent_ones(good);
    assert_true(expected > 100);
    for (enum stamps stamps = STAMPS_BROKEN; stamps <= STAMPS_FROM_0; stamps++) {
        char *first = NULL;
        for (size_t i = 0; i < 4; i++) {
            struct setting s = settings[i];
            struct mr_metrics metrics = {0};
            s.stamps = stamps;
            char *text = text_of(s, &metrics);
            assert_in_range(silent_ones(text), expected * 9 / 10, expected * 11 / 10);
            assert_true(atomic_load(&metrics.counters[MR_COUNT_TIME_JUMPS]) >=
                        15); /* the 16th is believed */
            if (first)
                assert_string_equal(text, first);
            else
                first = strdup(text);
            free(text);
        }
        free(first);
    }
    free(good);
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

static void passing_meets_derived(void **state)
{
    (void)state;
    same_everywhere("component a(parallel) { a1 keyed(@N,PKT,KEY) :- input(@N,PKT,S,D),"
                    " KEY = f_key(PKT). a2 counted(@N,PKT,KEY,SEQ) :- input(@N,PKT,S,D),"
                    " KEY = f_key(PKT), SEQ = 0. }\n" SEQUENCER,
                    N_PACKETS);
}

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
        cmocka_unit_test(many_timers_ring_at_once),
        cmocka_unit_test(broken_stamps),
        cmocka_unit_test(farewells_carry_their_key),
        cmocka_unit_test(passing_meets_derived),
        cmocka_unit_test(little_memory),
        cmocka_unit_test(many_ends_at_once),
        cmocka_unit_test(a_swap_does_not_wait_for_workers_that_left),
        cmocka_unit_test(recursion_reaches_its_fixpoint),
        cmocka_unit_test(both_predicates_of_a_key_are_asked),
        cmocka_unit_test(timers_ring_for_the_latest_packet),
        cmocka_unit_test(results_of_two_predicates_keep_their_order),
        cmocka_unit_test(endless_recursion_is_cut),
        cmocka_unit_test(full_tables_evict_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
