/* Rows one after the other: what they put into tables and take out, and what follows from that. */
#include "runtime/by_row.h"

#include "runtime/table_set.h"

#include <string.h>

#define MAX_DERIVATIONS 65536u /* from one tuple */

bool mr_stage_follows(const struct mr_plan_stage *stage, uint32_t predicate, bool gone)
{
    for (uint32_t r = 0; r < stage->n_rules; r++) {
        const struct mr_plan_rule *rule = &stage->rules[r];
        if (rule->trigger == predicate && !rule->feeds && (!gone || rule->on_delete))
            return true;
    }
    return false;
}

static void append(struct mr_tuples ***end, struct mr_tuples *batch)
{
    batch->next = NULL;
    **end = batch;
    *end = &batch->next;
}

void mr_exec_watch(struct mr_exec *exec, const struct mr_tuples *tuples, enum mr_watch what,
                   const char *change)
{
    const struct mr_runtime_hooks *hooks = exec->hooks;

    if (exec->plan->predicates[tuples->predicate].watched & what && hooks->watch &&
        !tuples->synthetic)
        hooks->watch(hooks->user, exec, tuples, change);
}

struct mr_tuples *mr_row_tuple(struct mr_exec *exec, const struct mr_table *table,
                               const union mr_value *values, struct mr_packet *origin, bool gone)
{
    const struct mr_plan_predicate *p = table->predicate;
    struct mr_tuples *t = mr_tuples_new(exec, table->table->predicate, 1, 0);

    if (!t)
        return NULL;
    t->n = 1;
    t->gone = gone;
    t->origins[0] = origin;
    t->flows[0] = NULL;
    for (uint32_t c = 0; c < p->arity; c++) {
        if (!t->columns[c])
            continue;
        uint32_t len = mr_value_bytes_of(p->attributes[c].type, values[c]);
        t->columns[c][0] = values[c];
        if (!len)
            continue;
        void *copy = mr_exec_alloc(exec, len);
        if (!copy)
            return NULL;
        memcpy(copy, values[c].b.ptr, len);
        t->columns[c][0].b.ptr = copy;
    }
    return t;
}

/* A row of a batch as a batch of its own. */
static struct mr_tuples *one_row(struct mr_exec *exec, const struct mr_tuples *from, uint32_t row)
{
    struct mr_tuples *t = mr_tuples_new(exec, from->predicate, 1, mr_tuples_with(from));

    if (!t)
        return NULL;
    mr_tuples_append(exec->plan, t, from, row);
    t->synthetic = from->synthetic;
    t->gone = from->gone;
    return t;
}

/* ---- changes of tables ---- */

/* What follows from a row that has come into a table, or left it. */
static void follow(struct mr_row_run *run, struct mr_tuples *change)
{
    struct mr_tuples *groups = mr_views_feed(run->exec, run->stage, change);

    if (mr_stage_follows(run->stage, change->predicate, change->gone))
        append(&run->end, change);
    while (groups) {
        struct mr_tuples *next = groups->next;
        append(&run->end, groups);
        groups = next;
    }
}

/* A row is out of its table, on behalf of a row of a batch: says so, and gives it back. */
static void row_gone(struct mr_row_run *run, struct mr_table *table, struct mr_row *row,
                     const struct mr_tuples *by, uint32_t by_row, const char *change)
{
    struct mr_exec *exec = run->exec;
    uint32_t predicate = table->table->predicate;
    bool watched = change && table->predicate->watched & MR_WATCH_DELETE;

    if (watched || mr_stage_follows(run->stage, predicate, true) ||
        mr_views_want(run->stage, predicate)) {
        struct mr_tuples *t = mr_row_tuple(exec, table, row->values, by->origins[by_row], true);
        if (t) {
            t->ordinals = by->ordinals ? mr_exec_alloc(exec, sizeof *t->ordinals) : NULL;
            if (t->ordinals)
                t->ordinals[0] = by->ordinals[by_row];
            t->contexts = by->contexts ? &by->contexts[by_row] : NULL;
            t->flows[0] = by->flows[by_row];
            if (watched)
                mr_exec_watch(exec, t, MR_WATCH_DELETE, change);
            follow(run, t);
        } else {
            mr_views_lost(exec, run->stage, predicate);
        }
    }
    mr_table_release(table, row);
}

static void values_of(const struct mr_exec *exec, const struct mr_tuples *t, uint32_t row,
                      union mr_value *values)
{
    uint32_t arity = exec->plan->predicates[t->predicate].arity;
    for (uint32_t c = 0; c < arity; c++)
        values[c] = t->columns[c] ? t->columns[c][row] : mr_value_int(0);
}

