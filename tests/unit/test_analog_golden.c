// layers: analog base
/* Programs and what is said about them: tests/golden/analog/bad holds programs with errors and the
 * messages, good holds programs and how they are explained. NAME.settings, where there is one, has
 * a NAME=VALUE a line, as --set gives them. With MR_BLESS=1 in the environment what is printed now
 * becomes what is expected. */
#include "analog/analog.h"
#include "analog_mock.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER       MR_SOURCE_DIR "/tests/golden/analog/"
#define MAX_SETTINGS 8

/* The whole file, NUL-terminated; NULL: there is none. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t len = 0, n;

    if (!file)
        return NULL;
    do {
        text = realloc(text, len + 65537);
        assert_non_null(text);
        n = fread(text + len, 1, 65536, file);
        len += n;
    } while (n);
    text[len] = '\0';
    fclose(file);
    return text;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Both texts from the first line on in which they differ. */
static void print_difference(const char *name, const char *expected, const char *found)
{
    size_t same = 0, line = 0;

    for (size_t i = 0; expected[i] && expected[i] == found[i]; i++)
        if (expected[i] == '\n')
            same = i + 1, line++;
    printf("---- %s differs from line %zu on\n", name, line + 1);
    printf("expected:\n%.600s\nfound:\n%.600s\n", expected + same, found + same);
}

/* True when the file at `path` holds `found`; with MR_BLESS it then does. */
static bool check_file(const char *path, const char *found)
{
    char *expected = read_file(path);
    bool same = expected && !strcmp(expected, found);

    if (!same && getenv("MR_BLESS")) {
        write_file(path, found);
        printf("blessed %s\n", path);
        same = true;
    }
    if (!same)
        print_difference(path, expected ? expected : "", found);
    free(expected);
    return same;
}

static uint32_t split_lines(char *text, const char **lines)
{
    uint32_t n = 0;
    for (char *at = text ? strtok(text, "\n") : NULL; at && n < MAX_SETTINGS;
         at = strtok(NULL, "\n"))
        lines[n++] = at;
    return n;
}

typedef void (*printer)(const struct mr_plan *plan, FILE *to);

/* Messages (but not in a drawing) and, when there is a plan, what `print` makes of it. */
static char *compile(const char *path, printer print, enum mr_status *status, uint32_t *errors)
{
    const char *settings[MAX_SETTINGS];
    char name[256];
    snprintf(name, sizeof name, "%.*s.settings", (int)(strrchr(path, '.') - path), path);
    char *text = read_file(name), *out = NULL;
    struct mr_analog_config config = {.components = mock_components,
                                      .n_components = MOCK_ALL,
                                      .settings = settings,
                                      .n_settings = split_lines(text, settings)};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    size_t len;
    FILE *to = open_memstream(&out, &len);

    assert_non_null(to);
    assert_non_null(diagnostics);
    *status = mr_analog_compile_file(path, &config, diagnostics, &plan);
    *errors = mr_diagnostics_errors(diagnostics);
    if (print == mr_plan_print_text)
        mr_diagnostics_print(diagnostics, to, false);
    if (plan)
        print(plan, to);
    fclose(to);
    mr_plan_free(plan);
    mr_diagnostics_free(diagnostics);
    free(text);
    return out;
}

static int is_program(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && !strcmp(dot, ".analog");
}

/* Every program of a folder; returns how many there are. */
static int check_folder(const char *folder, bool good, int *n_wrong)
{
    struct dirent **entries;
    char path[4096];

    snprintf(path, sizeof path, FOLDER "%s", folder);
    assert_int_equal(chdir(path), 0);
    int n = scandir(".", &entries, is_program, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        enum mr_status status;
        uint32_t errors;
        char *found = compile(entries[i]->d_name, mr_plan_print_text, &status, &errors);
        snprintf(path, sizeof path, "%.*s.expected",
                 (int)(strrchr(entries[i]->d_name, '.') - entries[i]->d_name), entries[i]->d_name);
        bool right = check_file(path, found);
        if (good ? status != MR_OK || errors : status != MR_ERR_PROGRAM || !errors) {
            printf("---- %s: status %d, %u errors\n", entries[i]->d_name, status, errors);
            right = false;
        }
        if (mock_bound) {
            printf("---- %s: %d configurations are still bound\n", entries[i]->d_name, mock_bound);
            right = false;
        }
        *n_wrong += !right;
        free(found);
        free(entries[i]);
    }
    free(entries);
    return n;
}

