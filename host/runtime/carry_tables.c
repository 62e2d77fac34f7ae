/* Tables, views and timers of a lane, from one plan to the next. */
#include "runtime/table_set.h"

#include <stdlib.h>

/* ---- which ---- */

#define TOUCHES(rule) (2 + (rule)->n_ops)

/* The tables that change and that a rule touches: of its trigger, its head, its operations. */
static uint32_t touched(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint32_t i)
{
    uint32_t table = i == 0                                ? plan->predicates[rule->trigger].table
                     : i == 1                              ? plan->predicates[rule->head].table
                     : rule->ops[i - 2].kind == MR_OP_JOIN ? rule->ops[i - 2].table
                                                           : MR_NO_TABLE;
    return table != MR_NO_TABLE && plan->tables[table].kind != MR_TABLE_CONSTANT ? table
                                                                                 : MR_NO_TABLE;
}

/* Marks what the stage touches as lost. */
static bool lose(const struct mr_plan *plan, const struct mr_plan_stage *stage, bool *lost)
{
    bool more = false;

    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < TOUCHES(&stage->rules[r]); i++) {
            uint32_t table = touched(plan, &stage->rules[r], i);
            if (table == MR_NO_TABLE || lost[table])
                continue;
            lost[table] = more = true;
        }
    return more;
}

static bool any_lost(const struct mr_plan *plan, const struct mr_plan_stage *stage,
                     const bool *lost)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < TOUCHES(&stage->rules[r]); i++) {
            uint32_t table = touched(plan, &stage->rules[r], i);
            if (table != MR_NO_TABLE && lost[table])
                return true;
        }
    return false;
}

/* Tables of `plan` that a stage touches which the other plan does not have, and those that what
 * remains touches beside them: what one table says may follow from another. A stage's identity
 * tells its tables. NULL: no memory. */
static bool *find_lost(const struct mr_plan *plan, const struct mr_plan *other)
{
    bool *lost = calloc(plan->n_tables + 1, sizeof *lost);

    for (uint32_t s = 0; lost && s < plan->n_stages; s++)
        if (!plan->stages[s].fork && !mr_stage_in(other, &plan->stages[s]))
            lose(plan, &plan->stages[s], lost);
    for (bool more = lost != NULL; more;) {
        more = false;
        for (uint32_t s = 0; s < plan->n_stages; s++)
            if (any_lost(plan, &plan->stages[s], lost))
                more |= lose(plan, &plan->stages[s], lost);
    }
    return lost;
}

static uint32_t table_in(const struct mr_plan *old, const struct mr_plan *fresh, uint32_t table)
{
    const struct mr_plan_table *wanted = &fresh->tables[table];
    const char *program = fresh->programs[wanted->program].name;

    for (uint32_t t = 0; t < old->n_tables; t++)
        if (!strcmp(old->tables[t].name, wanted->name) &&
            !strcmp(old->programs[old->tables[t].program].name, program))
            return t;
    return MR_NO_TABLE;
}

uint32_t *mr_carried_tables(const struct mr_plan *old, const struct mr_plan *fresh)
{
    bool *of_old = find_lost(old, fresh), *of_fresh = find_lost(fresh, old);
    uint32_t *from = calloc(fresh->n_tables + 1, sizeof *from);

    for (uint32_t t = 0; of_old && of_fresh && from && t < fresh->n_tables; t++) {
        from[t] = of_fresh[t] ? MR_NO_TABLE : table_in(old, fresh, t);
        if (from[t] != MR_NO_TABLE && of_old[from[t]])
            from[t] = MR_NO_TABLE;
    }
    if (!of_old || !of_fresh) {
        free(from);
        from = NULL;
    }
    free(of_old);
    free(of_fresh);
    return from;
}

/* ---- how ---- */

static void belongs(struct mr_table *table, const struct mr_plan *plan, uint32_t index)
{
    table->plan = plan;
    table->table = &plan->tables[index];
    table->predicate = &plan->predicates[plan->tables[index].predicate];
}

