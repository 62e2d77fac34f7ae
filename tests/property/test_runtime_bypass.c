/* Flows that are let pass: what f_bypass says and counts is the same for all workers, lanes and
 * bursts, whoever else asks for the flow, before or behind it in a burst. */
// layers: runtime analog base components
#include "millrace/component.h"
#include "runtime/exec.h"

static void call_flow(struct mr_call *call);

#define MORE_FUNCTIONS                                                                             \
    {.name = "f_flow",                                                                             \
     .summary = "the flow of a key",                                                               \
     .args = {MR_TYPE_INT},                                                                        \
     .n_args = 1,                                                                                  \
     .result = MR_TYPE_FLOW,                                                                       \
     .shape = MR_SHAPE_MAP,                                                                        \
     .call = call_flow},

extern const struct mr_component mr_component_bypass;
#define MORE_COMPONENTS &mr_component_bypass

#include "runtime_rig.h"

static void call_flow(struct mr_call *call)
{
    struct mr_exec *exec = call->runtime;

    for (uint32_t row = 0; row < call->n; row++) {
        struct mr_flow_key *key = mr_exec_alloc(exec, sizeof *key);
        struct mr_endpoint a = {.family = 4, .port = (uint16_t)call->args[0][row].i}, b = a;
        assert_non_null(key);
        memset(key, 0, sizeof *key);
        b.port += 1000;
        mr_flow_key_make(exec->secret, &a, &b, key);
        call->out[row] = mr_value_bytes(key, sizeof *key);
    }
}

#define FLOWS                                                                                      \
    "component flows(parallel) { k1 keyed(@N,PKT,FLOW,KEY) :- input(@N,PKT,S,D),"                  \
    " KEY = f_key(PKT), FLOW = f_flow(KEY). }\n"

static void several_let_one_flow_pass(void **state)
{
    (void)state;
    same_everywhere(FLOWS "component one(parallel_context_order, context_keys(keyed(3))) {\n"
                          "a early(@N,KEY,X) :- keyed(@N,PKT,FLOW,KEY), f_number(PKT) % 5 == 2,"
                          " X = f_bypass(FLOW).\n"
                          "b late(@N,KEY,X) :- keyed(@N,PKT,FLOW,KEY), f_number(PKT) % 7 == 3,"
                          " X = f_bypass(FLOW). }\n",
                    N_PACKETS / 6);
}

/* Where the flow is not assembled it does not pass, which is counted as well. */
static void one_asks_further_down(void **state)
{
    (void)state;
    same_everywhere(FLOWS "component one(parallel_context_order, context_keys(keyed(3))) {\n"
                          "a early(@N,PKT,FLOW,KEY) :- keyed(@N,PKT,FLOW,KEY),"
                          " f_number(PKT) % 5 == 2, X = f_bypass(FLOW). }\n"
                          "component between(parallel_context_order, context_keys(early(4))) {\n"
                          "b mid(@N,PKT,FLOW,KEY) :- early(@N,PKT,FLOW,KEY). }\n"
                          "component two(parallel_context_order, context_keys(mid(3))) {\n"
                          "c late(@N,KEY,X) :- mid(@N,PKT,FLOW,KEY), X = f_bypass(FLOW). }\n",
                    N_PACKETS / 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_let_one_flow_pass),
        cmocka_unit_test(one_asks_further_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
