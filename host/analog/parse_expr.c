/* Parsing expressions, with the precedence of C. */
#include "analog/parser.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define MAX_EXPR_DEPTH 100u

static struct expr *new_expr(struct parser *parser, enum expr_kind kind,
                             const struct mr_where *where)
{
    struct expr *expr = analog_scratch(parser->compile, sizeof *expr);
    if (!expr)
        return NULL;
    expr->kind = kind;
    expr->where = *where;
    expr->depth = 1;
    return expr;
}

static bool too_deep(struct parser *parser, uint32_t depth)
{
    if (depth <= MAX_EXPR_DEPTH)
        return false;
    analog_error(parser->compile, &parser->token.where, "this expression is nested too deeply");
    analog_hint(parser->compile, "give parts of it names: X = ..., Y = X + ...");
    return true;
}

static struct expr *new_node(struct parser *parser, enum mr_compute op,
                             const struct mr_where *where, struct expr *left, struct expr *right)
{
    struct mr_where span =
        right ? analog_span(&left->where, &right->where) : analog_span(where, &left->where);
    uint32_t depth = 1 + (right && right->depth > left->depth ? right->depth : left->depth);
    if (too_deep(parser, depth))
        return NULL;
    struct expr *node = new_expr(parser, right ? EXPR_BINARY : EXPR_UNARY, &span);
    if (!node)
        return NULL;
    node->op = op;
    node->depth = depth;
    node->u.node.left = left;
    node->u.node.right = right;
    node->u.node.where = *where;
    return node;
}

/* A string token; `is_file` makes it a path, which counts from the folder of this file. */
static bool text_literal(struct parser *parser, struct literal *literal, bool is_file)
{
    const struct token *token = &parser->token;
    uint32_t quotes = token->kind == TOK_STRING, len;

    literal->where = token->where;
    literal->raw = analog_keep_text(parser->compile, token->text + quotes, token->len - 2 * quotes);
    literal->raw_len = token->len - 2 * quotes;
    char *text = literal->raw
                     ? analog_unescape(parser->compile, literal->raw, literal->raw_len, &len)
                     : NULL;
    if (!text)
        return false;
    if (is_file) {
        if (memchr(text, '\0', len)) {
            analog_error(parser->compile, &literal->where, "a path cannot hold a byte 0");
            return false;
        }
        literal->raw = NULL; /* offsets in a file are none in this string */
        text = analog_path(parser->compile, parser->source->folder, text, len);
        if (!text)
            return false;
        len = (uint32_t)strlen(text);
    }
    literal->constant = (struct mr_constant){
        .type = MR_TYPE_STRING, .value = mr_value_bytes(text, len), .is_file = is_file};
    return true;
}

static bool number_literal(struct parser *parser, struct literal *literal, bool negative)
{
    const struct token *token = &parser->token;

    literal->where = token->where;
    if (token->kind == TOK_INT) {
        literal->constant.type = MR_TYPE_INT;
        literal->constant.value = mr_value_int(negative ? -token->i : token->i);
    } else {
        double d = token->kind == TOK_REAL ? token->d : (double)INFINITY;
        literal->constant.type = MR_TYPE_REAL;
        literal->constant.value = mr_value_int(0);
        literal->constant.value.d = negative ? -d : d;
    }
    return true;
}

/* Behind an @ that is the current token: the file that it names. */
static bool file_literal(struct parser *parser, struct literal *literal)
{
    struct mr_where at = parser->token.where;
    struct lexer behind = parser->lexer;

    if (behind.at < behind.source->len && behind.source->text[behind.at] == '"')
        parser->token = analog_lex(&parser->lexer);
    else
        parser->token = analog_lex_path(&parser->lexer);
    if (parser->token.kind == TOK_BAD || !text_literal(parser, literal, true))
        return false;
    literal->where = analog_span(&at, &parser->token.where);
    analog_advance(parser);
    return true;
}

static bool is_infinity(const struct parser *parser)
{
    return parser->token.kind == TOK_NAME && analog_token_is(parser, "infinity");
}

bool analog_parse_literal(struct parser *parser, struct literal *literal)
{
    struct mr_where start = parser->token.where;
    bool negative = analog_accept(parser, TOK_MINUS);
    enum token_kind kind = parser->token.kind;

    if (kind == TOK_INT || kind == TOK_REAL || is_infinity(parser)) {
        number_literal(parser, literal, negative);
        literal->where = analog_span(&start, &literal->where);
        analog_advance(parser);
        return true;
    }
    if (kind == TOK_STRING && !negative) {
        if (!text_literal(parser, literal, false))
            return false;
        analog_advance(parser);
        return true;
    }
    if (kind == TOK_AT && !negative)
        return file_literal(parser, literal);
    analog_unexpected(parser, "a number, a string or a file (@\"path\")", NULL);
    return false;
}

static struct expr *parse_arguments(struct parser *parser, struct expr *call)
{
    struct expr **next = &call->u.call.args;

