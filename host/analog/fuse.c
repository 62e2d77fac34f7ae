/* Stages to groups: neighbours that one worker can run in one go. */
#include "analog/flow.h"

#include <string.h>

#define SLOT_ALIGNMENT 16u

static void start_group(const struct mr_plan *plan, const struct flow *flow, uint32_t index,
                        struct mr_plan_group *group)
{
    const struct mr_plan_stage *stage = &plan->stages[index];

    group->first_stage = index;
    group->n_stages = 1;
    group->kind = stage->kind;
    group->one_at_a_time = stage->one_at_a_time;
    group->key_type = MR_TYPE_ANY;
    for (uint32_t k = 0; k < stage->n_keys; k++) {
        const struct mr_plan_key *key = &stage->keys[k];
        if (k == 0)
            group->key_type = plan->predicates[key->predicate].attributes[key->column].type;
        if (in_set(&flow->before[index], key->predicate) &&
            analog_stage_triggers(stage, key->predicate))
            group->keys[group->n_keys++] = *key;
    }
}

/* The slots of all functions with state per context, behind one another, and behind them a byte for
 * each function. */
static void lay_context(struct mr_plan *plan, struct mr_plan_group *group)
{
    uint32_t bytes = 0, calls = 0;

    for (uint32_t s = 0; s < group->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[group->first_stage + s];
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            struct mr_plan_rule *rule = &stage->rules[r];
            for (uint32_t i = 0; i < rule->n_ops; i++) {
                struct mr_op *op = &rule->ops[i];
                if (op->kind != MR_OP_CALL)
                    continue;
                op->anomaly_offset = calls++;
                if (op->function->order == MR_ORDER_NONE)
                    continue;
                bytes = (bytes + SLOT_ALIGNMENT - 1) & ~(SLOT_ALIGNMENT - 1);
                op->context_offset = bytes;
                bytes += op->function->context_bytes;
            }
        }
    }
    group->context_bytes = 0;
    if (group->kind == MR_STAGE_PARALLEL || (group->kind == MR_STAGE_SERIAL && !bytes))
        return; /* no contexts at all */
    for (uint32_t s = 0; s < group->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[group->first_stage + s];
        for (uint32_t r = 0; r < stage->n_rules; r++)
            for (uint32_t i = 0; i < stage->rules[r].n_ops; i++)
                stage->rules[r].ops[i].anomaly_offset += bytes;
    }
    group->context_bytes = bytes + calls;
}

/* A stage runs over all packets of a burst before the next one does. May that show? Where contexts
 * and flows change in one place alone, before anybody looks at them, those behind it see of each
 * row what it changed there. */
static bool shows_bursts(const struct mr_plan *plan, const struct mr_plan_group *group)
{
    bool looked = false; /* at a context or a flow: state, events, actions */
    bool told = false;   /* what the flow speaks */

    for (uint32_t s = 0; s < group->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[group->first_stage + s];
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            const struct mr_plan_rule *rule = &stage->rules[r];
            for (uint32_t i = 0; i < rule->n_ops; i++) {
                const struct mr_function *f = rule->ops[i].function;
                if (rule->ops[i].kind != MR_OP_CALL)
                    continue;
                if (f->flow_use & MR_FLOW_ENDS || (f->flow_use & MR_FLOW_RENEWS && looked) ||
                    (f->flow_use & MR_FLOW_SPEAKS && told))
                    return true;
                looked = looked || f->order != MR_ORDER_NONE || !f->pure;
                told = told || f->flow_use & MR_FLOW_TELLS;
            }
            looked = looked || plan->predicates[rule->head].watched;
        }
    }
    return false;
}

void analog_contexts(struct mr_plan *plan)
{
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        lay_context(plan, &plan->groups[g]);
        plan->groups[g].by_packet =
            plan->groups[g].kind == MR_STAGE_CONTEXT && shows_bursts(plan, &plan->groups[g]);
    }
}

void analog_fuse(struct compile *compile, struct mr_plan *plan)
{
    struct flow *flow = analog_scratch(compile, sizeof *flow);
    uint32_t n_keys = 0;

    for (uint32_t s = 0; s < plan->n_stages; s++)
        n_keys += plan->stages[s].n_keys;
    struct mr_plan_key *keys = analog_scratch(compile, (n_keys + 1) * sizeof *keys);
    plan->groups = analog_keep(compile, plan->n_stages * sizeof *plan->groups);
    if (!flow || !keys || !plan->groups)
        return;
    analog_flow(plan, flow);
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        struct mr_plan_group *group = plan->n_groups ? &plan->groups[plan->n_groups - 1] : NULL;
        uint32_t n;
        if (group && analog_join(plan, flow, group, s, keys, &n) == JOIN_YES) {
            group->n_stages++;
        } else {
            group = &plan->groups[plan->n_groups++];
            group->keys = keys; /* room for more; copied below */
            start_group(plan, flow, s, group);
            n = group->n_keys;
        }
        struct mr_plan_key *own = analog_keep(compile, (n + 1) * sizeof *own);
        if (!own)
            return;
        memcpy(own, keys, n * sizeof *own);
        group->keys = own;
        group->n_keys = n;
    }
}
