/* Tables, aggregates and timers: the same outputs for any number of workers, lanes, tokens, any
 * burst size and any scheduling; and what they say is what a plain model says. */
// layers: runtime analog base
#include "runtime_rig.h"

static void rows_in_one_order(void **state)
{
    (void)state;
    same_everywhere("materialize(seen, 5, 20, keys(1,2)).\n"
                    "materialize(sum, infinity, infinity, keys(1,2)).\n"
                    "materialize(odd, infinity, infinity, keys(1,2)).\n"
                    "watch(seen). watchmod(sum, \"a\").\n"
                    "odd(@N, 1). odd(@N, 3). odd(@N, 5). odd(@N, 7).\n" KEYER
                    "component tables(serial) {\n"
                    "s1 seen(@N,KEY,NR) :- keyed(@N,PKT,KEY), NR = f_number(PKT).\n"
                    "s2 sum(@N,LOW,a_COUNT<*>,a_MAX<NR>) :- seen(@N,KEY,NR), LOW = KEY % 4.\n"
                    "s3 delete seen(@N,K,0) :- keyed(@N,PKT,KEY), odd(@N,KEY), K = KEY + 1.\n"
                    "s4 report(@N,E,LOW,C,M) :- periodic(@N,E,3), sum(@N,LOW,C,M).\n"
                    "s5 total(@N,E,a_SUM<C>,a_COUNT<*>) :- periodic(@N,E,5), sum(@N,LOW,C,M).\n"
                    "s6 few(@N,E) :- periodic(@N,E,2,4).\n"
                    "}\n",
                    N_PACKETS / 100);
}

static void rows_of_a_key_in_its_lane(void **state)
{
    (void)state;
    same_everywhere(
        "materialize(recent, 4, 6, keys(1,2,3)).\n"
        "materialize(best, infinity, infinity, keys(1,2)).\n"
        "watch(recent). watch(best).\n" KEYER
        "component tables(parallel_context_order, context_keys(keyed(3))) {\n"
        "s1 recent(@N,KEY,H,NR) :- keyed(@N,PKT,KEY), NR = f_number(PKT),"
        " H = f_hash(NR).\n"
        /* a second row of the same moment: both end together, in their order */
        "s5 recent(@N,KEY,G,NR) :- keyed(@N,PKT,KEY), NR = f_number(PKT),"
        " H = f_hash(NR), G = 100 - H.\n"
        "s2 best(@N,KEY,a_MIN<NR>) :- recent(@N,KEY,H,NR).\n"
        "s3 news(@N,KEY,a_COUNT<*>,a_SUM<H>) :- keyed(@N,PKT,KEY), recent(@N,KEY,H,X).\n"
        "s4 delete recent(@N,KEY,3,0) :- keyed(@N,PKT,KEY), best(@N,KEY,M),"
        " M % 2 == 0.\n"
        "}\n",
        N_PACKETS / 2);
}

static void constants_anywhere(void **state)
{
    (void)state;
    same_everywhere(
        "materialize(name, infinity, infinity, keys(1,2)).\n"
        "name(@N, 0, 100). name(@N, 4, 104). name(@N, 9, 109). name(@N, 9, 110).\n" KEYER
        "component tables(parallel) {\n"
        "s1 named(@N,KEY,V) :- keyed(@N,PKT,KEY), name(@N,KEY,V).\n"
        "s2 counts(@N,KEY,a_COUNT<*>) :- keyed(@N,PKT,KEY), name(@N,KEY,V).\n"
        "}\n",
        N_PACKETS / 2);
}

