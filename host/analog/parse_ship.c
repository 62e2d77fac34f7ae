/* Parsing what goes from one program to another: ship(PREDICATE, "PROGRAM"), ship(PREDICATE,
 * "@NODE"), and receive PREDICATE(@N, TYPE NAME, ...). */
#include "analog/parser.h"

#include "base/number.h"

#include <string.h>

static const char ship_usage[] =
    "write ship(PREDICATE, \"PROGRAM\"). or ship(PREDICATE, \"@HOST:PORT\").";
static const char receive_usage[] = "write receive PREDICATE(@N, flow FLOW, string MAIL).";

bool analog_is_ship(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;

    ahead.muted = true;
    return analog_token_is(parser, "ship") && analog_lex(&ahead).kind == TOK_LPAREN &&
           analog_lex(&ahead).kind == TOK_NAME;
}

bool analog_is_receive(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;

    ahead.muted = true;
    return analog_token_is(parser, "receive") && analog_lex(&ahead).kind == TOK_NAME;
}

/* What a name behind the colon means is the actuator's matter. */
static bool is_wrong_port(const char *node)
{
    const char *colon = strrchr(node, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

    return colon && !colon[1 + digits] && !mr_may_be_port(colon + 1);
}

static bool parse_ship(struct parser *parser, struct ship *ship)
{
    uint32_t len = 0;

    analog_advance(parser);
    if (!analog_expect(parser, TOK_LPAREN, "( behind ship", ship_usage))
        return false;
    ship->where = parser->token.where;
    ship->name = parser->token.kind == TOK_NAME ? analog_token_copy(parser) : NULL;
    if (!analog_expect(parser, TOK_NAME, "the name of a predicate", ship_usage) || !ship->name ||
        !analog_expect(parser, TOK_COMMA, ", and to whom", ship_usage))
        return false;
    struct token to = parser->token;
    if (!analog_expect(parser, TOK_STRING, "the name of a program, in quotes", ship_usage))
        return false;
    ship->to = analog_unescape(parser->compile, to.text + 1, to.len - 2, &len);
    if (!ship->to)
        return false;
    if (!len || memchr(ship->to, '\0', len) || (len == 1 && ship->to[0] == '@')) {
        analog_error(parser->compile, &to.where, "this is no name of a program or node");
        analog_hint(parser->compile, "%s", ship_usage);
        return false;
    }
    if (ship->to[0] == '@' && is_wrong_port(ship->to)) {
        analog_error(parser->compile, &to.where, "%s is no port", strrchr(ship->to, ':'));
        analog_hint(parser->compile, "give a number from 1 to 65535 behind the colon");
    }
    return analog_expect(parser, TOK_RPAREN, ") behind ship", ship_usage);
}

void analog_parse_ship(struct parser *parser)
{
    struct compile *compile = parser->compile;
    struct ship *ship = analog_scratch(compile, sizeof *ship);
    struct ship **next = &compile->program.ships;

    if (!ship)
        return;
    if (!parse_ship(parser, ship)) {
        compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    analog_end_statement(parser, "ship");
    for (; *next; next = &(*next)->next) {
        bool nodes = (*next)->to[0] == '@' && ship->to[0] == '@';
        if (strcmp((*next)->name, ship->name) != 0 ||
            (!nodes && strcmp((*next)->to, ship->to) != 0))
            continue;
        analog_error(compile, &ship->where, "%s is shipped to %s already, in line %u", ship->name,
                     (*next)->to, (*next)->where.line);
        if (nodes)
            analog_hint(compile, "tuples of a predicate go to one node");
        return;
    }
    if (compile->program.n_ships == MAX_STATEMENTS) {
        analog_too_many(compile, &ship->where, LIMIT_SHIPS);
        return;
    }
    *next = ship;
    compile->program.n_ships++;
}

static bool parse_type(struct parser *parser, struct receive *receive)
{
    struct token token = parser->token;

    if (!analog_expect(parser, TOK_NAME, "the type of an attribute", receive_usage))
        return false;
    for (int t = MR_TYPE_ANY; t <= MR_TYPE_LIST; t++) {
        const char *name = mr_type_name((enum mr_type)t);
        if (t == MR_TYPE_ANY || t == MR_TYPE_NODE || strlen(name) != token.len ||
            memcmp(name, token.text, token.len) != 0)
            continue;
        receive->types[receive->atom.n_args] = (enum mr_type)t;
        return true;
    }
    analog_error(parser->compile, &token.where, "there is no type %.*s",
                 (int)(token.len < 60 ? token.len : 60), token.text);
    analog_hint(parser->compile, "attributes that can be received have types such as int, string, "
                                 "flow, address");
    return false;
}

static bool parse_receive(struct parser *parser, struct receive *receive)
{
    analog_advance(parser);
    receive->atom.where = parser->token.where;
    receive->atom.name = analog_token_copy(parser);
    analog_advance(parser);
    if (!receive->atom.name || !analog_expect(parser, TOK_LPAREN, "(", receive_usage) ||
        !analog_expect(parser, TOK_AT, "@ and the location", receive_usage))
        return false;
    receive->types[0] = MR_TYPE_NODE;
    do {
        uint32_t i = receive->atom.n_args;
        if (i == MAX_ARITY) {
            analog_error(parser->compile, &parser->token.where,
                         "a predicate has at most %u attributes", MAX_ARITY);
            return false;
        }
        if (i && !parse_type(parser, receive))
            return false;
        receive->names[i] = parser->token.kind == TOK_VARIABLE ? analog_token_copy(parser) : NULL;
        if (!analog_expect(parser, TOK_VARIABLE, "the name of an attribute", receive_usage) ||
            !receive->names[i])
            return false;
        receive->atom.n_args++;
    } while (analog_accept(parser, TOK_COMMA));
    return analog_expect(parser, TOK_RPAREN, ") or ,", receive_usage);
}

void analog_parse_receive(struct parser *parser)
{
    struct compile *compile = parser->compile;
    struct receive *receive = analog_scratch(compile, sizeof *receive);
    struct receive **next = &compile->program.receives;

    if (!receive)
        return;
    if (!parse_receive(parser, receive)) {
        compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    analog_end_statement(parser, "receive");
    for (; *next; next = &(*next)->next) {
        if (strcmp((*next)->atom.name, receive->atom.name) != 0)
            continue;
        analog_error(compile, &receive->atom.where, "%s is received already, in line %u",
                     receive->atom.name, (*next)->atom.where.line);
        return;
    }
    if (compile->program.n_receives == MAX_PREDICATES) {
        analog_too_many(compile, &receive->atom.where, LIMIT_PREDICATES);
        return;
    }
    *next = receive;
    compile->program.n_receives++;
}
