// layers: analog base
/* Tokens and expressions: every token, escapes, comments, precedence. */
#include "analog/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct compile compile;
    struct source source;
    struct mr_arena memory;
};

static void set_up(struct bench *bench, const char *text)
{
    static const struct mr_analog_config config = {.components = NULL};
    memset(bench, 0, sizeof *bench);
    mr_arena_init(&bench->memory, 0);
    mr_arena_init(&bench->compile.scratch, 0);
    bench->compile.memory = &bench->memory;
    bench->compile.config = &config;
    bench->compile.diagnostics = mr_diagnostics_new();
    bench->source =
        (struct source){.name = "test", .folder = "", .text = text, .len = strlen(text)};
    bench->compile.sources = &bench->source;
}

static void tear_down(struct bench *bench)
{
    mr_diagnostics_free(bench->compile.diagnostics);
    mr_arena_free(&bench->compile.scratch);
    mr_arena_free(&bench->memory);
}

static uint32_t errors_of(const struct bench *bench)
{
    return mr_diagnostics_errors(bench->compile.diagnostics);
}

static void test_tokens(void **state)
{
    static const char text[] =
        "name Name _ _x f_x 12 0x1F 3U 1.5 1.5e3 2e-2 \"a\\\"b\" ( ) { } [ ] , . : @ :- := = == != "
        "<> "
        "< <= > >= << >> + - * / % & | ^ ~ ! && || /* a /* b */ c */ // d\n%% e\n#define";
    static const enum token_kind kinds[] = {
        TOK_NAME,   TOK_VARIABLE, TOK_WILDCARD, TOK_VARIABLE, TOK_NAME,     TOK_INT,    TOK_INT,
        TOK_INT,    TOK_REAL,     TOK_REAL,     TOK_REAL,     TOK_STRING,   TOK_LPAREN, TOK_RPAREN,
        TOK_LBRACE, TOK_RBRACE,   TOK_LBRACKET, TOK_RBRACKET, TOK_COMMA,    TOK_DOT,    TOK_COLON,
        TOK_AT,     TOK_IMPLIES,  TOK_ASSIGN,   TOK_SINGLE,   TOK_EQ,       TOK_NE,     TOK_NE,
        TOK_LT,     TOK_LE,       TOK_GT,       TOK_GE,       TOK_SHL,      TOK_SHR,    TOK_PLUS,
        TOK_MINUS,  TOK_STAR,     TOK_SLASH,    TOK_PERCENT,  TOK_AND,      TOK_OR,     TOK_XOR,
        TOK_TILDE,  TOK_NOT,      TOK_ANDAND,   TOK_OROR,     TOK_DIRECTIVE};
    struct bench bench;
    struct lexer lexer;
    (void)state;

    set_up(&bench, text);
    analog_lex_start(&lexer, &bench.compile, &bench.source);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct token token = analog_lex(&lexer);
        if (token.kind != kinds[i])
            fail_msg("token %zu is %s", i, analog_token_text(token.kind));
    }
    assert_int_equal(analog_lex(&lexer).kind, TOK_END);
    assert_int_equal(errors_of(&bench), 0);
    tear_down(&bench);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int64_t i;
        double d;
    } cases[] = {
        {"0", 0, 0},       {"007", 7, 0},         {"0x10", 16, 0},
        {"0XfFu", 255, 0}, {"12U", 12, 0},        {"9223372036854775807", INT64_MAX, 0},
        {"1.5", 0, 1.5},   {"1e3", 0, 1000},      {"2.5E-1", 0, 0.25},
        {"1e+2", 0, 100},  {"0.000001", 0, 1e-6}, {"1e-400", 0, 0},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench bench;
        struct lexer lexer;
        set_up(&bench, cases[i].text);
        analog_lex_start(&lexer, &bench.compile, &bench.source);
        struct token token = analog_lex(&lexer);
        assert_int_equal(analog_lex(&lexer).kind, TOK_END);
        assert_int_equal(errors_of(&bench), 0);
        if (token.kind == TOK_INT)
            assert_int_equal(token.i, cases[i].i);
        else
            assert_true(token.kind == TOK_REAL && token.d == cases[i].d);
        tear_down(&bench);
    }
}

/* A full stop behind a number ends the rule; behind a digit it needs another digit. */
static void test_number_and_full_stop(void **state)
{
    struct bench bench;
    struct lexer lexer;
    (void)state;

    set_up(&bench, "1. 1.5. x1.");
    analog_lex_start(&lexer, &bench.compile, &bench.source);
    static const enum token_kind kinds[] = {TOK_INT,  TOK_DOT, TOK_REAL, TOK_DOT,
                                            TOK_NAME, TOK_DOT, TOK_END};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_int_equal(analog_lex(&lexer).kind, kinds[i]);
    tear_down(&bench);
}

static void test_places(void **state)
{
    struct bench bench;
    struct lexer lexer;
    (void)state;

    set_up(&bench, "one\n  two /*\n*/ three\r\n\tfour");
    analog_lex_start(&lexer, &bench.compile, &bench.source);
    static const struct {
        uint32_t line, column;
        bool first;
    } places[] = {{1, 1, true}, {2, 3, true}, {3, 4, true}, {4, 2, true}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct token token = analog_lex(&lexer);
        assert_int_equal(token.where.line, places[i].line);
        assert_int_equal(token.where.column, places[i].column);
        assert_int_equal(token.first_in_line, places[i].first);
    }
    tear_down(&bench);
}

