/* f_block and f_rateLimit: what a program wants done to a flow. Each call is an `action` event;
 * when that is written, in the order of all events, the actuator is asked to do it. */
#include "engine/internal.h"

#include "runtime/exec.h"

#include <string.h>

static void act(struct mr_call *call, uint32_t row, enum mr_actuation_kind kind, int64_t bits_per_s,
                int64_t seconds)
{
    struct mr_exec *exec = call->runtime;
    const struct mr_flow_key *flow = call->args[0][row].b.ptr;
    const char *name = kind == MR_ACTUATE_BLOCK ? "block" : "rate_limit";
    struct mr_actuation *actuation = mr_alloc(call, sizeof *actuation);

    if (!actuation)
        return; /* counted there */
    *actuation = (struct mr_actuation){.kind = kind,
                                       .a = flow->a,
                                       .b = flow->b,
                                       .time_ns = call->packets[row]->time_ns,
                                       .seconds = seconds > 0 ? (uint64_t)seconds : 0,
                                       .bits_per_s = bits_per_s > 0 ? (uint64_t)bits_per_s : 0};
    struct mr_record *before = exec->last_record;
    struct mr_event *event = mr_event_open(call, row, "action");
    if (event) {
        mr_event_object(event, "action");
        mr_event_string(event, "type", name, strlen(name));
        mr_eve_address(event->eve, "a", &actuation->a);
        mr_eve_address(event->eve, "b", &actuation->b);
        if (kind == MR_ACTUATE_RATE_LIMIT)
            mr_event_int(event, "bits_per_second", (int64_t)actuation->bits_per_s);
        if (actuation->seconds)
            mr_event_int(event, "seconds", (int64_t)actuation->seconds);
        mr_event_string(event, "actuator", event->engine->actuator->name,
                        strlen(event->engine->actuator->name));
        mr_event_end(event);
        mr_event_close(event);
    } else if (!mr_exec_record(exec, call->packets[row], mr_exec_call_ordinal(exec, row), "", 0)) {
        mr_metrics_add(mr_exec_metrics(exec), MR_COUNT_EVENTS_LOST, 1);
        return;
    }
    if (exec->last_record != before)
        exec->last_record->actuation = actuation;
}

static int64_t argument(const struct mr_call *call, uint32_t a, uint32_t row)
{
    return a < call->n_args ? call->args[a][row].i : 0;
}

static void call_block(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        call->out[row] = MR_VALUE_TEXT("true");
        if (call->cause == MR_CAUSE_DATA)
            act(call, row, MR_ACTUATE_BLOCK, 0, argument(call, 1, row));
    }
}

static void call_rate_limit(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        call->out[row] = MR_VALUE_TEXT("true");
        if (call->cause == MR_CAUSE_DATA)
            act(call, row, MR_ACTUATE_RATE_LIMIT, argument(call, 1, row), argument(call, 2, row));
    }
}

static const struct mr_function functions[] = {
    {
        .name = "f_block",
        .summary = "has a flow blocked, for so many seconds or for good; \"true\"",
        .args = {MR_TYPE_FLOW, MR_TYPE_INT},
        .n_args = 2,
        .n_optional = 1,
        .result = MR_TYPE_STRING,
        .order = MR_ORDER_TOTAL,
        .silent_end = true,
        .shape = MR_SHAPE_MAP,
        .backends = "cpu",
        .call = call_block,
    },
    {
        .name = "f_rateLimit",
        .summary = "has a flow limited to bits a second, for so many seconds or for good; \"true\"",
        .args = {MR_TYPE_FLOW, MR_TYPE_INT, MR_TYPE_INT},
        .n_args = 3,
        .n_optional = 1,
        .result = MR_TYPE_STRING,
        .order = MR_ORDER_TOTAL,
        .silent_end = true,
        .shape = MR_SHAPE_MAP,
        .backends = "cpu",
        .call = call_rate_limit,
    },
};

extern const struct mr_component mr_component_action;
const struct mr_component mr_component_action = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "action",
    .summary = "what is to be done to flows",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
