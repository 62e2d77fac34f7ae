/* Compiling: the passes one after the other, and what belongs to the plan at its end. */
#include "analog/diagnostic.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES ((size_t)512 * 1024 * 1024)
#define PLAN_BYTES    ((size_t)256 * 1024 * 1024)

static void number_bindings(struct mr_plan *plan)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            struct mr_plan_rule *rule = &stage->rules[r];
            for (uint32_t i = 0; i < rule->n_ops; i++)
                if (rule->ops[i].kind == MR_OP_CALL)
                    rule->ops[i].binding = plan->n_bindings++;
        }
    }
}

static void unbind_plan(struct mr_plan *plan)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            struct mr_plan_rule *rule = &stage->rules[r];
            for (uint32_t i = 0; i < rule->n_ops; i++) {
                const struct mr_op *op = &rule->ops[i];
                if (op->config && op->function->unbind)
                    op->function->unbind((void *)(uintptr_t)op->config);
            }
        }
    }
}

static bool failed(const struct compile *compile, uint32_t errors_before)
{
    return compile->no_memory || mr_diagnostics_errors(compile->diagnostics) > errors_before;
}

/* Everything behind the parser. On errors nothing stays bound. */
static struct mr_plan *make_plan(struct compile *compile, const char *path, uint32_t errors_before)
{
    struct mr_plan *plan = NULL;

    analog_parameters(compile);
    analog_resolve(compile);
    if (!analog_enough(compile))
        analog_types(compile);
    if (!analog_enough(compile))
        analog_chain(compile);
    if (!analog_enough(compile))
        analog_orders(compile);
    if (!analog_enough(compile))
        analog_bind(compile);
    if (!failed(compile, errors_before))
        plan = analog_plan(compile, path);
    if (!plan) {
        analog_unbind(compile);
        return NULL;
    }
    analog_fuse(compile, plan);
    if (!failed(compile, errors_before) && analog_live(compile, plan)) {
        number_bindings(plan);
        return plan;
    }
    unbind_plan(plan);
    return NULL;
}

static enum mr_status compile_source(const char *path, const char *text, size_t len,
                                     const struct mr_analog_config *config,
                                     struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    uint32_t errors_before = mr_diagnostics_errors(diagnostics);
    struct compile compile = {.config = config, .diagnostics = diagnostics};
    enum mr_status status = MR_ERR_MEMORY;
    struct source *source;
    bool known;

    *plan = NULL;
    compile.memory = calloc(1, sizeof *compile.memory);
    if (!compile.memory) {
        analog_error(&compile, &(struct mr_where){0}, "out of memory while compiling");
        return status;
    }
    mr_arena_init(&compile.scratch, SCRATCH_BYTES);
    mr_arena_init(compile.memory, PLAN_BYTES);
    source = text ? analog_source_text(&compile, path, text, len)
                  : analog_source_open(&compile, path, NULL, &known);
    if (source) {
        analog_parse(&compile, source);
        *plan = make_plan(&compile, path, errors_before);
    }
    status = *plan ? MR_OK : compile.no_memory ? MR_ERR_MEMORY : MR_ERR_PROGRAM;
    mr_arena_free(&compile.scratch);
    if (!*plan) {
        mr_arena_free(compile.memory);
        free(compile.memory);
    }
    return status;
}

enum mr_status mr_analog_compile_file(const char *path, const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    return compile_source(path, NULL, 0, config, diagnostics, plan);
}

enum mr_status mr_analog_compile_text(const char *name, const char *text, size_t len,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    return compile_source(name, text ? text : "", len, config, diagnostics, plan);
}

void mr_plan_free(struct mr_plan *plan)
{
    if (!plan)
        return;
    struct mr_arena *memory = plan->memory;
    unbind_plan(plan);
    mr_arena_free(memory); /* the plan lies in it */
    free(memory);
}
