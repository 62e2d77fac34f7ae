// layers: analog base
/* Programs that are no programs: huge, binary, endless, absent. Each is refused with a message, in
 * bounded time and memory. */
#include "analog/analog.h"
#include "analog_mock.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEGABYTE ((size_t)1024 * 1024)

static const struct mr_analog_config config = {.components = mock_components,
                                               .n_components = MOCK_ALL};

/* Compiles text (or, when it is NULL, the file `name`); the messages are the caller's. */
static char *messages(const char *name, const char *text, size_t len, enum mr_status expected)
{
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    char *out = NULL;
    size_t out_len;
    FILE *to = open_memstream(&out, &out_len);
    struct timespec start, end;

    assert_true(diagnostics && to);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    enum mr_status status =
        text ? mr_analog_compile_text(name, text, len, &config, diagnostics, &plan)
             : mr_analog_compile_file(name, &config, diagnostics, &plan);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    mr_diagnostics_print(diagnostics, to, false);
    fclose(to);
    if (status != expected)
        fail_msg("%s: status %d: %.300s", name, status, out);
    assert_int_equal(status != MR_OK, mr_diagnostics_errors(diagnostics) != 0);
    assert_true(end.tv_sec - start.tv_sec < 20); /* a second or so, without sanitizers */
    assert_true(out_len < MEGABYTE);
    mr_plan_free(plan);
    mr_diagnostics_free(diagnostics);
    assert_int_equal(mock_bound, 0);
    return out;
}

static void expect(char *found, const char *part)
{
    if (!strstr(found, part))
        fail_msg("\"%s\" is not in: %.600s", part, found);
    free(found);
}

/* `unit` again and again between `begin` and `end`, close to a megabyte. */
static char *repeat(const char *begin, const char *unit, const char *end, size_t *len)
{
    size_t n = strlen(unit), at = strlen(begin), size = MEGABYTE - 16 - strlen(end);
    char *text = malloc(MEGABYTE);

    assert_non_null(text);
    memcpy(text, begin, at);
    for (; at + n <= size; at += n)
        memcpy(text + at, unit, n);
    memcpy(text + at, end, strlen(end));
    *len = at + strlen(end);
    return text;
}

static void test_too_large(void **state)
{
    size_t len = 10 * MEGABYTE;
    char *text = malloc(len);
    (void)state;

    memset(text, ' ', len);
    expect(messages("large", text, len, MR_ERR_PROGRAM), "larger than 1048576 bytes");
    char path[] = "/tmp/analog-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)1 << 34), 0);
    expect(messages(path, NULL, 0, MR_ERR_PROGRAM), "larger than");
    close(fd);
    unlink(path);
    free(text);
}

