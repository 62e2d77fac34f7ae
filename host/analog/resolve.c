/* Names to things: predicates with one arity each, functions of the table, keys. */
#include "analog/diagnostic.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct parameter *analog_parameter(struct compile *compile, const char *name)
{
    struct parameter *parameter = compile->program.parameters;
    while (parameter && strcmp(parameter->name, name) != 0)
        parameter = parameter->next;
    return parameter;
}

const struct literal *analog_literal(struct compile *compile, const struct expr *expr)
{
    if (expr->kind == EXPR_LITERAL)
        return &expr->u.literal;
    struct parameter *parameter =
        expr->kind == EXPR_NAME ? analog_parameter(compile, expr->u.name) : NULL;
    return parameter && !parameter->broken ? &parameter->value : NULL;
}

/* ---- functions ---- */

void analog_signature(const struct mr_function *function, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "%s(", function->name);
    uint32_t first_constant = (uint32_t)function->n_args - function->n_constant;
    uint32_t first_optional = (uint32_t)function->n_args - function->n_optional;

    for (uint32_t i = 0; i < function->n_args && used < bytes; i++)
        used += (size_t)snprintf(
            text + used, bytes - used, "%s%s%s%s", i >= first_optional ? "[" : "", i ? ", " : "",
            i >= first_constant ? "constant " : "", mr_type_name(function->args[i]));
    for (uint32_t i = first_optional; i < function->n_args && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "]");
    if (used < bytes)
        snprintf(text + used, bytes - used, ") -> %s", mr_type_name(function->result));
}

static bool is_alias(const struct mr_function *function, const char *name)
{
    const char *at = function->aliases;
    size_t len = strlen(name);

    while (at && *at) {
        size_t n = strcspn(at, " ");
        if (n == len && !strncasecmp(at, name, n))
            return true;
        at += n + strspn(at + n, " ");
    }
    return false;
}

static const struct mr_function *find_function(const struct mr_analog_config *config,
                                               const char *name)
{
    for (uint32_t i = 0; i < config->n_components; i++) {
        const struct mr_component *component = config->components[i];
        for (uint32_t j = 0; j < component->n_functions; j++) {
            const struct mr_function *function = &component->functions[j];
            if (!strcasecmp(function->name, name) || is_alias(function, name))
                return function;
        }
    }
    return NULL;
}

static void unknown_function(struct compile *compile, const struct expr *expr)
{
    const struct mr_analog_config *config = compile->config;
    struct nearest nearest = {.wanted = expr->u.call.name};

    for (uint32_t i = 0; i < config->n_components; i++)
        for (uint32_t j = 0; j < config->components[i]->n_functions; j++)
            analog_nearest(&nearest, config->components[i]->functions[j].name);
    analog_error(compile, &expr->u.call.where, "there is no function %s", nearest.wanted);
    if (nearest.name)
        analog_hint(compile, "did you mean %s?", nearest.name);
    else
        analog_hint(compile, "millrace components lists all functions");
}

static void resolve_expr(struct compile *compile, struct expr *expr);

static void resolve_call(struct compile *compile, struct expr *expr)
{
    const struct mr_function *function = find_function(compile->config, expr->u.call.name);
    uint32_t n = expr->u.call.n_args;
    char signature[256];

    for (struct expr *arg = expr->u.call.args; arg; arg = arg->next)
        resolve_expr(compile, arg);
    if (!function) {
        unknown_function(compile, expr);
        return;
    }
    if (n > function->n_args || n + function->n_optional < function->n_args) {
        analog_signature(function, signature, sizeof signature);
        analog_error(compile, &expr->u.call.where, "%s takes %s%u argument%s, here %s %u",
                     function->name,
                     function->n_optional && n < function->n_args ? "at least " : "",
                     n < function->n_args ? (uint32_t)function->n_args - function->n_optional
                                          : function->n_args,
                     function->n_args == 1 ? "" : "s", n == 1 ? "is" : "are", n);
        analog_hint(compile, "%s", signature);
        return;
    }
    expr->u.call.function = function;
}

static void resolve_expr(struct compile *compile, struct expr *expr)
{
    if (!expr)
        return;
    if (expr->kind == EXPR_CALL) {
        resolve_call(compile, expr);
    } else if (expr->kind == EXPR_UNARY || expr->kind == EXPR_BINARY) {
        resolve_expr(compile, expr->u.node.left);
        resolve_expr(compile, expr->u.node.right);
    }
}

/* ---- predicates ---- */

struct predicate *analog_find_predicate(const struct compile *compile, const char *name)
{
    struct predicate *predicate = compile->program.predicates;
    while (predicate && strcmp(predicate->name, name) != 0)
        predicate = predicate->next;
    return predicate;
}