/* Puts one row of a batch into its table. */
static void put_row(struct mr_row_run *run, struct mr_table *table, const struct mr_tuples *t,
                    uint32_t row)
{
    struct mr_exec *exec = run->exec;
    union mr_value values[64]; /* the arity of a predicate at most */
    struct mr_change change;

    values_of(exec, t, row, values);
    mr_table_put(table, values, t->origins[row]->time_ns, mr_order_of(t->origins[row]), &change);
    if (change.what == MR_PUT_SAME)
        return;
    if (change.what == MR_PUT_REFUSED)
        mr_metrics_add(exec->metrics, MR_COUNT_TABLE_ROWS_REFUSED, 1);
    if (change.old) /* "update" says enough of a row that was replaced */
        row_gone(run, table, change.old, t, row, change.row ? NULL : "evict");
    if (change.row) {
        struct mr_tuples *delta = NULL;
        if (table->predicate->watched || mr_stage_follows(run->stage, t->predicate, false) ||
            mr_views_want(run->stage, t->predicate)) {
            delta = one_row(exec, t, row);
            if (!delta)
                mr_views_lost(exec, run->stage, t->predicate);
        }
        if (delta) {
            mr_exec_watch(exec, delta, MR_WATCH_ADD,
                          change.what == MR_PUT_ADDED ? "insert" : "update");
            follow(run, delta);
        }
    }
    if (change.evicted) {
        mr_metrics_add(exec->metrics, MR_COUNT_TABLE_ROWS_EVICTED, 1);
        row_gone(run, table, change.evicted, t, row, "evict");
    }
}

static void delete_row(struct mr_row_run *run, struct mr_table *table, const struct mr_tuples *t,
                       uint32_t row)
{
    union mr_value values[64];

    values_of(run->exec, t, row, values);
    struct mr_row *found = mr_table_with_key(table, values);
    if (!found)
        return;
    mr_table_unlink(table, found);
    row_gone(run, table, found, t, row, "delete");
}

/* The group of a view has no rows any more: so has the table that holds the view. */
static void drop_group(struct mr_row_run *run, const struct mr_plan_rule *rule,
                       const struct mr_tuples *group)
{
    const struct mr_plan_predicate *head = &run->exec->plan->predicates[rule->head];
    struct mr_table *table = run->exec->tables->tables[head->table];
    union mr_value values[64];
    uint32_t of_group[64], n = 0, aggregate = 0, at = 0;

    for (uint32_t c = 0; c < head->arity; c++) {
        values[c] = mr_value_int(0);
        if (aggregate < rule->n_aggregates && rule->aggregates[aggregate].column == c) {
            aggregate++;
            continue;
        }
        if (group->columns[at]) {
            values[c] = group->columns[at][0];
            of_group[n++] = c;
        }
        at++;
    }
    union mr_value key[MR_INDEX_COLUMNS];
    uint32_t index = rule->group_index;
    for (uint32_t k = 0; index != MR_NO_INDEX && k < table->table->indexes[index].n; k++)
        key[k] = values[table->table->indexes[index].columns[k]];
    for (struct mr_row *row = mr_table_find(table, index, key), *next; row; row = next) {
        bool same = true;
        next = mr_table_next(table, row, index);
        for (uint32_t i = 0; same && i < n; i++)
            same = mr_value_equal(head->attributes[of_group[i]].type, row->values[of_group[i]],
                                  values[of_group[i]]);
        if (!same)
            continue;
        mr_table_unlink(table, row);
        row_gone(run, table, row, group, 0, "delete");
    }
}

/* ---- rules ---- */

/* What triggers rules here and goes on nevertheless. */
static void pass_on(struct mr_row_run *run, const struct mr_tuples *batch)
{
    for (uint32_t i = 0; i < run->stage->n_passes; i++) {
        if (run->stage->passes[i] != batch->predicate)
            continue;
        struct mr_tuples *copy = mr_exec_alloc(run->exec, sizeof *copy);
        if (!copy)
            return;
        *copy = *batch;
        append(&run->result_end, copy);
    }
}

/* What a rule has derived, of which no more than the limit counts. */
static void take_derived(struct mr_row_run *run, struct mr_tuples *derived)
{
    struct mr_tuples *next;

    run->derived = derived;
    run->derived_row = 0;
    for (struct mr_tuples *t = derived; t; t = next) {
        uint32_t left = MAX_DERIVATIONS - run->derivations;
        next = t->next;
        if (t->n > left) {
            mr_metrics_add(run->exec->metrics, MR_COUNT_DERIVATIONS_CUT, t->n - left);
            t->n = left;
        }
        run->derivations += t->n;
    }
}