/* What timers and expiry bring forth goes on through other groups. */
static void internal_events_flow_on(void **state)
{
    (void)state;
    same_everywhere("materialize(seen, 7, 100, keys(1,2)).\n" KEYER SEQUENCER
                    "component tables(serial) {\n"
                    "s1 seen(@N,KEY,SEQ) :- counted(@N,PKT,KEY,SEQ), SEQ > 0.\n"
                    "s2 tick(@N,E,KEY,SEQ) :- periodic(@N,E,1), seen(@N,KEY,SEQ).\n"
                    "s3 change(@N,KEY,a_COUNT<*>) :- seen(@N,KEY,SEQ).\n"
                    "}\n"
                    "component tail(parallel) { t1 result(@N,E,KEY,H) :- tick(@N,E,KEY,SEQ),"
                    " H = f_hash(SEQ). }\n"
                    "component again(parallel_context_order, context_keys(result(3))) {\n"
                    "a1 hashes(@N,E,KEY,H) :- result(@N,E,KEY,H), H > 7. }\n",
                    N_PACKETS / 10);
}

/* The last value of each key in lines of this format: the packet's number, key, value. */
static void last_values(const char *text, size_t len, const char *format, long *values)
{
    const char *end = text + len;

    for (const char *line = text; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        char copy[128] = "";
        long number, key, value;
        memcpy(copy, line, (size_t)(next - line) < sizeof copy ? (size_t)(next - line) : 0);
        if (sscanf(copy, format, &number, &key, &value) == 3 && key >= 0 && key < N_KEYS)
            values[key] = value;
        line = next + 1;
    }
}

/* Counting by hand: a row is replaced by one that says one more; the first one where there is none.
 * A view counts the packets that were put in. */
static void counts_are_right(void **state)
{
    static const char *const program =
        "materialize(cnt, infinity, infinity, keys(1,2)).\n"
        "materialize(all, infinity, infinity, keys(1,2)).\n"
        "materialize(view, infinity, infinity, keys(1,2)).\n"
        "watch(view).\n" KEYER "component tables(serial) {\n"
        "c1 had(@N,KEY,a_COUNT<*>) :- keyed(@N,PKT,KEY), cnt(@N,KEY,C).\n"
        "c2 cnt(@N,KEY,1) :- had(@N,KEY,0).\n"
        "c3 add(@N,KEY,C) :- had(@N,KEY,1), cnt(@N,KEY,C).\n"
        "c4 cnt(@N,KEY,D) :- add(@N,KEY,C), D = C + 1.\n"
        "c5 now(@N,KEY,C) :- cnt(@N,KEY,C).\n"
        "c6 all(@N,NR,KEY) :- keyed(@N,PKT,KEY), NR = f_number(PKT).\n"
        "c7 view(@N,KEY,a_COUNT<*>) :- all(@N,NR,KEY).\n"
        "}\n";
    struct setting s = {.workers = 2, .lanes = 16, .secret_seed = 5, .packets = 1500};
    long expected[N_KEYS] = {0}, counted[N_KEYS] = {0}, viewed[N_KEYS] = {0};
    size_t len;

    (void)state;
    char *text = run(program, s, &len, NULL);
    for (uint64_t number = 1; number <= s.packets; number++) {
        uint64_t r = mix(number);
        expected[r & 1 ? 0 : (r >> 8) % N_KEYS]++;
    }
    last_values(text, len, "%ld now %ld %ld", counted);
    last_values(text, len, "%ld insert view %ld %ld", viewed);
    last_values(text, len, "%ld update view %ld %ld", viewed);
    for (int key = 0; key < N_KEYS; key++) {
        assert_int_equal(counted[key], expected[key]);
        assert_int_equal(viewed[key], expected[key]);
    }
    free(text);
}

