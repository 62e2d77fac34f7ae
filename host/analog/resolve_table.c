/* Names in statements about tables: keys, facts, watches; and the engine's own event, periodic. */
#include "analog/diagnostic.h"

#include <string.h>

#define MAX_PERIODIC 1000000000 /* seconds, and how often */

/* The integer that an argument of periodic is; false: reported. */
static bool period_of(struct compile *compile, const struct expr *arg, const char *what,
                      int64_t *value)
{
    const struct parameter *parameter =
        arg->kind == EXPR_NAME ? analog_parameter(compile, arg->u.name) : NULL;
    const struct literal *literal = analog_literal(compile, arg);
    bool whole = literal && literal->constant.type == MR_TYPE_INT;

    if (parameter && parameter->broken) /* reported */
        return false;
    *value = whole ? literal->constant.value.i : 0;
    if (whole && *value >= 0 && *value <= MAX_PERIODIC)
        return true;
    if (whole)
        analog_error(compile, &arg->where, "%s of periodic is from 0 to %d, this is %lld", what,
                     MAX_PERIODIC, (long long)*value);
    else
        analog_error(compile, &arg->where,
                     "%s of periodic is a whole number, as a literal or param", what);
    analog_hint(compile, "periodic(@N, E, SECONDS) or periodic(@N, E, SECONDS, HOW_OFTEN)");
    return false;
}

static struct predicate *make_periodic(struct compile *compile, const struct atom *atom)
{
    static const enum mr_type types[] = {MR_TYPE_NODE, MR_TYPE_INT, MR_TYPE_INT, MR_TYPE_INT};
    static const char *const names[] = {"N", "E", "SECONDS", "TIMES"};
    struct predicate *periodic = analog_new_predicate(compile, atom);

    if (!periodic)
        return NULL;
    periodic->derived = periodic->typed = true;
    for (uint32_t i = 0; i < 4; i++) {
        periodic->types[i] = types[i];
        periodic->names[i] = names[i];
    }
    compile->program.periodic = periodic;
    return periodic;
}

bool analog_resolve_periodic(struct compile *compile, struct atom *atom)
{
    int64_t seconds = 0, times = 1;

    if (atom->n_args != 3 && atom->n_args != 4) {
        analog_error(compile, &atom->where, "periodic has 3 or 4 attributes, here %s %u",
                     atom->n_args == 1 ? "is" : "are", atom->n_args);
        analog_hint(compile, "periodic(@N, E, SECONDS) or periodic(@N, E, SECONDS, HOW_OFTEN)");
        return false;
    }
    struct expr *period = atom->args->next->next;
    if (!period_of(compile, period, "the period", &seconds))
        return false;
    if (period->next && !period_of(compile, period->next, "how often, the last attribute", &times))
        return false;
    if (!period->next && !seconds) {
        analog_error(compile, &period->where, "a period is at least a second");
        analog_hint(compile, "periodic(@N, E, 0, 1) happens once, at the start");
        return false;
    }
    if (!period->next) { /* for ever is told by a count that no program can name */
        struct expr *forever = analog_scratch(compile, sizeof *forever);
        if (!forever)
            return false;
        forever->kind = EXPR_LITERAL;
        forever->where = period->where;
        forever->u.literal.constant.type = MR_TYPE_INT;
        forever->u.literal.constant.value = mr_value_int(-1);
        period->next = forever;
        atom->n_args = 4;
    }
    atom->predicate =
        compile->program.periodic ? compile->program.periodic : make_periodic(compile, atom);
    return atom->predicate != NULL;
}

void analog_resolve_facts(struct compile *compile)
{
    for (struct fact *fact = compile->program.facts; fact && !analog_enough(compile);
         fact = fact->next) {
        struct atom *atom = &fact->atom;
        if (!strcmp(atom->name, "input") || !strcmp(atom->name, "periodic")) {
            analog_error(compile, &atom->where, "%s comes from the engine", atom->name);
            continue;
        }
        if (!analog_resolve_atom(compile, atom))
            continue;
        if (!atom->predicate->table && compile->incomplete) {
            atom->predicate = NULL; /* its materialize may not have been understood */
            continue;
        }
        if (!atom->predicate->table) {
            analog_error(compile, &atom->where, "a fact is a row of a table, and %s is none",
                         atom->name);
            analog_hint(compile, "materialize(%s, infinity, infinity, keys(...)).", atom->name);
            atom->predicate = NULL;
            continue;
        }
        atom->predicate->derived = true;
        atom->predicate->table->n_facts++;
    }
}

