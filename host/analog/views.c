/* Rules whose bodies have only tables: what they say holds at any time, so they are looked at when
 * one of the tables changes. Such a rule becomes one rule for each table, triggered by its change.
 *
 * With aggregates in the head it is a view: a change tells which groups may have another value now
 * (a hidden event), and these are computed anew:
 *
 *     best(@N, A, a_MIN<C>) :- path(@N, A, P, C).           what is written
 *     group(@N, A)          :- path(@N, A, P, C).           for rows that come and that go
 *     best(@N, A, a_MIN<C>) :- group(@N, A), path(@N, A, P, C).
 */
#include "analog/diagnostic.h"

#include <string.h>

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

/* The head's arguments that name the group. NULL: reported, or there are none. */
static struct expr *group_args(struct compile *compile, const struct rule *rule, bool *ok)
{
    struct expr *first = NULL, **next = &first;

    *ok = true;
    for (const struct expr *arg = rule->head.args; arg; arg = arg->next) {
        if (arg->kind == EXPR_AGGREGATE)
            continue;
        struct expr *copy = analog_scratch(compile, sizeof *copy);
        if (!copy) {
            *ok = false;
            return NULL;
        }
        if (arg->kind != EXPR_NAME && !analog_literal(compile, arg)) {
            analog_error(compile, &arg->where,
                         "beside an aggregate over tables stand variables and literals");
            analog_hint(compile, "give the value a name in the body: X = ...");
            *ok = false;
        }
        *copy = *arg;
        copy->next = NULL;
        *next = copy;
        next = &copy->next;
    }
    return first;
}

static void make_view(struct compile *compile, struct component *component, struct rule *rule)
{
    struct term *group = analog_scratch(compile, sizeof *group);
    bool ok;

    if (!group)
        return;
    group->kind = TERM_ATOM;
    group->where = rule->head.where;
    group->atom.where = rule->head.where;
    group->atom.name = analog_keep_format(compile, "group of %s %s", rule->label, rule->head.name);
    group->atom.args = group_args(compile, rule, &ok);
    if (!ok || !group->atom.name) {
        rule->broken = true;
        return;
    }
    for (struct expr *arg = group->atom.args; arg; arg = arg->next)
        group->atom.n_args++;
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
        delta->head = group->atom;
        delta->deletes = false;
        delta->on_delete = true;
    }
    group->next = rule->terms;
    rule->terms = group;
    rule->n_terms++;
    rule->trigger = group;
    rule->made = true;
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
