// layers: analog base
/* Plans: spellings, registers and liveness, fusion, recursion, keys, bindings, context slots. */
#include "analog/analog.h"
#include "analog_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Compiles a program that must be free of errors. */
static struct mr_plan *compile(const char *text)
{
    const struct mr_analog_config config = {.components = mock_components,
                                            .n_components = MOCK_ALL};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan;
    enum mr_status status = mr_analog_compile_text("folder/test.analog", text, strlen(text),
                                                   &config, diagnostics, &plan);
    if (status != MR_OK)
        mr_diagnostics_print(diagnostics, stdout, false);
    assert_int_equal(status, MR_OK);
    mr_diagnostics_free(diagnostics);
    return plan;
}

static void discard(struct mr_plan *plan)
{
    mr_plan_free(plan);
    assert_int_equal(mock_bound, 0);
}

static const struct mr_plan_predicate *predicate(const struct mr_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_predicates; i++)
        if (!strcmp(plan->predicates[i].name, name))
            return &plan->predicates[i];
    fail_msg("no predicate %s", name);
    return NULL;
}

/* "10110": which attributes live; where the tuple is has no storage whatever stands there. */
static void expect_live(const struct mr_plan *plan, const char *name, const char *live)
{
    const struct mr_plan_predicate *p = predicate(plan, name);
    assert_int_equal(p->arity, strlen(live));
    for (uint32_t i = 0; i < p->arity; i++)
        if (p->attributes[i].live != (live[i] == '1' && p->attributes[i].type != MR_TYPE_NODE))
            fail_msg("%s(%u) is %s", name, i + 1, p->attributes[i].live ? "live" : "dead");
}

static void test_component_spellings(void **state)
{
    static const struct {
        const char *spelling;
        enum mr_stage_kind kind;
        bool one;
    } cases[] = {
        {"serial", MR_STAGE_SERIAL, false},
        {"parallel", MR_STAGE_PARALLEL, false},
        {"parallel_context_order, context_keys(input(3))", MR_STAGE_CONTEXT, false},
        {"parallel_context_ordered, context_keys(input(3))", MR_STAGE_CONTEXT, false},
        {"serial_context_order, context_keys(input(3))", MR_STAGE_CONTEXT, true},
        {"serial_context_ordered, context_keys(input(3))", MR_STAGE_CONTEXT, true},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "component c(%s) { p(@N, S) :- input(@N, P, S, D). }",
                 cases[i].spelling);
        struct mr_plan *plan = compile(text);
        assert_int_equal(plan->n_stages, 1);
        assert_int_equal(plan->stages[0].kind, cases[i].kind);
        assert_int_equal(plan->stages[0].one_at_a_time, cases[i].one);
        assert_int_equal(plan->groups[0].kind, cases[i].kind);
        if (cases[i].kind == MR_STAGE_CONTEXT) {
            assert_int_equal(plan->groups[0].n_keys, 1);
            assert_int_equal(plan->groups[0].keys[0].predicate, plan->input);
            assert_int_equal(plan->groups[0].keys[0].column, 2);
            assert_int_equal(plan->groups[0].key_type, MR_TYPE_ADDRESS);
        }
        discard(plan);
    }
}

/* One rule p(@N, X) with the given terms; its operations. */
static struct mr_plan *compile_terms(const char *terms)
{
    char text[1024];
    snprintf(text, sizeof text,
             "component c(parallel) { r p(@N, X) :- input(@N, PKT, SRC, DST), %s. }", terms);
    return compile(text);
}

