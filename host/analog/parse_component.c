/* Parsing components: header, keys, rules. */
#include "analog/parser.h"

#include <string.h>

static const struct spelling {
    const char *name;
    enum mr_stage_kind kind;
    bool one_at_a_time;
} spellings[] = {
    {"serial", MR_STAGE_SERIAL, false},
    {"parallel", MR_STAGE_PARALLEL, false},
    {"parallel_context_order", MR_STAGE_CONTEXT, false},
    {"parallel_context_ordered", MR_STAGE_CONTEXT, false},
    {"serial_context_order", MR_STAGE_CONTEXT, true},
    {"serial_context_ordered", MR_STAGE_CONTEXT, true},
};

static bool parse_type(struct parser *parser, struct component *component)
{
    static const char known[] = "serial, parallel, parallel_context_order or serial_context_order";

    if (parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) {
        analog_unexpected(parser, "the type of the component", known);
        return false;
    }
    char *name = analog_token_copy(parser);
    if (!name)
        return false;
    struct nearest nearest = {.wanted = name};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        if (!strcmp(name, spellings[i].name)) {
            component->kind = spellings[i].kind;
            component->one_at_a_time = spellings[i].one_at_a_time;
            analog_advance(parser);
            return true;
        }
        analog_nearest(&nearest, spellings[i].name);
    }
    analog_error(parser->compile, &parser->token.where, "there is no component type %s", name);
    if (nearest.name)
        analog_hint(parser->compile, "did you mean %s?", nearest.name);
    else
        analog_hint(parser->compile, "%s", known);
    component->broken = true;
    analog_advance(parser);
    return true;
}

/* The serial component of rules that stand outside of all components, as in programs written for
 * systems that know no components. */
#define STRAY_NAME "rules"

/* PREDICATE(INDEX) */
static bool parse_key(struct parser *parser, struct component *component, struct key ***next)
{
    struct key *key = analog_scratch(parser->compile, sizeof *key);
    if (!key)
        return false;
    key->where = parser->token.where;
    key->name = parser->token.kind == TOK_NAME ? analog_token_copy(parser) : "";
    if (!key->name ||
        !analog_expect(parser, TOK_NAME, "the name of a predicate",
                       "keys are written context_keys(tcp_pkt(6))") ||
        !analog_expect(parser, TOK_LPAREN, "( and the number of the attribute",
                       "keys are written context_keys(tcp_pkt(6))"))
        return false;
    key->index_where = parser->token.where;
    key->index = parser->token.i;
    if (!analog_expect(parser, TOK_INT, "the number of an attribute, counted from 1",
                       "the location @N counts as attribute 1") ||
        !analog_expect(parser, TOK_RPAREN, ") behind the number of the attribute", NULL))
        return false;
    if (component->n_keys == MAX_ARITY) {
        analog_error(parser->compile, &key->where, "a component has at most %u keys", MAX_ARITY);
        return false;
    }
    component->n_keys++;
    **next = key;
    *next = &key->next;
    return true;
}

static bool parse_header(struct parser *parser, struct component *component)
{
    struct key **next = &component->keys;

    component->where = parser->token.where;
    if (parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) {
        analog_unexpected(parser, "the name of the component",
                          "a component is written component NAME(TYPE) { RULES }");
        return false;
    }
    component->name = analog_token_copy(parser);
    analog_advance(parser);
    if (!component->name ||
        !analog_expect(parser, TOK_LPAREN, "( behind the name of the component",
                       "a component is written component NAME(TYPE) { RULES }") ||
        !parse_type(parser, component))
        return false;
    if (analog_accept(parser, TOK_COMMA)) {
        if (!analog_token_is(parser, "context_keys")) {
            analog_unexpected(parser, "context_keys", "keys are written context_keys(tcp_pkt(6))");
            return false;
        }
        analog_advance(parser);
        if (!analog_expect(parser, TOK_LPAREN, "( behind context_keys", NULL))
            return false;
        do {
            if (!parse_key(parser, component, &next))
                return false;
        } while (analog_accept(parser, TOK_COMMA));
        if (!analog_expect(parser, TOK_RPAREN, ") or , in context_keys", NULL))
            return false;
    }
    if (component->broken && component->keys) { /* only one kind has keys, however it is misspelt */
        component->kind = MR_STAGE_CONTEXT;
        component->broken = false;
    }
    return analog_expect(parser, TOK_RPAREN, ") at the end of the header", NULL);
}

