/* What a function does to a context at one packet is seen by the others from that packet on,
 * however many packets a burst has: contexts that end, and begin anew, by several functions. */
// layers: runtime analog base
#include "runtime_rig.h"

#define COMPONENT(rules)                                                                           \
    KEYER "component one(parallel_context_order, context_keys(keyed(3))) {\n" rules "}\n"
#define RULE(name, test, call)                                                                     \
    name " " name "(@N,KEY,X) :- keyed(@N,PKT,KEY)," test " X = " call ".\n"

static void several_end_one_context(void **state)
{
    (void)state;
    same_everywhere(COMPONENT(RULE("a", "", "f_until(PKT, 1)") RULE("b", "", "f_until(PKT, 2)")),
                    N_PACKETS);
    same_everywhere(COMPONENT(RULE("a", "KEY % 2 == 0,", "f_until(PKT, 1)")
                                  RULE("b", "f_hash(KEY) > 3,", "f_until(PKT, 2)")
                                      RULE("c", "", "f_sequence(PKT)")),
                    N_PACKETS);
}

/* Rows that did not come to the function that ends begin anew as well. */
static void who_stands_beside_begins_anew(void **state)
{
    (void)state;
    same_everywhere(COMPONENT(RULE("a", "f_number(PKT) % 3 == 0,", "f_until(PKT, 1)")
                                  RULE("b", "f_number(PKT) % 3 == 1,", "f_sequence(PKT)")),
                    N_PACKETS / 2);
}

static void state_before_a_renewal(void **state)
{
    (void)state;
    same_everywhere(COMPONENT(RULE("a", "", "f_sequence(PKT)") RULE("b", "", "f_again(PKT, 1)")
                                  RULE("c", "", "f_sequence(PKT)")),
                    N_PACKETS);
    same_everywhere(COMPONENT(RULE("a", "", "f_again(PKT, 1)") RULE("b", "", "f_again(PKT, 2)")),
                    N_PACKETS);
    same_everywhere(COMPONENT(RULE("a", "Y = f_sequence(PKT), Y % 2 == 0,", "f_again(PKT, 1)")),
                    N_PACKETS / 4);
}

/* One alone renews, before all others: packets need not go one by one. */
static void state_behind_a_renewal(void **state)
{
    (void)state;
    same_everywhere(COMPONENT(RULE("a", "f_number(PKT) % 2 == 0,", "f_again(PKT, 1)")
                                  RULE("b", "", "f_sequence(PKT)")
                                      RULE("c", "f_number(PKT) % 2 == 1,", "f_sequence(PKT)")),
                    N_PACKETS);
}

/* The rows that stand for all tuples of a serial component at the end are the first of each
 * predicate that it waits for, whichever came first in a burst, and none of those that pass
 * through. */
#define LAST(of_evens, of_odds)                                                                    \
    KEYER SEQUENCER "component middle(parallel) {\n"                                               \
                    "m1 passes(@N,SEQ) :- counted(@N,PKT,KEY,SEQ), SEQ % 5 == 0.\n"                \
                    "m2 evens(@N,SEQ) :- counted(@N,PKT,KEY,SEQ), KEY % 2 == 0" of_evens ".\n"     \
                    "m3 odds(@N,SEQ,KEY) :- counted(@N,PKT,KEY,SEQ), KEY % 2 == 1" of_odds ". }\n" \
                    "component all(serial) {\n"                                                    \
                    "z1 evenly(@N,X) :- evens(@N,SEQ), X = f_last(SEQ).\n"                         \
                    "z2 oddly(@N,X) :- odds(@N,SEQ,KEY), X = f_last(KEY). }\n"
#define LATE ", f_number(PKT) % 64 > 9"

static void the_end_of_all(void **state)
{
    static const char *const programs[] = {LAST("", ""), LAST("", LATE), LAST(LATE, "")};

    (void)state;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        size_t len;
        char *text = run(programs[i], settings[0], &len, NULL);
        assert_non_null(memmem(text, len, " evenly ", 8));
        assert_non_null(memmem(text, len, " oddly ", 7));
        free(text);
        same_everywhere(programs[i], 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_end_one_context), cmocka_unit_test(who_stands_beside_begins_anew),
        cmocka_unit_test(state_before_a_renewal),  cmocka_unit_test(state_behind_a_renewal),
        cmocka_unit_test(the_end_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
