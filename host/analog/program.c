/* Programs as what plans are made of: who owns them, their memory, and the configurations of their
 * functions. A configuration may outlive its program (in the state of a flow, say), and its
 * constants lie in the program's memory, so each is counted for itself.
 */
#include "analog/diagnostic.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES ((size_t)512 * 1024 * 1024)
#define PROGRAM_BYTES ((size_t)256 * 1024 * 1024)

struct program_memory {
    uint32_t owners;
    struct mr_arena arena;
};

struct mr_program {
    uint32_t owners;
    struct program_memory *memory;
    struct program_parts parts;
};

static void memory_release(struct program_memory *memory)
{
    if (--memory->owners)
        return;
    mr_arena_free(&memory->arena);
    free(memory);
}

/* ---- configurations ---- */

struct mr_bound *analog_bound(struct compile *compile, const struct mr_function *function,
                              void *config)
{
    struct mr_bound *bound = malloc(sizeof *bound);

    if (!bound) {
        if (config && function->unbind)
            function->unbind(config);
        if (!compile->no_memory)
            analog_error(compile, &(struct mr_where){0}, "out of memory while compiling");
        compile->no_memory = true;
        return NULL;
    }
    *bound = (struct mr_bound){
        .owners = 1, .function = function, .config = config, .memory = compile->shared};
    bound->memory->owners++;
    return bound;
}

struct mr_bound *analog_bound_share(struct mr_bound *bound)
{
    if (bound)
        bound->owners++;
    return bound;
}

void analog_bound_release(struct mr_bound *bound)
{
    if (!bound || --bound->owners)
        return;
    if (bound->config && bound->function->unbind)
        bound->function->unbind(bound->config);
    memory_release(bound->memory);
    free(bound);
}

static void release_all(const struct mr_plan *plan)
{
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t i = 0; i < plan->stages[s].rules[r].n_ops; i++)
                analog_bound_release(plan->stages[s].rules[r].ops[i].bound);
}

/* ---- programs ---- */

const struct program_parts *analog_parts(const struct mr_program *program)
{
    return &program->parts;
}

const char *mr_program_name(const struct mr_program *program)
{
    return program->parts.chain->name;
}

const char *mr_program_path(const struct mr_program *program)
{
    return program->parts.chain->programs[0].path;
}

struct mr_program *mr_program_share(struct mr_program *program)
{
    program->owners++;
    return program;
}

void mr_program_release(struct mr_program *program)
{
    if (!program || --program->owners)
        return;
    release_all(program->parts.chain);
    memory_release(program->memory);
    free(program);
}

bool analog_failed(const struct compile *compile)
{
    return compile->no_memory ||
           mr_diagnostics_errors(compile->diagnostics) > compile->errors_before;
}

/* Everything behind the parser. On errors nothing stays bound. */
static bool run_passes(struct compile *compile, const char *path, const char *name,
                       struct program_parts *parts)
{
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
    if (!analog_failed(compile))
        parts->chain = analog_plan(compile, path, name);
    if (!parts->chain) {
        analog_unbind(compile);
        return false;
    }
    analog_fuse(compile, parts->chain);
    if (!analog_failed(compile))
        analog_place(compile, parts->chain);
    analog_running(parts->chain);
    if (!analog_failed(compile) && analog_identities(compile, parts))
        return true;
    release_all(parts->chain);
    return false;
}

static enum mr_status compile_source(const char *path, const char *name, const char *text,
                                     size_t len, const struct mr_analog_config *config,
                                     struct mr_diagnostics *diagnostics, struct mr_program **out)
{
    struct compile compile = {.config = config,
                              .diagnostics = diagnostics,
                              .errors_before = mr_diagnostics_errors(diagnostics)};
    struct program_memory *memory = calloc(1, sizeof *memory);
    struct mr_program *program = calloc(1, sizeof *program);
    struct source *source;
    bool known, good = false;

    *out = NULL;
    if (!memory || !program) {
        analog_error(&compile, &(struct mr_where){0}, "out of memory while compiling");
        free(memory);
        free(program);
        return MR_ERR_MEMORY;
    }
    *program = (struct mr_program){.owners = 1, .memory = memory};
    memory->owners = 1;
    mr_arena_init(&memory->arena, PROGRAM_BYTES);
    mr_arena_init(&compile.scratch, SCRATCH_BYTES);
    compile.memory = &memory->arena;
    compile.shared = memory;
    source = text ? analog_source_text(&compile, path, text, len)
                  : analog_source_open(&compile, path, NULL, &known);
    if (source) {
        analog_parse(&compile, source);
        good = run_passes(&compile, path, name, &program->parts);
    }
    mr_arena_free(&compile.scratch);
    if (good) {
        *out = program;
        return MR_OK;
    }
    memory_release(memory);
    free(program);
    return compile.no_memory ? MR_ERR_MEMORY : MR_ERR_PROGRAM;
}

enum mr_status mr_analog_program_file(const char *path, const char *name,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics,
                                      struct mr_program **program)
{
    return compile_source(path, name, NULL, 0, config, diagnostics, program);
}

enum mr_status mr_analog_program_text(const char *name, const char *text, size_t len,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics,
                                      struct mr_program **program)
{
    return compile_source(name, NULL, text ? text : "", len, config, diagnostics, program);
}

/* ---- plans ---- */

void analog_release(const struct mr_plan *plan)
{
    release_all(plan);
    for (uint32_t i = 0; i < plan->n_programs; i++)
        mr_program_release(plan->sources[i]);
}

void mr_plan_free(struct mr_plan *plan)
{
    if (!plan)
        return;
    struct mr_arena *memory = plan->memory;
    analog_release(plan);
    mr_arena_free(memory); /* the plan lies in it */
    free(memory);
}
