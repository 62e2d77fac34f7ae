/* Rules to operations: what each variable is, which types predicates have. A rule can be done once
 * the types of the predicate that triggers it are known, that is behind a rule that derives it.
 */
#include "analog/lower.h"

#include <string.h>

const char *mr_type_name(enum mr_type type)
{
    static const char *const names[] = {
#define X(name, text) text,
        MR_TYPE_LIST(X)
#undef X
    };
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "unknown";
}

void analog_bind_variable(struct lowering *l, const struct expr *name, struct mr_operand value)
{
    struct variable *variable = analog_variable(l, name->u.name);

    if (!variable && l->n_variables == MR_MAX_REGISTERS) {
        analog_error(l->compile, &name->where, "a rule has at most %d variables", MR_MAX_REGISTERS);
        analog_fail(l);
        return;
    }
    if (!variable)
        variable = &l->variables[l->n_variables++];
    *variable = (struct variable){.name = name->u.name, .value = value};
}

/* ---- the tuple that triggers the rule ---- */

void analog_check_location(struct lowering *l, const struct expr *arg, enum mr_type type)
{
    /* as in programs for many nodes, all of which are rows of the same tables here */
    bool named = type == MR_TYPE_STRING || type == MR_TYPE_INT;

    if (!arg->located || type == MR_TYPE_NODE || type == MR_TYPE_ANY || named)
        return;
    analog_fail(l);
    analog_error(l->compile, &arg->where, "this attribute is of type %s, not a location",
                 mr_type_name(type));
}

/* Variables take the attributes; what has a value already, constants too, is tested. */
static void lower_trigger(struct lowering *l)
{
    const struct atom *atom = &l->rule->trigger->atom;
    const struct predicate *predicate = atom->predicate;
    uint32_t i = 0;

    l->n_registers = atom->n_args;
    for (struct expr *arg = atom->args; arg; arg = arg->next, i++) {
        struct mr_operand attribute = {.reg = i, .type = predicate->types[i]};
        bool is_constant = arg->kind == EXPR_NULL || analog_literal(l->compile, arg);
        bool is_variable = arg->kind == EXPR_NAME && !is_constant;

        analog_check_location(l, arg, attribute.type);
        if (arg->kind == EXPR_WILDCARD)
            continue;
        if (is_variable && arg->u.name[0] >= 'a' && arg->u.name[0] <= 'z') {
            analog_lower(l, arg, attribute.type); /* reports the unknown name */
        } else if (is_variable && !analog_variable(l, arg->u.name)) {
            analog_bind_variable(l, arg, attribute);
        } else if (is_variable || is_constant) {
            analog_lower_test(l, MR_EQ, attribute, analog_lower(l, arg, attribute.type),
                              &arg->where);
        } else {
            analog_fail(l);
            analog_error(l->compile, &arg->where,
                         "here stand variables, literals and _, not expressions");
            analog_hint(l->compile, "name the attribute and compare it behind %s(...)", atom->name);
        }
    }
}

/* ---- terms ---- */

static void lower_assign(struct lowering *l, struct term *term)
{
    struct expr *left = term->left;
    bool is_name = left->kind == EXPR_NAME && !analog_parameter(l->compile, left->u.name);
    bool is_variable = is_name && (left->u.name[0] < 'a' || left->u.name[0] > 'z');
    struct mr_operand a, b;

    if (left->kind == EXPR_WILDCARD) {
        analog_lower(l, term->right, MR_TYPE_STRING);
        return;
    }
    bool always = term->always && !(l->rule->made && is_variable);
    if (is_variable && (always || !analog_variable(l, left->u.name))) {
        b = analog_lower(l, term->right, MR_TYPE_STRING);
        if (analog_variable(l, left->u.name)) {
            analog_warning(l->compile, &left->where,
                           "%s has a value already, := gives it a new one", left->u.name);
            analog_hint(l->compile, "== compares");
        }
        analog_bind_variable(l, left, b);
        return;
    }
    if (always) {
        analog_lower(l, term->right, MR_TYPE_STRING);
        analog_fail(l);
        analog_error(l->compile, &left->where, "only a variable can be assigned to");
        analog_hint(l->compile,
                    is_name ? "variables begin with an upper-case letter" : "== compares");
        return;
    }
    analog_lower_sides(l, left, term->right, &a, &b);
    analog_lower_test(l, MR_EQ, a, b, &term->where);
}