static void add_component(struct parser *parser, struct component *component)
{
    struct ast_program *program = &parser->compile->program;
    struct component **next = &program->components;

    while (*next) {
        if (!strcmp((*next)->name, STRAY_NAME) && (*next)->rules) {
            analog_error(parser->compile, &(*next)->rules->where,
                         "this rule stands outside of a component");
            analog_hint(parser->compile, "write component NAME(parallel) { ... } around it");
            parser->compile->incomplete = true;
            program->components = NULL;
            program->n_components = 0;
            next = &program->components;
            break;
        }
        if (!strcmp((*next)->name, component->name)) {
            analog_error(parser->compile, &component->where,
                         "there is a component %s already, in line %u", component->name,
                         (*next)->where.line);
            analog_hint(parser->compile, "put all rules of a component between one pair of braces");
        }
        next = &(*next)->next;
    }
    if (program->n_components == MAX_COMPONENTS) {
        analog_too_many(parser->compile, &component->where, LIMIT_COMPONENTS);
        return;
    }
    program->n_components++;
    *next = component;
}

static void add_rule(struct parser *parser, struct component *component, struct rule *rule)
{
    struct ast_program *program = &parser->compile->program;
    struct rule **next = &component->rules;

    if (program->n_rules == MAX_RULES) {
        analog_too_many(parser->compile, &rule->where, LIMIT_RULES);
        return;
    }
    program->n_rules++;
    component->n_rules++;
    while (*next)
        next = &(*next)->next;
    *next = rule;
}

static void parse_rules(struct parser *parser, struct component *component)
{
    while (parser->token.kind != TOK_RBRACE && parser->token.kind != TOK_END &&
           !analog_enough(parser->compile)) {
        bool fact;
        if (parser->token.first_in_line && analog_token_is(parser, "component"))
            break;
        if (parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) {
            analog_unexpected(parser, "a rule or }", NULL);
            component->broken = true;
            analog_advance(parser);
            analog_skip_statement(parser);
            continue;
        }
        struct rule *rule = analog_parse_rule(parser, &fact);
        if (rule && fact)
            analog_add_fact(parser, rule);
        if (!rule || fact)
            continue;
        add_rule(parser, component, rule);
    }
}

void analog_add_stray(struct parser *parser, struct rule *rule)
{
    struct component *component = parser->compile->program.components;

    if (component && strcmp(component->name, STRAY_NAME) != 0) {
        analog_error(parser->compile, &rule->where, "this rule stands outside of a component");
        analog_hint(parser->compile, "write component NAME(parallel) { ... } around it");
        parser->compile->incomplete = true;
        return;
    }
    if (!component) {
        component = analog_scratch(parser->compile, sizeof *component);
        if (!component)
            return;
        component->name = STRAY_NAME;
        component->where = rule->where;
        component->kind = MR_STAGE_SERIAL;
        add_component(parser, component);
    }
    add_rule(parser, component, rule);
}

void analog_parse_component(struct parser *parser)
{
    struct component *component = analog_scratch(parser->compile, sizeof *component);

    analog_advance(parser);
    if (!component)
        return;
    component->name = "";
    if (!parse_header(parser, component)) {
        component->broken = true;
        parser->compile->incomplete = true;
        while (parser->token.kind != TOK_LBRACE && parser->token.kind != TOK_END &&
               !(parser->token.first_in_line && analog_token_is(parser, "component")))
            analog_advance(parser);
    }
    parser->parens = 0;
    if (!component->name)
        return;
    add_component(parser, component);
    if (!analog_accept(parser, TOK_LBRACE)) {
        if (!component->broken)
            analog_unexpected(parser, "{ and the rules of the component", NULL);
        component->broken = true;
        if (parser->token.kind != TOK_NAME || analog_token_is(parser, "component"))
            return; /* otherwise a rule begins, and only the brace is missing */
    }
    parse_rules(parser, component);
    if (!analog_accept(parser, TOK_RBRACE)) {
        analog_unexpected(parser, "} at the end of a component", NULL);
        analog_hint(parser->compile, "the component %s begins in line %u", component->name,
                    component->where.line);
        component->broken = true;
    }
    analog_accept(parser, TOK_DOT);
}
