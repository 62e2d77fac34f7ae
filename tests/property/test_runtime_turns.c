/* How much a worker does before it looks for other work: bounded, however many contexts are made,
 * are renewed and end at the same time, and however much is told of that or goes on to components
 * with another key; and what comes out is the same for all workers, lanes and bursts.
 */
// layers: runtime analog base
#include "analog/analog.h"
#include "base/pages.h"
#include "runtime/internal.h"
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* How much a turn does is the same under a sanitizer: a seventh of the keys is more than twice what
 * any turn may have, too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY         9000u
#define PER_SECOND   8u
#define WHOLE_SLICES "8957"
#define NEARLY_HALF  "4499"
#else
#define MANY         60000u /* keys at the same time */
#define PER_SECOND   50u
#define WHOLE_SLICES "59901" /* of 256 keys, less three timers */
#define NEARLY_HALF  "29989" /* of the keys */
#endif

#define NS        1000000000ull
#define TRICKLE   (400u * PER_SECOND) /* packets, some a second, each of a key of its own */
#define N_PACKETS (2 * MANY + TRICKLE)
#define BURST     256u
/* A turn has so much, and the batch or slice that ends it. What is new or long unused, as here
 * every context is, counts as three rows at least, an end as four; records are of these rows, or of
 * what has waited. */
#define ENOUGH       1024u
#define MOST_ROWS    (ENOUGH / 3 + BURST)
#define MOST_ENDED   (ENOUGH / 4 + 256)
#define MOST_TOLD    (MOST_ROWS + ENOUGH / 4)
#define MOST_EXPIRED MOST_ENDED    /* rows of tables */
#define MOST_MARKS   (ENOUGH + 64) /* of ticks, for lanes: told in a turn */
#define SPARSE       4000u         /* packets a second apart */
#define MOST_AFTER   (3 * ENOUGH)  /* rows that entered another lane: the last ones as one batch */
#define MOST_OF_ONE  (4 * ENOUGH)  /* ... of which there may be twice as many of one packet */

/* What this thread has done since it looked for work last, and the most that any did. */
static _Thread_local uint32_t rows, ended, told, after, expired;
static _Atomic uint32_t most_rows, most_ended, most_told, most_after, most_expired;
static _Atomic uint64_t all_ended;

static void call_key(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = call->args[0][row].b.ptr;
        uint64_t i = packet->number - 1;
        call->out[row] = mr_value_int((int64_t)(i < 2 * MANY ? i % MANY : i));
    }
}

static void call_count(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        int64_t *seen = mr_context(call, row);
        if (call->cause != MR_CAUSE_DATA) {
            mr_yield(call, row, mr_value_int(*seen));
            continue;
        }
        rows++;
        ++*seen;
        mr_context_deadline(call, row, call->packets[row]->time_ns + 5 * NS);
    }
}

/* Another key of what is told at the end. */
static void call_other(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(call->args[0][row].i % 997);
}

static void call_few(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(call->args[0][row].i % 3);
}

static void call_after(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++, after++)
        call->out[row] = mr_value_int(call->args[0][row].i + 1);
}

/* Most packets bring forth nothing, some a little, and some much. */
static void call_many(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_packet *packet = call->args[0][row].b.ptr;
        uint32_t n = packet->number == 1000            ? MANY
                     : packet->number % (MANY / 3)     ? packet->number % 100 == 0
                     : packet->number % (MANY * 2 / 3) ? 2 * ENOUGH - 1
                     : packet->number % MANY           ? 2 * ENOUGH + 1
                                                       : 5 * ENOUGH;
        for (uint32_t i = 0; i < n; i++)
            mr_yield(call, row, mr_value_int((int64_t)(packet->number * 7 + i)));
    }
}

static void close_count(void *slot, void *runtime)
{
    (void)slot;
    (void)runtime;
    ended++;
    atomic_fetch_add(&all_ended, 1);
}

static const struct mr_function functions[] = {
    {.name = "f_key",
     .summary = "a key",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_key},
    {.name = "f_count",
     .summary = "counts, and tells at the end",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .order = MR_ORDER_CONTEXT,
     .shape = MR_SHAPE_EXPAND,
     .context_bytes = sizeof(int64_t),
     .call = call_count,
     .context_close = close_count},
    {.name = "f_other",
     .summary = "another key",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_other},
    {.name = "f_few",
     .summary = "one of three keys",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_few},
    {.name = "f_many",
     .summary = "of some packets many",
     .args = {MR_TYPE_PACKET},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_EXPAND,
     .call = call_many},
    {.name = "f_after",
     .summary = "counts rows behind the end",
     .args = {MR_TYPE_INT},
     .n_args = 1,
     .result = MR_TYPE_INT,
     .shape = MR_SHAPE_MAP,
     .call = call_after},
};

