/* Programs without an engine: check, explain, and the list of all functions. Here the components
 * folder's table and the engine's own components become one. */
#include "components/table.h"
#include "engine/internal.h"

extern const struct mr_component mr_component_packet; /* functions_packet.c */
extern const struct mr_component mr_component_tcp;    /* functions_tcp.c */

#define MAX_COMPONENTS 64

static uint32_t all_components(const struct mr_component *list[MAX_COMPONENTS])
{
    uint32_t n = 0;
    list[n++] = &mr_component_packet;
    list[n++] = &mr_component_tcp;
    for (uint32_t i = 0; mr_components[i] && n < MAX_COMPONENTS; i++)
        list[n++] = mr_components[i];
    return n;
}

enum mr_status mr_engine_compile(const char *path, const char *const *settings, uint32_t n_settings,
                                 FILE *diagnostics, struct mr_plan **plan)
{
    const struct mr_component *list[MAX_COMPONENTS];
    struct mr_analog_config config = {
        .components = list,
        .n_components = all_components(list),
        .settings = settings,
        .n_settings = n_settings,
    };
    struct mr_diagnostics *messages = mr_diagnostics_new();

    if (!messages)
        return MR_ERR_MEMORY;
    enum mr_status status = mr_analog_compile_file(path, &config, messages, plan);
    mr_diagnostics_print(messages, diagnostics, false);
    mr_diagnostics_free(messages);
    return status;
}

enum mr_status mr_program_check(const char *path, const char *const *settings, uint32_t n_settings,
                                FILE *diagnostics)
{
    struct mr_plan *plan = NULL;
    enum mr_status status = mr_engine_compile(path, settings, n_settings, diagnostics, &plan);
    mr_plan_free(plan);
    return status;
}

enum mr_status mr_program_explain(const char *path, const char *const *settings,
                                  uint32_t n_settings, enum mr_explain_format format, FILE *to,
                                  FILE *diagnostics)
{
    struct mr_plan *plan = NULL;
    enum mr_status status = mr_engine_compile(path, settings, n_settings, diagnostics, &plan);

    if (status)
        return status;
    switch (format) {
    case MR_EXPLAIN_TEXT:
        mr_plan_print_text(plan, to);
        break;
    case MR_EXPLAIN_DOT:
        mr_plan_print_dot(plan, to);
        break;
    case MR_EXPLAIN_SVG:
        mr_plan_print_svg(plan, to);
        break;
    }
    mr_plan_free(plan);
    return MR_OK;
}

static void print_function(const struct mr_function *f, FILE *to)
{
    static const char *const orders[] = {"any component", "context-ordered", "serial"};

    fprintf(to, "  %s(", f->name);
    for (uint32_t a = 0; a < f->n_args; a++) {
        bool optional = a + f->n_optional >= f->n_args;
        bool constant = a + f->n_constant >= f->n_args;
        fprintf(to, "%s%s%s%s%s", optional ? "[" : "", a ? ", " : "", constant ? "constant " : "",
                mr_type_name(f->args[a]), optional ? "]" : "");
    }
    fprintf(to, ") -> %s%s\n", mr_type_name(f->result),
            f->shape == MR_SHAPE_EXPAND ? ", none or several" : "");
    fprintf(to, "      %s\n", f->summary);
    fprintf(to, "      order: %s", orders[f->order]);
    if (f->order == MR_ORDER_CONTEXT && f->context_key != MR_TYPE_ANY)
        fprintf(to, ", key: %s", mr_type_name(f->context_key));
    fprintf(to, "; back ends: %s", f->backends ? f->backends : "cpu");
    if (f->aliases)
        fprintf(to, "; also called %s", f->aliases);
    fputc('\n', to);
}

void mr_components_print(FILE *to)
{
    const struct mr_component *list[MAX_COMPONENTS];
    uint32_t n = all_components(list);

    for (uint32_t i = 0; i < n; i++) {
        fprintf(to, "%s%s: %s\n", i ? "\n" : "", list[i]->name, list[i]->summary);
        for (uint32_t f = 0; f < list[i]->n_functions; f++)
            print_function(&list[i]->functions[f], to);
    }
}