static void test_escapes(void **state)
{
    static const char raw[] = "a\\n\\t\\r\\0\\\\\\\"\\'\\x41\\/z";
    static const char bytes[] = "a\n\t\r\0\\\"'A/z";
    struct bench bench;
    uint32_t len, width;
    (void)state;

    set_up(&bench, "");
    char *text = analog_unescape(&bench.compile, raw, sizeof raw - 1, &len);
    assert_int_equal(len, sizeof bytes - 1);
    assert_memory_equal(text, bytes, sizeof bytes);
    /* byte 0 is written at 0, byte 8 ("A") at 15, four wide; behind the end is the end */
    assert_int_equal(analog_raw_offset(raw, sizeof raw - 1, 0, &width), 0);
    assert_int_equal(analog_raw_offset(raw, sizeof raw - 1, 8, &width), 15);
    assert_int_equal(width, 4);
    assert_int_equal(analog_raw_offset(raw, sizeof raw - 1, 9999, &width), sizeof raw - 1);
    assert_int_equal(width, 1);
    tear_down(&bench);
}

/* Any single byte, any pair: no crash, and the lexer comes to the end. */
static void test_all_pairs(void **state)
{
    (void)state;
    for (int a = 1; a < 256; a++) {
        for (int b = 1; b < 256; b += 3) {
            const char text[3] = {(char)a, (char)b, '\0'};
            struct bench bench;
            struct lexer lexer;
            set_up(&bench, text);
            analog_lex_start(&lexer, &bench.compile, &bench.source);
            int n = 0;
            while (analog_lex(&lexer).kind != TOK_END)
                assert_true(++n < 4);
            tear_down(&bench);
        }
    }
}

/* ---- expressions ---- */

static void put(char *to, const struct expr *expr)
{
    if (expr->kind == EXPR_NAME) {
        strcat(to, expr->u.name);
    } else if (expr->kind == EXPR_LITERAL) {
        sprintf(to + strlen(to), "%lld", (long long)expr->u.literal.constant.value.i);
    } else {
        sprintf(to + strlen(to), "(%s ", mr_compute_sign(expr->op));
        put(to, expr->u.node.left);
        if (expr->u.node.right) {
            strcat(to, " ");
            put(to, expr->u.node.right);
        }
        strcat(to, ")");
    }
}

static void test_precedence(void **state)
{
    static const struct {
        const char *text, *tree;
    } cases[] = {
        {"A + B * C", "(+ A (* B C))"},
        {"A * B + C", "(+ (* A B) C)"},
        {"A - B - C", "(- (- A B) C)"},
        {"A / B % C * D", "(* (% (/ A B) C) D)"},
        {"A << B + C", "(<< A (+ B C))"},
        {"A < B << C", "(< A (<< B C))"},
        {"A == B < C", "(== A (< B C))"},
        {"A & B == C", "(& A (== B C))"},
        {"A ^ B & C", "(^ A (& B C))"},
        {"A | B ^ C", "(| A (^ B C))"},
        {"A && B | C", "(&& A (| B C))"},
        {"A || B && C || D", "(|| (|| A (&& B C)) D)"},
        {"(A + B) * C", "(* (+ A B) C)"},
        {"!A && ~B", "(&& (! A) (~ B))"},
        {"-A * B", "(* (- A) B)"},
        {"A - -B", "(- A (- B))"},
        {"--A", "(- (- A))"},
        {"-5", "-5"},
        {"A - 5", "(- A 5)"},
        {"+A >= -1", "(>= A -1)"},
        {"A <> B != C", "(!= (!= A B) C)"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench bench;
        char tree[256] = "";
        set_up(&bench, cases[i].text);
        struct parser parser = {.compile = &bench.compile, .source = &bench.source};
        analog_lex_start(&parser.lexer, &bench.compile, &bench.source);
        analog_advance(&parser);
        struct expr *expr = analog_parse_expr(&parser);
        assert_non_null(expr);
        put(tree, expr);
        assert_string_equal(tree, cases[i].tree);
        assert_int_equal(parser.token.kind, TOK_END);
        tear_down(&bench);
    }
}

static void test_nearest(void **state)
{
    static const struct {
        const char *wanted, *near;
    } cases[] = {
        {"f_mach", "f_match"},
        {"F_MATCH", "f_match"},
        {"f_amtch", "f_match"},
        {"tcp_strem", "tcp_stream"},
        {"x", NULL},
        {"unrelated", NULL},
        {"", NULL},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nearest nearest = {.wanted = cases[i].wanted};
        analog_nearest(&nearest, "f_match");
        analog_nearest(&nearest, "N");
        analog_nearest(&nearest, "tcp_stream");
        analog_nearest(&nearest, "a name that is much longer than any name should be, by far, "
                                 "so that it is left alone");
        if (cases[i].near)
            assert_string_equal(nearest.name, cases[i].near);
        else
            assert_null(nearest.name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_and_full_stop),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
