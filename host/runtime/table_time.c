/* Packet time in the tables of a lane: facts at its start, timers, and rows whose time is over. */
#include "runtime/table_set.h"

#include "runtime/by_row.h"

#include <string.h>

#define NS_PER_S    1000000000u
#define MAX_AT_ONCE 1000u /* events of one timer at one packet: a gap in a capture may be long */
#define SLICE       256u  /* rows that end, and timers, before others have their turn */
#define ENDED       4u    /* tuples: what one of them costs */

/* What a set does at one packet. */
struct moment {
    struct mr_exec *exec;
    struct mr_table_set *set;
    uint64_t number, now_ns;
    uint32_t left; /* of the slice */
};

/* How long a row was over when its table was told, in 31 bits: the longer, the more; exactly up to
 * 67 ms, then to 26 bits. */
static uint64_t age_rank(uint64_t age_ns)
{
    uint32_t shift = age_ns >> 26 ? 38 - (uint32_t)__builtin_clzll(age_ns) : 0;
    return ((uint64_t)shift << 25) + (age_ns >> shift);
}

/* The place of a row that ends among what the packet rang: the order in which rows end, also those
 * of other lanes, and those of one moment by their key. */
static struct mr_tick_place place_of(const struct moment *m, const struct mr_table *table,
                                     const struct mr_row *row)
{
    uint32_t column = table->table->key_column;
    enum mr_type type = table->predicate->attributes[column].type;
    union mr_value key = row->values[column];
    uint32_t len = type == MR_TYPE_FLOW ? (uint32_t)(2 * sizeof(struct mr_endpoint))
                                        : mr_value_bytes_of(type, key);
    uint64_t hash = type == MR_TYPE_INT ? mr_hash_public(&key.i, sizeof key.i)
                                        : mr_hash_public(len ? key.b.ptr : "", len);
    uint64_t rank = INT32_MAX - age_rank(m->now_ns - row->deadline_ns);
    return (struct mr_tick_place){rank << 24 | (hash & 0xffffff), hash};
}

/* The place of what happens now. A serial group has one lane, and one order. Contexts that end at
 * the same packet come behind all that (exec_lane.c). */
static struct mr_tick_place place(struct moment *m, const struct mr_table *table,
                                  const struct mr_row *row)
{
    struct mr_tick_place at = table && table->table->kind == MR_TABLE_BY_KEY
                                  ? place_of(m, table, row)
                                  : (struct mr_tick_place){m->set->things++, 0};

    at.sub = (uint64_t)m->set->group << 56 | (at.sub & INT64_MAX >> 8);
    return at;
}

static struct mr_packet *origin(struct moment *m, uint64_t time_ns)
{
    return mr_exec_tick_origin(m->exec, time_ns, m->number, place(m, NULL, NULL));
}

static void follow(struct moment *m, uint32_t stage, struct mr_tuples *in, bool changed)
{
    const struct mr_plan_group *g = &m->exec->plan->groups[m->set->group];
    mr_exec_follow(m->exec, stage, g->first_stage + g->n_stages, in, changed);
}

/* A row as a tuple. Rows that end at one place follow each other by their ordinals. NULL: no
 * memory.
 */
static struct mr_tuples *tuple_of(struct moment *m, const struct mr_table *table,
                                  const union mr_value *values, struct mr_packet *at, bool gone)
{
    struct mr_tuples *t = at ? mr_row_tuple(m->exec, table, values, at, gone) : NULL;

    if (!t || !gone || !m->set->ended)
        return t;
    t->ordinals = mr_exec_alloc(m->exec, sizeof *t->ordinals);
    if (!t->ordinals)
        return NULL;
    t->ordinals[0] = m->set->ended * MR_ORDINAL_STEP;
    return t;
}

/* A change of a table that no tuple made: to every stage of the group that waits for it; follows.
 */
static void changed(struct moment *m, const struct mr_table *table, const union mr_value *values,
                    struct mr_packet *at, bool gone, const char *change)
{
    const struct mr_plan *plan = m->exec->plan;
    const struct mr_plan_group *g = &plan->groups[m->set->group];
    uint32_t predicate = table->table->predicate;

