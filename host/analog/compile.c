/* Compiling: from programs to a plan, and what belongs to the plan at its end. */
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
            for (uint32_t i = 0; i < rule->n_ops; i++) {
                rule->ops[i].site = MR_NO_INDEX;
                if (rule->ops[i].kind == MR_OP_CALL)
                    rule->ops[i].binding = plan->n_bindings++;
            }
        }
    }
}

/* The configurations of `from` take the place of those in a stage that does the same. */
static void keep_bound(struct mr_plan_stage *stage, const struct mr_plan_stage *from)
{
    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++) {
            struct mr_op *op = &stage->rules[r].ops[i];
            const struct mr_op *old = mr_op_in(&from->rules[r], op);
            if (!old || !old->bound || old->bound == op->bound)
                continue;
            analog_bound_release(op->bound);
            op->bound = analog_bound_share(old->bound);
            op->config = old->config;
        }
}

static void keep_all(struct mr_plan *plan, const struct mr_plan *before)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct mr_plan_stage *old = mr_stage_in(before, &plan->stages[s]);
        if (old)
            keep_bound(&plan->stages[s], old);
    }
}

static enum mr_status make_plan(struct mr_program *const *programs, uint32_t n_programs,
                                const struct mr_plan *before, bool lenient,
                                struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    struct compile compile = {.diagnostics = diagnostics, .lenient = lenient};
    bool good = false;

    compile.memory = calloc(1, sizeof *compile.memory);
    if (!compile.memory) {
        analog_error(&compile, &(struct mr_where){0}, "out of memory while compiling");
        return MR_ERR_MEMORY;
    }
    mr_arena_init(&compile.scratch, SCRATCH_BYTES);
    mr_arena_init(compile.memory, PLAN_BYTES);
    *plan = analog_merge(&compile, programs, n_programs);
    if (*plan) {
        if (before)
            keep_all(*plan, before);
        for (uint32_t i = 0; i < n_programs; i++) /* one of each kind is enough */
            keep_all(analog_parts(programs[i])->chain, *plan);
        analog_contexts(*plan);
        good = analog_live(&compile, *plan);
        analog_about(*plan);
        number_bindings(*plan);
        good = good && analog_sites(&compile, *plan);
    }
    mr_arena_free(&compile.scratch);
    if (good)
        return MR_OK;
    if (*plan) {
        mr_plan_free(*plan);
        *plan = NULL;
    } else {
        mr_arena_free(compile.memory);
        free(compile.memory);
    }
    return compile.no_memory ? MR_ERR_MEMORY : MR_ERR_PROGRAM;
}

enum mr_status mr_analog_plan(struct mr_program *const *programs, uint32_t n_programs,
                              const struct mr_plan *before, struct mr_diagnostics *diagnostics,
                              struct mr_plan **plan)
{
    return make_plan(programs, n_programs, before, false, diagnostics, plan);
}

enum mr_status mr_analog_plan_alone(struct mr_program *program, struct mr_diagnostics *diagnostics,
                                    struct mr_plan **plan)
{
    return make_plan(&program, 1, NULL, true, diagnostics, plan);
}

/* Takes the program. */
static enum mr_status plan_of(struct mr_program *program, enum mr_status status,
                              struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    *plan = NULL;
    if (!status)
        status = mr_analog_plan_alone(program, diagnostics, plan);
    mr_program_release(program);
    return status;
}

enum mr_status mr_analog_compile_file(const char *path, const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    struct mr_program *program;
    enum mr_status status = mr_analog_program_file(path, NULL, config, diagnostics, &program);
    return plan_of(program, status, diagnostics, plan);
}

enum mr_status mr_analog_compile_text(const char *name, const char *text, size_t len,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan)
{
    struct mr_program *program;
    enum mr_status status = mr_analog_program_text(name, text, len, config, diagnostics, &program);
    return plan_of(program, status, diagnostics, plan);
}