struct predicate *analog_new_predicate(struct compile *compile, const struct atom *atom)
{
    struct predicate **last = &compile->program.predicates;
    struct predicate *predicate = analog_scratch(compile, sizeof *predicate);

    if (!predicate)
        return NULL;
    if (compile->program.n_predicates == MAX_PREDICATES) {
        analog_too_many(compile, &atom->where, LIMIT_PREDICATES);
        return NULL;
    }
    predicate->name = atom->name;
    predicate->arity = atom->n_args;
    predicate->where = atom->where;
    predicate->index = compile->program.n_predicates++;
    predicate->table = compile->program.tables;
    while (predicate->table && strcmp(predicate->table->name, atom->name) != 0)
        predicate->table = predicate->table->next;
    if (predicate->table)
        predicate->table->predicate = predicate;
    predicate->types = analog_scratch(compile, (atom->n_args + 1) * sizeof *predicate->types);
    predicate->names = analog_scratch(compile, (atom->n_args + 1) * sizeof *predicate->names);
    if (!predicate->types || !predicate->names)
        return NULL;
    while (*last)
        last = &(*last)->next;
    *last = predicate;
    return predicate;
}

static void add_input(struct compile *compile)
{
    static const enum mr_type types[] = {MR_TYPE_NODE, MR_TYPE_PACKET, MR_TYPE_ADDRESS,
                                         MR_TYPE_ADDRESS};
    static const char *const names[] = {"N", "PKT", "SRC", "DST"};
    const struct atom atom = {.name = "input", .n_args = 4};
    struct predicate *input = analog_new_predicate(compile, &atom);

    if (!input)
        return;
    input->derived = input->typed = true;
    for (uint32_t i = 0; i < 4; i++) {
        input->types[i] = types[i];
        input->names[i] = names[i];
    }
}

/* Looks the predicate of an atom up, or makes it known; false: reported. */
bool analog_resolve_atom(struct compile *compile, struct atom *atom)
{
    struct predicate *predicate = analog_find_predicate(compile, atom->name);

    if (!atom->n_args) {
        analog_error(compile, &atom->where, "%s has no attributes", atom->name);
        analog_hint(compile, "the first one is the location: %s(@N, ...)", atom->name);
        return false;
    }
    if (atom->name[0] < 'a' || atom->name[0] > 'z') {
        analog_error(compile, &atom->where,
                     "the name of a predicate begins with a lower-case letter");
        return false;
    }
    if (!predicate)
        predicate = analog_new_predicate(compile, atom);
    if (!predicate)
        return false;
    if (predicate->arity != atom->n_args) {
        analog_error(compile, &atom->where, "%s has %u attribute%s%s, here %s %u", atom->name,
                     predicate->arity, predicate->arity == 1 ? "" : "s",
                     predicate->index ? "" : " (@N, PKT, SRC, DST)",
                     atom->n_args == 1 ? "is" : "are", atom->n_args);
        if (predicate->index)
            analog_hint(compile, "see line %u of %s", predicate->where.line, predicate->where.file);
        return false;
    }
    atom->predicate = predicate;
    return true;
}

static void resolve_head(struct compile *compile, struct rule *rule)
{
    struct atom *head = &rule->head;

    for (struct expr *arg = head->args; arg; arg = arg->next)
        resolve_expr(compile, arg);
    if (!strcmp(head->name, "input") || !strcmp(head->name, "periodic")) {
        analog_error(compile, &head->where, "a rule cannot derive %s: the engine does", head->name);
        rule->broken = true;
    } else if (!analog_resolve_atom(compile, head)) {
        rule->broken = true;
    } else if (rule->deletes && !head->predicate->table) {
        analog_error(compile, &head->where, "only rows of a table can be deleted");
        analog_hint(compile, "make it one: materialize(%s, infinity, infinity, keys(...)).",
                    head->name);
        rule->broken = true;
    } else {
        head->predicate->derived |= !rule->deletes;
        if (head->predicate->table)
            head->predicate->table->written = true;
    }
}

/* The event of a body triggers the rule; where there are only tables, every change of one does. */
static void resolve_atoms(struct compile *compile, struct rule *rule, struct term *term)
{
    if (!strcmp(term->atom.name, "periodic")) {
        if (!analog_resolve_periodic(compile, &term->atom)) {
            rule->broken = true;
            return;
        }
    } else if (!analog_resolve_atom(compile, &term->atom)) {
        rule->broken = true;
        return;
    }
    if (term->atom.predicate->table)
        return;
    if (!rule->trigger) {
        rule->trigger = term;
        return;
    }
    rule->broken = true;
    if (compile->told >> LIMIT_TABLES & 1) /* it may be one of those left out */
        return;
    analog_error(compile, &term->atom.where, "a rule has one event, this one has %s and %s",
                 rule->trigger->atom.name, term->atom.name);
    analog_hint(
        compile,
        "the tuples of one of them can be kept: materialize(%s, infinity, 1000, keys(...)).",
        term->atom.name);
}

