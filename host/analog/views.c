/* Rules whose bodies have only tables: what they say holds at any time, so they are looked at when
 * one of the tables changes. Such a rule becomes one rule for each table, triggered by its change.
 *
 * With aggregates in the head it is a view: a change tells which groups may have another value now
 * (a hidden event), with what is aggregated, and then these groups' values are told:
 *
 *     best(@N, A, a_MIN<C>) :- path(@N, A, P, C).           what is written
 *     group(@N, A, C)       :- path(@N, A, P, C).           for rows that come and that go
 *     best(@N, A, a_MIN<C>) :- group(@N, A, _), path(@N, A, P, C).
 *
 * A view is `running` where the last rule need not ask the tables: the rows of the second one are
 * added to what is known of the group, and taken from it again. That is so unless it makes lists
 * (which are as long as the group), asks a table twice (a row that comes meets itself), or calls
 * what may answer otherwise the next time.
 */
#include "analog/diagnostic.h"

#include <string.h>
#include <strings.h>

static struct rule *clone_rule(struct compile *compile, struct component *component,
                               struct rule *rule, struct term *trigger)
{
    struct rule *clone = analog_scratch(compile, sizeof *clone);

    if (!clone)
        return NULL;
    *clone = *rule;
    clone->trigger = trigger;
    clone->made = true;
    clone->next = rule->next;
    rule->next = clone;
    component->n_rules++;
    return clone;
}

static bool is_count(const struct expr *arg)
{
    return !arg->u.aggregate.of || !strcasecmp(arg->u.aggregate.name, "a_COUNT");
}

/* Appends to the arguments of an atom. False: no memory. */
static bool append_arg(struct compile *compile, struct atom *atom, const struct expr *arg,
                       bool wildcard)
{
    struct expr *copy = analog_scratch(compile, sizeof *copy), **end = &atom->args;

    if (!copy)
        return false;
    *copy = *arg;
    copy->next = NULL;
    if (wildcard)
        copy->kind = EXPR_WILDCARD;
    while (*end)
        end = &(*end)->next;
    *end = copy;
    atom->n_args++;
    return true;
}

/* What the view aggregates, behind the group. */
static bool append_values(struct compile *compile, const struct rule *rule, struct atom *atom,
                          bool wildcards)
{
    bool ok = true;

    for (const struct expr *arg = rule->head.args; arg; arg = arg->next)
        if (arg->kind == EXPR_AGGREGATE && !is_count(arg))
            ok = ok && append_arg(compile, atom, arg->u.aggregate.of, wildcards);
    return ok;
}

/* The head's arguments that name the group. False: reported. */
static bool append_group(struct compile *compile, const struct rule *rule, struct atom *atom)
{
    bool ok = true;

    for (const struct expr *arg = rule->head.args; arg; arg = arg->next) {
        if (arg->kind == EXPR_AGGREGATE)
            continue;
        if (arg->kind != EXPR_NAME && !analog_literal(compile, arg)) {
            analog_error(compile, &arg->where,
                         "beside an aggregate over tables stand variables and literals");
            analog_hint(compile, "give the value a name in the body: X = ...");
            ok = false;
        }
        ok = append_arg(compile, atom, arg, false) && ok;
    }
    return ok;
}

static void make_view(struct compile *compile, struct component *component, struct rule *rule)
{
    struct term *group = analog_scratch(compile, sizeof *group);
    struct atom told;

    if (!group)
        return;
    group->kind = TERM_ATOM;
    group->where = rule->head.where;
    group->atom.where = rule->head.where;
    group->atom.name = analog_keep_format(compile, "group of %s %s", rule->label, rule->head.name);
    told = group->atom;
    if (!group->atom.name || !append_group(compile, rule, &group->atom) ||
        !append_group(compile, rule, &told) || !append_values(compile, rule, &group->atom, true) ||
        !append_values(compile, rule, &told, false)) {
        rule->broken = true;
        return;
    }
    group->atom.predicate = analog_new_predicate(compile, &group->atom);
    if (!group->atom.predicate)
        return;
    group->atom.predicate->derived = group->atom.predicate->hidden = true;
    for (struct term *term = rule->terms; term; term = term->next) {
        if (term->kind != TERM_ATOM)
            continue;
        struct rule *delta = clone_rule(compile, component, rule, term);
        if (!delta)
            return;
        delta->head = told;
        delta->head.predicate = group->atom.predicate;
        delta->deletes = false;
        delta->on_delete = true;
    }
    group->next = rule->terms;
    rule->terms = group;
    rule->n_terms++;
    rule->trigger = group;
    rule->made = true;
    rule->view = true;
    rule->refreshes = rule->head.predicate->table && !rule->deletes;
}

void analog_view(struct compile *compile, struct component *component, struct rule *rule)
{
    if (!rule->head.predicate)
        return;
    for (const struct expr *arg = rule->head.args; arg; arg = arg->next) {
        if (arg->kind != EXPR_AGGREGATE)
            continue;
        make_view(compile, component, rule);
        return;
    }
    struct rule *last = rule;
    for (struct term *term = rule->terms; term && last; term = term->next) {
        if (term->kind != TERM_ATOM)
            continue;
        if (!rule->trigger)
            rule->trigger = term;
        else
            last = clone_rule(compile, component, last, term);
    }
}

/* ---- running views ---- */

static bool answers_alike(const struct mr_function *function)
{
    /* what takes nothing tells the time, or is chance */
    return function->pure && function->order == MR_ORDER_NONE && function->n_args;
}

/* What feeds the view tells of every row once, and of the same one when it goes. */
static bool feeds_well(const struct mr_plan *plan, const struct mr_plan_rule *rule)
{
    uint64_t asked = 0;

    for (uint32_t i = 0; i < rule->n_ops; i++) {
        const struct mr_op *op = &rule->ops[i];
        if (op->kind == MR_OP_CALL && !answers_alike(op->function))
            return false;
        if (op->kind != MR_OP_JOIN)
            continue;
        if (plan->tables[op->table].predicate == rule->trigger || op->table >= 64 ||
            asked >> op->table & 1)
            return false;
        asked |= (uint64_t)1 << op->table;
    }
    return true;
}

static bool can_run(const struct mr_plan *plan, const struct mr_plan_stage *stage,
                    const struct mr_plan_rule *view)
{
    for (uint32_t a = 0; a < view->n_aggregates; a++)
        if (view->aggregates[a].kind == MR_AGGREGATE_LIST)
            return false;
    for (uint32_t r = 0; r < stage->n_rules; r++)
        if (stage->rules[r].head == view->trigger && !feeds_well(plan, &stage->rules[r]))
            return false;
    return true;
}

void analog_running(struct mr_plan *plan)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t v = 0; v < stage->n_rules; v++) {
            struct mr_plan_rule *view = &stage->rules[v];
            if (!view->view || !can_run(plan, stage, view))
                continue;
            view->running = true;
            for (uint32_t r = 0; r < stage->n_rules; r++)
                if (stage->rules[r].head == view->trigger)
                    stage->rules[r].feeds = true;
        }
    }
}
