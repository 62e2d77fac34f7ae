/* What follows from the tuples of a serial group, from a timer or a change of a table: stage by
 * stage, in slices, since one row may meet all rows of large tables. What a slice leaves stands in
 * the lane's set of tables, in the token's memory, and is gone on with before anything else is done
 * to the lane.
 *
 * A stage is through with all rows before the next one begins, as if there were no slices. What
 * leaves the last one does so in parts, which the numbers of rows among those of their origin keep
 * in order: between two tuples of it there is room for the parts of what follows from one. */
#include "runtime/by_row.h"
#include "runtime/table_set.h"

#include <string.h>

struct mr_following {
    struct mr_following *next;
    uint32_t stage, end;
    struct mr_tuples *in;
    bool changed; /* a table did: views come first */
    bool begun;   /* rows of `in` go through a stage one by one: */
    bool has_row; /* of one, in: */
    struct mr_row_run run;
    struct mr_tuples *results, **results_end;
    bool by_row; /* `in` is what came of such rows, in their order; else merged */
    /* what leaves */
    struct mr_order_key last; /* the row that left last ... */
    uint32_t ordinal, part;   /* ... and in which part of what followed from one tuple or change */
};

void mr_exec_follow(struct mr_exec *exec, uint32_t stage, uint32_t end, struct mr_tuples *in,
                    bool changed)
{
    struct mr_following *f = mr_exec_alloc(exec, sizeof *f), **link = &exec->tables->following;

    if (!f) {
        if (changed)
            mr_views_lost(exec, &exec->plan->stages[stage], in->predicate);
        return;
    }
    *f = (struct mr_following){.stage = stage, .end = end, .in = in, .changed = changed};
    while (*link)
        link = &(*link)->next;
    *link = f;
}

/* Views are told of the change, and what they say of it comes right behind what follows from it
 * otherwise. False: nothing does. */
static bool tell_views(struct mr_exec *exec, struct mr_following *f)
{
    const struct mr_plan_stage *stage = &exec->plan->stages[f->stage];
    bool follows = mr_stage_follows(stage, f->in->predicate, f->in->gone);
    struct mr_tuples *groups = mr_views_feed(exec, stage, f->in);
    struct mr_following **link = &f->next;

    f->changed = false;
    while (groups) {
        struct mr_tuples *t = groups;
        struct mr_following *other = mr_exec_alloc(exec, sizeof *other);
        groups = t->next;
        t->next = NULL;
        if (!other)
            continue; /* counted there */
        *other = (struct mr_following){.next = *link, .stage = f->stage, .end = f->end, .in = t};
        *link = other;
        link = &other->next;
    }
    return follows;
}

static bool in_order(const struct mr_tuples *list)
{
    for (; list && list->next; list = list->next)
        if (list->next->predicate < list->predicate)
            return false;
    return true;
}

/* The batches that came of one row by their predicates, else as they came. */
static struct mr_tuples *sort(struct mr_exec *exec, struct mr_tuples *list)
{
    struct mr_tuples **lists = exec->stage_lists, *sorted = NULL;

    if (in_order(list))
        return list;
    while (list) {
        struct mr_tuples *t = list, **first = &lists[t->predicate];
        list = t->next;
        t->next = *first;
        *first = t;
    }
    for (uint32_t p = exec->plan->n_predicates; p--;)
        while (lists[p]) {
            struct mr_tuples *t = lists[p];
            lists[p] = t->next;
            t->next = sorted;
            sorted = t;
        }
    return sorted;
}

