/* The plan, put together from what the passes found out. */
#include "analog/diagnostic.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The name by which the program goes: its file's, without folder and suffix. */
static const char *short_name(struct compile *compile, const char *path, const char *given)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    if (given)
        return analog_keep_text(compile, given, strlen(given));
    if (!strcmp(path, "-"))
        return "stdin";
    return analog_keep_text(compile, name,
                            dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

/* What the first rule that is triggered by it calls the attribute. */
static const char *name_by_use(const struct compile *compile, const struct predicate *predicate,
                               uint32_t column)
{
    for (const struct component *c = compile->program.components; c; c = c->next) {
        for (const struct rule *rule = c->rules; rule; rule = rule->next) {
            if (!rule->trigger || rule->trigger->atom.predicate != predicate)
                continue;
            const struct expr *arg = rule->trigger->atom.args;
            for (uint32_t i = 0; i < column; i++)
                arg = arg->next;
            if (arg->kind == EXPR_NAME)
                return arg->u.name;
        }
    }
    return NULL;
}

/* A long string stands in an event beside its length, X_bytes. */
static bool is_length_of(const char *name, const char *string, enum mr_type type)
{
    size_t len = strlen(string);

    return type == MR_TYPE_STRING && !strncasecmp(name, string, len) &&
           !strcasecmp(name + len, "_bytes");
}

/* Attributes of one predicate have different names: events are made of them. */
static const char *unique_name(struct compile *compile, const struct mr_plan_predicate *predicate,
                               uint32_t column, enum mr_type type, const char *name)
{
    const char *unique = name;

    for (uint32_t suffix = 2; unique; suffix++) {
        uint32_t i = 0;
        for (; i < column; i++) {
            const struct mr_plan_attribute *other = &predicate->attributes[i];
            if (!strcasecmp(other->name, unique) ||
                is_length_of(unique, other->name, other->type) ||
                is_length_of(other->name, unique, type))
                break;
        }
        if (i == column)
            break;
        unique = analog_keep_format(compile, "%s_%u", name, suffix);
    }
    return unique;
}

static bool make_predicate(struct compile *compile, const struct predicate *from,
                           struct mr_plan_predicate *to)
{
    to->name = from->name;
    to->arity = from->arity;
    to->leaves = in_set(&compile->program.leaving, from->index) && (!from->shipped || from->node);
    to->node = from->node;
    to->table = from->table ? from->table->index : MR_NO_TABLE;
    to->watched = from->watched;
    to->alarm = from->alarm;
    to->attributes = analog_keep(compile, from->arity * sizeof *to->attributes);
    if (!to->attributes)
        return false;
    for (uint32_t i = 0; i < from->arity; i++) {
        const char *name = from->names[i] ? from->names[i] : name_by_use(compile, from, i);
        if (!name)
            name = analog_keep_format(compile, "ATTRIBUTE%u", i + 1);
        name = name ? unique_name(compile, to, i, from->types[i], name) : NULL;
        if (!name)
            return false;
        to->attributes[i] = (struct mr_plan_attribute){.name = name, .type = from->types[i]};
    }
    return true;
}

/* The different timers that rules of the component wait for. */
static bool make_timers(struct compile *compile, const struct component *from,
                        struct mr_plan_stage *to)
{
    to->timers = analog_keep(compile, (from->n_order + 1) * sizeof *to->timers);
    if (!to->timers)
        return false;
    for (uint32_t i = 0; i < from->n_order; i++) {
        const struct atom *atom = &from->order[i]->trigger->atom;
        if (atom->predicate != compile->program.periodic)
            continue;
        const struct expr *period = atom->args->next->next;
        struct mr_plan_timer timer = {
            .predicate = atom->predicate->index,
            .period = (uint32_t)analog_literal(compile, period)->constant.value.i,
            .count = (uint64_t)analog_literal(compile, period->next)->constant.value.i,
        };
        uint32_t t = 0;
        while (t < to->n_timers &&
               (to->timers[t].period != timer.period || to->timers[t].count != timer.count))
            t++;
        if (t == to->n_timers)
            to->timers[to->n_timers++] = timer;
    }
    return true;
}

static bool make_stage(struct compile *compile, const struct component *from,
                       struct mr_plan_stage *to)
{
    to->name = from->name;
    to->kind = from->kind;
    to->one_at_a_time = from->one_at_a_time;
    to->where = from->where;
    to->recursive = from->recursive;
    to->keys = analog_keep(compile, (from->n_keys + 1) * sizeof *to->keys);
    to->rules = analog_keep(compile, (from->n_order + 1) * sizeof *to->rules);
    if (!to->keys || !to->rules)
        return false;
    for (const struct key *key = from->keys; key; key = key->next)
        to->keys[to->n_keys++] = (struct mr_plan_key){.predicate = key->predicate->index,
                                                      .column = (uint32_t)key->index - 1};
    for (uint32_t i = 0; i < from->n_order; i++)
        to->rules[to->n_rules++] = from->order[i]->code;
    for (uint32_t p = 0; p < compile->program.n_predicates; p++)
        to->n_passes += in_set(&from->passes, p);
    to->passes = analog_keep(compile, (to->n_passes + 1) * sizeof *to->passes);
    if (!to->passes)
        return false;
    for (uint32_t p = 0, n = 0; p < compile->program.n_predicates; p++)
        if (in_set(&from->passes, p))
            to->passes[n++] = p;
    return make_timers(compile, from, to);
}

static bool make_alarms(struct compile *compile, struct mr_plan *plan)
{
    for (const struct alarm *a = compile->program.alarms; a; a = a->next)
        plan->n_alarms++;
    plan->alarms = analog_keep(compile, (plan->n_alarms + 1) * sizeof *plan->alarms);
    if (!plan->alarms)
        return false;
    plan->n_alarms = 0;
    for (const struct alarm *a = compile->program.alarms; a; a = a->next)
        plan->alarms[plan->n_alarms++] = *a->plan;
    return true;
}

static bool make_tables(struct compile *compile, struct mr_plan *plan)
{
    const struct ast_program *program = &compile->program;

    plan->tables = analog_keep(compile, (program->n_tables + 1) * sizeof *plan->tables);
    if (!plan->tables)
        return false;
    for (const struct table *t = program->tables; t; t = t->next) {
        if (!t->predicate)
            continue;
        plan->tables[t->index] = *t->plan;
        plan->tables[t->index].kind = !t->written && t->plan->lifetime_ns == MR_FOREVER
                                          ? MR_TABLE_CONSTANT
                                          : MR_TABLE_GLOBAL; /* or by key: see place.c */
        plan->n_tables++;
    }
    return true;
}

struct mr_plan *analog_plan(struct compile *compile, const char *path, const char *name)
{
    const struct ast_program *program = &compile->program;
    struct mr_plan *plan = analog_keep(compile, sizeof *plan);
    uint32_t i = 0;

    if (!plan)
        return NULL;
    plan->memory = compile->memory;
    plan->name = short_name(compile, path, name);
    plan->programs = analog_keep(compile, sizeof *plan->programs);
    plan->n_programs = 1;
    plan->n_segments = 1;
    plan->n_rules = program->n_rules;
    plan->n_components = program->n_components + 1;
    plan->input = 0;
    plan->predicates = analog_keep(compile, program->n_predicates * sizeof *plan->predicates);
    plan->stages = analog_keep(compile, program->n_components * sizeof *plan->stages);
    if (!plan->name || !plan->programs || !plan->predicates || !plan->stages)
        return NULL;
    plan->programs[0] =
        (struct mr_plan_program){.name = plan->name,
                                 .path = analog_keep_text(compile, path, strlen(path)),
                                 .n_rules = plan->n_rules,
                                 .n_components = plan->n_components};
    if (!plan->programs[0].path)
        return NULL;
    plan->n_predicates = program->n_predicates;
    for (const struct predicate *p = program->predicates; p; p = p->next)
        if (!make_predicate(compile, p, &plan->predicates[i++]))
            return NULL;
    for (const struct component *c = program->components; c; c = c->next)
        if (!make_stage(compile, c, &plan->stages[plan->n_stages++]))
            return NULL;
    if (!make_tables(compile, plan) || !make_alarms(compile, plan) ||
        !analog_plan_ships(compile, plan))
        return NULL;
    return plan;
}
