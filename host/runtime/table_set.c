/* Tables, timers and views of a lane: made, read, given back. */
#include "runtime/table_set.h"

#include "runtime/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static struct mr_table_set *new_set(const struct mr_plan *plan)
{
    struct mr_table_set *set = calloc(1, sizeof *set);

    if (!set)
        return NULL;
    pthread_mutex_init(&set->lock, NULL);
    set->tables = calloc(plan->n_tables + 1, sizeof(struct mr_table *));
    set->owns = calloc(plan->n_tables + 1, sizeof *set->owns);
    set->carried = calloc(plan->n_tables + 1, sizeof *set->carried);
    set->met = calloc(plan->n_tables + 1, sizeof *set->met);
    if (!set->tables || !set->owns || !set->carried || !set->met) {
        free(set->met);
        free((void *)set->tables);
        free(set->owns);
        free(set->carried);
        free(set);
        return NULL;
    }
    return set;
}

static bool add_table(struct mr_table_set *set, const struct mr_plan *plan, uint32_t index,
                      struct mr_buffers *pool, const struct mr_secret *secret)
{
    struct mr_table *table = calloc(1, sizeof *table);

    if (!table)
        return false;
    mr_table_init(table, plan, index, pool, secret);
    set->tables[index] = table;
    set->owns[index] = true;
    return true;
}

static bool add_timers(struct mr_table_set *set, const struct mr_plan *plan)
{
    const struct mr_plan_group *g = &plan->groups[set->group];
    uint32_t n = 0;

    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        n += plan->stages[s].n_timers;
    set->timers = calloc(n + 1, sizeof *set->timers);
    if (!set->timers)
        return false;
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        for (uint32_t t = 0; t < plan->stages[s].n_timers; t++)
            set->timers[set->n_timers++] =
                (struct mr_timer){.stage = s, .plan = &plan->stages[s].timers[t]};
    return true;
}

static bool add_views(struct mr_table_set *set, const struct mr_plan *plan, struct mr_buffers *pool)
{
    const struct mr_plan_group *g = &plan->groups[set->group];
    uint32_t n = 0;

    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            n += plan->stages[s].rules[r].running;
    set->views = calloc(n + 1, sizeof *set->views);
    if (!set->views)
        return false;
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            if (plan->stages[s].rules[r].running)
                mr_view_init(&set->views[set->n_views++], plan, s, &plan->stages[s].rules[r], pool);
    return true;
}

void mr_table_set_free(struct mr_table_set *set, const struct mr_plan *plan)
{
    if (!set)
        return;
    for (uint32_t v = 0; v < set->n_views; v++)
        mr_view_free(&set->views[v]);
    free(set->views);
    for (uint32_t t = 0; t < plan->n_tables; t++) {
        if (!set->owns[t])
            continue;
        mr_table_free(set->tables[t]);
        free(set->tables[t]);
    }
    pthread_mutex_destroy(&set->lock);
    free(set->timers);
    free(set->owns);
    free(set->carried);
    free(set->met);
    free((void *)set->tables);
    free(set);
}

static bool is_timer(const struct mr_plan_stage *stage, uint32_t predicate)
{
    for (uint32_t t = 0; t < stage->n_timers; t++)
        if (stage->timers[t].predicate == predicate)
            return true;
    return false;
}

/* Which tables a tuple may meet as a whole. */
static void find_met(struct mr_table_set *set, const struct mr_plan *plan)
{
    const struct mr_plan_group *g = &plan->groups[set->group];

    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            for (uint32_t o = 0; o < rule->n_ops && !is_timer(&plan->stages[s], rule->trigger); o++)
                if (rule->ops[o].kind == MR_OP_JOIN && rule->ops[o].by == MR_NO_INDEX)
                    set->met[rule->ops[o].table] = set->owns[rule->ops[o].table];
        }
}