static void resolve_key(struct compile *compile, struct table *table, const struct table_key *key)
{
    const struct predicate *predicate = table->predicate;
    struct mr_plan_index *primary = &table->plan->indexes[0];

    if (key->index < 1 || key->index > predicate->arity) {
        analog_error(compile, &key->where, "%s has no attribute %lld", table->name,
                     (long long)key->index);
        analog_hint(compile, "it has %u (line %u), counted from 1; the location is attribute 1",
                    predicate->arity, predicate->where.line);
        return;
    }
    for (uint32_t i = 0; i < primary->n; i++)
        if (primary->columns[i] == key->index - 1)
            return;
    if (primary->n == MR_INDEX_COLUMNS) {
        analog_error(compile, &key->where, "a table has at most %d keys", MR_INDEX_COLUMNS);
        return;
    }
    primary->columns[primary->n++] = (uint32_t)key->index - 1;
}

static void resolve_watch(struct compile *compile, const struct watch *watch)
{
    struct predicate *predicate = analog_find_predicate(compile, watch->name);
    struct nearest nearest = {.wanted = watch->name};

    if (predicate && !predicate->hidden && predicate->index &&
        predicate != compile->program.periodic) {
        predicate->watched |= watch->what;
        return;
    }
    if (compile->incomplete)
        return;
    if (predicate && !predicate->hidden) {
        analog_error(compile, &watch->where, "%s comes from the engine and cannot be watched",
                     watch->name);
        return;
    }
    for (const struct predicate *p = compile->program.predicates; p; p = p->next)
        if (!p->hidden)
            analog_nearest(&nearest, p->name);
    analog_error(compile, &watch->where, "there is no predicate %s", watch->name);
    if (nearest.name)
        analog_hint(compile, "did you mean %s?", nearest.name);
}

/* An alarm is raised by what leaves the program; where that cannot be, chain.c says so. */
static void resolve_alarm(struct compile *compile, const struct alarm *alarm, uint32_t index)
{
    struct predicate *predicate = analog_find_predicate(compile, alarm->name);
    struct nearest nearest = {.wanted = alarm->name};

    if (predicate && !predicate->hidden && !predicate->table && predicate->index) {
        predicate->alarm = index + 1;
        return;
    }
    if (compile->incomplete)
        return;
    if (predicate && predicate->table) {
        analog_error(compile, &alarm->where, "rows of the table %s do not leave the program",
                     alarm->name);
        analog_hint(compile, "derive an event from its changes: p(...) :- %s(...).", alarm->name);
        return;
    }
    for (const struct predicate *p = compile->program.predicates; p; p = p->next)
        if (!p->hidden && !p->table)
            analog_nearest(&nearest, p->name);
    analog_error(compile, &alarm->where, "there is no predicate %s", alarm->name);
    if (nearest.name)
        analog_hint(compile, "did you mean %s?", nearest.name);
}

void analog_resolve_tables(struct compile *compile)
{
    uint32_t n_alarms = 0;

    for (const struct alarm *a = compile->program.alarms; a && !analog_enough(compile); a = a->next)
        resolve_alarm(compile, a, n_alarms++);
    compile->program.n_tables = 0; /* those that are used */
    for (struct table *t = compile->program.tables; t && !analog_enough(compile); t = t->next) {
        if (!t->predicate) {
            if (!compile->incomplete)
                analog_warning(compile, &t->where, "no rule uses the table %s", t->name);
            continue;
        }
        t->index = compile->program.n_tables++;
        t->plan->predicate = t->predicate->index;
        t->plan->n_indexes = 1;
        for (const struct table_key *key = t->keys; key; key = key->next)
            resolve_key(compile, t, key);
        if (!t->predicate->derived && !compile->incomplete)
            analog_warning(compile, &t->where, "nothing is ever put into the table %s", t->name);
    }
    for (const struct watch *w = compile->program.watches; w && !analog_enough(compile);
         w = w->next)
        resolve_watch(compile, w);
}
