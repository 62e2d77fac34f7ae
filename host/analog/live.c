/* Dead attributes and operations: backwards from what leaves the chain, through the rules, to the
 * packets. What nobody reads has no storage; a pure call whose result nobody reads does not run.
 */
#include "analog/compile.h"

#include <string.h>

#define WORDS (MR_MAX_REGISTERS / 64)

static void set_register(uint64_t *set, uint32_t reg)
{
    set[reg / 64] |= (uint64_t)1 << (reg % 64);
}

static void clear_register(uint64_t *set, uint32_t reg)
{
    set[reg / 64] &= ~((uint64_t)1 << (reg % 64));
}

static void set_operands(uint64_t *set, const struct mr_operand *args, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (args[i].reg != MR_NO_REGISTER)
            set_register(set, args[i].reg);
}

/* Division by zero makes a row vanish: that is an effect, unless the divisor is a constant. */
static bool may_vanish(const struct mr_op *op)
{
    const struct mr_operand *divisor = &op->args[1];

    if (op->compute != MR_COMPUTE_DIV && op->compute != MR_COMPUTE_MOD)
        return false;
    if (divisor->reg != MR_NO_REGISTER)
        return true;
    return divisor->type == MR_TYPE_REAL ? divisor->constant.d == 0 : divisor->constant.i == 0;
}

/* More than its result: an EXPAND function decides how often the rule fires. */
static bool has_effect(const struct mr_op *op)
{
    switch (op->kind) {
    case MR_OP_TEST:
    case MR_OP_JOIN:
        return true;
    case MR_OP_CALL:
        return !op->function->pure || op->function->shape == MR_SHAPE_EXPAND;
    default:
        return may_vanish(op);
    }
}

static void live_head(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint64_t *live)
{
    const struct mr_plan_predicate *head = &plan->predicates[rule->head];
    for (uint32_t c = 0; c < head->arity; c++)
        if (head->attributes[c].live)
            set_operands(live, &rule->head_args[c], 1);
}

/* Steps back over an operation; false: it need not run. */
static bool step_back(const struct mr_op *op, uint64_t *live)
{
    bool read = op->result != MR_NO_REGISTER && mr_register_live(live, op->result);

    if (!read && !has_effect(op))
        return false;
    if (read)
        clear_register(live, op->result);
    set_operands(live, op->args, op->n_args);
    return true;
}

/* Marks what the rule reads of its trigger; true: something new. */
static bool mark_rule(struct mr_plan *plan, const struct mr_plan_rule *rule)
{
    struct mr_plan_predicate *trigger = &plan->predicates[rule->trigger];
    uint64_t live[WORDS] = {0};
    bool changed = false;

    live_head(plan, rule, live);
    for (uint32_t i = rule->n_ops; i--;)
        step_back(&rule->ops[i], live);
    for (uint32_t c = 0; c < trigger->arity; c++) {
        if (!mr_register_live(live, c) || trigger->attributes[c].live)
            continue;
        trigger->attributes[c].live = changed = true;
    }
    return changed;
}

/* All but where the tuple is: there is one node, and it is stored nowhere. */
static void mark_all(struct mr_plan_predicate *predicate)
{
    for (uint32_t c = 0; c < predicate->arity; c++)
        if (predicate->attributes[c].type != MR_TYPE_NODE)
            predicate->attributes[c].live = true;
}

/* What is read from outside of the rules. */
static void mark_roots(struct mr_plan *plan)
{
    for (uint32_t p = 0; p < plan->n_predicates; p++)
        if (plan->predicates[p].leaves || plan->predicates[p].table != MR_NO_TABLE ||
            plan->predicates[p].watched)
            mark_all(&plan->predicates[p]);
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        const struct mr_plan_group *group = &plan->groups[g];
        for (uint32_t k = 0; k < group->n_keys; k++)
            plan->predicates[group->keys[k].predicate].attributes[group->keys[k].column].live =
                true;
    }
    /* A recursive stage tells tuples apart by all they hold. */
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; stage->recursive && r < stage->n_rules; r++) {
            mark_all(&plan->predicates[stage->rules[r].trigger]);
            mark_all(&plan->predicates[stage->rules[r].head]);
        }
        for (uint32_t t = 0; t < stage->n_timers; t++)
            mark_all(&plan->predicates[stage->timers[t].predicate]);
        /* Aggregates group by all the other attributes. */
        for (uint32_t r = 0; r < stage->n_rules; r++)
            if (stage->rules[r].n_aggregates || stage->rules[r].feeds)
                mark_all(&plan->predicates[stage->rules[r].head]);
    }
}

static void drop(struct mr_op *op)
{
    analog_bound_release(op->bound);
    op->bound = NULL;
    op->config = NULL;
}

/* Removes operations that need not run and notes for the others what is read behind them. */
static bool finish_rule(struct compile *compile, struct mr_plan *plan, struct mr_plan_rule *rule)
{
    uint64_t live[WORDS] = {0};
    uint32_t kept = 0;
    bool *keep = analog_scratch(compile, rule->n_ops + 1);

    if (!keep)
        return false;
    live_head(plan, rule, live);
    for (uint32_t i = rule->n_ops; i--;) {
        struct mr_op *op = &rule->ops[i];
        memcpy(op->live_after, live, sizeof live);
        if (op->result != MR_NO_REGISTER && !mr_register_live(live, op->result) && has_effect(op))
            op->result = MR_NO_REGISTER;
        keep[i] = step_back(op, live);
    }
    memcpy(rule->live_at_start, live, sizeof live);
    for (uint32_t i = 0; i < rule->n_ops; i++) {
        if (keep[i])
            rule->ops[kept++] = rule->ops[i];
        else
            drop(&rule->ops[i]);
    }
    rule->n_ops = kept;
    return true;
}

bool analog_live(struct compile *compile, struct mr_plan *plan)
{
    bool ok = true;

    mark_roots(plan);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t s = plan->n_stages; s--;)
            for (uint32_t r = plan->stages[s].n_rules; r--;)
                changed |= mark_rule(plan, &plan->stages[s].rules[r]);
    }
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            ok &= finish_rule(compile, plan, &plan->stages[s].rules[r]);
    return ok;
}
