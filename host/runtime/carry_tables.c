/* Tables and timers of a lane, from one plan to the next. */
#include "runtime/table_set.h"

static bool touches(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint32_t table)
{
    if (plan->predicates[rule->trigger].table == table ||
        plan->predicates[rule->head].table == table)
        return true;
    for (uint32_t i = 0; i < rule->n_ops; i++)
        if (rule->ops[i].kind == MR_OP_JOIN && rule->ops[i].table == table)
            return true;
    return false;
}

/* All stages that touch it are there in the other plan; a stage's identity tells its tables. */
static bool stays(const struct mr_plan *plan, uint32_t table, const struct mr_plan *other)
{
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; !plan->stages[s].fork && r < plan->stages[s].n_rules; r++)
            if (touches(plan, &plan->stages[s].rules[r], table) &&
                !mr_stage_in(other, &plan->stages[s]))
                return false;
    return true;
}

static uint32_t table_in(const struct mr_plan *old, const struct mr_plan *fresh, uint32_t table)
{
    const struct mr_plan_table *wanted = &fresh->tables[table];
    const char *program = fresh->programs[wanted->program].name;

    for (uint32_t t = 0; t < old->n_tables; t++)
        if (!strcmp(old->tables[t].name, wanted->name) &&
            !strcmp(old->programs[old->tables[t].program].name, program) && stays(old, t, fresh) &&
            stays(fresh, table, old))
            return t;
    return MR_NO_TABLE;
}

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

void mr_carry_tables(struct mr_table_set *from, const struct mr_plan *old, struct mr_table_set *to,
                     const struct mr_plan *fresh)
{
    bool all = true;

    if (!from || !to || !from->started)
        return;
    for (uint32_t t = 0; t < fresh->n_tables; t++) {
        if (!to->owns[t])
            continue;
        uint32_t other = table_in(old, fresh, t);
        if (other != MR_NO_TABLE && from->owns[other])
            change_places(from, old, other, to, fresh, t);
        else
            all = false;
    }
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
