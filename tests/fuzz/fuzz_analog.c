// layers: analog base
/* Any bytes as a program: lexer, parser, types, plan, binding, and every way to print what comes
 * out of it. */
#include "analog/analog.h"
#include "analog_mock.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const settings[] = {"pattern=a(b|c)", "count=7"};
    const struct mr_analog_config config = {.components = mock_components,
                                            .n_components = MOCK_ALL,
                                            .settings = settings,
                                            .n_settings = (uint32_t)(size % 3)};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    if (!diagnostics || !to)
        abort();
    enum mr_status status =
        mr_analog_compile_text("fuzz/input", (const char *)data, size, &config, diagnostics, &plan);
    if ((status == MR_OK) != (plan != NULL) ||
        (status == MR_OK) != !mr_diagnostics_errors(diagnostics))
        abort();
    mr_diagnostics_print(diagnostics, to, size & 1);
    if (plan) {
        mr_plan_print_text(plan, to);
        mr_plan_print_dot(plan, to);
        mr_plan_print_svg(plan, to);
    }
    fclose(to);
    free(text);
    mr_plan_free(plan);
    mr_diagnostics_free(diagnostics);
    if (mock_bound)
        abort();
    return 0;
}