static void resolve_body(struct compile *compile, struct component *component, struct rule *rule)
{
    uint32_t n_atoms = 0;

    for (struct term *term = rule->terms; term; term = term->next) {
        resolve_expr(compile, term->left);
        resolve_expr(compile, term->right);
        resolve_expr(compile, term->high);
        if (term->kind != TERM_ATOM)
            continue;
        n_atoms++;
        for (struct expr *arg = term->atom.args; arg; arg = arg->next)
            resolve_expr(compile, arg);
        resolve_atoms(compile, rule, term);
    }
    if (!n_atoms && !rule->broken) {
        analog_error(compile, &rule->where, "nothing triggers this rule");
        analog_hint(compile, "a body begins with a predicate: input(@N, PKT, SRC, DST)");
    }
    if (n_atoms && !rule->trigger && !rule->broken)
        analog_view(compile, component, rule);
    if (!rule->trigger)
        rule->broken = true;
}

/* ---- keys ---- */

static void resolve_key(struct compile *compile, struct component *component, struct key *key)
{
    struct predicate *predicate = analog_find_predicate(compile, key->name);

    if (!predicate) {
        if (compile->incomplete)
            return;
        struct nearest nearest = {.wanted = key->name};
        for (struct predicate *p = compile->program.predicates; p; p = p->next)
            analog_nearest(&nearest, p->name);
        analog_error(compile, &key->where, "there is no predicate %s", key->name);
        if (nearest.name)
            analog_hint(compile, "did you mean %s?", nearest.name);
        else
            analog_hint(compile, "a key is an attribute of a predicate that triggers a rule here");
        return;
    }
    if (key->index < 1 || key->index > predicate->arity) {
        analog_error(compile, &key->index_where, "%s has no attribute %lld", key->name,
                     (long long)key->index);
        if (predicate->index)
            analog_hint(compile, "it has %u (line %u), counted from 1; the location is attribute 1",
                        predicate->arity, predicate->where.line);
        else
            analog_hint(compile, "they are counted from 1: input(@N, PKT, SRC, DST)");
        return;
    }
    uint32_t n = 0;
    for (struct key *other = component->keys; other != key; other = other->next) {
        if (other->predicate != predicate)
            continue;
        if (++n == MR_MAX_KEYS) {
            analog_error(compile, &key->where, "%s has more than %d keys", key->name, MR_MAX_KEYS);
            return;
        }
        if (other->index != key->index)
            continue;
        analog_error(compile, &key->where, "the key %s(%lld) is named twice", key->name,
                     (long long)key->index);
        return;
    }
    key->predicate = predicate;
}

static void resolve_keys(struct compile *compile, struct component *component)
{
    if (component->broken)
        return;
    for (struct key *key = component->keys; key; key = key->next)
        resolve_key(compile, component, key);
    if (component->kind != MR_STAGE_CONTEXT && component->keys) {
        analog_error(compile, &component->keys->where, "%s is %s: it has no keys", component->name,
                     component->kind == MR_STAGE_SERIAL ? "serial" : "parallel");
        analog_hint(compile, "write parallel_context_order, or leave context_keys away");
    }
}

void analog_resolve(struct compile *compile)
{
    struct component *first = compile->program.components;

    add_input(compile);
    if (!first && !compile->incomplete && !mr_diagnostics_errors(compile->diagnostics)) {
        const struct source *source = compile->sources;
        while (source->next)
            source = source->next;
        analog_error(compile, &(struct mr_where){.file = source->name},
                     "the program has no component");
        analog_hint(compile, "a component is written component NAME(TYPE) { RULES }");
    }
    analog_resolve_receives(compile);
    for (struct component *c = first; c; c = c->next)
        for (struct rule *rule = c->rules; rule && !analog_enough(compile); rule = rule->next)
            resolve_head(compile, rule);
    analog_resolve_facts(compile);
    for (struct component *c = first; c; c = c->next)
        for (struct rule *rule = c->rules; rule && !analog_enough(compile); rule = rule->next)
            if (!rule->made)
                resolve_body(compile, c, rule);
    analog_resolve_tables(compile);
    analog_resolve_ships(compile);
    for (struct component *c = first; c && !analog_enough(compile); c = c->next)
        resolve_keys(compile, c);
}
