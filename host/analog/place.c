/* Where tables are. Whoever touches a table must do so in an order that is the same in every run:
 * a table that rules change belongs to one group of stages. In a serial group there is one order.
 * In a context-ordered one there is an order for each key, so the rows of a key must be touched by
 * tuples of that key only: its primary key holds the key of the group, and every rule that touches
 * the table names it. A table that nobody changes may be read anywhere.
 */
#include "analog/diagnostic.h"
#include "analog/flow.h"

#include <string.h>

bool analog_rule_touches(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                         uint32_t table)
{
    if (plan->predicates[rule->head].table == table ||
        plan->predicates[rule->trigger].table == table)
        return true;
    for (uint32_t i = 0; i < rule->n_ops; i++)
        if (rule->ops[i].kind == MR_OP_JOIN && rule->ops[i].table == table)
            return true;
    return false;
}

static const struct mr_plan_rule *stage_touches(const struct mr_plan *plan,
                                                const struct mr_plan_stage *stage, uint32_t table)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (analog_rule_touches(plan, &stage->rules[r], table))
            return &stage->rules[r];
    return NULL;
}

/* One tuple after the other, where a tuple may see what an earlier one left. */
static void mark_by_row(struct mr_plan *plan, struct mr_plan_stage *stage)
{
    stage->by_row = stage->n_timers > 0;
    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (stage->rules[r].n_aggregates)
            stage->by_row = true;
    for (uint32_t t = 0; t < plan->n_tables; t++) {
        const struct mr_plan_rule *rule = stage_touches(plan, stage, t);
        if (rule && (plan->tables[t].kind != MR_TABLE_CONSTANT ||
                     plan->predicates[rule->trigger].table == t))
            stage->by_row = true;
    }
}

/* The columns that hold the key of the group in every row and in every question; with the reason
 * where that fails. */
static uint64_t key_columns(struct compile *compile, const struct mr_plan *plan,
                            const struct flow *flow, const struct mr_plan_group *group,
                            uint32_t index)
{
    const struct mr_plan_table *table = &plan->tables[index];
    uint64_t columns = 0, primary = 0;

    for (uint32_t k = 0; k < table->indexes[0].n; k++)
        primary |= (uint64_t)1 << table->indexes[0].columns[k];
    columns = primary & analog_carried(plan, flow, group, table->predicate);
    if (!columns) {
        analog_error(compile, &table->where,
                     "the primary key of %s does not hold the context key of %s", table->name,
                     plan->stages[group->first_stage].name);
        analog_hint(compile,
                    "put the key into keys(...) and into every head that names %s, or make the "
                    "component serial",
                    table->name);
        return 0;
    }
    for (uint32_t s = group->first_stage; s < group->first_stage + group->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            const struct mr_plan_rule *rule = &stage->rules[r];
            uint64_t known = analog_carried(plan, flow, group, rule->trigger);
            for (uint32_t i = 0; i < rule->n_ops; i++) {
                const struct mr_op *op = &rule->ops[i];
                uint64_t asked = 0;
                if (op->kind != MR_OP_JOIN || op->table != index)
                    continue;
                for (uint32_t k = 0; op->by != MR_NO_INDEX && k < op->n_args; k++)
                    if (op->args[k].reg < plan->predicates[rule->trigger].arity &&
                        known >> op->args[k].reg & 1)
                        asked |= (uint64_t)1 << table->indexes[op->by].columns[k];
                columns &= asked;
                if (columns)
                    continue;
                analog_error(compile, &op->where, "%s is asked without the context key of %s",
                             table->name, stage->name);
                analog_hint(compile,
                            "name the key in %s(...): a lane sees the rows of its own keys only; "
                            "or make the component serial",
                            table->name);
                return 0;
            }
        }
    }
    return columns;
}

/* An index over the column that holds the key: the rows that its limit counts. */
static uint32_t limit_index(struct mr_plan_table *table)
{
    for (uint32_t i = 0; i < table->n_indexes; i++)
        if (table->indexes[i].n == 1 && table->indexes[i].columns[0] == table->key_column)
            return i;
    if (table->n_indexes == MR_MAX_INDEXES)
        return MR_NO_INDEX;
    table->indexes[table->n_indexes] =
        (struct mr_plan_index){.columns = {table->key_column}, .n = 1};
    return table->n_indexes++;
}

static void place_by_key(struct compile *compile, struct mr_plan *plan, const struct flow *flow,
                         struct mr_plan_table *table, uint32_t index)
{
    const struct mr_plan_group *group = &plan->groups[table->group];