static void test_bad(void **state)
{
    int n_wrong = 0;
    (void)state;
    int n = check_folder("bad", false, &n_wrong);
    printf("%d bad programs\n", n);
    assert_true(n >= 60);
    assert_int_equal(n_wrong, 0);
}

static void test_good(void **state)
{
    int n_wrong = 0;
    (void)state;
    assert_true(check_folder("good", true, &n_wrong) > 0);
    assert_int_equal(n_wrong, 0);
}

/* Several programs in one plan: they share what they do alike, whatever they call it. */
static void test_several(void **state)
{
    static const char *const names[] = {"first", "second", "third", "fourth"};
    const struct mr_analog_config config = {.components = mock_components,
                                            .n_components = MOCK_ALL};
    struct mr_program *programs[4];
    struct mr_plan *plan;
    (void)state;

    assert_int_equal(chdir(FOLDER "several"), 0);
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    assert_non_null(diagnostics);
    for (uint32_t i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s.analog", names[i]);
        enum mr_status status =
            mr_analog_program_file(path, NULL, &config, diagnostics, &programs[i]);
        mr_diagnostics_print(diagnostics, stdout, false);
        assert_int_equal(status, MR_OK);
    }
    assert_int_equal(mr_analog_plan(programs, 4, NULL, diagnostics, &plan), MR_OK);
    static const struct {
        printer print;
        const char *expected;
    } prints[] = {{mr_plan_print_text, "explain.expected"},
                  {mr_plan_print_dot, "explain.dot"},
                  {mr_plan_print_svg, "explain.svg"}};
    bool right = true;
    for (size_t i = 0; i < 3; i++) {
        char *found = NULL;
        size_t len;
        FILE *to = open_memstream(&found, &len);
        assert_non_null(to);
        prints[i].print(plan, to);
        fclose(to);
        right &= check_file(prints[i].expected, found);
        free(found);
    }
    assert_true(right);

    /* the same programs again: every stage is known, and its configuration is taken over */
    struct mr_program *fresh[4];
    struct mr_plan *again;
    int bound = mock_bound;
    for (uint32_t i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s.analog", names[3 - i]);
        assert_int_equal(mr_analog_program_file(path, NULL, &config, diagnostics, &fresh[i]),
                         MR_OK);
    }
    assert_int_equal(mr_analog_plan(fresh, 4, plan, diagnostics, &again), MR_OK);
    assert_int_equal(again->n_stages, plan->n_stages);
    for (uint32_t s = 0; s < again->n_stages; s++) {
        const struct mr_plan_stage *old = mr_stage_in(plan, &again->stages[s]);
        assert_true(again->stages[s].fork ? !old : old != NULL);
        for (uint32_t r = 0; old && r < old->n_rules; r++)
            for (uint32_t i = 0; i < old->rules[r].n_ops; i++)
                assert_ptr_equal(old->rules[r].ops[i].config,
                                 again->stages[s].rules[r].ops[i].config);
    }
    for (uint32_t i = 0; i < 4; i++)
        mr_program_release(programs[i]);
    mr_plan_free(plan);
    for (uint32_t i = 0; i < 4; i++)
        mr_program_release(fresh[i]);
    assert_true(mock_bound > 0 && mock_bound <= bound); /* kept, though their programs are gone */
    mr_plan_free(again);
    assert_int_equal(mock_bound, 0);
    mr_diagnostics_free(diagnostics);
}

/* The drawings of one program that has everything. */
static void test_drawings(void **state)
{
    enum mr_status status;
    uint32_t errors;
    (void)state;

    assert_int_equal(chdir(FOLDER "good"), 0);
    char *dot = compile("drawing.analog", mr_plan_print_dot, &status, &errors);
    assert_true(check_file("drawing.dot", dot));
    char *svg = compile("drawing.analog", mr_plan_print_svg, &status, &errors);
    assert_true(check_file("drawing.svg", svg));
    free(dot);
    free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_drawings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