    if (table->predicate->watched) {
        struct mr_tuples *t = tuple_of(m, table, values, at, gone);
        if (t)
            mr_exec_watch(m->exec, t, gone ? MR_WATCH_DELETE : MR_WATCH_ADD, change);
    }
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        bool follows = mr_stage_follows(stage, predicate, gone);
        if (!follows && !mr_views_want(stage, predicate))
            continue;
        struct mr_tuples *t = tuple_of(m, table, values, at, gone);
        if (!t) {
            mr_views_lost(m->exec, stage, predicate);
            continue;
        }
        follow(m, s, t, true);
    }
}

/* Full periods ring, from now on. */
static uint64_t first_ring(uint64_t period_ns, uint64_t now_ns)
{
    return (now_ns + period_ns - 1) / period_ns * period_ns;
}

static void load_facts(struct moment *m, uint64_t now_ns)
{
    const struct mr_plan *plan = m->exec->plan;

    for (uint32_t t = 0; t < plan->n_tables; t++) {
        const struct mr_plan_table *table = &plan->tables[t];
        uint32_t arity = m->set->owns[t] ? plan->predicates[table->predicate].arity : 0;
        for (uint32_t f = 0; m->set->owns[t] && !m->set->carried[t] && f < table->n_facts; f++) {
            const union mr_value *values = table->facts + (size_t)f * arity;
            struct mr_packet *at = origin(m, now_ns);
            struct mr_change change;
            if (!at)
                continue;
            mr_table_put(m->set->tables[t], values, now_ns, mr_order_of(at), &change);
            if (change.what == MR_PUT_REFUSED)
                mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_REFUSED, 1);
            if (change.row && change.what != MR_PUT_SAME)
                changed(m, m->set->tables[t], values, at, false,
                        change.what == MR_PUT_ADDED ? "insert" : "update");
            (void)mr_exec_follow_up(m->exec);
            mr_table_release(m->set->tables[t], change.old);
            if (change.evicted) {
                mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_EVICTED, 1);
                changed(m, m->set->tables[t], change.evicted->values, at, true, "evict");
                (void)mr_exec_follow_up(m->exec);
                mr_table_release(m->set->tables[t], change.evicted);
            }
        }
    }
}

/* Somebody hears of rows that end. */
static bool is_heard(const struct mr_plan *plan, const struct mr_table *table)
{
    const struct mr_plan_group *g = &plan->groups[table->table->group];
    uint32_t predicate = table->table->predicate;

    if (table->predicate->watched & MR_WATCH_DELETE)
        return true;
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++)
        if (mr_stage_follows(&plan->stages[s], predicate, true) ||
            mr_views_want(&plan->stages[s], predicate))
            return true;
    return false;
}

/* The rows that ended up to until_ns, a slice of them. Rows of one key may share a place, also with
 * others between them, so that their number says in which order they ended: a tick's first one has
 * 0. What comes of a row that says nothing takes no memory of the token. False: there are more. */
static bool expire_table(struct moment *m, struct mr_table *table, uint64_t until_ns)
{
    struct mr_row *row;

    for (; (row = mr_table_expired(table, until_ns)); m->left--, m->set->ended++) {
        if (!m->left)
            return false;
        struct mr_exec_mark mark = mr_exec_mark(m->exec);
        mr_metrics_add(m->exec->metrics, MR_COUNT_TABLE_ROWS_EXPIRED, 1);
        m->set->strain += ENDED;
        mr_table_unlink(table, row);
        changed(m, table, row->values,
                mr_exec_tick_origin(m->exec, row->deadline_ns, m->number, place(m, table, row)),
                true, "expire");
        mr_table_release(table, row);
        if (!mr_exec_follow_up(m->exec)) {
            m->set->ended++;
            return false;
        }
        mr_exec_rewind(m->exec, &mark);
    }
    return true;
}