static const struct mr_component component = {.abi = MR_COMPONENT_ABI,
                                              .bytes = sizeof component,
                                              .name = "mock",
                                              .summary = "mock",
                                              .functions = functions,
                                              .n_functions = sizeof functions / sizeof *functions};

#define COUNTS                                                                                     \
    "component keys(parallel) { k1 keyed(@N,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT). }\n"      \
    "component counts(parallel_context_order, context_keys(keyed(2))) {"                           \
    " c1 counted(@N,KEY,COUNT) :- keyed(@N,KEY), COUNT = f_count(KEY). }\n"

/* What is told goes on under another key, of which there are few, and two tuples of it to a
 * component that has one order, where the last one is kept: each change is told. */
#define LAST "materialize(last, infinity, infinity, keys(1)).\nwatch(last).\n"
#define GO_ON                                                                                      \
    "component again(parallel_context_order, context_keys(other(2))) {"                            \
    " a1 again(@N,KEY,A) :- other(@N,O,KEY,COUNT), A = f_after(COUNT)."                            \
    " a2 also(@N,KEY,A) :- other(@N,O,KEY,COUNT), KEY % 3 == 0, A = COUNT. }\n"                    \
    "component all(serial) {"                                                                      \
    " s1 last(@N,KEY,B) :- again(@N,KEY,A), B = f_after(A)."                                       \
    " s2 last(@N,KEY,A) :- also(@N,KEY,A). }\n"
static const char onward[] =
    LAST COUNTS "component others(parallel) {"
                " o1 other(@N,O,KEY,COUNT) :- counted(@N,KEY,COUNT), O = f_other(KEY). }\n" GO_ON;

/* The same of what single packets bring forth. */
static const char of_one[] = LAST
    "component others(parallel) {"
    " o1 other(@N,O,KEY,KEY) :- input(@N,PKT,_,_), KEY = f_many(PKT), O = f_other(KEY). }\n" GO_ON;

/* Rows of few keys, or of so many that these share their places, each of which is told when it
 * comes and when it ends. */
#define ROWS_END(by)                                                                               \
    "materialize(kept, 3, infinity, keys(1,2,3)).\nwatch(kept).\n"                                 \
    "component keys(parallel) { k1 keyed(@N,FEW,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT),"      \
    " FEW = f_few(KEY). }\n"                                                                       \
    "component tables(parallel_context_order, context_keys(keyed(" by "))) {"                      \
    " t1 kept(@N,FEW,KEY) :- keyed(@N,FEW,KEY). }\n"
static const char *const rows_end[] = {ROWS_END("2"), ROWS_END("3")};

/* What follows from rows that end at one moment, and so at one place, goes on under another key.
 * The same where three views hear of each row, and keep what they tell, which may be watched. */
#define KEPT(of)                                                                                   \
    "materialize(kept, 3, infinity, keys(1,2,3)).\n"                                               \
    "component keys(parallel) { k1 keyed(@N,FEW,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT),"      \
    " FEW = f_few(KEY). }\n"                                                                       \
    "component tables(parallel_context_order, context_keys(keyed(2))) {"                           \
    " t1 kept(@N,FEW,KEY) :- keyed(@N,FEW,KEY)" of "."
#define VIEWS                                                                                      \
    "materialize(number, infinity, infinity, keys(1,2,3)).\n" KEPT(                                \
        ", KEY % 4 == 0") " t2 number(@N,FEW,1,a_COUNT<*>) :- kept(@N,FEW,KEY)."                   \
                          " t3 number(@N,FEW,2,a_COUNT<*>) :- kept(@N,FEW,KEY)."                   \
                          " t4 number(@N,FEW,3,a_COUNT<*>) :- kept(@N,FEW,KEY)."                   \
                          " t5 left(@N,WHICH,COUNT) :- number(@N,FEW,WHICH,COUNT)."                \
                          " t6 left(@N,WHICH,FEW) :- number(@N,FEW,WHICH,COUNT). }\n"
#define OTHERS                                                                                     \
    "component others(parallel_context_order, context_keys(left(3))) {"                            \
    " o1 other(@N,X,A) :- left(@N,X,COUNT), A = f_after(COUNT). }\n"
