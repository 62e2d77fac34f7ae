/* The component "bypass": f_bypass(flow) lets the rest of a flow pass uninspected. The flow is
 * still followed and counted, and its end told. */
#include "millrace/component.h"

enum counter { BYPASSED, NOT_HERE };
static const char *const counters[] = {"bypassed", "not_where_the_flow_is_assembled", NULL};

/* Each call counts a flow once, when it asks first: who else has asked by then is not known, since
 * rules see the packets of a burst one after the other. */
static void bypass(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n && call->cause == MR_CAUSE_DATA; row++) {
        uint8_t *counted = mr_context(call, row);
        bool done = mr_flow_bypass(call, row);
        if (counted && !*counted) {
            *counted = 1;
            mr_count(call, done ? BYPASSED : NOT_HERE, 1);
        }
        mr_yield(call, row, mr_value_int(done));
    }
}

static const struct mr_function functions[] = {{
    .name = "f_bypass",
    .summary =
        "the rest of the flow passes uninspected, from 1,024 packets of the whole traffic later "
        "on; 1, or 0 where the flow is not assembled in this component or one fused with it. "
        "Counts flows for which this call asked",
    .args = {MR_TYPE_FLOW},
    .n_args = 1,
    .result = MR_TYPE_INT,
    .order = MR_ORDER_CONTEXT,
    .shape = MR_SHAPE_EXPAND, /* at the end of a context it has nothing to say */
    .context_bytes = 1,
    .flow_use = MR_FLOW_BYPASSES,
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