static void test_assign_and_test(void **state)
{
    static const struct {
        const char *terms;
        uint32_t n_ops;
        enum mr_op_kind last;
        enum mr_compare compare;
    } cases[] = {
        {"X = f_any(SRC)", 1, MR_OP_CALL, MR_EQ},
        {"X := f_any(SRC)", 1, MR_OP_CALL, MR_EQ},
        {"X = f_any(SRC), X = 5", 2, MR_OP_TEST, MR_EQ},
        {"X = f_any(SRC), X == 5", 2, MR_OP_TEST, MR_EQ},
        {"X = f_any(SRC), 5 = X", 2, MR_OP_TEST, MR_EQ},
        {"X = f_any(SRC), X != 5", 2, MR_OP_TEST, MR_NE},
        {"X = f_any(SRC), X <> 5", 2, MR_OP_TEST, MR_NE},
        {"X = f_any(SRC), X < 5", 2, MR_OP_TEST, MR_LT},
        {"X = f_any(SRC), X <= 5", 2, MR_OP_TEST, MR_LE},
        {"X = f_any(SRC), X > 5", 2, MR_OP_TEST, MR_GT},
        {"X = f_any(SRC), X >= 5", 2, MR_OP_TEST, MR_GE},
        {"X = f_any(SRC), X in [1, 5)", 3, MR_OP_TEST, MR_LT},
        {"X = f_any(SRC), X in (1, 5]", 3, MR_OP_TEST, MR_LE},
        {"X = f_any(SRC), X > 1 && X < 5", 3, MR_OP_TEST, MR_LT},
        {"X = F_ANY(SRC)", 1, MR_OP_CALL, MR_EQ},
        {"X = 5", 0, MR_OP_CALL, MR_EQ},
        {"Y = SRC, X = Y", 0, MR_OP_CALL, MR_EQ},
        {"X = SRC, SRC := DST", 0, MR_OP_CALL, MR_EQ},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_plan *plan = compile_terms(cases[i].terms);
        const struct mr_plan_rule *rule = &plan->stages[0].rules[0];
        if (rule->n_ops != cases[i].n_ops)
            fail_msg("%s: %u operations", cases[i].terms, rule->n_ops);
        if (rule->n_ops) {
            const struct mr_op *op = &rule->ops[rule->n_ops - 1];
            assert_int_equal(op->kind, cases[i].last);
            assert_int_equal(op->compare, cases[i].compare);
        }
        discard(plan);
    }
}

/* := gives a new value from there on; what was copied before keeps the old one. */
static void test_assign_again(void **state)
{
    struct mr_plan *plan = compile_terms("X = SRC, SRC := DST, f_any(SRC) == 1");
    const struct mr_plan_rule *rule = &plan->stages[0].rules[0];
    (void)state;

    assert_int_equal(rule->head_args[1].reg, 2);
    assert_int_equal(rule->ops[0].args[0].reg, 3);
    discard(plan);
}

static void test_conversions(void **state)
{
    struct mr_plan *plan =
        compile("component a(parallel) {\n"
                "p(@N, F, PKT) :- input(@N, PKT, S, D), F = f_getTCPFlowId(S, D). }\n"
                "component b(parallel_context_order, context_keys(p(2))) {\n"
                "q(@N, L, R, S) :- p(@N, F, PKT), S = f_processTCP(PKT), S != \"\",\n"
                "  L = f_length(S), R = f_root(L), f_root(2) < 3. }");
    const struct mr_plan_rule *rule = &plan->stages[1].rules[0];
    uint32_t n_bytes = 0, n_real = 0;
    (void)state;

    for (uint32_t i = 0; i < rule->n_ops; i++) {
        const struct mr_op *op = &rule->ops[i];
        n_bytes += op->kind == MR_OP_COMPUTE && op->compute == MR_COMPUTE_STREAM_BYTES;
        n_real += op->kind == MR_OP_COMPUTE && op->compute == MR_COMPUTE_TO_REAL;
    }
    assert_int_equal(n_bytes, 1); /* once, though read twice */
    assert_int_equal(n_real, 1);  /* constants are converted at once */
    const struct mr_op *last = &rule->ops[rule->n_ops - 1];
    assert_int_equal(last->kind, MR_OP_TEST);
    assert_int_equal(last->type, MR_TYPE_REAL);
    assert_true(last->args[1].constant.d == 3.0);
    assert_int_equal(predicate(plan, "q")->attributes[3].type, MR_TYPE_STREAM);
    discard(plan);
}

static void test_liveness(void **state)
{
    struct mr_plan *plan = compile(
        "component a(parallel) {\n"
        "r1 p(@N, A, B, C, D) :- input(@N, PKT, SRC, DST),\n"
        "   A = f_getTransportProtocol(PKT), B = f_any(A), C = f_any(SRC), D = f_any(DST).\n"
        "r2 q(@N, A, B) :- p(@N, A, B, C, D), C > 5. }\n"
        "component b(parallel) {\n"
        "r3 out(B) :- q(@N, A, B). }");
    (void)state;

    expect_live(plan, "input", "0110");
    expect_live(plan, "p", "00110");
    expect_live(plan, "q", "001");
    expect_live(plan, "out", "1");
    assert_true(predicate(plan, "out")->leaves);
    assert_false(predicate(plan, "q")->leaves);
    /* A is still computed, for B; D is not */
    const struct mr_plan_rule *r1 = &plan->stages[0].rules[0];
    assert_int_equal(r1->n_ops, 3);
    assert_true(mr_register_live(r1->live_at_start, 1) && mr_register_live(r1->live_at_start, 2));
    assert_false(mr_register_live(r1->live_at_start, 0));
    assert_false(mr_register_live(r1->live_at_start, 3));
    uint32_t a = r1->ops[0].result, b = r1->ops[1].result;
    assert_true(mr_register_live(r1->ops[0].live_after, a));
    assert_true(mr_register_live(r1->ops[0].live_after, 2));
    assert_false(mr_register_live(r1->ops[0].live_after, 1));
    assert_false(mr_register_live(r1->ops[1].live_after, a));
    assert_true(mr_register_live(r1->ops[2].live_after, b));
    assert_false(mr_register_live(r1->ops[2].live_after, 2));
    discard(plan);
}

