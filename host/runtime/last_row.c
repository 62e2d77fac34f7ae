/* The row that stands for a context when a stage goes at a swap while the group stays. */
#include "runtime/exec.h"

#include <string.h>

static bool has_state(const struct mr_op *op)
{
    return op->kind == MR_OP_CALL && op->function->order != MR_ORDER_NONE &&
           op->function->context_bytes;
}

/* The rule of a stage that calls a function with state; NULL: there is none. */
static const struct mr_plan_rule *rule_with_state(const struct mr_plan_stage *stage)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++)
            if (has_state(&stage->rules[r].ops[i]))
                return &stage->rules[r];
    return NULL;
}

/* The segment out of which a fork leads to this one; its own number where none does. */
static uint32_t segment_before(const struct mr_plan *plan, uint32_t segment)
{
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; plan->stages[s].fork && r < plan->stages[s].n_rules; r++)
            if (plan->predicates[plan->stages[s].rules[r].head].segment == segment)
                return plan->stages[s].segment;
    return segment;
}

static bool comes_from(const struct mr_plan *plan, uint32_t segment, uint32_t from)
{
    for (uint32_t before; segment != from; segment = before)
        if ((before = segment_before(plan, segment)) == segment)
            return false;
    return true;
}

bool mr_last_row_possible(const struct mr_plan *plan, uint32_t group, uint32_t stage,
                          const bool *stages)
{
    if (!stages[stage] || !rule_with_state(&plan->stages[stage]))
        return false;
    for (uint32_t s = plan->groups[group].first_stage; s < stage; s++)
        if (stages[s] && rule_with_state(&plan->stages[s]) &&
            comes_from(plan, plan->stages[stage].segment, plan->stages[s].segment))
            return false; /* that one tells it */
    return true;
}

uint32_t mr_last_row_predicate(const struct mr_plan *plan, uint32_t stage)
{
    return rule_with_state(&plan->stages[stage])->trigger;
}

/* A slot is zero until its function is called for the context. */
static bool ever_seen(const struct mr_plan_stage *stage, const struct mr_context *c)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++) {
            const struct mr_op *op = &stage->rules[r].ops[i];
            for (uint32_t b = 0; has_state(op) && b < op->function->context_bytes; b++)
                if (c->slots[op->context_offset + b])
                    return true;
        }
    return false;
}

/* A copy in the token's memory; NULL: there is none left. */
static const void *copy(struct mr_exec *exec, const void *from, size_t bytes)
{
    void *to = mr_exec_alloc(exec, bytes);
    if (to)
        memcpy(to, from, bytes);
    return to;
}

static bool set_cell(struct mr_exec *exec, enum mr_type type, struct mr_context *c,
                     struct mr_packet *origin, uint32_t n_addresses, union mr_value *cell)
{
    const struct mr_chunk end = {
        .kind = MR_CHUNK_END, .data = (const uint8_t *)"", .flow = &c->flow};
    const void *bytes = "";

    switch (type) {
    case MR_TYPE_PACKET:
        *cell = mr_value_bytes(origin, sizeof *origin);
        return true;
    case MR_TYPE_STREAM:
        bytes = copy(exec, &end, sizeof end);
        *cell = mr_value_bytes(bytes, sizeof end);
        break;
    case MR_TYPE_ADDRESS:
        bytes =
            copy(exec, n_addresses ? &c->flow.server : &c->flow.client, sizeof(struct mr_endpoint));
        *cell = mr_value_bytes(bytes, sizeof(struct mr_endpoint));
        break;
    case MR_TYPE_FLOW:
        bytes = copy(exec, &c->key, sizeof c->key);
        *cell = mr_value_bytes(bytes, sizeof c->key);
        break;
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
        *cell = mr_value_bytes("", 0);
        break;
    default:
        *cell = mr_value_int(0);
    }
    return bytes != NULL;
}

void mr_last_row_append(struct mr_exec *exec, uint32_t stage, struct mr_context *c,
                        struct mr_packet *origin, struct mr_tuples *to)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[to->predicate];
    uint32_t row = to->n, n_addresses = 0;

    if (!ever_seen(&exec->plan->stages[stage], c))
        return;
    for (uint32_t i = 0; i < p->arity; i++) {
        enum mr_type type = p->attributes[i].type;
        if ((type == MR_TYPE_STREAM || type == MR_TYPE_FLOW) && !c->is_flow)
            return; /* nothing is known that could stand there */
        if (to->columns[i] && !set_cell(exec, type, c, origin, n_addresses, &to->columns[i][row]))
            return;
        n_addresses += type == MR_TYPE_ADDRESS;
    }
    to->origins[row] = origin;
    to->contexts[row] = c->slots;
    to->flows[row] = c->owns_flow ? &c->flow : NULL;
    to->n++;
    if (c->flow.end == MR_FLOW_OPEN)
        c->flow.end = MR_FLOW_END_SHUTDOWN;
}

void mr_last_row_done(struct mr_context *c)
{
    if (c->flow.end == MR_FLOW_END_SHUTDOWN)
        c->flow.end = MR_FLOW_OPEN;
}