static const char *const ends_go_on[] = {
    KEPT("") " t2 left(@N,FEW,a_COUNT<*>) :- kept(@N,FEW,KEY). }\n" OTHERS, VIEWS OTHERS,
    "watch(number).\n" VIEWS};

/* A timer, a tuple and a row that ends meet all rows of a large table: what is told of each, kept
 * of it, and goes on under another key. */
static const char meets_all[] =
    "materialize(big, infinity, infinity, keys(1,2)).\n"
    "materialize(copy, infinity, infinity, keys(1,2)).\nwatch(copy).\n"
    "materialize(last, infinity, infinity, keys(1)).\nwatch(last).\n"
    "component keys(parallel) { k1 keyed(@N,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT). }\n"
    "component tables(serial) {"
    " t1 big(@N,KEY) :- keyed(@N,KEY)."
    " t2 other(@N,O,A,E) :- periodic(@N,E,60), big(@N,KEY), A = f_after(KEY), O = f_other(KEY)."
    " t3 copy(@N,KEY,A) :- periodic(@N,E,150), big(@N,KEY), A = f_after(E)."
    " t4 met(@N,KEY,A) :- keyed(@N,KEY), KEY % " NEARLY_HALF
    " == 0, big(@N,K), A = f_after(K), A % 7 == 0."
    " t5 all(@N,KEY,a_SUM<A>) :- keyed(@N,KEY), KEY % " NEARLY_HALF
    " == 1, big(@N,K), A = f_after(K). }\n"
    "component again(parallel_context_order, context_keys(other(2))) {"
    " a1 again(@N,KEY,A) :- other(@N,O,KEY,COUNT), A = f_after(COUNT). }\n"
    "component last(serial) { s1 last(@N,KEY,A) :- again(@N,KEY,A). }\n";

enum times {
    AS_EVER,
    STILL, /* what comes in a second comes at its begin */
    A_SECOND_EACH
};

/* All rows of one table end in whole slices, but for three timers, before another timer is due, and
 * those of the other one behind it. */
static const char timers_between[] =
    "materialize(kept, 3, infinity, keys(1,2,3)).\nwatch(kept).\n"
    "materialize(later, 6, infinity, keys(1,2,3)).\nwatch(later).\nwatch(rang).\n"
    "component keys(parallel) { k1 keyed(@N,FEW,KEY) :- input(@N,PKT,_,_), KEY = f_key(PKT),"
    " FEW = f_few(KEY), KEY < " WHOLE_SLICES ". }\n"
    "component tables(serial) { t1 kept(@N,FEW,KEY) :- keyed(@N,FEW,KEY)."
    " t2 later(@N,FEW,KEY) :- keyed(@N,FEW,KEY). t3 rang(@N,E,0) :- periodic(@N,E,1). }\n";

struct result {
    uint64_t next, records, hash;
    uint32_t burst;
    enum times times;
    const struct mr_runtime *runtime; /* one worker's: what waits in its lanes is counted */
    uint32_t waiting, most_marks;
};

/* All keys begin in second 1, are renewed in second 4, and end together; then some a second. */
static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct result *result = user;
    struct mr_burst *burst = &token->burst;

    (void)metrics;
    uint64_t end = result->times == A_SECOND_EACH ? SPARSE : N_PACKETS;
    for (; burst->n < result->burst && result->next < end; burst->n++) {
        uint64_t i = result->next++;
        struct mr_packet *packet = &burst->packets[burst->n];
        memset(packet, 0, sizeof *packet);
        packet->number = i + 1;
        packet->data = (const uint8_t *)"";
        packet->time_ns = i < MANY       ? NS + i
                          : i < 2 * MANY ? 4 * NS + i
                                         : 20 * NS + (i - 2 * MANY) * (NS / PER_SECOND);
        if (result->times == STILL)
            packet->time_ns -= packet->time_ns % NS;
        if (result->times == A_SECOND_EACH)
            packet->time_ns = (i + 1) * NS;
    }
    return burst->n ? MR_OK : MR_EOF;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    (void)user;
    for (uint32_t row = 0; row < tuples->n; row++) {
        char text[64];
        int len = snprintf(text, sizeof text, "%lld %lld\n", (long long)tuples->columns[1][row].i,
                           (long long)tuples->columns[2][row].i);
        uint32_t ordinal = tuples->ordinals ? tuples->ordinals[row] : 0;
        assert_true(mr_exec_record(exec, tuples->origins[row], ordinal, text, (size_t)len));
    }
}

