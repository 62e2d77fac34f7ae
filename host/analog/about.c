/* Which operations read what was made of a transaction (mr_yield_of), forwards through the chain.
 * It is known of attributes, not of rows: so what an alert tells depends neither on which tuples
 * happen to be in one batch, nor on the programs beside this one. */
#include "analog/compile.h"

#define WORDS (MR_MAX_REGISTERS / 64)

static bool reads(const uint64_t *about, const struct mr_operand *args, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (args[i].reg != MR_NO_REGISTER && mr_register_live(about, args[i].reg))
            return true;
    return false;
}

static void set_about(uint64_t *about, uint32_t reg, bool yes)
{
    if (reg == MR_NO_REGISTER)
        return;
    about[reg / 64] &= ~((uint64_t)1 << reg % 64);
    about[reg / 64] |= (uint64_t)yes << reg % 64;
}

/* True: something new about the head. */
static bool follow_rule(struct mr_plan *plan, struct mr_plan_rule *rule)
{
    const struct mr_plan_predicate *trigger = &plan->predicates[rule->trigger];
    struct mr_plan_predicate *head = &plan->predicates[rule->head];
    uint64_t about[WORDS] = {0};
    bool changed = false;

    for (uint32_t c = 0; c < trigger->arity; c++)
        set_about(about, c, trigger->attributes[c].about);
    for (uint32_t i = 0; i < rule->n_ops; i++) {
        struct mr_op *op = &rule->ops[i];
        op->about = reads(about, op->args, op->n_args);
        bool begins = op->kind == MR_OP_CALL && op->function->of_transactions;
        /* a row of a table is of whoever put it there */
        set_about(about, op->result, begins || (op->about && op->kind != MR_OP_JOIN));
    }
    for (uint32_t c = 0; c < head->arity; c++) {
        if (head->attributes[c].about || !reads(about, &rule->head_args[c], 1))
            continue;
        head->attributes[c].about = changed = true;
    }
    return changed;
}

void analog_about(struct mr_plan *plan)
{
    /* stages come one behind the other: what a later one derives is news only for those behind it
     */
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (bool changed = true; changed;) {
            changed = false;
            for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
                changed |= follow_rule(plan, &plan->stages[s].rules[r]);
        }
}