/* A batch of what the rule has derived. False: its slice is over. */
static bool apply_derived(struct mr_row_run *run, const struct mr_plan_rule *rule)
{
    struct mr_exec *exec = run->exec;
    struct mr_tuples *derived = run->derived;
    uint32_t index = exec->plan->predicates[rule->head].table;

    /* the row that stands for a context is a question, not something that was seen */
    for (; index != MR_NO_TABLE && !derived->synthetic && run->derived_row < derived->n;
         run->derived_row++, exec->left--) {
        if (exec->left <= 0)
            return false;
        if (rule->deletes)
            delete_row(run, exec->tables->tables[index], derived, run->derived_row);
        else
            put_row(run, exec->tables->tables[index], derived, run->derived_row);
    }
    run->derived = derived->next;
    run->derived_row = 0;
    if (index != MR_NO_TABLE || !derived->n)
        return true;
    exec->left -= derived->n;
    mr_exec_watch(exec, derived, MR_WATCH_ADD, "event");
    append(mr_stage_follows(run->stage, derived->predicate, false) ? &run->end : &run->result_end,
           derived);
    return true;
}

/* The rule has met all rows: what it derived, or that there is nothing left to derive. */
static void finish_rule(struct mr_row_run *run, struct mr_tuples *derived)
{
    const struct mr_plan_rule *rule = run->rule.rule;

    if (derived)
        take_derived(run, derived);
    else if (rule->refreshes && !run->row->synthetic && !run->lost)
        drop_group(run, rule, run->row);
    run->computes = false;
}

/* The next rule that the row triggers. False: there is none. */
static bool begin_rule(struct mr_row_run *run)
{
    const struct mr_tuples *row = run->row;

    for (; run->next_rule < run->stage->n_rules; run->next_rule++) {
        const struct mr_plan_rule *rule = &run->stage->rules[run->next_rule];
        if (rule->trigger != row->predicate || rule->feeds || (row->gone && !rule->on_delete))
            continue;
        run->next_rule++;
        run->rule = (struct mr_rule_run){.rule = rule, .in = row};
        run->lost = false;
        run->computes = true;
        if (!rule->running)
            return true;
        uint64_t refused = mr_exec_refused(run->exec);
        struct mr_tuples *derived = mr_view_tell(run->exec, rule, row, &run->computes);
        run->lost = mr_exec_refused(run->exec) != refused;
        if (!run->computes)
            finish_rule(run, derived);
        return true;
    }
    return false;
}

/* A row of the batch under way to all rules that it triggers. False: the slice is over. */
static bool run_row(struct mr_row_run *run)
{
    do {
        while (run->computes) {
            if (run->exec->left <= 0)
                return false;
            uint64_t refused = mr_exec_refused(run->exec); /* of this worker: another may go on */
            bool done = mr_exec_rule_slice(run->exec, &run->rule);
            struct mr_tuples *derived = done ? mr_exec_rule_result(run->exec, &run->rule) : NULL;
            run->exec->left--;
            run->lost = run->lost || mr_exec_refused(run->exec) != refused;
            if (done)
                finish_rule(run, derived);
        }
        while (run->derived)
            if (!apply_derived(run, run->rule.rule))
                return false;
    } while (begin_rule(run));
    return true;
}

void mr_exec_by_row_begin(struct mr_row_run *run, const struct mr_plan_stage *stage,
                          struct mr_tuples *row)
{
    *run = (struct mr_row_run){.stage = stage};
    run->end = &run->todo;
    run->result_end = &run->result;
    while (row) {
        struct mr_tuples *next = row->next;
        append(mr_stage_follows(stage, row->predicate, row->gone) ? &run->end : &run->result_end,
               row);
        row = next;
    }
}

bool mr_exec_by_row_go_on(struct mr_exec *exec, struct mr_row_run *run)
{
    run->exec = exec;
    for (;;) {
        if (run->row && !run_row(run))
            return false;
        run->row = NULL;
        if (!run->batch || run->next_row == run->batch->n) {
            run->batch = run->todo;
            if (!run->batch)
                return true;
            run->todo = run->batch->next;
            if (!run->todo)
                run->end = &run->todo;
            run->next_row = 0;
            pass_on(run, run->batch);
        }
        if (!run->batch->n)
            continue;
        run->row = run->batch->n == 1 ? run->batch : one_row(exec, run->batch, run->next_row);
        run->next_row++;
        run->next_rule = 0;
    }
}

struct mr_tuples *mr_exec_by_row(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                 struct mr_tuples *row)
{
    int64_t left = exec->left;
    struct mr_row_run run;

    mr_exec_by_row_begin(&run, stage, row);
    exec->left = INT64_MAX;
    (void)mr_exec_by_row_go_on(exec, &run);
    exec->left = left;
    return run.result;
}
