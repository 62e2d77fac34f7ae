/* Tables of a lane: made, filled with facts, told of time. */
#include "runtime/table_set.h"

#include "runtime/by_row.h"
#include "runtime/internal.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S    1000000000u
#define MAX_AT_ONCE 1000u /* events of one timer at one packet: a gap in a capture may be long */

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
    if (!set->tables || !set->owns || !set->carried) {
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

static bool add_views(struct mr_table_set *set, const struct mr_plan *plan,
                      struct mr_buffers *pool)
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
                mr_view_init(&set->views[set->n_views++], plan, s, &plan->stages[s].rules[r],
                             pool);
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
    free((void *)set->tables);
    free(set);
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
                         (struct mr_order_key){0, f}, &change);
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
    for (const struct mr_row *r = set->tables[table]->first; r; r = r->next)
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

/* ---- time ---- */

/* What a set does at one packet. */
struct moment {
    struct mr_exec *exec;
    struct mr_table_set *set;
    uint64_t number;
    uint64_t n; /* things that happened: their order among what the packet rang */
};

/* The origin of what happens now. In a serial group there is one order; rows of lanes go by their
 * age, and those of one age by their key. */
static struct mr_packet *origin(struct moment *m, uint64_t time_ns, const struct mr_table *table,
                                const struct mr_row *row)
{
    uint64_t sub = (uint64_t)m->set->group << 56 | (m->n++ & 0xffffff);

    if (table && table->table->kind == MR_TABLE_BY_KEY) {
        uint32_t column = table->table->key_column;
        enum mr_type type = table->predicate->attributes[column].type;
        union mr_value key = row->values[column];
        uint32_t len = type == MR_TYPE_FLOW ? (uint32_t)(2 * sizeof(struct mr_endpoint))
                                            : mr_value_bytes_of(type, key);
        uint64_t hash = type == MR_TYPE_INT ? mr_hash_public(&key.i, sizeof key.i)
                                            : mr_hash_public(len ? key.b.ptr : "", len);
        sub = (uint64_t)m->set->group << 56 | (row->order.number / 2 & 0xffffffff) << 24 |
              (hash & 0xffffff);
    }
    return mr_exec_tick_origin(m->exec, time_ns, m->number, sub);
}

static void run_from(struct moment *m, uint32_t stage, struct mr_tuples *in)
{
    const struct mr_plan_group *g = &m->exec->plan->groups[m->set->group];
    mr_exec_stages(m->exec, stage, g->first_stage + g->n_stages, in);
}

/* A change of a table that no tuple made: to every stage of the group that waits for it. */
static void changed(struct moment *m, const struct mr_table *table, const union mr_value *values,
                    struct mr_packet *at, bool gone, const char *change)
{
    const struct mr_plan *plan = m->exec->plan;
    const struct mr_plan_group *g = &plan->groups[m->set->group];
    uint32_t predicate = table->table->predicate;

    if (table->predicate->watched) {
        struct mr_tuples *t = at ? mr_row_tuple(m->exec, table, values, at, gone) : NULL;
        if (t)
            mr_exec_watch(m->exec, t, gone ? MR_WATCH_DELETE : MR_WATCH_ADD, change);
    }
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        bool follows = mr_stage_follows(stage, predicate, gone);
        if (!follows && !mr_views_want(stage, predicate))
            continue;
        struct mr_tuples *t = at ? mr_row_tuple(m->exec, table, values, at, gone) : NULL;
        if (!t) {
            mr_views_lost(m->exec, stage, predicate);
            continue;
        }
        struct mr_tuples *groups = mr_views_feed(m->exec, stage, t);
        if (follows)
            run_from(m, s, t);
        while (groups) {
            struct mr_tuples *next = groups->next;
            groups->next = NULL;
            run_from(m, s, groups);
            groups = next;
        }
    }
}

static void load_facts(struct moment *m, uint64_t now_ns)
{
    const struct mr_plan *plan = m->exec->plan;

    for (uint32_t t = 0; t < plan->n_tables; t++) {
        const struct mr_plan_table *table = &plan->tables[t];
        uint32_t arity = m->set->owns[t] ? plan->predicates[table->predicate].arity : 0;
        for (uint32_t f = 0; m->set->owns[t] && !m->set->carried[t] && f < table->n_facts; f++) {
            const union mr_value *values = table->facts + (size_t)f * arity;
            struct mr_packet *at = origin(m, now_ns, NULL, NULL);
            struct mr_change change;
            if (!at)
                continue;
            mr_table_put(m->set->tables[t], values, now_ns, mr_order_of(at), &change);
            if (change.what == MR_PUT_REFUSED)
                mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_REFUSED, 1);
            if (change.row && change.what != MR_PUT_SAME)
                changed(m, m->set->tables[t], values, at, false,
                        change.what == MR_PUT_ADDED ? "insert" : "update");
            mr_table_release(m->set->tables[t], change.old);
            if (change.evicted) {
                mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_EVICTED, 1);
                changed(m, m->set->tables[t], change.evicted->values, at, true, "evict");
                mr_table_release(m->set->tables[t], change.evicted);
            }
        }
    }
}

