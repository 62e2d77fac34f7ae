/* What goes from one program to another: ship(p, "PROGRAM") and receive p(...). A program that
 * receives gets no packets; in the plan of all programs it stands behind those that ship to it. */
#include "analog/diagnostic.h"
#include "analog/merge.h"

#include <stdio.h>
#include <string.h>

/* ---- of one program ---- */

void analog_resolve_receives(struct compile *compile)
{
    for (struct receive *r = compile->program.receives; r; r = r->next) {
        struct atom *atom = &r->atom;
        if (!strcmp(atom->name, "input") || !strcmp(atom->name, "periodic")) {
            analog_error(compile, &atom->where, "%s comes from the engine", atom->name);
            continue;
        }
        if (!analog_resolve_atom(compile, atom))
            continue;
        if (atom->predicate->table) {
            analog_error(compile, &atom->where, "rows of the table %s cannot be received",
                         atom->name);
            analog_hint(compile, "receive an event and put it in: %s(...) :- p(...).", atom->name);
            continue;
        }
        atom->predicate->derived = atom->predicate->typed = true;
        memcpy(atom->predicate->types, r->types, atom->n_args * sizeof *r->types);
        memcpy(atom->predicate->names, r->names, atom->n_args * sizeof *r->names);
    }
}

static void resolve_ship(struct compile *compile, const struct ship *ship)
{
    struct predicate *predicate = analog_find_predicate(compile, ship->name);
    struct nearest nearest = {.wanted = ship->name};

    if (predicate && !predicate->hidden && !predicate->table && predicate->index &&
        predicate != compile->program.periodic) {
        if (ship->to[0] == '@')
            predicate->node = ship->to;
        else
            predicate->shipped = true;
        return;
    }
    if (compile->incomplete)
        return;
    if (predicate && !predicate->hidden) {
        analog_error(compile, &ship->where,
                     predicate->table ? "%s is a table, and its rows cannot be shipped"
                                      : "%s comes from the engine and cannot be shipped",
                     ship->name);
        analog_hint(compile, "derive an event of its own from it, and ship that");
        return;
    }
    for (const struct predicate *p = compile->program.predicates; p; p = p->next)
        if (!p->hidden && !p->table && p->index)
            analog_nearest(&nearest, p->name);
    analog_error(compile, &ship->where, "there is no predicate %s", ship->name);
    if (nearest.name)
        analog_hint(compile, "did you mean %s?", nearest.name);
}

void analog_resolve_ships(struct compile *compile)
{
    for (const struct ship *s = compile->program.ships; s && !analog_enough(compile); s = s->next)
        resolve_ship(compile, s);
    for (const struct alarm *a = compile->program.alarms; a; a = a->next) {
        const struct predicate *p = analog_find_predicate(compile, a->name);
        if (p && (p->shipped || p->node))
            analog_warning(compile, &a->where, "%s is shipped: this alarm is never raised",
                           a->name);
    }
    if (!compile->program.receives)
        return;
    for (const struct component *c = compile->program.components; c; c = c->next)
        for (const struct rule *rule = c->rules; rule && !analog_enough(compile); rule = rule->next)
            if (rule->trigger && !strcmp(rule->trigger->atom.name, "input")) {
                analog_error(compile, &rule->trigger->atom.where,
                             "a program that receives tuples of others gets no packets");
                analog_hint(compile, "let another program look at packets and ship what it finds");
            }
}

void analog_check_ships(struct compile *compile)
{
    for (const struct ship *s = compile->program.ships; s && !compile->incomplete; s = s->next) {
        const struct predicate *p = analog_find_predicate(compile, s->name);
        if (p && (p->shipped || p->node) && !in_set(&compile->program.leaving, p->index))
            analog_warning(compile, &s->where,
                           "%s does not leave the program: nothing is ever shipped", s->name);
    }
}

bool analog_plan_ships(struct compile *compile, struct mr_plan *plan)
{
    const struct ast_program *program = &compile->program;

    plan->ships = analog_keep(compile, (program->n_ships + 1) * sizeof *plan->ships);
    plan->receives = analog_keep(compile, (program->n_receives + 1) * sizeof *plan->receives);
    if (!plan->ships || !plan->receives)
        return false;
    for (const struct ship *s = program->ships; s; s = s->next)
        if (s->to[0] != '@')
            plan->ships[plan->n_ships++] =
                (struct mr_plan_ship){.predicate = analog_find_predicate(compile, s->name)->index,
                                      .to = s->to,
                                      .where = s->where};
    for (const struct receive *r = program->receives; r; r = r->next)
        plan->receives[plan->n_receives++] =
            (struct mr_plan_receive){.predicate = r->atom.predicate->index, .where = r->atom.where};
    return true;
}

/* ---- between programs ---- */

uint32_t analog_target(const struct merge *merge, const struct mr_plan_ship *ship)
{
    for (uint32_t i = 0; i < merge->n_programs; i++)
        if (!strcmp(mr_program_name(merge->programs[i]), ship->to))
            return i;
    return MR_NO_INDEX;
}

const struct mr_plan_receive *analog_receiver(const struct merge *merge, uint32_t target,
                                              const char *name)
{
    const struct mr_plan *chain = chain_of(merge, target);

    for (uint32_t i = 0; i < chain->n_receives; i++)
        if (!strcmp(chain->predicates[chain->receives[i].predicate].name, name))
            return &chain->receives[i];
    return NULL;
}

