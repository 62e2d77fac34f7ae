/* Changing the set of programs while the engine runs: a new set is compiled beside the running one
 * and takes its place, or nothing changes. */
#include "engine/alarms.h"
#include "engine/sites.h"
#include "engine/unloaded.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The set that is to be. */
struct change {
    struct mr_engine *engine;
    struct mr_program *programs[MR_MAX_PROGRAMS];
    uint32_t n;
    struct mr_plan *plan;
    struct mr_alarms *alarms;
    struct mr_sites *sites;
};

/* What is being done, for who waits for it. */
static void at_step(const struct change *change, const char *step)
{
    atomic_store_explicit(&change->engine->change_step, step, memory_order_relaxed);
}

static void begin(struct change *change, struct mr_engine *engine)
{
    pthread_mutex_lock(&engine->edit_lock);
    *change = (struct change){.engine = engine, .n = engine->n_programs};
    for (uint32_t i = 0; i < change->n; i++)
        change->programs[i] = mr_program_share(engine->programs[i]);
}

static uint32_t find(const struct change *change, const char *name)
{
    uint32_t i = 0;
    while (i < change->n && strcmp(mr_program_name(change->programs[i]), name) != 0)
        i++;
    return i;
}

static enum mr_status no_such(const struct change *change, const char *name, struct mr_error *error)
{
    char names[256] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < change->n && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 mr_program_name(change->programs[i]));
    return mr_fail(error, MR_ERR_USAGE, "no program is called %.64s; there %s %s", name,
                   change->n > 1 ? "are" : "is", names);
}

/* The control thread reads the program, and would wait for ever where nothing comes. */
static enum mr_status check_path(const char *spec, struct mr_error *error)
{
    char name[MR_PROGRAM_NAME_BYTES];
    const char *path = mr_load_spec(spec, name);
    struct stat there;

    if (!*path)
        return mr_fail(error, MR_ERR_USAGE, "there is no name of a file: give a file");
    if (!strcmp(path, "-"))
        return mr_fail(error, MR_ERR_USAGE, "standard input is the engine's: give a file");
    if (!stat(path, &there) && !S_ISREG(there.st_mode))
        return mr_fail(error, MR_ERR_PROGRAM, "%.200s: it is no regular file: give a file", path);
    return MR_OK; /* what cannot be looked at cannot be opened either, and that is told then */
}

/* Compiles a program into place i of the set. */
static enum mr_status compile(struct change *change, uint32_t i, const char *spec,
                              FILE *diagnostics, struct mr_error *error)
{
    const struct mr_engine_programs *config = &change->engine->config.programs;
    bool *used = calloc(config->n_settings + 1, sizeof *used);
    struct mr_program *program = NULL;
    enum mr_status status = check_path(spec, error);

    at_step(change, "compiling");

    if (status) {
        free(used);
        return status;
    }
    status = MR_ERR_MEMORY;
    if (used) /* settings that only other programs know are no fault of this one */
        status = mr_load_program(spec, config, used, diagnostics, &program);
    free(used);
    if (status)
        return mr_fail(error, status, "%.200s: not loaded: %s", spec, mr_status_text(status));
    mr_program_release(change->programs[i]);
    change->programs[i] = program;
    return MR_OK;
}

/* While no worker works. */
static void install(void *user, const struct mr_runtime *gone)
{
    struct change *change = user;
    struct mr_engine *engine = change->engine;
    struct mr_plan *old = engine->plan;
    struct mr_program *programs[MR_MAX_PROGRAMS];
    struct mr_alarms *alarms = engine->alarms;
    uint32_t n = engine->n_programs;

    mr_unloaded_add(engine, engine->plan, change->plan, gone);
    change->sites = mr_sites_install(engine, change->sites);
    mr_alarms_carry(change->alarms, alarms);
    engine->alarms = change->alarms;
    change->alarms = alarms;
    engine->plan = change->plan;
    change->plan = old;
    memcpy(programs, engine->programs, sizeof programs);
    memcpy(engine->programs, change->programs, sizeof programs);
    memcpy(change->programs, programs, sizeof programs);
    engine->n_programs = change->n;
    change->n = n;
}

/* Compiles the set to a plan and changes over to it, unless there was an error before. What is left
 * over, the old set or the one that failed, is given back. */
static enum mr_status finish(struct change *change, enum mr_status status, FILE *diagnostics,
                             struct mr_error *error)
{
    struct mr_engine *engine = change->engine;