/* What has an effect stays, its result is gone. */
static void test_effects(void **state)
{
    struct mr_plan *plan = compile("component a(parallel) {\n"
                                   "r1 p(@N, A, B, C) :- input(@N, PKT, SRC, DST),\n"
                                   "   A = f_traffic(PKT, \"x\"), B = f_processIpFrag(PKT),\n"
                                   "   C = f_match(\"a\", \"b\"), _ = f_match(\"a\", \"c\").\n"
                                   "r2 q(@N) :- p(@N, A, B, C). }");
    const struct mr_plan_rule *r1 = &plan->stages[0].rules[0];
    (void)state;

    assert_int_equal(r1->n_ops, 2);
    assert_string_equal(r1->ops[0].function->name, "f_traffic");
    assert_string_equal(r1->ops[1].function->name, "f_processIpFrag");
    assert_true(r1->ops[0].result == MR_NO_REGISTER && r1->ops[1].result == MR_NO_REGISTER);
    assert_int_equal(plan->n_bindings, 2);
    assert_int_equal(r1->ops[1].binding, 1);
    assert_int_equal(mock_bound,
                     2); /* the program keeps them: another plan may have a use for them */
    discard(plan);
}

static void test_pass_through_keeps_attributes(void **state)
{
    struct mr_plan *plan = compile("component a(parallel) { p(@N, S, D) :- input(@N, _, S, D).\n"
                                   "  q(@N, S) :- input(@N, _, S, _). }\n"
                                   "component b(parallel) { r(@N) :- q(@N, S). }\n"
                                   "component c(parallel) { }");
    (void)state;

    expect_live(plan, "p", "111");
    expect_live(plan, "q", "10");
    assert_true(predicate(plan, "p")->leaves && predicate(plan, "r")->leaves);
    assert_int_equal(plan->n_groups, 1);
    assert_int_equal(plan->groups[0].n_stages, 3);
    discard(plan);
}

#define ASSEMBLE                                                                                   \
    "component a(parallel) {\n"                                                                    \
    "p(@N, PKT, F, S) :- input(@N, PKT, S, D), F = f_getTCPFlowId(S, D). }\n"

static void test_fusion(void **state)
{
    struct mr_plan *plan =
        compile(ASSEMBLE "component b(parallel_context_order, context_keys(p(3))) {\n"
                         "q(@N, F, S, T) :- p(@N, PKT, F, T), S = f_processTCP(PKT). }\n"
                         "component c(parallel_context_ordered, context_keys(q(2))) {\n"
                         "r(@N, X, T) :- q(@N, F, S, T), X = f_processTCPDetector(S, F). }\n"
                         "component d(parallel_context_order, context_keys(r(3))) {\n"
                         "s(@N, X) :- r(@N, X, T), Y = f_perKey(T). }");
    (void)state;

    assert_int_equal(plan->n_groups, 3);
    assert_int_equal(plan->groups[1].first_stage, 1);
    assert_int_equal(plan->groups[1].n_stages, 2);
    assert_int_equal(plan->groups[1].key_type, MR_TYPE_FLOW);
    assert_int_equal(plan->groups[1].context_bytes, 208 + 24 + 2);
    assert_int_equal(plan->stages[1].rules[0].ops[0].context_offset, 0);
    assert_int_equal(plan->stages[2].rules[0].ops[0].context_offset, 208);
    assert_int_equal(plan->groups[2].key_type, MR_TYPE_ADDRESS);
    assert_int_equal(plan->groups[2].context_bytes, 8 + 1);
    assert_int_equal(plan->stages[3].rules[0].ops[0].context_offset, 0);
    /* the key of the inner component is read by f_processTCPDetector; its own column is live */
    expect_live(plan, "q", "1111");
    discard(plan);
}

