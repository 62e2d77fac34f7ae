/* Parsing rules: [label] [delete] head :- terms. */
#include "analog/parser.h"

#include <ctype.h>
#include <string.h>

#define LOOKAHEAD_TOKENS 64

/* Does a rule begin at the current token? Looks for `[label] [delete] name ( ... ) :-`. Asked only
 * when something was wrong before, so that one forgotten full stop costs one message. */
static bool rule_begins(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;
    struct token token = parser->token;
    int names = 0;

    if (!token.first_in_line || (token.kind != TOK_NAME && token.kind != TOK_VARIABLE))
        return false;
    ahead.muted = true;
    while (token.kind == TOK_NAME || token.kind == TOK_VARIABLE) {
        bool is_range = token.len == 2 && !memcmp(token.text, "in", 2);
        if (++names > 3 || is_range)
            return false;
        token = analog_lex(&ahead);
    }
    if (token.kind != TOK_LPAREN)
        return false;
    if (names > 1)
        return true;
    for (int i = 0, depth = 0; i < LOOKAHEAD_TOKENS; i++, token = analog_lex(&ahead)) {
        if (token.kind == TOK_LPAREN)
            depth++;
        else if (token.kind == TOK_RPAREN && --depth == 0)
            return analog_lex(&ahead).kind == TOK_IMPLIES;
        else if (token.kind == TOK_DOT || token.kind == TOK_END || token.kind == TOK_RBRACE)
            return false;
    }
    return false;
}

/* A full stop, and not the dot of a file name that is being skipped. */
static bool is_full_stop(const struct parser *parser)
{
    const struct lexer *lexer = &parser->lexer;
    return parser->token.kind == TOK_DOT &&
           (lexer->at >= lexer->source->len ||
            !isalnum((unsigned char)lexer->source->text[lexer->at]));
}

/* Skips what was not understood: to the comma behind it (true), or to the end of the rule. */
static bool skip_term(struct parser *parser, uint32_t parens)
{
    for (;;) {
        switch (parser->token.kind) {
        case TOK_COMMA:
            if (parser->parens <= parens) {
                parser->parens = parens;
                return true;
            }
            break;
        case TOK_DOT:
            if (!is_full_stop(parser))
                break;
            parser->parens = 0;
            return false;
        case TOK_END:
        case TOK_RBRACE:
            parser->parens = 0;
            return false;
        default:
            if (rule_begins(parser)) {
                parser->parens = 0;
                return false;
            }
        }
        analog_advance(parser);
    }
}

/* Attributes in parentheses; the current token is the name. */
static bool parse_atom(struct parser *parser, struct atom *atom)
{
    struct expr **next = &atom->args;

    atom->where = parser->token.where;
    atom->name = analog_token_copy(parser);
    analog_advance(parser);
    if (!atom->name || !analog_expect(parser, TOK_LPAREN, "( behind the name of a predicate", NULL))
        return false;
    if (analog_accept(parser, TOK_RPAREN))
        return true;
    do {
        struct expr *arg = analog_parse_attribute(parser);
        if (!arg)
            return false;
        if (atom->n_args == MAX_ARITY) {
            analog_error(parser->compile, &arg->where, "a predicate has at most %u attributes",
                         MAX_ARITY);
            return false;
        }
        if (arg->located && atom->n_args) {
            analog_error(parser->compile, &arg->where,
                         "the location @ must be the first attribute of %s", atom->name);
            return false;
        }
        atom->n_args++;
        *next = arg;
        next = &arg->next;
    } while (analog_accept(parser, TOK_COMMA));
    return analog_expect(parser, TOK_RPAREN, ") or , in the attributes of a predicate", NULL);
}

static bool is_function_name(const struct token *token)
{
    return token->len > 2 && (token->text[0] | 32) == 'f' && token->text[1] == '_';
}

static bool is_atom(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;

    if ((parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) ||
        is_function_name(&parser->token))
        return false;
    ahead.muted = true;
    return analog_lex(&ahead).kind == TOK_LPAREN;
}

static bool parse_range(struct parser *parser, struct term *term)
{
    analog_advance(parser); /* in */
    if (parser->token.kind != TOK_LPAREN && parser->token.kind != TOK_LBRACKET) {
        analog_unexpected(parser, "( or [ behind in", "a range is written X in (LOW, HIGH]");
        return false;
    }
    term->kind = TERM_RANGE;
    term->low_included = parser->token.kind == TOK_LBRACKET;
    analog_advance(parser);
    term->right = analog_parse_expr(parser);
    if (!term->right || !analog_expect(parser, TOK_COMMA, ", in a range", NULL))
        return false;
    term->high = analog_parse_expr(parser);
    if (!term->high)
        return false;
    if (parser->token.kind != TOK_RPAREN && parser->token.kind != TOK_RBRACKET) {
        analog_unexpected(parser, ") or ] at the end of a range", NULL);
        return false;
    }
    term->high_included = parser->token.kind == TOK_RBRACKET;
    analog_advance(parser);
    return true;
}

