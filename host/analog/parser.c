/* Parsing statements: parameters, includes, and what stands outside of components. */
#include "analog/parser.h"

#include <string.h>

static void parse_file(struct compile *compile, struct source *source);

void analog_advance(struct parser *parser)
{
    parser->last = parser->token.where;
    if (parser->token.kind == TOK_LPAREN)
        parser->parens++;
    if (parser->token.kind == TOK_RPAREN && parser->parens)
        parser->parens--;
    parser->token = analog_lex(&parser->lexer);
}

bool analog_accept(struct parser *parser, enum token_kind kind)
{
    if (parser->token.kind != kind)
        return false;
    analog_advance(parser);
    return true;
}

bool analog_token_is(const struct parser *parser, const char *name)
{
    return parser->token.len == strlen(name) && !memcmp(parser->token.text, name, strlen(name));
}

char *analog_token_copy(struct parser *parser)
{
    return analog_keep_text(parser->compile, parser->token.text, parser->token.len);
}

void analog_unexpected(struct parser *parser, const char *what, const char *hint)
{
    const struct token *token = &parser->token;

    parser->compile->incomplete = true;
    if (token->kind == TOK_BAD) /* reported by the lexer */
        return;
    if (token->kind != TOK_END && token->kind != TOK_STRING && token->kind != TOK_FILE)
        analog_error(parser->compile, &token->where, "expected %s, found %.*s", what,
                     (int)(token->len < 60 ? token->len : 60), token->text);
    else
        analog_error(parser->compile, &token->where, "expected %s, found %s", what,
                     analog_token_text(token->kind));
    if (hint)
        analog_hint(parser->compile, "%s", hint);
}

bool analog_expect(struct parser *parser, enum token_kind kind, const char *what, const char *hint)
{
    if (analog_accept(parser, kind))
        return true;
    analog_unexpected(parser, what, hint);
    return false;
}

/* To the end of a statement: behind its full stop, or before what can only begin another one. */
void analog_skip_statement(struct parser *parser)
{
    while (parser->token.kind != TOK_END && !analog_accept(parser, TOK_DOT)) {
        if (parser->token.first_in_line &&
            (parser->token.kind == TOK_DIRECTIVE || analog_token_is(parser, "component") ||
             analog_token_is(parser, "param") || analog_token_is(parser, "include")))
            return;
        analog_advance(parser);
    }
}

void analog_end_statement(struct parser *parser, const char *what)
{
    struct mr_where behind = parser->last;

    if (analog_accept(parser, TOK_DOT))
        return;
    behind.column += behind.length;
    behind.length = 1;
    if (parser->token.kind != TOK_BAD)
        analog_error(parser->compile, &behind, "expected . at the end of %s", what);
    parser->compile->incomplete = true;
    if (!parser->token.first_in_line)
        analog_skip_statement(parser);
}

/* A directive ends with its line. */
static void end_line(struct parser *parser)
{
    if (parser->token.first_in_line || parser->token.kind == TOK_END)
        return;
    analog_unexpected(parser, "the end of the line", NULL);
    while (!parser->token.first_in_line && parser->token.kind != TOK_END)
        analog_advance(parser);
}

/* Also one whose value was not understood: its uses are no further errors. */
static void add_parameter(struct compile *compile, struct parameter *parameter)
{
    struct parameter **next = &compile->program.parameters;
    uint32_t n = 0;

    for (; *next; next = &(*next)->next, n++) {
        if (strcmp((*next)->name, parameter->name) != 0)
            continue;
        analog_error(compile, &parameter->where, "there is a parameter %s already, in line %u",
                     parameter->name, (*next)->where.line);
    }
    if (n < MAX_PARAMETERS)
        *next = parameter;
    else
        analog_too_many(compile, &parameter->where, LIMIT_PARAMETERS);
}

static void parse_param(struct parser *parser, bool directive)
{
    struct parameter *parameter = analog_scratch(parser->compile, sizeof *parameter);

    analog_advance(parser);
    if (!parameter)
        return;
    parameter->where = parser->token.where;
    if ((parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) ||
        (directive && parser->token.first_in_line)) {
        analog_unexpected(parser, "the name of the parameter",
                          directive ? "#define makes a parameter: #define NAME VALUE"
                                    : "write param NAME = VALUE.");
        if (!directive)
            analog_skip_statement(parser);
        return;
    }
    parameter->name = analog_token_copy(parser);
    if (!parameter->name)
        return;
    if (directive && !analog_lex_same_line(&parser->lexer)) {
        analog_error(parser->compile, &parameter->where, "expected a value behind the name");
        analog_hint(parser->compile, "#define makes a parameter: #define NAME VALUE");
        parser->compile->incomplete = true;
        parameter->broken = true;
        add_parameter(parser->compile, parameter);
        analog_advance(parser);
        return;
    }
    analog_advance(parser);
    if ((!directive && !analog_accept(parser, TOK_ASSIGN) &&
         !analog_expect(parser, TOK_SINGLE, "= and the value of the parameter",
                        "write param NAME = VALUE.")) ||
        !analog_parse_literal(parser, &parameter->value)) {
        parser->compile->incomplete = true;
        parameter->broken = true;
        add_parameter(parser->compile, parameter);
        analog_skip_statement(parser);
        return;
    }
    add_parameter(parser->compile, parameter);
    if (directive)
        end_line(parser);
    else
        analog_end_statement(parser, "param");
}