static void expire(struct moment *m, uint64_t now_ns)
{
    const struct mr_plan *plan = m->exec->plan;

    for (uint32_t t = 0; t < plan->n_tables; t++) {
        struct mr_table *table = m->set->tables[t];
        struct mr_row *row;
        while (m->set->owns[t] && (row = mr_table_expired(table, now_ns))) {
            mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_EXPIRED, 1);
            mr_table_unlink(table, row);
            changed(m, table, row->values, origin(m, row->deadline_ns, table, row), true, "expire");
            mr_table_release(table, row);
        }
    }
}

static void fire(struct moment *m, struct mr_timer *timer, uint64_t time_ns)
{
    struct mr_exec *exec = m->exec;
    struct mr_packet *at = origin(m, time_ns, NULL, NULL);
    struct mr_tuples *t = at ? mr_tuples_new(exec, timer->plan->predicate, 1, 0) : NULL;

    timer->fired++;
    if (!t)
        return;
    t->n = 1;
    t->origins[0] = at;
    t->flows[0] = NULL;
    const int64_t values[] = {0, (int64_t)(time_ns / NS_PER_S), timer->plan->period,
                              (int64_t)timer->plan->count};
    for (uint32_t c = 0; c < 4; c++)
        if (t->columns[c])
            t->columns[c][0] = mr_value_int(values[c]);
    run_from(m, timer->stage, t);
}

/* Facts, timers that fire at the start, and when the others will. */
static void start(struct moment *m, uint64_t now_ns)
{
    m->set->started = true;
    load_facts(m, now_ns);
    for (uint32_t i = 0; i < m->set->n_timers; i++) {
        struct mr_timer *timer = &m->set->timers[i];
        uint64_t period = (uint64_t)timer->plan->period * NS_PER_S;
        if (timer->carried)
            continue;
        timer->next_ns = period ? (now_ns + period - 1) / period * period : UINT64_MAX;
        while (!period && timer->fired < timer->plan->count && timer->fired < MAX_AT_ONCE)
            fire(m, timer, now_ns);
    }
}

/* The timer that is due first; NULL: none up to now_ns. */
static struct mr_timer *due(const struct mr_table_set *set, uint64_t now_ns)
{
    struct mr_timer *first = NULL;

    for (uint32_t i = 0; i < set->n_timers; i++) {
        struct mr_timer *timer = &set->timers[i];
        if (timer->next_ns <= now_ns && timer->fired < timer->plan->count &&
            (!first || timer->next_ns < first->next_ns))
            first = timer;
    }
    return first;
}

/* Of what a long gap would ring the last ones are enough. */
static void skip_gaps(struct moment *m, uint64_t now_ns)
{
    for (uint32_t i = 0; i < m->set->n_timers; i++) {
        struct mr_timer *timer = &m->set->timers[i];
        uint64_t period = (uint64_t)timer->plan->period * NS_PER_S;
        if (!period || timer->next_ns > now_ns)
            continue;
        uint64_t n = (now_ns - timer->next_ns) / period + 1;
        if (n <= MAX_AT_ONCE)
            continue;
        mr_metrics_add(m->exec->metrics, MR_COUNT_TIMERS_SKIPPED, n - MAX_AT_ONCE);
        timer->next_ns += (n - MAX_AT_ONCE) * period;
    }
}

uint64_t mr_table_set_next(const struct mr_table_set *set, const struct mr_plan *plan)
{
    uint64_t next = UINT64_MAX;

    if (!set->started)
        return 0;
    for (uint32_t i = 0; i < set->n_timers; i++)
        if (set->timers[i].fired < set->timers[i].plan->count && set->timers[i].next_ns < next)
            next = set->timers[i].next_ns;
    for (uint32_t t = 0; t < plan->n_tables; t++)
        if (set->owns[t] && mr_table_next_deadline(set->tables[t]) < next)
            next = mr_table_next_deadline(set->tables[t]);
    return next ? next : 1;
}

void mr_exec_tables_start(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number)
{
    struct moment m = {.exec = exec, .set = exec->tables, .number = number};

    exec->group = group;
    if (!m.set->started)
        start(&m, now_ns);
}

void mr_exec_tables_tick(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number)
{
    struct moment m = {.exec = exec, .set = exec->tables, .number = number};
    struct mr_timer *timer;

    exec->group = group;
    if (!m.set->started)
        start(&m, now_ns);
    skip_gaps(&m, now_ns);
    while ((timer = due(m.set, now_ns))) {
        uint64_t at_ns = timer->next_ns;
        expire(&m, at_ns);
        timer->next_ns += (uint64_t)timer->plan->period * NS_PER_S;
        fire(&m, timer, at_ns);
    }
    expire(&m, now_ns);
}
