/* Functions with state: per context they need a component that keeps order by the right key, over
 * everything a serial one.
 */
#include "analog/diagnostic.h"

#include <stdio.h>

/* "PREDICATE(INDEX)" of an attribute that could be the key: of a predicate that comes into the
 * component and triggers a rule there. False: there is none. */
static bool propose_key(const struct component *component, enum mr_type wanted, char *text,
                        size_t bytes)
{
    for (const struct rule *rule = component->rules; rule; rule = rule->next) {
        const struct predicate *p = rule->trigger ? rule->trigger->atom.predicate : NULL;
        if (!p || !in_set(&component->arriving, p->index))
            continue;
        for (uint32_t i = 0; i < p->arity; i++) {
            if (p->types[i] != wanted || wanted == MR_TYPE_ANY)
                continue;
            snprintf(text, bytes, "%s(%u)", p->name, i + 1);
            return true;
        }
    }
    return false;
}

static void hint_header(struct compile *compile, const struct component *component,
                        enum mr_type wanted)
{
    char key[MAX_NAME_BYTES + 16];

    if (propose_key(component, wanted, key, sizeof key))
        analog_hint(compile, "write component %s(%s, context_keys(%s))", component->name,
                    component->one_at_a_time ? "serial_context_order" : "parallel_context_order",
                    key);
    else if (wanted != MR_TYPE_ANY)
        analog_hint(compile,
                    "its tuples need an attribute of type %s; name it in "
                    "parallel_context_order, context_keys(PREDICATE(NUMBER))",
                    mr_type_name(wanted));
    else
        analog_hint(compile,
                    "write component %s(parallel_context_order, "
                    "context_keys(PREDICATE(NUMBER)))",
                    component->name);
}

/* A predicate with two keys stands in two orders at once. */
static const struct key *second_key(const struct component *component)
{
    for (const struct key *a = component->keys; a; a = a->next)
        for (const struct key *b = a->next; b; b = b->next)
            if (a->predicate && a->predicate == b->predicate)
                return b;
    return NULL;
}

static void check_context(struct compile *compile, const struct component *component,
                          const struct expr *call)
{
    const struct mr_function *function = call->u.call.function;
    const struct mr_where *where = &call->u.call.where;

    if (component->kind != MR_STAGE_CONTEXT) {
        analog_error(compile, where, "%s keeps state per %s and cannot stand in a %s component",
                     function->name,
                     function->context_key == MR_TYPE_ANY ? "key"
                                                          : mr_type_name(function->context_key),
                     component->kind == MR_STAGE_SERIAL ? "serial" : "parallel");
        hint_header(compile, component, function->context_key);
        return;
    }
    if (second_key(component)) {
        analog_error(compile, where, "%s keeps state per key and cannot work with several keys",
                     function->name);
        analog_hint(compile, "leave %s(%lld) out of context_keys in line %u",
                    second_key(component)->name, (long long)second_key(component)->index,
                    component->where.line);
        return;
    }
    for (const struct key *key = component->keys; key; key = key->next) {
        enum mr_type type = key->predicate ? key->predicate->types[key->index - 1] : MR_TYPE_ANY;
        if (function->context_key == MR_TYPE_ANY || type == MR_TYPE_ANY ||
            type == function->context_key)
            continue;
        analog_error(compile, where, "%s keeps state per %s, but the key %s(%lld) is of type %s",
                     function->name, mr_type_name(function->context_key), key->name,
                     (long long)key->index, mr_type_name(type));
        hint_header(compile, component, function->context_key);
        return;
    }
}

/* Names an attribute that may well be meant, a flow before an address before anything else. */
static void check_key_named(struct compile *compile, const struct component *component)
{
    static const enum mr_type likely[] = {MR_TYPE_FLOW, MR_TYPE_ADDRESS, MR_TYPE_STRING};
    char key[MAX_NAME_BYTES + 16];
    enum mr_type type = MR_TYPE_ANY;

    if (component->kind != MR_STAGE_CONTEXT || component->keys)
        return;
    for (size_t i = 0; i < sizeof likely / sizeof *likely && type == MR_TYPE_ANY; i++)
        if (propose_key(component, likely[i], key, sizeof key))
            type = likely[i];
    analog_error(compile, &component->where, "%s keeps order by a key but names none",
                 component->name);
    hint_header(compile, component, type);
}

static void check_expr(struct compile *compile, const struct component *component,
                       const struct expr *expr)
{
    if (!expr)
        return;
    if (expr->kind == EXPR_UNARY || expr->kind == EXPR_BINARY) {
        check_expr(compile, component, expr->u.node.left);
        check_expr(compile, component, expr->u.node.right);
    }
    if (expr->kind != EXPR_CALL)
        return;
    for (const struct expr *arg = expr->u.call.args; arg; arg = arg->next)
        check_expr(compile, component, arg);
    const struct mr_function *function = expr->u.call.function;
    if (!function)
        return;
    if (function->order == MR_ORDER_CONTEXT)
        check_context(compile, component, expr);
    if (function->order == MR_ORDER_TOTAL && component->kind != MR_STAGE_SERIAL) {
        analog_error(compile, &expr->u.call.where,
                     "%s keeps state over all tuples and needs a serial component", function->name);
        analog_hint(compile, "write component %s(serial)", component->name);
    }
}

void analog_orders(struct compile *compile)
{
    for (struct component *c = compile->program.components; c; c = c->next) {
        if (c->broken)
            continue;
        check_key_named(compile, c);
        for (struct rule *rule = c->rules; rule && !analog_enough(compile); rule = rule->next) {
            for (const struct expr *arg = rule->head.args; arg; arg = arg->next)
                check_expr(compile, c, arg);
            for (const struct term *term = rule->terms; term; term = term->next) {
                check_expr(compile, c, term->left);
                check_expr(compile, c, term->right);
                check_expr(compile, c, term->high);
            }
        }
    }
}