static void watch(void *user, struct mr_exec *exec, const struct mr_tuples *tuples,
                  const char *change)
{
    expired += !strcmp(change, "expire") ? tuples->n : 0;
    leave(user, exec, tuples);
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    struct result *result = user;

    (void)metrics;
    (void)token;
    for (; records; records = records->next, result->records++, told++)
        for (uint32_t i = 0; i < records->len; i++)
            result->hash = (result->hash ^ (uint8_t)records->bytes[i]) * 0x100000001b3u;
}

static void at_most(_Atomic uint32_t *most, uint32_t n)
{
    uint32_t before = atomic_load(most);
    while (n > before && !atomic_compare_exchange_weak(most, &before, n))
        continue;
}

static uint32_t waiting_in(const struct mr_runtime *runtime)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < runtime->phases[1].n_lanes; i++)
        n += atomic_load(&runtime->phases[1].lanes[i].outstanding);
    return n;
}

static void pulse(void *user, uint32_t worker)
{
    struct result *result = user;

    (void)worker;
    if (result->runtime) {
        uint32_t n = waiting_in(result->runtime), before = result->waiting;
        result->waiting = n;
        if (n > before && n - before > result->most_marks)
            result->most_marks = n - before;
    }
    at_most(&most_rows, rows);
    at_most(&most_ended, ended);
    at_most(&most_told, told);
    at_most(&most_after, after);
    at_most(&most_expired, expired);
    rows = ended = told = after = expired = 0;
}

struct setting {
    uint32_t workers, lanes, burst;
    uint64_t yield_seed;
};

static struct result run(const char *program, struct setting s, enum times times)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config analog = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_runtime *runtime = NULL;
    struct mr_plan *plan = NULL;
    struct mr_error error = {0};
    struct result result = {.burst = s.burst, .times = times};

    assert_int_equal(
        mr_analog_compile_text("test", program, strlen(program), &analog, diagnostics, &plan),
        MR_OK);
    mr_diagnostics_free(diagnostics);
    struct mr_runtime_config config = {
        .plan = plan,
        .hooks = {.user = &result,
                  .intake = intake,
                  .leave = leave,
                  .watch = watch,
                  .retire = retire,
                  .pulse = pulse},
        .workers = s.workers,
        .lanes = s.lanes,
        .window = 1000,
        .burst = s.burst,
        .max_contexts = 2 * MANY,
        .yield_seed = s.yield_seed,
    };
    atomic_store(&all_ended, 0);
    assert_int_equal(mr_buffers_new(&config.buffers, (uint64_t)1 << 30), MR_OK);
    assert_int_equal(mr_pages_new(&config.pages), MR_OK);
    assert_int_equal(mr_secret_draw(&config.secret, s.workers), MR_OK);
    assert_int_equal(mr_runtime_new(&runtime, &config, &error), MR_OK);
    result.runtime = s.workers == 1 ? runtime : NULL;
    assert_int_equal(mr_runtime_run(runtime, &error), MR_OK);
    mr_runtime_free(runtime);
    mr_pages_free(config.pages);
    mr_buffers_free(config.buffers);
    mr_plan_free(plan);
    return result;
}

static void forget_most(void)
{
    atomic_store(&most_rows, 0);
    atomic_store(&most_ended, 0);
    atomic_store(&most_told, 0);
    atomic_store(&most_after, 0);
    atomic_store(&most_expired, 0);
}

#if defined(__SANITIZE_THREAD__) /* sees nothing in one worker, of two what it sees of three */
static const struct setting settings[] = {{3, 1, BURST, 1}, {8, 64, BURST, 2}};
static const struct setting small[] = {{3, 2, 1, 0}};
#else
static const struct setting settings[] = {
    {1, 1, BURST, 0}, {1, 64, BURST, 0}, {2, 4, BURST, 0}, {3, 1, BURST, 1}, {8, 64, BURST, 2}};
static const struct setting small[] = {{3, 2, 1, 0}, {1, 4, 3, 0}};
#endif

#define N_SETTINGS (sizeof settings / sizeof *settings)
#define N_SMALL    (sizeof small / sizeof *small)

static void a_turn_is_bounded(void **state)
{
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        forget_most();
        struct result result = run(COUNTS, settings[i], AS_EVER);
        assert_int_equal(result.records, MANY + TRICKLE);
        assert_int_equal(atomic_load(&all_ended), MANY + TRICKLE);
        assert_in_range(atomic_load(&most_rows), 1, MOST_ROWS);
        assert_in_range(atomic_load(&most_ended), 1, MOST_ENDED);
        assert_in_range(atomic_load(&most_told), 1, MOST_TOLD);
        if (!i)
            first = result;
        assert_int_equal(result.hash, first.hash);
    }
}