/* "receive found(@N, flow FLOW, string MAIL)." */
static void hint_receive(struct merge *merge, const char *to,
                         const struct mr_plan_predicate *predicate)
{
    char text[512];
    size_t used = 0;

    for (uint32_t c = 1; c < predicate->arity && used < sizeof text; c++)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %s %s",
                                 mr_type_name(predicate->attributes[c].type),
                                 predicate->attributes[c].name);
    analog_hint(merge->compile, "write in %s: receive %s(@N%s).", to, predicate->name,
                used ? text : "");
}

static bool check_types(struct merge *merge, uint32_t program, const struct mr_plan_ship *ship,
                        uint32_t target, const struct mr_plan_receive *receive)
{
    const struct mr_plan_predicate *a = &chain_of(merge, program)->predicates[ship->predicate];
    const struct mr_plan_predicate *b = &chain_of(merge, target)->predicates[receive->predicate];
    const char *from = mr_program_name(merge->programs[program]);

    if (a->arity != b->arity) {
        analog_error(merge->compile, &ship->where,
                     "%s has %u attributes in %s, but %s receives %u (line %u of %s)", a->name,
                     a->arity, from, ship->to, b->arity, receive->where.line, receive->where.file);
        hint_receive(merge, ship->to, a);
        return false;
    }
    for (uint32_t c = 0; c < a->arity; c++) {
        enum mr_type t = a->attributes[c].type;
        if (t == b->attributes[c].type)
            continue;
        analog_error(merge->compile, &ship->where,
                     "attribute %u of %s (%s) is of type %s in %s, but %s receives %s (line %u of "
                     "%s)",
                     c + 1, a->name, a->attributes[c].name, mr_type_name(t), from, ship->to,
                     mr_type_name(b->attributes[c].type), receive->where.line, receive->where.file);
        hint_receive(merge, ship->to, a);
        return false;
    }
    return true;
}

static void unknown_target(struct merge *merge, const struct mr_plan_ship *ship, const char *name)
{
    static const char text[] = "%s is shipped to %s, but no program of this name is loaded";
    char loaded[512] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < merge->n_programs && used < sizeof loaded; i++)
        used += (size_t)snprintf(loaded + used, sizeof loaded - used, "%s%s", i ? ", " : "",
                                 mr_program_name(merge->programs[i]));
    if (merge->compile->lenient)
        analog_warning(merge->compile, &ship->where, text, name, ship->to);
    else
        analog_error(merge->compile, &ship->where, text, name, ship->to);
    analog_hint(merge->compile, "loaded: %s; load it as well: -p %s=FILE", loaded, ship->to);
}

/* Marks in `received` (of each program a set of its receives) who is shipped to. */
static bool check_ship(struct merge *merge, uint32_t program, const struct mr_plan_ship *ship,
                       uint64_t *received)
{
    const struct mr_plan_predicate *p = &chain_of(merge, program)->predicates[ship->predicate];
    uint32_t target = analog_target(merge, ship);

    if (target == MR_NO_INDEX) {
        unknown_target(merge, ship, p->name);
        return merge->compile->lenient;
    }
    const struct mr_plan_receive *receive = analog_receiver(merge, target, p->name);
    if (!receive) {
        analog_error(merge->compile, &ship->where, "%s is shipped to %s, which does not receive it",
                     p->name, ship->to);
        hint_receive(merge, ship->to, p);
        return false;
    }
    received[target] |= (uint64_t)1 << program;
    return check_types(merge, program, ship, target, receive);
}

static void report_circle(struct merge *merge, uint64_t left, const uint64_t *from)
{
    uint32_t at = (uint32_t)__builtin_ctzll(left), path[MR_MAX_PROGRAMS + 1] = {0}, n = 0;
    char text[512] = "";
    size_t used = 0;

    for (uint64_t seen = 0; !(seen >> at & 1); n++) { /* backwards until one comes again */
        seen |= (uint64_t)1 << at;
        path[n] = at;
        at = (uint32_t)__builtin_ctzll(from[at] & left);
    }
    path[n] = at;
    for (bool round = false; !round; round = path[n] == at) {
        if (used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s ships to ",
                                     mr_program_name(merge->programs[path[n]]));
        n--;
    }
    for (uint32_t s = 0; s < chain_of(merge, at)->n_ships; s++) {
        const struct mr_plan_ship *ship = &chain_of(merge, at)->ships[s];
        uint32_t target = analog_target(merge, ship);
        if (target == MR_NO_INDEX || !(left >> target & 1))
            continue;
        analog_error(merge->compile, &ship->where, "%s%s: programs cannot ship in a circle", text,
                     mr_program_name(merge->programs[at]));
        return;
    }
}

bool analog_link(struct merge *merge)
{
    uint64_t from[MR_MAX_PROGRAMS] = {0}, left = 0;
    bool good = true;

    for (uint32_t i = 0; i < merge->n_programs; i++)
        for (uint32_t s = 0; s < chain_of(merge, i)->n_ships; s++)
            good &= check_ship(merge, i, &chain_of(merge, i)->ships[s], from);
    if (!good)
        return false;
    for (uint32_t i = 0; i < merge->n_programs; i++) {
        const struct mr_plan *chain = chain_of(merge, i);
        if (!chain->n_receives)
            continue;
        left |= (uint64_t)1 << i;
        if (!from[i])
            analog_warning(merge->compile, &chain->receives[0].where,
                           "no program that is loaded ships anything to %s", chain->name);
    }
    while (left) { /* those whom nobody ships to who is not in order himself */
        uint64_t before = left;
        for (uint32_t i = 0; i < merge->n_programs; i++)
            if (left >> i & 1 && !(from[i] & left)) {
                merge->receivers[merge->n_receivers++] = i;
                left &= ~((uint64_t)1 << i);
            }
        if (left == before) {
            report_circle(merge, left, from);
            return false;
        }
    }
    return true;
}