/* The two change places, so that each set frees what it has. */
static void change_places(struct mr_table_set *from, const struct mr_plan *old, uint32_t old_index,
                          struct mr_table_set *to, const struct mr_plan *fresh, uint32_t index)
{
    struct mr_table *rows = from->tables[old_index];

    from->tables[old_index] = to->tables[index];
    to->tables[index] = rows;
    belongs(from->tables[old_index], old, old_index);
    belongs(rows, fresh, index);
    to->carried[index] = true;
}

static const struct mr_timer *timer_in(const struct mr_table_set *set, const struct mr_plan *old,
                                       const struct mr_plan *fresh, const struct mr_timer *timer)
{
    const struct mr_plan_stage *stage = &fresh->stages[timer->stage];
    const struct mr_plan_stage *same = mr_stage_in(old, stage);

    for (uint32_t i = 0; same && i < set->n_timers; i++)
        if (&old->stages[set->timers[i].stage] == same &&
            set->timers[i].plan - same->timers == timer->plan - stage->timers)
            return &set->timers[i];
    return NULL;
}

/* The rows that the view is about went over: of one table that feeds it, hence of all. */
static bool rows_carried(const struct mr_table_set *set, const struct mr_plan *plan,
                         const struct mr_view *view)
{
    const struct mr_plan_stage *stage = &plan->stages[view->stage];

    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (stage->rules[r].feeds && stage->rules[r].head == view->rule->trigger)
            return set->carried[plan->predicates[stage->rules[r].trigger].table];
    return false;
}

/* What a view knows is what its tables hold: it goes where they go. */
static void carry_views(struct mr_table_set *from, const struct mr_plan *old,
                        struct mr_table_set *to, const struct mr_plan *fresh)
{
    for (uint32_t v = 0; v < to->n_views; v++) {
        struct mr_view *view = &to->views[v];
        const struct mr_plan_stage *stage = &fresh->stages[view->stage];
        const struct mr_plan_stage *same = mr_stage_in(old, stage);
        for (uint32_t i = 0; same && rows_carried(to, fresh, view) && i < from->n_views; i++) {
            struct mr_view *other = &from->views[i], kept = *other;
            if (&old->stages[other->stage] != same ||
                other->rule - same->rules != view->rule - stage->rules)
                continue;
            kept.rule = view->rule;
            kept.stage = view->stage;
            view->rule = other->rule;
            view->stage = other->stage;
            *other = *view; /* each set frees what it has */
            *view = kept;
            break;
        }
    }
}

void mr_carry_tables(struct mr_table_set *from, const struct mr_plan *old, struct mr_table_set *to,
                     const struct mr_plan *fresh, const uint32_t *tables)
{
    bool all = true;

    if (!from || !to || !from->started)
        return;
    for (uint32_t t = 0; t < fresh->n_tables; t++) {
        if (!to->owns[t])
            continue;
        uint32_t other = tables[t];
        if (other != MR_NO_TABLE && from->owns[other])
            change_places(from, old, other, to, fresh, t);
        else
            all = false;
    }
    carry_views(from, old, to, fresh);
    for (uint32_t i = 0; i < to->n_timers; i++) {
        struct mr_timer *timer = &to->timers[i];
        const struct mr_timer *other = timer_in(from, old, fresh, timer);
        if (other) {
            timer->next_ns = other->next_ns;
            timer->fired = other->fired;
            timer->carried = true;
        } else {
            all = false;
        }
    }
    to->told_ns = from->told_ns;
    to->started = all;
    to->next_ns = mr_table_set_next(to, fresh);
}

void mr_table_set_secret(struct mr_table_set *set, const struct mr_plan *plan,
                         const struct mr_secret *secret)
{
    for (uint32_t t = 0; set && t < plan->n_tables; t++)
        if (set->owns[t])
            set->tables[t]->secret = secret;
}