static bool expire(struct moment *m, uint64_t until_ns)
{
    const struct mr_plan *plan = m->exec->plan;
    bool done = true;

    for (uint32_t t = 0; done && t < plan->n_tables; t++) {
        if (!m->set->owns[t])
            continue;
        if (is_heard(plan, m->set->tables[t]))
            done = expire_table(m, m->set->tables[t], until_ns);
        else
            mr_table_hide(m->set->tables[t], until_ns);
    }
    return done;
}

static void fire(struct moment *m, struct mr_timer *timer, uint64_t time_ns)
{
    struct mr_exec *exec = m->exec;
    struct mr_packet *at = origin(m, time_ns);
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
    follow(m, timer->stage, t, false);
}

/* Facts, timers that fire at the start, and when the others will. */
static void start(struct moment *m, uint64_t now_ns)
{
    int64_t left = m->exec->left;

    m->exec->left = INT64_MAX; /* what is in the program's text: all at once */
    m->set->started = true;
    if (m->set->told_ns < now_ns) /* by a carried timer's clock it may be ahead */
        m->set->told_ns = now_ns;
    load_facts(m, now_ns);
    for (uint32_t i = 0; i < m->set->n_timers; i++) {
        struct mr_timer *timer = &m->set->timers[i];
        uint64_t period = (uint64_t)timer->plan->period * NS_PER_S;
        if (timer->carried)
            continue;
        timer->next_ns = period ? first_ring(period, now_ns) : UINT64_MAX;
        while (!period && timer->fired < timer->plan->count && timer->fired < MAX_AT_ONCE) {
            fire(m, timer, now_ns);
            (void)mr_exec_follow_up(m->exec);
        }
    }
    m->exec->left = left;
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

/* Packet time is behind: a broken stamp was believed, or an older capture follows. */
static void turn_back(struct moment *m, uint64_t now_ns)
{
    for (uint32_t i = 0; i < m->set->n_timers; i++) {
        struct mr_timer *timer = &m->set->timers[i];
        uint64_t period = (uint64_t)timer->plan->period * NS_PER_S;
        if (period && timer->next_ns > now_ns && timer->next_ns - now_ns > period)
            timer->next_ns = first_ring(period, now_ns);
    }
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

static struct moment begin(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number)
{
    struct mr_table_set *set = exec->tables;

    if (set->rung != number)
        set->things = set->ended = 0;
    set->rung = number;
    exec->group = group;
    return (struct moment){
        .exec = exec, .set = set, .number = number, .now_ns = now_ns, .left = SLICE};
}

void mr_exec_tables_start(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number)
{
    struct moment m = begin(exec, group, now_ns, number);

    if (!m.set->started)
        start(&m, now_ns);
}

bool mr_exec_tables_tick(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number)
{
    struct moment m = begin(exec, group, now_ns, number);
    struct mr_timer *timer;

    if (!m.set->started)
        start(&m, now_ns);
    turn_back(&m, now_ns);
    m.set->told_ns = now_ns;
    skip_gaps(&m, now_ns);
    while ((timer = due(m.set, now_ns))) {
        uint64_t at_ns = timer->next_ns;
        if (!expire(&m, at_ns) || !m.left)
            return true;
        m.left--;
        m.set->strain += ENDED;
        timer->next_ns += (uint64_t)timer->plan->period * NS_PER_S;
        fire(&m, timer, at_ns);
        if (!mr_exec_follow_up(exec))
            return true;
    }
    return !m.left || !expire(&m, now_ns);
}

bool mr_exec_tables_clean(struct mr_exec *exec)
{
    struct mr_table_set *set = exec->tables;
    bool more = false;

    for (uint32_t t = 0; t < exec->plan->n_tables; t++) {
        struct mr_table *table = set->owns[t] ? set->tables[t] : NULL;
        if (!table)
            continue;
        more |= mr_table_clean(table, SLICE);
        if (table->n_cleaned)
            mr_metrics_add(exec->metrics, MR_COUNT_TABLE_ROWS_EXPIRED, table->n_cleaned);
        set->strain += table->n_cleaned;
        table->n_cleaned = 0;
    }
    return more;
}