static void lower_range(struct lowering *l, struct term *term)
{
    struct mr_operand value = analog_lower(l, term->left, MR_TYPE_INT);
    struct mr_operand low = analog_lower(l, term->right, value.type);
    struct mr_operand high = analog_lower(l, term->high, value.type);

    analog_lower_test(l, term->low_included ? MR_GE : MR_GT, value, low, &term->left->where);
    analog_lower_test(l, term->high_included ? MR_LE : MR_LT, value, high, &term->left->where);
}

static void lower_terms(struct lowering *l)
{
    for (struct term *term = l->rule->terms; term; term = term->next) {
        switch (term->kind) {
        case TERM_ATOM:
            if (term != l->rule->trigger) /* that was done first */
                analog_lower_join(l, &term->atom);
            break;
        case TERM_ASSIGN:
            lower_assign(l, term);
            break;
        case TERM_TEST:
            analog_lower_condition(l, term->left);
            break;
        case TERM_RANGE:
            lower_range(l, term);
            break;
        }
    }
}

/* ---- the head ---- */

/* A tuple whose location is not that of the tuple it comes from would travel. */
static bool ships(const struct lowering *l, const struct expr *arg)
{
    const struct atom *trigger = &l->rule->trigger->atom;
    const struct expr *from = trigger->args;

    if (!arg->located || !from || !from->located || trigger->predicate->types[0] != MR_TYPE_NODE)
        return false;
    return arg->kind != EXPR_NAME || from->kind != EXPR_NAME ||
           strcmp(arg->u.name, from->u.name) != 0;
}

static void head_error(struct lowering *l, const struct expr *arg, uint32_t i,
                       const struct predicate *predicate, enum mr_type found)
{
    analog_fail(l);
    analog_error(l->compile, &arg->where, "attribute %u of %s is %s here, but %s in line %u", i + 1,
                 predicate->name, mr_type_name(found), mr_type_name(predicate->types[i]),
                 predicate->typed_by ? predicate->typed_by->where.line : 0);
    if (found == MR_TYPE_REAL && predicate->types[i] == MR_TYPE_INT)
        analog_hint(l->compile, "make it real there as well: 1.0 instead of 1");
}

static void lower_head(struct lowering *l)
{
    struct rule *rule = l->rule;
    struct predicate *predicate = rule->head.predicate;
    struct mr_operand *args = analog_keep(l->compile, rule->head.n_args * sizeof *args);
    uint32_t i = 0;

    if (!args) {
        analog_fail(l);
        return;
    }
    for (struct expr *arg = rule->head.args; arg; arg = arg->next, i++) {
        enum mr_type type = MR_TYPE_ANY;
        if (arg->kind == EXPR_AGGREGATE) {
            args[i] = analog_lower_aggregate(l, arg, i, &type);
            if (predicate->typed && type != MR_TYPE_ANY && predicate->types[i] != MR_TYPE_ANY &&
                type != predicate->types[i])
                head_error(l, arg, i, predicate, type);
            if (!predicate->typed || predicate->types[i] == MR_TYPE_ANY)
                predicate->types[i] = type;
            continue;
        }
        args[i] = analog_lower(l, arg, predicate->typed ? predicate->types[i] : MR_TYPE_STRING);
        if (predicate->table && args[i].type == MR_TYPE_STREAM)
            analog_convert(l, &args[i], MR_TYPE_STRING, &arg->where);
        if (!ships(l, arg)) {
            analog_check_location(l, arg, args[i].type);
        } else if (args[i].type != MR_TYPE_ANY) {
            analog_fail(l);
            analog_not_yet(l->compile, &arg->where, "rules that ship tuples to another node");
            analog_hint(l->compile, "the head's location must be the body's");
        }
        if (predicate->typed && !analog_convert(l, &args[i], predicate->types[i], &arg->where))
            head_error(l, arg, i, predicate, args[i].type);
        if (!predicate->typed || predicate->types[i] == MR_TYPE_ANY)
            predicate->types[i] = args[i].type;
        if (!predicate->names[i] && arg->kind == EXPR_NAME)
            predicate->names[i] = arg->u.name;
    }
    if (!predicate->typed)
        predicate->typed_by = rule;
    predicate->typed = true;
    rule->code.head_args = args;
}