static void parse_include(struct parser *parser, bool directive)
{
    struct compile *compile = parser->compile;
    struct mr_where where = parser->token.where;
    struct source *source = NULL;
    bool known = false;
    uint32_t len;

    analog_advance(parser);
    if (parser->token.kind != TOK_STRING) {
        analog_unexpected(parser, "the file to include", "write include \"file\".");
        compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    where = analog_span(&where, &parser->token.where);
    char *name = analog_unescape(compile, parser->token.text + 1, parser->token.len - 2, &len);
    char *path = name ? analog_path(compile, parser->source->folder, name, strlen(name)) : NULL;
    analog_advance(parser);
    if (directive)
        end_line(parser);
    else
        analog_end_statement(parser, "include");
    if (!path)
        return;
    if (parser->source->depth + 1 >= MAX_DEPTH || compile->n_sources >= MAX_SOURCES)
        analog_error(compile, &where, "too many includes (at most %u deep, %u files)", MAX_DEPTH,
                     MAX_SOURCES);
    else
        source = analog_source_open(compile, path, &where, &known);
    if (!source && !known)
        compile->incomplete = true;
    if (!source)
        return;
    source->depth = parser->source->depth + 1;
    parse_file(compile, source);
}

/* #define NAME value and #include "file", as preprocessed programs have them. */
static void parse_directive(struct parser *parser)
{
    if (analog_token_is(parser, "#define")) {
        parse_param(parser, true);
        return;
    }
    if (analog_token_is(parser, "#include")) {
        parse_include(parser, true);
        return;
    }
    analog_error(parser->compile, &parser->token.where, "there is no directive %.*s",
                 (int)(parser->token.len < 60 ? parser->token.len : 60), parser->token.text);
    analog_hint(parser->compile, "known are #define NAME value and #include \"file\"");
    parser->compile->incomplete = true;
    analog_advance(parser);
    while (!parser->token.first_in_line && parser->token.kind != TOK_END)
        analog_advance(parser);
}

/* A rule or a fact outside of every component. */
static void parse_stray(struct parser *parser)
{
    bool fact;
    struct rule *rule = analog_parse_rule(parser, &fact);

    if (!rule)
        return;
    if (fact)
        analog_add_fact(parser, rule);
    else
        analog_add_stray(parser, rule);
}

/* A keyword that is misspelt: a statement begins with a name and goes on with another one, or with
 * a string. Says so and puts the right keyword into the token. */
static void mend_keyword(struct parser *parser)
{
    static const char *const keywords[] = {"component", "param", "include"};
    struct lexer ahead = parser->lexer;
    char name[16] = "";

    if (parser->token.len >= sizeof name)
        return;
    memcpy(name, parser->token.text, parser->token.len);
    struct nearest nearest = {.wanted = name};
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        analog_nearest(&nearest, keywords[i]);
    ahead.muted = true;
    enum token_kind behind = analog_lex(&ahead).kind;
    enum token_kind then = analog_lex(&ahead).kind;
    bool named = behind == TOK_NAME || behind == TOK_VARIABLE;
    bool fits = nearest.name && strcmp(name, nearest.name) != 0 &&
                ((nearest.name == keywords[0] && then == TOK_LPAREN && named) ||
                 (nearest.name == keywords[1] && then == TOK_SINGLE) ||
                 (nearest.name == keywords[2] && behind == TOK_STRING));
    if (!fits)
        return;
    analog_error(parser->compile, &parser->token.where, "there is no statement %s", name);
    analog_hint(parser->compile, "did you mean %s?", nearest.name);
    parser->token.text = nearest.name;
    parser->token.len = (uint32_t)strlen(nearest.name);
}

static void parse_statement(struct parser *parser)
{
    parser->parens = 0;
    if (parser->token.kind == TOK_NAME || parser->token.kind == TOK_VARIABLE)
        mend_keyword(parser);
    if (parser->token.kind == TOK_DIRECTIVE) {
        parse_directive(parser);
    } else if (parser->token.kind != TOK_NAME && parser->token.kind != TOK_VARIABLE) {
        analog_unexpected(parser, "component, param or include",
                          parser->token.kind == TOK_RBRACE ? "there is a } too many" : NULL);
        analog_advance(parser);
        if (parser->token.kind != TOK_NAME)
            analog_skip_statement(parser);
    } else if (analog_token_is(parser, "component")) {
        analog_parse_component(parser);
    } else if (analog_token_is(parser, "param")) {
        parse_param(parser, false);
    } else if (analog_token_is(parser, "include")) {
        parse_include(parser, false);
    } else if (analog_token_is(parser, "materialize")) {
        analog_parse_table(parser);
    } else if (analog_token_is(parser, "watch") || analog_token_is(parser, "watchmod")) {
        analog_parse_watch(parser);
    } else if (analog_is_alarm(parser)) {
        analog_parse_alarm(parser);
    } else if (analog_is_ship(parser)) {
        analog_parse_ship(parser);
    } else if (analog_is_receive(parser)) {
        analog_parse_receive(parser);
    } else {
        parse_stray(parser);
    }
}

static void parse_file(struct compile *compile, struct source *source)
{
    struct parser parser = {.compile = compile, .source = source};

    source->open = true;
    analog_lex_start(&parser.lexer, compile, source);
    analog_advance(&parser);
    parser.last = parser.token.where;
    while (parser.token.kind != TOK_END && !analog_enough(compile))
        parse_statement(&parser);
    source->open = false;
}

void analog_parse(struct compile *compile, struct source *source)
{
    parse_file(compile, source);
}