static bool parse_term(struct parser *parser, struct term *term)
{
    term->where = parser->token.where;
    if (is_atom(parser)) {
        term->kind = TERM_ATOM;
        return parse_atom(parser, &term->atom);
    }
    term->kind = TERM_TEST;
    term->left = analog_parse_expr(parser);
    if (!term->left)
        return false;
    if (parser->token.kind == TOK_NAME && analog_token_is(parser, "in"))
        return parse_range(parser, term);
    if (parser->token.kind != TOK_SINGLE && parser->token.kind != TOK_ASSIGN)
        return true;
    term->kind = TERM_ASSIGN;
    term->always = parser->token.kind == TOK_ASSIGN;
    term->where = parser->token.where;
    analog_advance(parser);
    term->right = analog_parse_expr(parser);
    return term->right != NULL;
}

/* Between two terms there is a comma; where it was forgotten, one message is enough. True: another
 * term follows. */
static bool next_term(struct parser *parser, struct rule *rule)
{
    struct mr_where behind = parser->last;

    if (analog_accept(parser, TOK_COMMA))
        return true;
    if (parser->token.kind == TOK_DOT)
        return false;
    behind.column += behind.length;
    behind.length = 1;
    rule->broken = true;
    parser->compile->incomplete = true;
    if (parser->token.kind == TOK_BAD) /* reported */
        goto skip;
    if (parser->token.kind == TOK_RBRACE || parser->token.kind == TOK_END || rule_begins(parser)) {
        analog_error(parser->compile, &behind, "expected . at the end of the rule");
        return false;
    }
    analog_error(parser->compile, &behind, "expected , or . behind a term");
    switch (parser->token.kind) {
    case TOK_NAME:
    case TOK_VARIABLE:
    case TOK_STRING:
    case TOK_INT:
        return true;
    default:
        break;
    }
skip:
    if (!skip_term(parser, parser->parens))
        return false;
    analog_advance(parser);
    return true;
}

static void parse_body(struct parser *parser, struct rule *rule)
{
    struct term **next = &rule->terms;
    uint32_t parens = parser->parens;

    for (;;) {
        struct term *term = analog_scratch(parser->compile, sizeof *term);
        if (!term)
            return;
        if (rule->n_terms == MAX_TERMS) {
            analog_error(parser->compile, &parser->token.where, "a rule has at most %u terms",
                         MAX_TERMS);
            rule->broken = true;
            while (skip_term(parser, parens))
                analog_advance(parser);
            return;
        }
        if (parse_term(parser, term)) {
            rule->n_terms++;
            *next = term;
            next = &term->next;
            if (!next_term(parser, rule))
                return;
            continue;
        }
        rule->broken = true;
        parser->compile->incomplete = true;
        if (!skip_term(parser, parens))
            return;
        analog_advance(parser);
    }
}

/* [label] [delete] name: what stands before the parenthesis of the head. */
static bool parse_rule_names(struct parser *parser, struct rule *rule)
{
    struct lexer ahead = parser->lexer;

    rule->label = "";
    for (int i = 0; i < 2; i++) {
        ahead = parser->lexer;
        ahead.muted = true;
        struct token behind = analog_lex(&ahead);
        if (behind.kind != TOK_NAME && behind.kind != TOK_VARIABLE)
            return true;
        if (parser->token.kind == TOK_NAME && analog_token_is(parser, "delete"))
            rule->deletes = true;
        else if (!rule->label[0] && !rule->deletes)
            rule->label = analog_token_copy(parser);
        else
            break;
        if (!rule->label)
            return false;
        analog_advance(parser);
    }
    ahead = parser->lexer;
    ahead.muted = true;
    if (analog_lex(&ahead).kind == TOK_LPAREN)
        return true;
    analog_advance(parser);
    analog_unexpected(parser, "( behind the name of a predicate",
                      "a rule is written LABEL HEAD(@N, ...) :- TERM, TERM.");
    return false;
}

struct rule *analog_parse_rule(struct parser *parser, bool *fact)
{
    struct rule *rule = analog_scratch(parser->compile, sizeof *rule);
    uint32_t parens = parser->parens;

    *fact = false;
    if (!rule)
        return NULL;
    rule->where = parser->token.where;
    bool named = parse_rule_names(parser, rule);
    if (named && rule->label[0] == '\0' && !rule->deletes)
        rule->where = parser->token.where;
    bool headed = named && parse_atom(parser, &rule->head);
    rule->broken = !headed;
    if (headed && parser->token.kind == TOK_DOT) {
        *fact = true;
    } else if (headed && !analog_accept(parser, TOK_IMPLIES)) {
        analog_unexpected(parser, ":- behind the head of a rule", NULL);
        rule->broken = true;
        if (parser->token.kind == TOK_COLON || parser->token.kind == TOK_SINGLE ||
            parser->token.kind == TOK_ASSIGN) {
            analog_advance(parser); /* a :- misspelt; the body is worth reading */
            analog_accept(parser, TOK_MINUS);
            parse_body(parser, rule);
        }
    } else if (headed) {
        parse_body(parser, rule);
    }
    if (rule->broken) {
        parser->compile->incomplete = true;
        while (!is_full_stop(parser) && skip_term(parser, parens))
            analog_advance(parser);
    }
    parser->parens = parens;
    analog_accept(parser, TOK_DOT);
    return headed ? rule : NULL;
}