/* Counts that are 0 can be told where all other attributes are known before the tables are asked.
 */
static void finish_aggregates(struct lowering *l)
{
    struct mr_plan_rule *code = &l->rule->code;
    uint32_t arity = l->rule->trigger->atom.n_args, aggregate = 0;

    code->counts_nothing = code->n_aggregates && !code->refreshes;
    for (uint32_t i = 0; i < l->rule->head.n_args; i++) {
        if (aggregate < code->n_aggregates && code->aggregates[aggregate].column == i) {
            if (code->aggregates[aggregate++].kind != MR_AGGREGATE_COUNT)
                code->counts_nothing = false;
            continue;
        }
        uint32_t reg = code->head_args[i].reg;
        if (reg != MR_NO_REGISTER && reg >= arity)
            code->counts_nothing = false;
    }
}

static void lower_rule(struct compile *compile, struct lowering *l, struct rule *rule)
{
    *l = (struct lowering){
        .compile = compile, .rule = rule, .failed = rule->broken, .unsure = rule->broken};
    lower_trigger(l);
    lower_terms(l);
    lower_head(l);
    rule->typed = true;
    if (l->failed)
        return;
    rule->code.deletes = rule->deletes;
    rule->code.on_delete = rule->on_delete;
    rule->code.view = rule->view;
    rule->code.refreshes = rule->refreshes;
    finish_aggregates(l);
    rule->code.group_index = rule->refreshes ? analog_group_index(l) : MR_NO_INDEX;
    rule->code.ops = analog_keep(compile, (l->n_ops + 1) * sizeof *rule->code.ops);
    rule->sources = l->sources;
    if (!rule->code.ops)
        return;
    if (l->n_ops)
        memcpy(rule->code.ops, l->ops, l->n_ops * sizeof *l->ops);
    rule->code.n_ops = l->n_ops;
    rule->code.n_registers = l->n_registers;
    rule->code.label = rule->label;
    rule->code.trigger = rule->trigger->atom.predicate->index;
    rule->code.head = rule->head.predicate->index;
    rule->code.where = rule->where;
}

/* Also a rule with faults is looked at, for more of them. */
static bool can_be_lowered(const struct rule *rule)
{
    for (const struct term *term = rule->terms; term; term = term->next)
        if (term->kind == TERM_ATOM && term->atom.predicate && !term->atom.predicate->typed)
            return false;
    return !rule->typed && rule->head.predicate && rule->trigger && rule->trigger->atom.predicate &&
           rule->trigger->atom.predicate->typed;
}

/* Does every rule whose trigger has types, until there is none left. */
static void lower_known(struct compile *compile, struct lowering *l)
{
    for (bool progress = true; progress && !analog_enough(compile);) {
        progress = false;
        for (struct component *c = compile->program.components; c; c = c->next) {
            for (struct rule *rule = c->rules; rule; rule = rule->next) {
                if (!can_be_lowered(rule))
                    continue;
                lower_rule(compile, l, rule);
                progress = true;
            }
        }
    }
}