bool mr_table_set_meets_many(const struct mr_table_set *set, const struct mr_plan *plan)
{
    for (uint32_t t = 0; t < plan->n_tables; t++)
        if (set->met[t] && set->tables[t]->n > MR_JOINED_AT_ONCE)
            return true;
    return false;
}

enum mr_status mr_table_set_new(struct mr_table_set **out, const struct mr_plan *plan,
                                uint32_t group, const struct mr_table_set *constants,
                                struct mr_buffers *pool, const struct mr_secret *secret)
{
    struct mr_table_set *set = new_set(plan);
    bool facts = false, any = false;

    *out = NULL;
    if (!set)
        return MR_ERR_MEMORY;
    set->group = group;
    for (uint32_t t = 0; t < plan->n_tables; t++) {
        if (plan->tables[t].predicate == MR_NO_PREDICATE)
            continue;
        if (plan->tables[t].kind == MR_TABLE_CONSTANT) {
            set->tables[t] = constants->tables[t];
            continue;
        }
        if (plan->tables[t].group != group)
            continue;
        facts |= plan->tables[t].n_facts > 0;
        any = true;
        if (!add_table(set, plan, t, pool, secret)) {
            mr_table_set_free(set, plan);
            return MR_ERR_MEMORY;
        }
    }
    if (!add_timers(set, plan) || !add_views(set, plan, pool)) {
        mr_table_set_free(set, plan);
        return MR_ERR_MEMORY;
    }
    find_met(set, plan);
    set->next_ns = facts || set->n_timers ? 0 : UINT64_MAX;
    set->started = set->next_ns != 0;
    if (!any && !set->n_timers) {
        mr_table_set_free(set, plan);
        set = NULL;
    }
    *out = set;
    return MR_OK;
}

enum mr_status mr_table_set_constants(struct mr_table_set **out, const struct mr_plan *plan,
                                      struct mr_buffers *pool, const struct mr_secret *secret)
{
    struct mr_table_set *set = NULL;

    *out = NULL;
    for (uint32_t t = 0; t < plan->n_tables; t++) {
        const struct mr_plan_table *table = &plan->tables[t];
        struct mr_change change;
        if (table->kind != MR_TABLE_CONSTANT || table->predicate == MR_NO_PREDICATE)
            continue;
        uint32_t arity = plan->predicates[table->predicate].arity;
        if ((!set && !(set = new_set(plan))) || !add_table(set, plan, t, pool, secret)) {
            mr_table_set_free(set, plan);
            return MR_ERR_MEMORY;
        }
        for (uint32_t f = 0; f < table->n_facts; f++) {
            mr_table_put(set->tables[t], table->facts + (size_t)f * arity, 0,
                         (struct mr_order_key){0, f, 0}, &change);
            mr_table_release(set->tables[t], change.old);
            mr_table_release(set->tables[t], change.evicted);
        }
    }
    *out = set;
    return MR_OK;
}

/* ---- reading ---- */

static void read_rows(struct mr_table_set *set, uint32_t table,
                      void (*row)(void *user, const union mr_value *values, uint64_t time_ns,
                                  struct mr_order_key order),
                      void *user)
{
    if (!set || !set->owns[table])
        return;
    pthread_mutex_lock(&set->lock);
    const struct mr_table *t = set->tables[table];
    for (const struct mr_row *r = mr_table_first_seen(t); r; r = mr_table_next_seen(t, r))
        row(user, r->values, r->time_ns, r->order);
    pthread_mutex_unlock(&set->lock);
}

void mr_runtime_table_rows(struct mr_runtime *runtime, uint32_t table,
                           void (*row)(void *user, const union mr_value *values, uint64_t time_ns,
                                       struct mr_order_key order),
                           void *user)
{
    read_rows(runtime->constants, table, row, user);
    for (uint32_t p = 0; p < runtime->n_phases; p++)
        for (uint32_t l = 0; runtime->phases[p].lanes && l < runtime->phases[p].n_lanes; l++)
            read_rows(runtime->phases[p].lanes[l].tables, table, row, user);
}