/* What comes of a second in which all end enters the lanes of other components. */
static void what_goes_on_is_bounded(void **state)
{
    const uint64_t changes = MANY + TRICKLE + (MANY + TRICKLE + 2) / 3;
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i <= N_SETTINGS; i++) {
        forget_most();
        struct result result = run(onward, i < N_SETTINGS ? settings[i] : small[0], AS_EVER);
        assert_int_equal(result.records, changes);
        assert_in_range(atomic_load(&most_after), 1, MOST_AFTER);
        if (!i)
            first = result;
        assert_int_equal(result.hash, first.hash);
    }
}

/* Also where bursts are so small that several take the straight way together, until it comes. */
static void what_one_packet_brings_forth_is_bounded(void **state)
{
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i < N_SETTINGS + N_SMALL; i++) {
        forget_most();
        struct result result =
            run(of_one, i < N_SETTINGS ? settings[i] : small[i - N_SETTINGS], AS_EVER);
        assert_in_range(result.records, MANY * 4 / 3, MANY + 60000);
        assert_in_range(atomic_load(&most_after), 1, MOST_OF_ONE);
        if (!i)
            first = result;
        assert_int_equal(result.records, first.records);
        assert_int_equal(result.hash, first.hash);
    }
}

static void what_meets_large_tables_is_bounded(void **state)
{
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i < N_SETTINGS + N_SMALL; i++) {
        forget_most();
        struct result result =
            run(meets_all, i < N_SETTINGS ? settings[i] : small[i - N_SETTINGS], AS_EVER);
        assert_true(result.records > 5 * MANY);
        assert_in_range(atomic_load(&most_after), 1, MOST_OF_ONE);
        if (!i)
            first = result;
        assert_int_equal(result.records, first.records);
        assert_int_equal(result.hash, first.hash);
    }
}

static void what_ends_goes_on_in_one_order(void **state)
{
    (void)state;
    for (uint32_t p = 0; p < 3; p++) {
        struct result first = {0};
        for (size_t i = 0; i < N_SETTINGS; i++) {
            struct result result = run(ends_go_on[p], settings[i], STILL);
            assert_in_range(result.records, 2 * MANY, 16 * (MANY + TRICKLE) << p);
            if (!i)
                first = result;
            assert_int_equal(result.records, first.records);
            assert_int_equal(result.hash, first.hash);
        }
    }
}

/* Rows that end at one moment, or so long ago that those of a key are not told apart. */
static void rows_that_end_are_bounded(void **state)
{
    (void)state;
    for (int run_of = 0; run_of < 4; run_of++) {
        const char *program = rows_end[run_of / 2];
        enum times times = run_of % 2 ? STILL : AS_EVER;
        struct result first = {0};
        for (size_t i = 0; i < N_SETTINGS; i++) {
            forget_most();
            struct result result = run(program, settings[i], times);
            assert_in_range(result.records, 2 * MANY + TRICKLE, 4 * MANY + 2 * TRICKLE);
            assert_in_range(atomic_load(&most_expired), 1, MOST_EXPIRED);
            if (!i)
                first = result;
            assert_int_equal(result.records, first.records);
            assert_int_equal(result.hash, first.hash);
        }
    }
}

static void timers_between_are_bounded(void **state)
{
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        forget_most();
        struct result result = run(timers_between, settings[i], AS_EVER);
        assert_in_range(atomic_load(&most_expired), 1, MOST_EXPIRED);
        if (!i)
            first = result;
        assert_int_equal(result.hash, first.hash);
    }
}

/* Each tick is told to every lane that has something to do. */
static void ticks_are_bounded(void **state)
{
    struct result first = {0};

    (void)state;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        struct result result = run(COUNTS, settings[i], A_SECOND_EACH);
        assert_int_equal(result.records, SPARSE);
        if (settings[i].workers == 1)
            assert_in_range(result.most_marks, 1, MOST_MARKS);
        if (!i)
            first = result;
        assert_int_equal(result.hash, first.hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_is_bounded),
        cmocka_unit_test(what_goes_on_is_bounded),
        cmocka_unit_test(what_one_packet_brings_forth_is_bounded),
        cmocka_unit_test(what_meets_large_tables_is_bounded),
        cmocka_unit_test(what_ends_goes_on_in_one_order),
        cmocka_unit_test(rows_that_end_are_bounded),
        cmocka_unit_test(timers_between_are_bounded),
        cmocka_unit_test(ticks_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