/* A table may be asked before anybody is seen to fill it, by a rule on which that depends. What
 * such a rule's head is made of often has types all the same. True: now they are known. */
static bool try_rule(struct compile *compile, struct lowering *l, struct rule *rule)
{
    struct predicate *head = rule->head.predicate;
    uint32_t n_ops = compile->n_ops;

    if (rule->typed || rule->broken || !head || head->typed || !rule->trigger ||
        !rule->trigger->atom.predicate || !rule->trigger->atom.predicate->typed)
        return false;
    compile->trying = true;
    lower_rule(compile, l, rule);
    compile->trying = false;
    compile->n_ops = n_ops;
    rule->typed = false;
    rule->code = (struct mr_plan_rule){0};
    rule->sources = NULL;
    for (uint32_t i = 0; i < head->arity; i++)
        if (head->types[i] == MR_TYPE_ANY) {
            head->typed = false;
            head->typed_by = NULL;
        }
    return head->typed;
}

static void lower_circles(struct compile *compile, struct lowering *l)
{
    for (bool progress = true; progress;) {
        progress = false;
        for (struct component *c = compile->program.components; c; c = c->next)
            for (struct rule *rule = c->rules; rule && !analog_enough(compile); rule = rule->next)
                if (try_rule(compile, l, rule)) {
                    lower_known(compile, l);
                    progress = true;
                }
    }
}

/* The head of a rule that could not be looked at: its attributes could be anything. */
static void type_broken(struct compile *compile)
{
    for (struct component *c = compile->program.components; c; c = c->next)
        for (struct rule *rule = c->rules; rule; rule = rule->next)
            if (rule->broken && rule->head.predicate)
                rule->head.predicate->typed = true;
}

/* Types of key attributes: one for all keys of a component, and one that can be hashed. */
static void check_keys(struct compile *compile, const struct component *component)
{
    enum mr_type common = MR_TYPE_ANY;

    if (component->kind != MR_STAGE_CONTEXT)
        return;
    for (const struct key *key = component->keys; key; key = key->next) {
        if (!key->predicate || !key->predicate->typed)
            continue;
        enum mr_type type = key->predicate->types[key->index - 1];
        if (type == MR_TYPE_ANY)
            continue;
        if (type == MR_TYPE_NODE || type == MR_TYPE_PACKET || type == MR_TYPE_STREAM ||
            type == MR_TYPE_REAL || type == MR_TYPE_LIST) {
            const char *name = key->predicate->names[key->index - 1];
            analog_error(compile, &key->index_where,
                         "attribute %lld of %s (%s) is of type %s, which cannot be a key",
                         (long long)key->index, key->name, name ? name : "_", mr_type_name(type));
            analog_hint(compile, "attributes are counted from 1, and the location is attribute 1");
            continue;
        }
        if (common != MR_TYPE_ANY && type != common) {
            analog_error(compile, &key->where,
                         "the keys of a component must be of one type: this one is %s, others %s",
                         mr_type_name(type), mr_type_name(common));
            continue;
        }
        common = type;
    }
}

void analog_types(struct compile *compile)
{
    struct lowering *lowering = analog_scratch(compile, sizeof *lowering);

    if (!lowering)
        return;
    analog_lower_facts(compile);
    lower_known(compile, lowering);
    lower_circles(compile, lowering);
    type_broken(compile);
    lower_known(compile, lowering);
    /* What is left is triggered by tuples that nobody derives. */
    for (struct predicate *p = compile->program.predicates; p; p = p->next) {
        if (!p->typed && !p->derived)
            p->typed = true;
    }
    lower_known(compile, lowering);
    for (struct predicate *p = compile->program.predicates; p; p = p->next)
        p->typed = true; /* circles that nothing enters */
    lower_known(compile, lowering);
    for (struct component *c = compile->program.components; c && !analog_enough(compile);
         c = c->next)
        check_keys(compile, c);
    if (!analog_enough(compile))
        analog_check_tables(compile);
}
