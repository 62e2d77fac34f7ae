/* Where predicates go in a plan, and where the key of a group goes with them. */
#include "analog/flow.h"

#include <string.h>

#define MAX_ROUNDS 64

bool analog_stage_triggers(const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t i = 0; i < stage->n_rules; i++)
        if (stage->rules[i].trigger == predicate)
            return true;
    return false;
}

void analog_flow(const struct mr_plan *plan, struct flow *flow)
{
    memset(flow, 0, sizeof *flow);
    if (!plan->n_receives)
        add_to_set(&flow->before[0], plan->input);
    for (uint32_t r = 0; r < plan->n_receives; r++)
        add_to_set(&flow->before[0], plan->receives[r].predicate);
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        struct predicate_set present = flow->before[s];
        for (uint32_t r = 0; r < stage->n_rules; r++) /* all of them can be triggered */
            add_to_set(&present, stage->rules[r].head);
        for (uint32_t p = 0; p < plan->n_predicates; p++)
            if (in_set(&present, p) && plan->predicates[p].table == MR_NO_TABLE &&
                !analog_stage_triggers(stage, p))
                add_to_set(&flow->before[s + 1], p);
        for (uint32_t i = 0; i < stage->n_passes; i++)
            add_to_set(&flow->before[s + 1], stage->passes[i]);
    }
}

/* The columns of each predicate that hold the key of the group, as far as known: first all of
 * them, then less with every way in which a tuple can come about. */
struct carried {
    uint64_t columns[MAX_PREDICATES];
};

static bool narrow(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                   struct carried *carried)
{
    uint64_t from = carried->columns[rule->trigger], to = 0;

    for (uint32_t c = 0; c < plan->predicates[rule->head].arity; c++) {
        uint32_t reg = rule->head_args[c].reg;
        if (reg < plan->predicates[rule->trigger].arity && from >> reg & 1)
            to |= (uint64_t)1 << c;
    }
    to &= carried->columns[rule->head];
    if (to == carried->columns[rule->head])
        return false;
    carried->columns[rule->head] = to;
    return true;
}

static void carry(const struct mr_plan *plan, const struct flow *flow,
                  const struct mr_plan_group *group, const struct mr_plan_key *keys,
                  uint32_t n_keys, struct carried *carried)
{
    memset(carried, 0xff, sizeof *carried);
    for (uint32_t p = 0; p < plan->n_predicates; p++)
        if (in_set(&flow->before[group->first_stage], p))
            carried->columns[p] = 0;
    for (uint32_t k = 0; k < n_keys; k++)
        carried->columns[keys[k].predicate] |= (uint64_t)1 << keys[k].column;
    for (int round = 0;; round++) {
        bool changed = false;
        for (uint32_t s = 0; s < group->n_stages; s++) {
            const struct mr_plan_stage *stage = &plan->stages[group->first_stage + s];
            for (uint32_t r = 0; r < stage->n_rules; r++)
                changed |= narrow(plan, &stage->rules[r], carried);
        }
        if (!changed)
            return;
        if (round == MAX_ROUNDS) { /* a strange recursion: claim nothing */
            memset(carried, 0, sizeof *carried);
            return;
        }
    }
}

static bool has_key(const struct mr_plan_key *keys, uint32_t n_keys, uint32_t predicate)
{
    for (uint32_t k = 0; k < n_keys; k++)
        if (keys[k].predicate == predicate)
            return true;
    return false;
}

/* Keys of the stage that are needed: those of predicates that come in and trigger a rule. */
static bool needed(const struct flow *flow, const struct mr_plan *plan, uint32_t stage,
                   const struct mr_plan_key *key)
{
    return in_set(&flow->before[stage], key->predicate) &&
           analog_stage_triggers(&plan->stages[stage], key->predicate);
}

static bool several(const struct mr_plan_key *keys, uint32_t n_keys)
{
    for (uint32_t k = 0; k < n_keys; k++)
        if (has_key(keys + k + 1, n_keys - k - 1, keys[k].predicate))
            return true;
    return false;
}

uint64_t analog_carried(const struct mr_plan *plan, const struct flow *flow,
                        const struct mr_plan_group *group, uint32_t predicate)
{
    struct carried carried;

    carry(plan, flow, group, group->keys, group->n_keys, &carried);
    return carried.columns[predicate];
}

/* Does a call of the group, before its stage `end`, send that to a device already? */
static bool is_sent(const struct mr_plan *plan, uint32_t first, uint32_t end,
                    const struct device_source *wanted)
{
    struct device_source source;

    for (uint32_t s = first; s < end; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            for (uint32_t i = 0; i < rule->n_ops; i++)
                if (analog_wants_device(&rule->ops[i]) &&
                    analog_device_source(plan, first, s, rule, i, &source) &&
                    analog_same_source(&source, wanted))
                    return true;
        }
    return false;
}

/* What goes to a device goes there between groups: does the stage need one before it? Not for what
 * has gone there when the group began. */
static bool asks_device(const struct mr_plan *plan, const struct flow *flow,
                        const struct mr_plan_group *group, uint32_t index)
{
    const struct mr_plan_stage *stage = &plan->stages[index];
    uint32_t first = group->first_stage;
    struct device_source source;

    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++)
            if (analog_wants_device(&stage->rules[r].ops[i]) &&
                !in_set(&flow->before[first], stage->rules[r].trigger) &&
                (!analog_device_source(plan, first, index, &stage->rules[r], i, &source) ||
                 !is_sent(plan, first, index, &source)))
                return true;
    return false;
}

enum join analog_join(const struct mr_plan *plan, const struct flow *flow,
                      const struct mr_plan_group *group, uint32_t index, struct mr_plan_key *keys,
                      uint32_t *n_keys)
{
    const struct mr_plan_stage *stage = &plan->stages[index];
    struct carried carried;

    *n_keys = group->n_keys;
    if (group->n_keys)
        memcpy(keys, group->keys, group->n_keys * sizeof *keys);
    if (!stage->n_rules)
        return JOIN_YES; /* everything passes through it */
    if (stage->kind != group->kind)
        return JOIN_KIND;
    if (stage->kind == MR_STAGE_PARALLEL && asks_device(plan, flow, group, index))
        return JOIN_DEVICE;
    if (stage->kind != MR_STAGE_CONTEXT)
        return JOIN_YES;
    if (stage->one_at_a_time != group->one_at_a_time)
        return JOIN_ONE;
    if (several(stage->keys, stage->n_keys) || several(group->keys, group->n_keys))
        return JOIN_SEVERAL;
    /* What goes through the group untouched may be ordered by its key from the group's entry on. */
    for (uint32_t k = 0; k < stage->n_keys; k++)
        if (needed(flow, plan, index, &stage->keys[k]) &&
            in_set(&flow->before[group->first_stage], stage->keys[k].predicate) &&
            !has_key(group->keys, group->n_keys, stage->keys[k].predicate))
            keys[(*n_keys)++] = stage->keys[k];
    carry(plan, flow, group, keys, *n_keys, &carried);
    for (uint32_t k = 0; k < stage->n_keys; k++) {
        const struct mr_plan_key *key = &stage->keys[k];
        const struct mr_plan_predicate *predicate = &plan->predicates[key->predicate];
        if (needed(flow, plan, index, key) &&
            (!(carried.columns[key->predicate] >> key->column & 1) ||
             predicate->attributes[key->column].type != group->key_type))
            return JOIN_KEY;
    }
    return JOIN_YES;
}
