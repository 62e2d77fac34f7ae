/* Programs without an engine: check, explain, and the list of all functions. Here the components
 * folder's table and the engine's own components become one. */
#include "components/table.h"
#include "engine/internal.h"

extern const struct mr_component mr_component_packet; /* functions_packet.c */
extern const struct mr_component mr_component_spam;   /* functions_spam.c */
extern const struct mr_component mr_component_tcp;    /* functions_tcp.c */
extern const struct mr_component mr_component_action; /* functions_action.c */

uint32_t mr_all_components(const struct mr_component *list[MR_MAX_COMPONENTS])
{
    uint32_t n = 0;
    list[n++] = &mr_component_packet;
    list[n++] = &mr_component_tcp;
    list[n++] = &mr_component_action;
    list[n++] = &mr_component_spam;
    for (uint32_t i = 0; mr_components[i] && n < MR_MAX_COMPONENTS; i++)
        list[n++] = mr_components[i];
    return n;
}

/* Without an engine: errors of every kind go to `diagnostics`. */
static enum mr_status make_plan(const struct mr_engine_programs *programs, FILE *diagnostics,
                                struct mr_plan **plan)
{
    struct mr_program *list[MR_MAX_PROGRAMS] = {0};
    struct mr_error error = {0};
    enum mr_status status = mr_load_programs(programs, diagnostics, list, &error);

    if (!status)
        status = mr_load_plan(list, programs->n_files, NULL, true, diagnostics, plan);
    if (error.text[0])
        fprintf(diagnostics, "millrace: %s\n", error.text);
    for (uint32_t i = 0; i < MR_MAX_PROGRAMS; i++)
        mr_program_release(list[i]);
    return status;
}

enum mr_status mr_program_check(const struct mr_engine_programs *programs, FILE *diagnostics)
{
    struct mr_plan *plan = NULL;
    enum mr_status status = make_plan(programs, diagnostics, &plan);
    mr_plan_free(plan);
    return status;
}

enum mr_status mr_program_explain(const struct mr_engine_programs *programs,
                                  enum mr_explain_format format, FILE *to, FILE *diagnostics)
{
    struct mr_plan *plan = NULL;
    enum mr_status status = make_plan(programs, diagnostics, &plan);

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
    const struct mr_component *list[MR_MAX_COMPONENTS];
    uint32_t n = mr_all_components(list);

    for (uint32_t i = 0; i < n; i++) {
        fprintf(to, "%s%s: %s\n", i ? "\n" : "", list[i]->name, list[i]->summary);
        for (uint32_t f = 0; f < list[i]->n_functions; f++)
            print_function(&list[i]->functions[f], to);
    }
}
