/* Parsing tables: materialize, watch, facts. */
#include "analog/parser.h"

#include <string.h>

#define NS_PER_S     1000000000u
#define MAX_LIFETIME 1e9 /* seconds */

/* A number of seconds or of rows, or infinity (which is stored as the largest number). */
static bool parse_amount(struct parser *parser, const char *what, double *amount)
{
    struct token token = parser->token;

    *amount = -1;
    if (token.kind == TOK_NAME && analog_token_is(parser, "infinity")) {
        analog_advance(parser);
        return true;
    }
    if (token.kind == TOK_REAL)
        analog_advance(parser);
    else if (!analog_expect(parser, TOK_INT, what, "write a number or infinity"))
        return false;
    *amount = token.kind == TOK_REAL ? token.d : (double)token.i;
    if (*amount > 0)
        return true;
    analog_error(parser->compile, &token.where, "%s must be above 0", what);
    *amount = 1;
    return true;
}

static bool parse_table_key(struct parser *parser, struct table_key ***next, const char *usage)
{
    struct table_key *key = analog_scratch(parser->compile, sizeof *key);

    if (!key)
        return false;
    key->where = parser->token.where;
    key->index = parser->token.i;
    if (!analog_expect(parser, TOK_INT, "the number of an attribute", usage))
        return false;
    if (analog_accept(parser, TOK_COLON)) {
        key->type_where = parser->token.where;
        key->type = analog_token_copy(parser);
        if (!analog_expect(parser, TOK_NAME, "the type of the attribute", usage) || !key->type)
            return false;
    }
    **next = key;
    *next = &key->next;
    return true;
}

/* materialize(TABLE, LIFETIME, SIZE, keys(1, 2:str)) */
static bool parse_table(struct parser *parser, struct table *table)
{
    static const char usage[] = "write materialize(TABLE, LIFETIME, SIZE, keys(1, 2)).";
    struct table_key **next = &table->keys;
    double lifetime = 0, rows = 0;

    analog_advance(parser);
    if (!analog_expect(parser, TOK_LPAREN, "( behind materialize", usage))
        return false;
    table->where = parser->token.where;
    table->name = parser->token.kind == TOK_NAME ? analog_token_copy(parser) : NULL;
    if (!analog_expect(parser, TOK_NAME, "the name of a predicate", usage) || !table->name ||
        !analog_expect(parser, TOK_COMMA, ", and the lifetime of its tuples", usage) ||
        !parse_amount(parser, "the lifetime of its tuples", &lifetime) ||
        !analog_expect(parser, TOK_COMMA, ", and the size of the table", usage) ||
        !parse_amount(parser, "the size of the table", &rows) ||
        !analog_expect(parser, TOK_COMMA, ", and the keys of the table", usage))
        return false;
    table->plan->lifetime_ns =
        lifetime < 0 || lifetime > MAX_LIFETIME ? MR_FOREVER : (uint64_t)(lifetime * NS_PER_S);
    table->plan->max_rows = rows < 0 || rows > 1e18 ? MR_FOREVER : (uint64_t)rows;
    if (!table->plan->max_rows)
        table->plan->max_rows = 1;
    if (!analog_token_is(parser, "keys")) {
        analog_unexpected(parser, "keys(...)", usage);
        return false;
    }
    analog_advance(parser);
    if (!analog_expect(parser, TOK_LPAREN, "( behind keys", usage))
        return false;
    do {
        if (!parse_table_key(parser, &next, usage))
            return false;
    } while (analog_accept(parser, TOK_COMMA));
    return analog_expect(parser, TOK_RPAREN, ") or , in the keys of the table", usage) &&
           analog_expect(parser, TOK_RPAREN, ") at the end of materialize", usage);
}

static void add_table(struct parser *parser, struct table *table)
{
    struct compile *compile = parser->compile;
    struct table **next = &compile->program.tables;

    for (; *next; next = &(*next)->next) {
        if (strcmp((*next)->name, table->name) != 0)
            continue;
        analog_error(compile, &table->where, "there is a table %s already, in line %u", table->name,
                     (*next)->where.line);
        return;
    }
    if (compile->program.n_tables == MAX_TABLES) {
        analog_too_many(compile, &table->where, LIMIT_TABLES);
        return;
    }
    table->index = compile->program.n_tables++;
    table->plan->name = table->name;
    table->plan->where = table->where;
    *next = table;
}

void analog_parse_table(struct parser *parser)
{
    struct table *table = analog_scratch(parser->compile, sizeof *table);

    if (!table || !(table->plan = analog_keep(parser->compile, sizeof *table->plan)))
        return;
    if (!parse_table(parser, table)) {
        parser->compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    add_table(parser, table);
    analog_end_statement(parser, "materialize");
}

/* Which changes watchmod names: "a" what is put in, "d" what goes. */
static bool parse_letters(struct parser *parser, struct watch *watch)
{
    static const char usage[] =
        "write watchmod(PREDICATE, \"ad\"): a for what is added, d for what is deleted";
    struct token token = parser->token;

    if (!analog_expect(parser, TOK_STRING, "a string", usage))
        return false;
    watch->what = 0;
    for (uint32_t i = 1; i + 1 < token.len; i++) {
        if (token.text[i] != 'a' && token.text[i] != 'd') {
            analog_error(parser->compile, &token.where, "watchmod knows only a and d");
            analog_hint(parser->compile, "%s", usage);
            return true;
        }
        watch->what |= token.text[i] == 'a' ? MR_WATCH_ADD : MR_WATCH_DELETE;
    }
    return true;
}

static bool parse_watch(struct parser *parser, struct watch *watch)
{
    bool letters = analog_token_is(parser, "watchmod");

    analog_advance(parser);
    watch->what = MR_WATCH_ADD | MR_WATCH_DELETE;
    if (!analog_expect(parser, TOK_LPAREN, "(", NULL))
        return false;
    watch->where = parser->token.where;
    watch->name = parser->token.kind == TOK_NAME ? analog_token_copy(parser) : NULL;
    if (!analog_expect(parser, TOK_NAME, "the name of a predicate", NULL) || !watch->name)
        return false;
    if (letters && (!analog_expect(parser, TOK_COMMA, ", and what to watch",
                                   "write watchmod(PREDICATE, \"ad\").") ||
                    !parse_letters(parser, watch)))
        return false;
    return analog_expect(parser, TOK_RPAREN, ")", NULL);
}

void analog_parse_watch(struct parser *parser)
{
    struct watch *watch = analog_scratch(parser->compile, sizeof *watch);

    if (!watch)
        return;
    if (!parse_watch(parser, watch)) {
        parser->compile->incomplete = true;
        analog_skip_statement(parser);
        return;
    }
    watch->next = parser->compile->program.watches;
    parser->compile->program.watches = watch;
    analog_end_statement(parser, "watch");
}

void analog_add_fact(struct parser *parser, const struct rule *rule)
{
    struct fact *fact = analog_scratch(parser->compile, sizeof *fact);
    struct ast_program *program = &parser->compile->program;

    if (!fact)
        return;
    if (rule->deletes) {
        analog_error(parser->compile, &rule->where, "a fact cannot be deleted");
        analog_hint(parser->compile, "a rule that deletes has a body: delete %s(...) :- ...",
                    rule->head.name);
        return;
    }
    fact->atom = rule->head;
    if (program->last_fact)
        program->last_fact->next = fact;
    else
        program->facts = fact;
    program->last_fact = fact;
}