/* The rows of `in` go through a stage one by one. False: the slice is over. */
static bool go_through(struct mr_exec *exec, struct mr_following *f)
{
    const struct mr_plan_stage *stage = &exec->plan->stages[f->stage];

    if (!f->begun) {
        f->in = mr_tuples_merge(exec, f->in);
        f->results = NULL;
        f->results_end = &f->results;
    }
    f->begun = true;
    exec->stage = f->stage;
    for (;;) {
        if (!f->has_row) {
            struct mr_tuples *row = mr_exec_take_row(exec, f->in);
            if (!row)
                break;
            mr_exec_by_row_begin(&f->run, stage, row);
        }
        f->has_row = !mr_exec_by_row_go_on(exec, &f->run);
        if (f->has_row)
            return false;
        *f->results_end = sort(exec, f->run.result);
        while (*f->results_end)
            f->results_end = &(*f->results_end)->next;
    }
    f->in = f->results;
    f->by_row = true;
    f->begun = false;
    return true;
}

/* Numbers the rows of a batch by the parts in which they leave. */
static void number(struct mr_exec *exec, struct mr_following *f, struct mr_tuples *t)
{
    uint32_t *ordinals = NULL;

    for (uint32_t row = 0; row < t->n; row++) {
        struct mr_order_key key = mr_order_of(t->origins[row]);
        uint32_t ordinal = t->ordinals ? t->ordinals[row] : 0;
        if (mr_order_compare(key, f->last) || ordinal != f->ordinal) {
            f->last = key;
            f->ordinal = ordinal;
            f->part = 0;
        }
        if (f->part && !ordinals) { /* a column of its own: others may have the same */
            ordinals = mr_exec_alloc(exec, t->n * sizeof *ordinals);
            for (uint32_t i = 0; ordinals && i < t->n; i++)
                ordinals[i] = t->ordinals ? t->ordinals[i] : 0;
        }
        if (ordinals)
            ordinals[row] = ordinal + f->part;
    }
    if (ordinals)
        t->ordinals = ordinals;
}

/* What is left leaves the group, or a part of it. True: that was the last. */
static bool leave(struct mr_exec *exec, struct mr_following *f)
{
    uint32_t rows = 0, most = f->part < MR_ORDINAL_STEP - 1 ? MR_JOINED_AT_ONCE : UINT32_MAX;
    struct mr_tuples *part = f->in, **link = &f->in;

    if (!f->by_row)
        most = UINT32_MAX;
    for (; *link && rows < most; link = &(*link)->next) {
        number(exec, f, *link);
        rows += (*link)->n;
    }
    f->in = *link;
    *link = NULL;
    f->part += rows && f->part < MR_ORDINAL_STEP - 1;
    if (part != f->in)
        part = f->by_row ? mr_tuples_by_predicate(mr_tuples_merge(exec, part)) : part;
    else
        part = NULL;
    for (struct mr_tuples *t = part; t; t = t->next) {
        if (!exec->last_output)
            exec->outputs = t;
        else if (t == part)
            exec->last_output->next = t;
        exec->last_output = t;
    }
    return !f->in;
}

/* False: the slice is over. */
static bool go_on(struct mr_exec *exec, struct mr_following *f)
{
    if (f->changed && !tell_views(exec, f))
        return true;
    for (; f->stage < f->end; f->stage++) {
        const struct mr_plan_stage *stage = &exec->plan->stages[f->stage];
        if (!f->begun && (!f->in || !mr_exec_stage_waits(stage, f->in)))
            continue;
        if (!f->begun && f->by_row) {
            f->in = mr_tuples_by_predicate(mr_tuples_merge(exec, f->in));
            f->by_row = false;
        }
        if (!stage->by_row)
            f->in = mr_exec_stage(exec, f->stage, f->in);
        else if (!go_through(exec, f))
            return false;
    }
    return leave(exec, f);
}

bool mr_exec_follow_up(struct mr_exec *exec)
{
    struct mr_table_set *set = exec->tables;

    while (set->following) {
        struct mr_following *f = set->following;
        if (!go_on(exec, f)) {
            if (exec->left < INT64_MAX / 2)
                return false;
            continue; /* there is no slice that is over */
        }
        set->following = f->next;
        if (f->next) { /* what leaves it stands behind what has left, if of the same change */
            f->next->last = f->last;
            f->next->ordinal = f->ordinal;
            f->next->part = f->part;
        }
    }
    return true;
}
