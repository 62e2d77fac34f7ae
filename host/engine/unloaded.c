/* Counters of functions and stages that are gone: lists that only grow, so that they are read
 * without a lock. */
#include "engine/unloaded.h"

#include <stdlib.h>
#include <string.h>

const struct mr_unloaded *mr_unloaded_first(const struct mr_engine *engine)
{
    return atomic_load_explicit(&engine->unloaded, memory_order_acquire);
}

bool mr_unloaded_is_zero(const struct mr_unloaded *u)
{
    for (uint32_t i = 0; u->function->counters[i]; i++)
        if (u->counters[i])
            return false;
    return true;
}

static struct mr_unloaded *find(const struct mr_engine *engine, const char *component,
                                const struct mr_function *function)
{
    struct mr_unloaded *u = atomic_load_explicit(&engine->unloaded, memory_order_acquire);
    while (u && (u->function != function || strcmp(u->component, component) != 0))
        u = u->next;
    return u;
}

static enum mr_status make(struct mr_engine *engine, const char *component,
                           const struct mr_function *function)
{
    uint32_t n = 0;

    if (engine->n_unloaded >= MR_UNLOADED_MOST)
        component = MR_UNLOADED_OTHER;
    if (find(engine, component, function))
        return MR_OK;
    while (function->counters[n])
        n++;
    struct mr_unloaded *u = calloc(1, sizeof *u + n * sizeof *u->counters);
    char *name = strdup(component);
    if (!u || !name) {
        free(u);
        free(name);
        return MR_ERR_MEMORY;
    }
    u->component = name;
    u->function = function;
    u->next = atomic_load_explicit(&engine->unloaded, memory_order_relaxed);
    atomic_store_explicit(&engine->unloaded, u, memory_order_release);
    engine->n_unloaded++;
    return MR_OK;
}

/* The call, if it counts. */
static const struct mr_op *counting(const struct mr_op *op)
{
    return op->kind == MR_OP_CALL && op->function->counters ? op : NULL;
}

/* ---- stages ---- */

const struct mr_unloaded_stage *mr_unloaded_stages(const struct mr_engine *engine)
{
    return atomic_load_explicit(&engine->unloaded_stages, memory_order_acquire);
}

static struct mr_unloaded_stage *find_stage(const struct mr_engine *engine, const char *name)
{
    struct mr_unloaded_stage *u =
        atomic_load_explicit(&engine->unloaded_stages, memory_order_acquire);
    while (u && strcmp(u->name, name) != 0)
        u = u->next;
    return u;
}

static enum mr_status make_stage(struct mr_engine *engine, const char *name)
{
    if (engine->n_unloaded_stages >= MR_UNLOADED_STAGES)
        name = MR_UNLOADED_OTHER;
    if (find_stage(engine, name))
        return MR_OK;
    struct mr_unloaded_stage *u = aligned_alloc(_Alignof(struct mr_unloaded_stage), sizeof *u);
    if (!u)
        return MR_ERR_MEMORY;
    memset(u, 0, sizeof *u);
    snprintf(u->name, sizeof u->name, "%s", name);
    u->next = atomic_load_explicit(&engine->unloaded_stages, memory_order_relaxed);
    atomic_store_explicit(&engine->unloaded_stages, u, memory_order_release);
    engine->n_unloaded_stages++;
    return MR_OK;
}

static enum mr_status reserve_stages(struct mr_engine *engine, const struct mr_plan *plan,
                                     const struct mr_plan *next)
{
    enum mr_status status = MR_OK;

    for (uint32_t g = 0; !status && g < plan->n_groups; g++) {
        char name[MR_STAGE_NAME_BYTES];
        mr_stage_name(plan, g, name);
        if (mr_measured_in(next, plan, g) == MR_NO_INDEX)
            status = make_stage(engine, name);
    }
    return status;
}

static void add_stages(struct mr_engine *engine, const struct mr_plan *plan,
                       const struct mr_plan *next, const struct mr_runtime *gone)
{
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        uint32_t to = mr_measured_in(next, plan, g);
        char name[MR_STAGE_NAME_BYTES], then[MR_STAGE_NAME_BYTES];
        mr_stage_name(plan, g, name);
        if (to != MR_NO_INDEX) {
            mr_stage_name(next, to, then);
            if (strcmp(name, then) != 0)
                atomic_store_explicit(&engine->regrouped, true, memory_order_relaxed);
            continue;
        }
        struct mr_unloaded_stage *u = find_stage(engine, name);
        u = u ? u : find_stage(engine, MR_UNLOADED_OTHER);
        if (u)
            mr_runtime_stage(gone, g, &u->metrics);
    }
}

/* ---- all of them ---- */

enum mr_status mr_unloaded_reserve(struct mr_engine *engine, const struct mr_plan *plan,
                                   const struct mr_plan *next)
{
    enum mr_status status = reserve_stages(engine, plan, next);

    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; !status && o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = counting(&plan->stages[s].rules[r].ops[o]);
                if (op)
                    status = make(engine, plan->stages[s].name, op->function);
            }
    return status;
}

static void add(struct mr_engine *engine, const char *component, const struct mr_op *op,
                const struct mr_runtime *gone)
{
    struct mr_unloaded *u = find(engine, component, op->function);

    if (!u)
        u = find(engine, MR_UNLOADED_OTHER, op->function);
    for (uint32_t i = 0; u && op->function->counters[i]; i++)
        u->counters[i] += mr_runtime_function_counter(gone, op->binding, i);
}

void mr_unloaded_add(struct mr_engine *engine, const struct mr_plan *plan,
                     const struct mr_plan *next, const struct mr_runtime *gone)
{
    add_stages(engine, plan, next, gone);
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t o = 0; o < plan->stages[s].rules[r].n_ops; o++) {
                const struct mr_op *op = counting(&plan->stages[s].rules[r].ops[o]);
                if (op)
                    add(engine, plan->stages[s].name, op, gone);
            }
}

void mr_unloaded_free(struct mr_engine *engine)
{
    struct mr_unloaded *u = atomic_load_explicit(&engine->unloaded, memory_order_relaxed);

    while (u) {
        struct mr_unloaded *next = u->next;
        free(u->component);
        free(u);
        u = next;
    }
    struct mr_unloaded_stage *s =
        atomic_load_explicit(&engine->unloaded_stages, memory_order_relaxed);
    while (s) {
        struct mr_unloaded_stage *next = s->next;
        free(s);
        s = next;
    }
}
