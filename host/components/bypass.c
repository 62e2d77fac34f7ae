/* The component "bypass": f_bypass(flow) lets the rest of a flow pass uninspected. The flow is
 * still followed and counted, and its end told. */
#include "millrace/component.h"

enum counter { BYPASSED, NOT_HERE };
static const char *const counters[] = {"bypassed", "not_where_the_flow_is_assembled", NULL};

static void bypass(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        bool done = false;
        if (call->cause == MR_CAUSE_DATA) {
            const struct mr_flow *flow = mr_flow_of(call, row);
            bool before = flow && (flow->bypassed || flow->bypass_asked);
            done = mr_flow_bypass(call, row);
            if (!before)
                mr_count(call, done ? BYPASSED : NOT_HERE, 1);
        }
        call->out[row] = mr_value_int(done);
    }
}

static const struct mr_function functions[] = {{
    .name = "f_bypass",
    .summary =
        "the rest of the flow passes uninspected; 1, or 0 where the flow is not assembled in "
        "this component or one fused with it",
    .args = {MR_TYPE_FLOW},
    .n_args = 1,
    .result = MR_TYPE_INT,
    .order = MR_ORDER_CONTEXT,
    .shape = MR_SHAPE_MAP,
    .context_key = MR_TYPE_FLOW,
    .backends = "cpu",
    .counters = counters,
    .call = bypass,
}};

extern const struct mr_component mr_component_bypass;
const struct mr_component mr_component_bypass = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "bypass",
    .summary = "flows that need not be looked at any more",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