    for (uint32_t i = 0; i < group->n_keys; i++)
        for (uint32_t j = 0; j < i; j++)
            if (group->keys[i].predicate == group->keys[j].predicate) {
                analog_error(compile, &table->where,
                             "%s stands in the orders of several keys, where %s cannot be kept",
                             plan->stages[group->first_stage].name, table->name);
                analog_hint(compile, "make the component serial");
                return;
            }
    if (table->n_facts) {
        analog_error(compile, &table->where, "a table with facts is changed in a serial component");
        analog_hint(compile, "write component %s(serial)", plan->stages[group->first_stage].name);
        return;
    }
    uint64_t columns = key_columns(compile, plan, flow, group, index);
    if (!columns)
        return;
    table->kind = MR_TABLE_BY_KEY;
    table->key_column = (uint32_t)__builtin_ctzll(columns);
    table->limit_index = MR_NO_INDEX;
    if (table->max_rows == MR_FOREVER)
        return;
    table->limit_index = limit_index(table);
    if (table->limit_index == MR_NO_INDEX)
        analog_error(compile, &table->where, "%s is asked in too many ways: more than %d indexes",
                     table->name, MR_MAX_INDEXES);
}

static void place(struct compile *compile, struct mr_plan *plan, const struct flow *flow,
                  uint32_t index)
{
    struct mr_plan_table *table = &plan->tables[index];
    const struct mr_plan_stage *first = NULL;

    for (uint32_t g = 0; g < plan->n_groups; g++) {
        const struct mr_plan_group *group = &plan->groups[g];
        for (uint32_t s = group->first_stage; s < group->first_stage + group->n_stages; s++) {
            const struct mr_plan_stage *stage = &plan->stages[s];
            const struct mr_plan_rule *rule = stage_touches(plan, stage, index);
            if (!rule)
                continue;
            if (stage->kind == MR_STAGE_PARALLEL) {
                analog_error(compile, &rule->where,
                             "the table %s needs an order, but %s is parallel", table->name,
                             stage->name);
                analog_hint(compile,
                            "make the component serial, or context-ordered by an attribute that "
                            "is in the key of %s",
                            table->name);
                return;
            }
            if (first && table->group != g) {
                analog_error(compile, &rule->where, "%s and %s cannot both use the table %s",
                             first->name, stage->name, table->name);
                analog_hint(compile,
                            "who uses a table stands next to one another and is serial, or "
                            "ordered by the same key");
                return;
            }
            if (first && first != stage)
                plan->stages[first - plan->stages].shares_table = true;
            first = first ? first : stage;
            table->group = g;
        }
    }
    if (first && first->kind == MR_STAGE_CONTEXT)
        place_by_key(compile, plan, flow, table, index);
}

/* A change of a constant table happens once, at the start, where there is one order. */
static void place_constant(struct compile *compile, struct mr_plan *plan,
                           struct mr_plan_table *table)
{
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        const struct mr_plan_group *group = &plan->groups[g];
        for (uint32_t s = group->first_stage; s < group->first_stage + group->n_stages; s++)
            for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
                if (plan->stages[s].rules[r].trigger == table->predicate)
                    table->kind = MR_TABLE_GLOBAL;
    }
    (void)compile;
}

/* The location has no storage. */
static void strip_nodes(const struct mr_plan *plan, struct mr_plan_table *table)
{
    const struct mr_plan_predicate *p = &plan->predicates[table->predicate];
    struct mr_plan_index *primary = &table->indexes[0];
    uint32_t n = 0;

    for (uint32_t k = 0; k < primary->n; k++)
        if (p->attributes[primary->columns[k]].type != MR_TYPE_NODE)
            primary->columns[n++] = primary->columns[k];
    primary->n = n;
}

static void check_timers(struct compile *compile, const struct mr_plan *plan)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; stage->kind != MR_STAGE_SERIAL && r < stage->n_rules; r++) {
            if (!stage->n_timers || stage->rules[r].trigger != stage->timers[0].predicate)
                continue;
            analog_error(compile, &stage->rules[r].where,
                         "periodic events need a serial component, %s is none", stage->name);
            analog_hint(compile, "write component %s(serial)", stage->name);
        }
    }
}

void analog_place(struct compile *compile, struct mr_plan *plan)
{
    struct flow *flow = analog_scratch(compile, sizeof *flow);

    if (!flow)
        return;
    analog_flow(plan, flow);
    for (uint32_t t = 0; t < plan->n_tables; t++) {
        strip_nodes(plan, &plan->tables[t]);
        if (plan->tables[t].kind == MR_TABLE_CONSTANT)
            place_constant(compile, plan, &plan->tables[t]);
        if (plan->tables[t].kind != MR_TABLE_CONSTANT)
            place(compile, plan, flow, t);
    }
    for (uint32_t s = 0; s < plan->n_stages; s++)
        mark_by_row(plan, &plan->stages[s]);
    check_timers(compile, plan);
}