static void test_repeated(void **state)
{
#define RULE  "component a(parallel) { r p(@N, X) :- input(@N, PKT, SRC, DST), "
#define START "component a(parallel) { "
    static const char *const cases[][3] = {
        {"", "(", ""},
        {"", "/*", ""},
        {"", "a\n", ""},
        {"", "component ", ""},
        {"", "component a(parallel){", ""},
        {"", "}", ""},
        {"", "\"", ""},
        {"", "\xff\xfe ", ""},
        {"", "param a = 5.\n", ""},
        {"", "include \"/dev/null\".\n", ""},
        {START, "r1 q(@N) :- input(@N, A, B, C).\n", "}"},
        {START, "r1 q(", "}"},
        {START, "r1 q(@N) :- ", "}"},
        {START, "q\n(", "}"},
        {START, "q/**/\n", "}"},
        {RULE, "X = ", "5. }"},
        {RULE, "!", "5. }"},
        {RULE, "X = ((", "5. }"},
        {RULE, "X = 5, ", "X == 5. }"},
        {RULE, "A < B && ", "X == 5. }"},
        {RULE "X = ", "5+", "5. }"},
        {RULE "X = f_match(", "f_match(", "5). }"},
        {RULE "X = f_match(", "5,", "5). }"},
        {RULE "q(", "X,", "X). }"},
        {RULE "X = f_match(\"a\", \"", "(", "\"). }"},
        {RULE "X = ", "9", ". }"},
        {RULE "X = ", "abcdefghi", ". }"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len;
        char *text = repeat(cases[i][0], cases[i][1], cases[i][2], &len);
        expect(messages(cases[i][1], text, len, MR_ERR_PROGRAM), "error: ");
        free(text);
    }
}

static void test_long_string(void **state)
{
    size_t len;
    char *text = repeat("component a(parallel) { p(@N, X) :- input(@N, _, _, _), X = \"", "\\n",
                        "\". }", &len);
    (void)state;
    free(messages("string", text, len, MR_OK));
    free(text);
}

/* Calls in sums in calls: depth is counted over both. */
static void test_deep_and_wide(void **state)
{
    char *text = malloc(MEGABYTE);
    size_t at =
        (size_t)sprintf(text, "component a(parallel) { p(@N, X) :- input(@N, P, S, D), X = ");
    (void)state;

    for (int i = 0; i < 95; i++)
        at += (size_t)sprintf(text + at, "f_any(");
    at += (size_t)sprintf(text + at, "P");
    for (int i = 0; i < 95; i++) {
        at += (size_t)sprintf(text + at, ")");
        for (int j = 0; j < 95; j++)
            at += (size_t)sprintf(text + at, "+1");
    }
    at += (size_t)sprintf(text + at, ". }");
    expect(messages("deep", text, at, MR_ERR_PROGRAM), "nested too deeply");
    free(text);
}

/* A large program that is right: every limit at once, and it compiles. */
static void test_large_and_right(void **state)
{
    char *text = malloc(MEGABYTE);
    size_t at = 0;
    (void)state;

    for (int c = 0; c < 250; c++) {
        at += (size_t)snprintf(text + at, MEGABYTE - at,
                               "component c%d(parallel_context_order, context_keys(%s%.0d(3))) {\n",
                               c, c ? "p" : "input", c);
        for (int r = 0; r < 16; r++)
            at += (size_t)snprintf(
                text + at, MEGABYTE - at,
                "p%d(@N, X, SRC, DST) :- %s%.0d(@N, PKT, SRC, DST), f_any(PKT) > %d, X = PKT,\n"
                "  Y = f_any(SRC) * 2 + %d, Y != 3.\n",
                c + 1, c ? "p" : "input", c, r, r);
        at += (size_t)snprintf(text + at, MEGABYTE - at, "}\n");
    }
    free(messages("right", text, at, MR_OK));
    free(text);
}

/* A ring of rules that shift their attributes: the analyses come to an end. */
static void test_shifting_recursion(void **state)
{
    char *text = malloc(MEGABYTE);
    size_t at = 0;
    (void)state;

    at += (size_t)snprintf(text + at, MEGABYTE - at,
                           "component a(parallel_context_order, context_keys(input(3))) {\n");
    for (int r = 0; r < 500; r++) {
        at += (size_t)snprintf(text + at, MEGABYTE - at, "p%d(", (r + 1) % 500);
        for (int c = 0; c < 60; c++)
            at += (size_t)snprintf(text + at, MEGABYTE - at, "%sA%d", c ? "," : "", (c + 1) % 60);
        at += (size_t)snprintf(text + at, MEGABYTE - at, ") :- p%d(", r);
        for (int c = 0; c < 60; c++)
            at += (size_t)snprintf(text + at, MEGABYTE - at, "%sA%d", c ? "," : "", c);
        at += (size_t)snprintf(text + at, MEGABYTE - at, ").\n");
    }
    at += (size_t)snprintf(text + at, MEGABYTE - at, "p0(");
    for (int c = 0; c < 60; c++)
        at += (size_t)snprintf(text + at, MEGABYTE - at, "%sS", c ? "," : "");
    at += (size_t)snprintf(text + at, MEGABYTE - at, ") :- input(@N, P, S, D).\nq(A1) :- p9(A1");
    for (int c = 1; c < 60; c++)
        at += (size_t)snprintf(text + at, MEGABYTE - at, ",_");
    at += (size_t)snprintf(text + at, MEGABYTE - at,
                           "). }\ncomponent b(parallel_context_order, context_keys(q(1))) {\n"
                           "x(A1) :- q(A1). }\n");
    free(messages("shift", text, at, MR_OK));
    free(text);
}

/* All facts of a large table, in the order of the text. */
static void test_many_facts(void **state)
{
    enum { FACTS = 60000 };
    char *text = malloc(MEGABYTE);
    size_t at = (size_t)sprintf(text, "materialize(t, infinity, infinity, keys(2)).\n");
    (void)state;

    for (int i = 0; i < FACTS; i++)
        at += (size_t)sprintf(text + at, "t(@N,%d).\n", i);
    at += (size_t)sprintf(text + at, "component a(parallel) { p(@N, X) :- input(@N, _, _, _), "
                                     "t(@N, X). }");
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    assert_non_null(diagnostics);
    assert_int_equal(mr_analog_compile_text("facts", text, at, &config, diagnostics, &plan), MR_OK);
    assert_int_equal(plan->n_tables, 1);
    assert_int_equal(plan->tables[0].n_facts, FACTS);
    for (int i = 0; i < FACTS; i++)
        assert_int_equal(plan->tables[0].facts[2 * i + 1].i, i);
    mr_plan_free(plan);
    mr_diagnostics_free(diagnostics);
    free(text);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

/* What a program has too many of is said once, and what that leads to is not. */
static void test_too_many(void **state)
{
    static const struct {
        int n;
        const char *begin, *unit, *end, *message; /* the unit with a number in it */
    } cases[] = {
        {400, "", "component c%d(parallel) { p%d(@N) :- input(@N, _, _, _). }\n", "",
         "at most 256 components"},
        {4500, START, "p(@N, %d) :- input(@N, _, _, _).\n", "}", "at most 4096 rules"},
        {1500, START, "p%d(@N) :- input(@N, _, _, _).\n", "}", "at most 1024 predicates"},
        {400, START "p(@N) :- input(@N, _, _, _), 5 == a399. }", "param a%d = 5.\n", "",
         "at most 256 parameters"},
        {400, START "p(@N, X) :- input(@N, _, _, _), t399(@N, X). }",
         "materialize(t%d, infinity, infinity, keys(2)). t%d(@N, 5).\n", "", "at most 256 tables"},
        {1500, START "p(@N) :- input(@N, _, _, _). }", "alarm(p%d).\n", "", "at most 1024 alarms"},
        {1500, START "p(@N) :- input(@N, _, _, _). }", "ship(p, \"A%d\").\n", "",
         "at most 1024 statements ship"},
        {1500, START "p(@N) :- r1(@N). }", "receive r%d(@N).\n", "", "at most 1024 predicates"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = malloc(MEGABYTE);
        size_t at = (size_t)sprintf(text, "%s", cases[i].begin);
        for (int n = 0; n < cases[i].n; n++)
            at += (size_t)snprintf(text + at, MEGABYTE - at, cases[i].unit, n, n);
        at += (size_t)snprintf(text + at, MEGABYTE - at, "%s", cases[i].end);
        char *found = messages("many", text, at, MR_ERR_PROGRAM);
        if (count(found, "error: ") != 1 || count(found, "warning: "))
            fail_msg("%s: more than that is said: %.900s", cases[i].message, found);
        expect(found, cases[i].message);
        free(text);
    }
}

static void test_not_text(void **state)
{
    static const char binary[] = "component a(parallel) {\0}";
    (void)state;

    expect(messages("binary", binary, sizeof binary, MR_ERR_PROGRAM), "not a text file");
    expect(messages("/proc/self/exe", NULL, 0, MR_ERR_PROGRAM), "error: ");
    expect(messages("nothing", "", 0, MR_ERR_PROGRAM), "no component");
}

static void test_not_readable(void **state)
{
    (void)state;
    expect(messages("/nowhere/at/all.analog", NULL, 0, MR_ERR_PROGRAM),
           "/nowhere/at/all.analog: error: cannot open /nowhere/at/all.analog: No such file");
    expect(messages("/tmp", NULL, 0, MR_ERR_PROGRAM), "it is a folder");
    expect(messages("/dev/zero", NULL, 0, MR_ERR_PROGRAM), "it is no regular file");
    expect(messages("inc", "include \"/dev/stdin\".", 21, MR_ERR_PROGRAM), "error: ");
}

static void test_standard_input(void **state)
{
    static const char text[] = "component a(parallel) { p(@N, X) :- input(@N, _, _, _). }";
    int ends[2], saved = dup(STDIN_FILENO);
    (void)state;

    assert_true(saved >= 0 && pipe(ends) == 0);
    assert_int_equal(write(ends[1], text, sizeof text - 1), sizeof text - 1);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    char *found = messages("-", NULL, 0, MR_ERR_PROGRAM);
    dup2(saved, STDIN_FILENO);
    close(saved);
    expect(found, "<stdin>:1:31: error: X has no value here");
}

/* One set of diagnostics serves several programs, in the order in which they were compiled. */
static void test_several_programs(void **state)
{
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan;
    char *out;
    size_t len;
    FILE *to = open_memstream(&out, &len);
    (void)state;

    assert_int_equal(mr_analog_compile_text("z", "}", 1, &config, diagnostics, &plan),
                     MR_ERR_PROGRAM);
    static const char good[] = "component a(parallel) { p(@N) :- input(@N, _, _, _). }";
    assert_int_equal(
        mr_analog_compile_text("good", good, sizeof good - 1, &config, diagnostics, &plan), MR_OK);
    mr_plan_free(plan);
    assert_int_equal(mr_analog_compile_text("a", "{", 1, &config, diagnostics, &plan),
                     MR_ERR_PROGRAM);
    assert_null(plan);
    assert_int_equal(mr_diagnostics_errors(diagnostics), 2);
    mr_diagnostics_print(diagnostics, to, true);
    fclose(to);
    assert_true(strstr(out, "z:1:1:") && strstr(out, "a:1:1:") > strstr(out, "z:1:1:"));
    assert_non_null(strstr(out, "\033[1;31m"));
    free(out);
    mr_diagnostics_free(diagnostics);
    mr_diagnostics_free(NULL);
    mr_plan_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_large),       cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_long_string),     cmocka_unit_test(test_deep_and_wide),
        cmocka_unit_test(test_large_and_right), cmocka_unit_test(test_shifting_recursion),
        cmocka_unit_test(test_not_text),        cmocka_unit_test(test_not_readable),
        cmocka_unit_test(test_standard_input),  cmocka_unit_test(test_several_programs),
        cmocka_unit_test(test_many_facts),      cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
