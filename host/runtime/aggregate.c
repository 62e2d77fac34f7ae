/* Aggregates: groups by hashing, one pass. */
#include "runtime/aggregate.h"

#include "millrace/list.h"

#include <string.h>

static bool is_aggregate(const struct mr_plan_rule *rule, uint32_t column)
{
    for (uint32_t a = 0; a < rule->n_aggregates; a++)
        if (rule->aggregates[a].column == column)
            return true;
    return false;
}

static uint64_t hash_group(struct mr_exec *exec, const struct mr_plan_rule *rule,
                           const struct mr_tuples *t, uint32_t row)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];
    uint64_t hash = 0;

    for (uint32_t c = 0; c < p->arity; c++) {
        if (!t->columns[c] || is_aggregate(rule, c))
            continue;
        hash = (hash ^ mr_value_hash(exec->secret, p->attributes[c].type, t->columns[c][row])) *
               0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool same_group(struct mr_exec *exec, const struct mr_plan_rule *rule,
                       const struct mr_tuples *t, uint32_t x, uint32_t y)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];

    for (uint32_t c = 0; c < p->arity; c++)
        if (t->columns[c] && !is_aggregate(rule, c) &&
            !mr_value_equal(p->attributes[c].type, t->columns[c][x], t->columns[c][y]))
            return false;
    return true;
}

/* Numbers the groups by their first rows: group_of[row]; firsts[group]: its first row. */
static uint32_t find_groups(struct mr_exec *exec, const struct mr_plan_rule *rule,
                            const struct mr_tuples *t, uint32_t *group_of, uint32_t *firsts,
                            uint32_t *slots, uint32_t n_slots)
{
    uint32_t n = 0;

    memset(slots, 0, n_slots * sizeof *slots);
    for (uint32_t row = 0; row < t->n; row++) {
        uint32_t slot = (uint32_t)hash_group(exec, rule, t, row) & (n_slots - 1);
        while (slots[slot] && !same_group(exec, rule, t, firsts[slots[slot] - 1], row))
            slot = (slot + 1) & (n_slots - 1);
        if (!slots[slot]) {
            firsts[n++] = row;
            slots[slot] = n;
        }
        group_of[row] = slots[slot] - 1;
    }
    return n;
}

/* The elements of each group behind one another; what passes the limit of a list is left out. Once
 * through the rows to count, once to write, however many groups there are. */
static bool make_lists(struct mr_exec *exec, const struct mr_plan_aggregate *a,
                       const struct mr_tuples *t, const uint32_t *group_of, uint32_t n,
                       union mr_value *out)
{
    const union mr_value *values = t->columns[a->column];
    uint32_t *bytes = mr_exec_alloc(exec, n * sizeof *bytes);
    uint32_t *at = mr_exec_alloc(exec, n * sizeof *at);
    uint8_t **lists = mr_exec_alloc(exec, n * sizeof *lists);
    struct mr_element e;

    if (!bytes || !at || !lists)
        return false;
    memset(bytes, 0, n * sizeof *bytes);
    for (uint32_t row = 0; row < t->n; row++) {
        uint32_t *of = &bytes[group_of[row]];
        if (mr_element_of(a->type, &values[row], &e) && e.len <= MR_LIST_MAX_BYTES &&
            *of + MR_LIST_HEAD + e.len <= MR_LIST_MAX_BYTES)
            *of += MR_LIST_HEAD + e.len;
    }
    for (uint32_t g = 0; g < n; g++) {
        at[g] = 0;
        lists[g] = mr_exec_alloc(exec, bytes[g] ? bytes[g] : 1);
        if (!lists[g])
            return false;
    }
    for (uint32_t row = 0; row < t->n; row++) {
        uint32_t g = group_of[row];
        if (mr_element_of(a->type, &values[row], &e) && e.len <= MR_LIST_MAX_BYTES &&
            at[g] + MR_LIST_HEAD + e.len <= bytes[g])
            at[g] += mr_list_write(lists[g] + at[g], &e);
    }
    for (uint32_t g = 0; g < n; g++)
        out[g] = mr_value_bytes(lists[g], at[g]);
    return true;
}

/* The rows of each group, first to last: next[row] is 1 + the next one of its group, 0: there is
 * none; starts[group] is 1 + the first. */
static void chain_rows(const struct mr_tuples *t, const uint32_t *group_of, uint32_t n,
                       uint32_t *starts, uint32_t *next)
{
    memset(starts, 0, n * sizeof *starts);
    for (uint32_t row = t->n; row--;) {
        next[row] = starts[group_of[row]];
        starts[group_of[row]] = row + 1;
    }
}