/* The key goes through two rules, one of which exchanges columns. */
static void test_no_fusion_when_the_key_changes(void **state)
{
    struct mr_plan *plan = compile(
        "component a(parallel) { p(@N, S, D) :- input(@N, _, S, D). }\n"
        "component b(parallel_context_order, context_keys(p(2))) {\n"
        "q(@N, S, D) :- p(@N, S, D). q(@N, D, S) :- p(@N, S, D). }\n"
        "component c(parallel_context_order, context_keys(q(2))) { r(@N) :- q(@N, _, _). }");
    (void)state;

    assert_int_equal(plan->n_groups, 3);
    discard(plan);
    plan = compile(
        "component a(parallel) { p(@N, S, D) :- input(@N, _, S, D). }\n"
        "component b(parallel_context_order, context_keys(p(2))) {\n"
        "q(@N, D, S) :- p(@N, S, D). t(@N, D, S) :- q(@N, D, S). }\n"
        "component c(parallel_context_order, context_keys(t(3))) { r(@N) :- t(@N, _, _). }");
    assert_int_equal(plan->n_groups, 2);
    /* t(3) is no key at an entry any more: nobody reads it */
    expect_live(plan, "t", "100");
    discard(plan);
}

/* A component through which everything passes is no obstacle, whatever its type. */
static void test_fusion_over_an_empty_component(void **state)
{
    struct mr_plan *plan =
        compile(ASSEMBLE "component b(parallel_context_order, context_keys(p(3))) {\n"
                         "q(@N, F, S) :- p(@N, PKT, F, T), S = f_processTCP(PKT). }\n"
                         "component nothing(parallel) { }\n"
                         "component neither(serial) { }\n"
                         "component c(parallel_context_ordered, context_keys(q(2))) {\n"
                         "r(@N, X) :- q(@N, F, S), X = f_processTCPDetector(S, F). }\n");
    (void)state;

    assert_int_equal(plan->n_groups, 2);
    assert_int_equal(plan->groups[1].n_stages, 4);
    assert_int_equal(plan->groups[1].kind, MR_STAGE_CONTEXT);
    discard(plan);
}

static void test_several_keys(void **state)
{
    struct mr_plan *plan = compile(
        "component a(parallel_context_order, context_keys(input(3), input(4))) {\n"
        "p(@N, S, D) :- input(@N, _, S, D). }\n"
        "component b(parallel_context_order, context_keys(p(2), p(3))) { q(@N) :- p(@N, _, _). }");
    (void)state;

    assert_int_equal(plan->n_groups, 2);
    assert_int_equal(plan->groups[0].n_keys, 2);
    assert_int_equal(plan->groups[1].n_keys, 2);
    expect_live(plan, "p", "111");
    discard(plan);
}

static void test_recursion(void **state)
{
    struct mr_plan *plan =
        compile("component a(parallel) {\n"
                "out(@N) :- q(@N, X), X == 0.\n" /* before who derives q */
                "q(@N, X) :- q(@N, Y), Y > 0, X = Y - 1.\n"
                "q(@N, X) :- input(@N, _, _, _), X = 3. }\n"
                "component b(parallel) { x(@N) :- y(@N). y(@N) :- z(@N). z(@N) :- out(@N). }");
    (void)state;

    assert_true(plan->stages[0].recursive);
    assert_false(plan->stages[1].recursive);
    assert_int_equal(plan->stages[0].rules[0].trigger, plan->input);
    const struct mr_plan_rule *rules = plan->stages[1].rules;
    for (uint32_t i = 0; i + 1 < plan->stages[1].n_rules; i++)
        assert_int_equal(rules[i].head, rules[i + 1].trigger);
    expect_live(plan, "q", "11");
    expect_live(plan, "input", "1111");
    discard(plan);
}

static void test_unreached_rules(void **state)
{
    struct mr_plan *plan = compile("component a(parallel) {\n"
                                   "p(@N) :- input(@N, _, _, _).\n"
                                   "q(@N, X) :- never(@N, Y), X = f_match(Y, \"a\"). }");
    (void)state;

    assert_int_equal(plan->n_rules, 2);
    assert_int_equal(plan->stages[0].n_rules, 1);
    assert_int_equal(mock_bound, 0);
    discard(plan);
}

static void test_names(void **state)
{
    struct mr_plan *plan = compile("component a(parallel) { p(@N) :- input(@N, _, _, _). }");
    (void)state;

    assert_string_equal(plan->name, "test");
    assert_string_equal(plan->programs[0].path, "folder/test.analog");
    assert_int_equal(plan->n_components, 2);
    assert_string_equal(plan->predicates[plan->input].name, "input");
    assert_int_equal(plan->predicates[plan->input].arity, 4);
    discard(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_component_spellings),
        cmocka_unit_test(test_assign_and_test),
        cmocka_unit_test(test_assign_again),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_liveness),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_pass_through_keeps_attributes),
        cmocka_unit_test(test_fusion),
        cmocka_unit_test(test_no_fusion_when_the_key_changes),
        cmocka_unit_test(test_fusion_over_an_empty_component),
        cmocka_unit_test(test_several_keys),
        cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_unreached_rules),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
