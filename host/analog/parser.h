/* What the files of the parser share. Recursive descent, one token of lookahead; copying the
 * parser's lexer looks further. A function that cannot go on has reported why and returns NULL or
 * false; whoever can recover skips to a safe place and goes on.
 */
#ifndef MR_ANALOG_PARSER_H
#define MR_ANALOG_PARSER_H

#include "analog/diagnostic.h"
#include "analog/lexer.h"

struct parser {
    struct compile *compile;
    struct source *source;
    struct lexer lexer;
    struct token token;   /* not yet taken */
    struct mr_where last; /* of the token taken last */
    uint32_t parens;      /* open ones, up to `token` */
    uint32_t depth;       /* of nested expressions */
};

/* ---- parser.c ---- */
void analog_advance(struct parser *parser);
bool analog_accept(struct parser *parser, enum token_kind kind);

/* Takes the token, or reports that `what` was expected; the hint may be NULL. */
bool analog_expect(struct parser *parser, enum token_kind kind, const char *what, const char *hint);

/* "expected WHAT, found ...", at the token. */
void analog_unexpected(struct parser *parser, const char *what, const char *hint);

/* To the end of a statement: behind its full stop, or before what can only begin another one. */
void analog_skip_statement(struct parser *parser);

/* The full stop behind a statement. */
void analog_end_statement(struct parser *parser, const char *what);

bool analog_token_is(const struct parser *parser, const char *name);
char *analog_token_copy(struct parser *parser);

/* ---- parse_component.c ---- */

/* The current token is `component`. */
void analog_parse_component(struct parser *parser);

/* A rule outside of every component: of the only one, which has no name, where there are none. */
void analog_add_stray(struct parser *parser, struct rule *rule);

/* ---- parse_table.c ---- */

/* The current token is `materialize`, or `watch` or `watchmod`. */
void analog_parse_table(struct parser *parser);
void analog_parse_watch(struct parser *parser);
void analog_add_fact(struct parser *parser, const struct rule *rule);

/* ---- parse_action.c ---- */

/* Is the current token the beginning of alarm(PREDICATE ...)? A predicate may be called alarm. */
bool analog_is_alarm(const struct parser *parser);
void analog_parse_alarm(struct parser *parser);

/* ---- parse_ship.c ---- */

/* Is the current token the beginning of ship(PREDICATE ...), of receive PREDICATE? */
bool analog_is_ship(const struct parser *parser);
bool analog_is_receive(const struct parser *parser);
void analog_parse_ship(struct parser *parser);
void analog_parse_receive(struct parser *parser);

/* ---- parse_rule.c ---- */

/* Label, head, body, full stop. NULL: out of memory, or nothing usable. *fact: it has no body. */
struct rule *analog_parse_rule(struct parser *parser, bool *fact);

/* ---- parse_expr.c ---- */
struct expr *analog_parse_expr(struct parser *parser);

/* What may stand between the parentheses of an atom. */
struct expr *analog_parse_attribute(struct parser *parser);

/* The value of a param: literals, with a sign, or a file. */
bool analog_parse_literal(struct parser *parser, struct literal *literal);

#endif