union mr_value mr_sum_value(const struct mr_plan_aggregate *a, const struct mr_int_sum *ints,
                            const struct mr_real_sum *reals, uint64_t n)
{
    bool average = a->kind == MR_AGGREGATE_AVG;
    union mr_value value;

    if (a->type == MR_TYPE_REAL)
        value.d = average ? mr_real_sum_value(reals) / (double)n : mr_real_sum_value(reals);
    else if (average)
        value.d = mr_int_sum_mean(ints, n);
    else
        value = mr_value_int(mr_int_sum_value(ints));
    return value;
}

/* Over the rows of one group, `row` being 1 + the first. */
static union mr_value aggregate_group(const struct mr_plan_aggregate *a,
                                      const union mr_value *values, const uint32_t *next,
                                      uint32_t row)
{
    struct mr_real_sum reals = {0};
    struct mr_int_sum ints = {0};
    union mr_value best = values[row - 1];
    uint64_t n = 0;

    for (; row; row = next[row - 1]) {
        union mr_value value = values[row - 1];
        int order;
        n++;
        switch (a->kind) {
        case MR_AGGREGATE_SUM:
        case MR_AGGREGATE_AVG:
            if (a->type == MR_TYPE_REAL)
                mr_real_sum_add(&reals, value.d, false);
            else
                mr_int_sum_add(&ints, value.i, false);
            break;
        case MR_AGGREGATE_MIN:
        case MR_AGGREGATE_MAX:
            order = mr_value_order(a->type, value, best);
            if (a->kind == MR_AGGREGATE_MIN ? order < 0 : order > 0)
                best = value;
            break;
        case MR_AGGREGATE_COUNT:
        case MR_AGGREGATE_LIST:
            break;
        }
    }
    if (a->kind == MR_AGGREGATE_MIN || a->kind == MR_AGGREGATE_MAX)
        return best;
    return a->kind == MR_AGGREGATE_COUNT ? mr_value_int((int64_t)n)
                                         : mr_sum_value(a, &ints, &reals, n);
}

static bool aggregate_column(struct mr_exec *exec, const struct mr_plan_aggregate *a,
                             const struct mr_tuples *t, const uint32_t *group_of, uint32_t n,
                             union mr_value *out)
{
    const union mr_value *values = t->columns[a->column];
    uint32_t *starts = mr_exec_alloc(exec, n * sizeof *starts);
    uint32_t *next = mr_exec_alloc(exec, t->n * sizeof *next);

    if (!starts || !next || !values)
        return false;
    if (a->kind == MR_AGGREGATE_LIST)
        return make_lists(exec, a, t, group_of, n, out);
    chain_rows(t, group_of, n, starts, next);
    for (uint32_t g = 0; g < n; g++)
        out[g] = aggregate_group(a, values, next, starts[g]);
    return true;
}

struct mr_tuples *mr_aggregate(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               struct mr_tuples *batch)
{
    uint32_t n_slots = 16;

    while (n_slots < 2 * batch->n)
        n_slots *= 2;
    uint32_t *group_of = mr_exec_alloc(exec, batch->n * sizeof *group_of);
    uint32_t *firsts = mr_exec_alloc(exec, batch->n * sizeof *firsts);
    uint32_t *slots = mr_exec_alloc(exec, n_slots * sizeof *slots);
    if (!group_of || !firsts || !slots)
        return NULL;
    uint32_t n = find_groups(exec, rule, batch, group_of, firsts, slots, n_slots);
    struct mr_tuples *result = mr_tuples_new(exec, batch->predicate, n, mr_tuples_with(batch));
    if (!result)
        return NULL;
    for (uint32_t g = 0; g < n; g++)
        mr_tuples_append(exec->plan, result, batch, firsts[g]);
    result->synthetic = batch->synthetic;
    for (uint32_t row = 0; result->transactions && row < batch->n; row++)
        if (batch->transactions[row] != batch->transactions[firsts[group_of[row]]])
            result->transactions[group_of[row]] = NULL; /* of several: of none */
    for (uint32_t a = 0; a < rule->n_aggregates; a++) {
        const struct mr_plan_aggregate *aggregate = &rule->aggregates[a];
        if (!aggregate_column(exec, aggregate, batch, group_of, n,
                              result->columns[aggregate->column]))
            return NULL;
    }
    return result;
}

struct mr_tuples *mr_aggregate_all(struct mr_exec *exec, const struct mr_plan_rule *rule,
                                   const struct mr_tuples_list *batches)
{
    struct mr_tuples *all = batches->first;

    if (all->next) {
        if (batches->rows > UINT32_MAX)
            return NULL;
        all = mr_tuples_new(exec, all->predicate, (uint32_t)batches->rows, mr_tuples_with(all));
        for (const struct mr_tuples *t = batches->first; all && t; t = t->next)
            for (uint32_t row = 0; row < t->n; row++)
                mr_tuples_append(exec->plan, all, t, row);
        if (all)
            all->synthetic = batches->first->synthetic;
    }
    return all ? mr_aggregate(exec, rule, all) : NULL;
}