    at_step(change, "putting the programs together");
    if (!status) {
        status = mr_load_plan(change->programs, change->n, engine->plan, false, diagnostics,
                              &change->plan);
        if (status)
            mr_fail(error, status, "the programs do not fit together: %s", mr_status_text(status));
    }
    if (!status)
        status = mr_alarms_open(&change->alarms, change->plan, engine->config.syslog,
                                &engine->commands, engine->config.diagnostics, error);
    if (!status)
        status = mr_sites_open(&change->sites, engine, change->plan, engine->sites, error);
    /* who only looks at programs and plan waits from here on */
    at_step(change, "taking over");
    pthread_mutex_lock(&engine->change_lock);
    if (!status && (status = mr_unloaded_reserve(engine, engine->plan, change->plan)))
        mr_fail(error, status, "out of memory for what the old programs counted");
    if (!status)
        status = mr_runtime_swap(engine->runtime, change->plan, install, change, error);
    pthread_mutex_unlock(&engine->change_lock);
    at_step(change, "giving back what is left over");
    mr_alarms_close(change->alarms, NULL);
    mr_sites_close(change->sites);
    mr_plan_free(change->plan);
    mr_load_release(change->programs);
    at_step(change, NULL);
    pthread_mutex_unlock(&engine->edit_lock);
    return status;
}

enum mr_status mr_engine_load(struct mr_engine *engine, const char *program, FILE *diagnostics,
                              struct mr_error *error)
{
    struct change change;
    enum mr_status status = MR_OK;

    begin(&change, engine);
    if (change.n == MR_MAX_PROGRAMS)
        status = mr_fail(error, MR_ERR_USAGE, "%d programs run already: unload one first",
                         MR_MAX_PROGRAMS);
    if (!status)
        status = compile(&change, change.n, program, diagnostics, error);
    if (!status) {
        const char *name = mr_program_name(change.programs[change.n]);
        if (find(&change, name) < change.n)
            status = mr_fail(error, MR_ERR_USAGE,
                             "a program called %s runs already: replace it, or give this one "
                             "another name (load NAME=FILE)",
                             name);
        change.n++;
    }
    return finish(&change, status, diagnostics, error);
}

enum mr_status mr_engine_replace(struct mr_engine *engine, const char *name, const char *file,
                                 FILE *diagnostics, struct mr_error *error)
{
    struct change change;
    enum mr_status status = MR_OK;
    char *spec = NULL;

    begin(&change, engine);
    uint32_t i = find(&change, name);
    if (i == change.n)
        status = no_such(&change, name, error);
    else if (asprintf(&spec, "%s=%s", name, file) < 0)
        status = mr_fail(error, MR_ERR_MEMORY, "out of memory");
    if (!status)
        status = compile(&change, i, spec, diagnostics, error);
    if (spec)
        free(spec);
    return finish(&change, status, diagnostics, error);
}

enum mr_status mr_engine_unload(struct mr_engine *engine, const char *name, FILE *diagnostics,
                                struct mr_error *error)
{
    struct change change;
    enum mr_status status = MR_OK;

    begin(&change, engine);
    uint32_t i = find(&change, name);
    if (i == change.n) {
        status = no_such(&change, name, error);
    } else if (change.n == 1) {
        status = mr_fail(error, MR_ERR_USAGE,
                         "%s is the last program: replace it, or stop the engine", name);
    } else {
        mr_program_release(change.programs[i]);
        change.n--;
        memmove(&change.programs[i], &change.programs[i + 1],
                (change.n - i) * sizeof change.programs[0]);
        change.programs[change.n] = NULL;
    }
    return finish(&change, status, diagnostics, error);
}

enum mr_status mr_engine_reload(struct mr_engine *engine, FILE *diagnostics, struct mr_error *error)
{
    struct change change;
    enum mr_status status = MR_OK;

    begin(&change, engine);
    for (uint32_t i = 0; !status && i < change.n; i++) {
        const struct mr_program *program = change.programs[i];
        char *spec = NULL;
        if (!strcmp(mr_program_path(program), "-"))
            status = mr_fail(error, MR_ERR_USAGE,
                             "%s was read from standard input and cannot be read again",
                             mr_program_name(program));
        else if (asprintf(&spec, "%s=%s", mr_program_name(program), mr_program_path(program)) < 0)
            status = mr_fail(error, MR_ERR_MEMORY, "out of memory");
        if (!status)
            status = compile(&change, i, spec, diagnostics, error);
        free(spec);
    }
    return finish(&change, status, diagnostics, error);
}