    analog_advance(parser);
    if (analog_accept(parser, TOK_RPAREN))
        return call;
    do {
        struct expr *arg;
        if (parser->token.kind == TOK_AT) {
            arg = new_expr(parser, EXPR_LITERAL, &parser->token.where);
            if (!arg || !file_literal(parser, &arg->u.literal))
                return NULL;
            arg->where = arg->u.literal.where;
        } else {
            arg = analog_parse_expr(parser);
        }
        if (!arg)
            return NULL;
        *next = arg;
        next = &arg->next;
        if (call->depth <= arg->depth)
            call->depth = arg->depth + 1;
        if (too_deep(parser, call->depth))
            return NULL;
        if (++call->u.call.n_args > MAX_ARITY) {
            analog_error(parser->compile, &arg->where, "too many arguments");
            return NULL;
        }
    } while (analog_accept(parser, TOK_COMMA));
    if (!analog_expect(parser, TOK_RPAREN, ") or , in the arguments of a function", NULL))
        return NULL;
    call->where = analog_span(&call->where, &parser->last);
    return call;
}

/* A name: function call, parameter, variable. */
static struct expr *parse_name(struct parser *parser)
{
    struct mr_where where = parser->token.where;
    bool is_function = parser->token.len > 2 && !strncasecmp(parser->token.text, "f_", 2);
    char *name = analog_token_copy(parser);

    if (!name)
        return NULL;
    analog_advance(parser);
    if (parser->token.kind == TOK_LPAREN) {
        if (!is_function) {
            analog_error(parser->compile, &where, "%s is no function", name);
            analog_hint(parser->compile, "names of functions begin with f_");
            return NULL;
        }
        struct expr *call = new_expr(parser, EXPR_CALL, &where);
        if (!call)
            return NULL;
        call->u.call.name = name;
        call->u.call.where = where;
        return parse_arguments(parser, call);
    }
    if (is_function && where.length > 2 && name[0] == 'f') {
        analog_error(parser->compile, &where, "expected ( behind the function %s", name);
        return NULL;
    }
    struct expr *expr = new_expr(parser, EXPR_NAME, &where);
    if (expr)
        expr->u.name = name;
    return expr;
}

static struct expr *parse_primary(struct parser *parser)
{
    struct expr *expr;
    struct mr_where where = parser->token.where;

    switch (parser->token.kind) {
    case TOK_INT:
    case TOK_REAL:
    case TOK_STRING:
        expr = new_expr(parser, EXPR_LITERAL, &where);
        return expr && analog_parse_literal(parser, &expr->u.literal) ? expr : NULL;
    case TOK_WILDCARD:
        analog_advance(parser);
        return new_expr(parser, EXPR_WILDCARD, &where);
    case TOK_NAME:
        if (is_infinity(parser)) {
            expr = new_expr(parser, EXPR_LITERAL, &where);
            return expr && analog_parse_literal(parser, &expr->u.literal) ? expr : NULL;
        }
        if (analog_token_is(parser, "null")) {
            analog_advance(parser);
            return new_expr(parser, EXPR_NULL, &where);
        }
        return parse_name(parser);
    case TOK_VARIABLE:
        return parse_name(parser);
    case TOK_LPAREN:
        analog_advance(parser);
        expr = analog_parse_expr(parser);
        if (!expr)
            return NULL;
        if (parser->token.kind == TOK_SINGLE || parser->token.kind == TOK_ASSIGN) {
            analog_unexpected(parser, ")", "inside an expression, == compares");
            return NULL;
        }
        return analog_expect(parser, TOK_RPAREN, ")", NULL) ? expr : NULL;
    case TOK_AT:
        analog_unexpected(parser, "an expression",
                          "@ marks the location of a tuple, or a file in a function's arguments");
        return NULL;
    default:
        analog_unexpected(parser, "an expression", NULL);
        return NULL;
    }
}

/* -5 is a literal, so that it can stand where a constant must. */
static bool negate_literal(struct expr *expr, const struct mr_where *sign)
{
    struct mr_constant *constant = &expr->u.literal.constant;

    if (expr->kind != EXPR_LITERAL || constant->type == MR_TYPE_STRING)
        return false;
    if (constant->type == MR_TYPE_INT)
        constant->value.i = (int64_t)(0 - (uint64_t)constant->value.i);
    else
        constant->value.d = -constant->value.d;
    expr->where = expr->u.literal.where = analog_span(sign, &expr->where);
    return true;
}

static struct expr *parse_unary(struct parser *parser)
{
    struct mr_where where = parser->token.where;
    enum token_kind kind = parser->token.kind;

