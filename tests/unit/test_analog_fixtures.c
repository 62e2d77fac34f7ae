// layers: analog base
/* The three published programs, unchanged, and our own: they compile against a table that has all
 * functions, and against one that lacks some the only errors are those functions, each at its
 * place. The published ones are found through MR_SHARED (they are not ours to ship). */
#include "analog/analog.h"
#include "analog_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Against the first n components of the mock; the messages are the caller's. */
static struct mr_plan *compile(const char *path, uint32_t n_components, char **messages)
{
    const struct mr_analog_config config = {.components = mock_components,
                                            .n_components = n_components};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan;
    size_t len;
    FILE *to = open_memstream(messages, &len);

    mr_analog_compile_file(path, &config, diagnostics, &plan);
    mr_diagnostics_print(diagnostics, to, false);
    fclose(to);
    mr_diagnostics_free(diagnostics);
    return plan;
}

static const char *fixture(const char *name, char *path, size_t bytes)
{
    const char *shared = getenv("MR_SHARED");
    if (!shared) {
        printf("SKIP: MR_SHARED is not set: the published programs are not at hand\n");
        skip();
    }
    snprintf(path, bytes, "%s/fixtures/analog/%s.analog", shared, name);
    return path;
}

static void expect_counts(const char *path, uint32_t rules, uint32_t components, uint32_t groups)
{
    char *messages, *text;
    size_t len;
    char first[128];
    struct mr_plan *plan = compile(path, MOCK_ALL, &messages);

    assert_string_equal(messages, "");
    assert_non_null(plan);
    assert_int_equal(plan->n_rules, rules);
    assert_int_equal(plan->n_components, components);
    assert_int_equal(plan->n_groups, groups);
    FILE *to = open_memstream(&text, &len);
    mr_plan_print_text(plan, to);
    fclose(to);
    snprintf(first, sizeof first, ": %u rules, %u components", rules, components);
    assert_non_null(strstr(text, first));
    assert_non_null(strstr(text, "1000 tokens"));
    free(text);
    free(messages);
    mr_plan_free(plan);
}

static void test_smtp(void **state)
{
    char path[4096];
    (void)state;
    expect_counts(fixture("smtp_appendix_a", path, sizeof path), 7, 6, 3);
}

static void test_sip(void **state)
{
    char path[4096];
    (void)state;
    expect_counts(fixture("sip_appendix_b", path, sizeof path), 7, 5, 2);
}

static void test_dos(void **state)
{
    char path[4096];
    (void)state;
    expect_counts(fixture("dos_appendix_c", path, sizeof path), 5, 4, 3);
}

static void test_ours(void **state)
{
    (void)state;
    expect_counts(MR_SOURCE_DIR "/pipelines/smtp_regex.analog", 7, 6, 3);
}

static uint32_t count(const char *text, const char *part)
{
    uint32_t n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    return n;
}

static void expect_missing(const char *path, const char *const *places, uint32_t n)
{
    char *messages, line[128];
    struct mr_plan *plan = compile(path, MOCK_ENGINE, &messages);

    assert_null(plan);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, ".analog:%s\n", places[i]);
        if (!strstr(messages, line))
            fail_msg("\"%s\" is not in: %s", line, messages);
    }
    assert_int_equal(count(messages, "error: "), n);
    assert_int_equal(count(messages, "warning: "), 0);
    free(messages);
}

static void test_sip_missing(void **state)
{
    static const char *const places[] = {
        "36:17: error: there is no function f_sipEventParse",
        "39:18: error: there is no function f_sipcallid",
        "46:25: error: there is no function f_sipEventProcess",
    };
    char path[4096];
    (void)state;
    expect_missing(fixture("sip_appendix_b", path, sizeof path), places, 3);
}

static void test_dos_missing(void **state)
{
    static const char *const places[] = {
        "32:20: error: there is no function f_GetTCPFeature",
        "35:21: error: there is no function f_DetectAttack",
    };
    char path[4096];
    (void)state;
    expect_missing(fixture("dos_appendix_c", path, sizeof path), places, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smtp),        cmocka_unit_test(test_sip),
        cmocka_unit_test(test_dos),         cmocka_unit_test(test_ours),
        cmocka_unit_test(test_sip_missing), cmocka_unit_test(test_dos_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
