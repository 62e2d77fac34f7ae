/* The runtime's promises: outputs are the same for any number of workers, lanes, tokens, any burst
 * size and any scheduling; per key in order, never two at once; every token passes every gate. */
// layers: runtime analog base
#include "runtime_rig.h"

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

/* A predicate that two components ask for, under two keys, and one that two of them derive. */
static void forks_and_fan_in(void **state)
{
    (void)state;
    same_everywhere(
        KEYER SEQUENCER
        "component left(parallel) { l1 joined(@N,KEY,SEQ,H,W) :- counted(@N,PKT,KEY,SEQ),"
        " H = f_hash(SEQ), W = 1. }\n"
        "component right(parallel_context_order, context_keys(counted(4))) {\n"
        "r1 joined(@N,KEY,SEQ,T,W) :- counted(@N,PKT,KEY,SEQ), T = f_sequence(PKT), W = 2. }\n"
        "component all(serial) { j1 total(@N,KEY,SEQ,H,W,X) :- joined(@N,KEY,SEQ,H,W),"
        " X = f_total(SEQ). }\n",
        N_PACKETS);
}

/* A predicate that comes in without a key and is derived inside as well. */

/* What runs out is told and nothing breaks: no crash, no leak, every token through. */

/* Tens of thousands of contexts that end at once, then a gate: linear, or this takes minutes. */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(context_order),
        cmocka_unit_test(parallel_tail_and_filter),
        cmocka_unit_test(exchange_to_another_key),
        cmocka_unit_test(two_keys_at_once),
        cmocka_unit_test(serial_sees_everything_in_order),
        cmocka_unit_test(serial_first_and_pass_through),
        cmocka_unit_test(forks_and_fan_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