    if (too_deep(parser, parser->depth + 1))
        return NULL;
    if (kind != TOK_MINUS && kind != TOK_NOT && kind != TOK_TILDE && kind != TOK_PLUS)
        return parse_primary(parser);
    analog_advance(parser);
    parser->depth++;
    struct expr *operand = parse_unary(parser);
    parser->depth--;
    if (!operand || kind == TOK_PLUS || (kind == TOK_MINUS && negate_literal(operand, &where)))
        return operand;
    enum mr_compute op = kind == TOK_MINUS ? MR_COMPUTE_NEGATE
                         : kind == TOK_NOT ? MR_COMPUTE_NOT
                                           : MR_COMPUTE_BIT_NOT;
    return new_node(parser, op, &where, operand, NULL);
}

#define LEVELS 10

static int level_of(enum token_kind kind, enum mr_compute *op)
{
    static const struct {
        enum token_kind kind;
        int level;
        enum mr_compute op;
    } operators[] = {
        {TOK_OROR, 0, MR_COMPUTE_OR},     {TOK_ANDAND, 1, MR_COMPUTE_AND},
        {TOK_OR, 2, MR_COMPUTE_BIT_OR},   {TOK_XOR, 3, MR_COMPUTE_BIT_XOR},
        {TOK_AND, 4, MR_COMPUTE_BIT_AND}, {TOK_EQ, 5, MR_COMPUTE_EQ},
        {TOK_NE, 5, MR_COMPUTE_NE},       {TOK_LT, 6, MR_COMPUTE_LT},
        {TOK_LE, 6, MR_COMPUTE_LE},       {TOK_GT, 6, MR_COMPUTE_GT},
        {TOK_GE, 6, MR_COMPUTE_GE},       {TOK_SHL, 7, MR_COMPUTE_SHL},
        {TOK_SHR, 7, MR_COMPUTE_SHR},     {TOK_PLUS, 8, MR_COMPUTE_ADD},
        {TOK_MINUS, 8, MR_COMPUTE_SUB},   {TOK_STAR, 9, MR_COMPUTE_MUL},
        {TOK_SLASH, 9, MR_COMPUTE_DIV},   {TOK_PERCENT, 9, MR_COMPUTE_MOD},
    };
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (operators[i].kind != kind)
            continue;
        *op = operators[i].op;
        return operators[i].level;
    }
    return -1;
}

/* Precedence climbing: takes operators that bind at least as tight as `level`. */
static struct expr *parse_binary(struct parser *parser, int level)
{
    struct expr *left = parse_unary(parser);
    enum mr_compute op = MR_COMPUTE_OR;

    while (left) {
        int found = level_of(parser->token.kind, &op);
        if (found < level)
            return left;
        struct mr_where where = parser->token.where;
        analog_advance(parser);
        struct expr *right = parse_binary(parser, found + 1);
        left = right ? new_node(parser, op, &where, left, right) : NULL;
    }
    return NULL;
}

struct expr *analog_parse_expr(struct parser *parser)
{
    if (too_deep(parser, parser->depth + 1))
        return NULL;
    parser->depth++;
    struct expr *expr = parse_binary(parser, 0);
    parser->depth--;
    return expr;
}

/* a_MIN<C>: the current token is its name. */
static struct expr *parse_aggregate(struct parser *parser)
{
    struct expr *expr = new_expr(parser, EXPR_AGGREGATE, &parser->token.where);
    if (!expr)
        return NULL;
    expr->u.aggregate.name = analog_token_copy(parser);
    analog_advance(parser);
    if (!analog_accept(parser, TOK_LT) ||
        (parser->token.kind != TOK_STAR && parser->token.kind != TOK_VARIABLE)) {
        analog_unexpected(parser, "a variable or * in an aggregate",
                          "write a_COUNT<*> or a_MIN<C>");
        return NULL;
    }
    if (parser->token.kind == TOK_VARIABLE) {
        struct expr *of = new_expr(parser, EXPR_NAME, &parser->token.where);
        if (!of || !(of->u.name = analog_token_copy(parser)))
            return NULL;
        expr->u.aggregate.of = of;
    }
    analog_advance(parser);
    if (!analog_expect(parser, TOK_GT, "> at the end of an aggregate", NULL))
        return NULL;
    expr->where = analog_span(&expr->where, &parser->last);
    return expr->u.aggregate.name ? expr : NULL;
}

static bool is_aggregate(const struct parser *parser)
{
    struct lexer ahead = parser->lexer;

    if (parser->token.kind != TOK_NAME || parser->token.len < 3 ||
        memcmp(parser->token.text, "a_", 2) != 0)
        return false;
    ahead.muted = true;
    enum token_kind kind = analog_lex(&ahead).kind;
    return kind == TOK_LT || kind == TOK_NE; /* a_COUNT<> */
}

struct expr *analog_parse_attribute(struct parser *parser)
{
    struct mr_where at = parser->token.where;

    if (is_aggregate(parser))
        return parse_aggregate(parser);
    bool located = analog_accept(parser, TOK_AT);
    struct expr *expr = analog_parse_expr(parser);
    if (expr && located) {
        expr->located = true;
        expr->where = analog_span(&at, &expr->where);
    }
    return expr;
}