/* The lines that have this text in them, one behind the other. */
static void keep_lines(char *text, const char *with)
{
    char *to = text;

    for (char *line = text, *next; *line; line = next) {
        next = strchr(line, '\n') + 1;
        char *found = strstr(line, with);
        if (!found || found >= next)
            continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = '\0';
}

/* How long a row is seen does not depend on who wants to hear of its end; also where stamps go
 * back, by seconds or to an older capture. */
static void unheard_ends_are_ends(void **state)
{
    static const char *const tables[] = {"materialize(seen, 1, 20, keys(1,2)).\n",
                                         "materialize(seen, 1, 20, keys(1,2)). watch(seen).\n"};
    static const enum stamps stamps[] = {STAMPS_GOOD, STAMPS_TWO_CAPTURES, STAMPS_FROM_0};

    (void)state;
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++) {
        char *texts[2];
        for (int heard = 0; heard < 2; heard++) {
            char program[1024];
            struct setting s = {
                .workers = 1, .lanes = 1, .secret_seed = 5, .packets = 4000, .stamps = stamps[i]};
            size_t len;
            snprintf(program, sizeof program, "%s%s", tables[heard],
                     KEYER "component tables(serial) {\n"
                           "s1 seen(@N,KEY,NR) :- keyed(@N,PKT,KEY), NR = f_number(PKT).\n"
                           "s2 sum(@N,KEY,a_COUNT<*>,a_MIN<NR>) :- keyed(@N,PKT,KEY),"
                           " seen(@N,K,NR).\n"
                           "}\n");
            texts[heard] = run(program, s, &len, NULL);
            texts[heard] = realloc(texts[heard], len + 1);
            texts[heard][len] = '\0';
            keep_lines(texts[heard], " sum ");
        }
        assert_true(strlen(texts[0]) > 1000);
        assert_string_equal(texts[0], texts[1]);
        free(texts[0]);
        free(texts[1]);
    }
}

/* More rows than memory: refused and counted, and nothing breaks. */
static void tables_run_out_of_memory(void **state)
{
    struct setting s = {.workers = 2, .lanes = 16, .memory = 8u << 20, .tokens = 4};
    struct mr_metrics metrics = {0};
    size_t len;

    (void)state;
    char *text = run("materialize(all, infinity, infinity, keys(1,2,3)).\n" KEYER
                     "component tables(serial) {\n"
                     "c1 all(@N,NR,I,PAD) :- keyed(@N,PKT,KEY), NR = f_number(PKT), I = 1,"
                     " P = \"0123456789012345678901234567890123456789\" + f_text(PKT),"
                     " Q = P + P + P + P + P + P + P + P, R = Q + Q + Q + Q + Q + Q, PAD = R + R.\n"
                     "c2 most(@N,I,a_MAX<PAD>,a_COUNT<*>) :- all(@N,NR,I,PAD).\n"
                     "c3 each(@N,NR,a_MIN<PAD>,a_AVG<I>) :- all(@N,NR,I,PAD).\n"
                     "}\n",
                     s, &len, &metrics);
    assert_true(atomic_load(&metrics.counters[MR_COUNT_TABLE_ROWS_REFUSED]) > 0);
    free(text);
}

/* Small bursts that met so much together that it took slices take the straight way again later. */
static void the_straight_way_is_taken_again(void **state)
{
    static const char program[] =
        "materialize(few, infinity, infinity, keys(1,2)).\n"
        "component numbers(parallel) {\n"
        "n1 numbered(@N,NR) :- input(@N,PKT,S,D), NR = f_number(PKT). }\n"
        "component tables(serial) {\n"
        "t1 few(@N,F) :- numbered(@N,NR), F = NR % 60.\n"
        "t2 met(@N,NR,F) :- numbered(@N,NR), NR > 200, NR < 500, few(@N,F). }\n";
    struct setting s = {.workers = 1, .lanes = 4, .burst = 3, .secret_seed = 9, .packets = 30000};
    struct mr_metrics metrics = {0};
    size_t len;

    (void)state;
    free(run(program, s, &len, &metrics));
    assert_in_range(atomic_load(&metrics.counters[MR_COUNT_LOCAL_RUNS]), 2, 30000 / 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_one_order),     cmocka_unit_test(rows_of_a_key_in_its_lane),
        cmocka_unit_test(constants_anywhere),    cmocka_unit_test(internal_events_flow_on),
        cmocka_unit_test(counts_are_right),      cmocka_unit_test(tables_run_out_of_memory),
        cmocka_unit_test(unheard_ends_are_ends), cmocka_unit_test(the_straight_way_is_taken_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
