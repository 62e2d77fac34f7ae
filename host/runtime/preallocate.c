/* Memory of all flows that may be remembered, at the start: who would rather wait then than let a
 * packet wait for a page (config.preallocate). */
#include "base/memory.h"
#include "runtime/internal.h"

/* Keys make contexts; without them there is one. */
static bool has_many(const struct mr_runtime *runtime, const struct mr_phase *phase)
{
    return runtime->config.plan->groups[phase->lane_group].n_keys;
}

static uint64_t wanted_bytes(const struct mr_runtime *runtime)
{
    uint64_t sum = 0;

    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        const struct mr_phase *phase = &runtime->phases[i];
        if (has_many(runtime, phase))
            sum += phase->n_lanes * phase->lanes[0].contexts.mapped_bytes;
    }
    return sum;
}

uint64_t mr_runtime_preallocated(const struct mr_runtime *runtime)
{
    return runtime->config.preallocate ? wanted_bytes(runtime) : 0;
}

enum mr_status mr_runtime_preallocate(struct mr_runtime *runtime, struct mr_error *error)
{
    uint64_t wanted = wanted_bytes(runtime), there = mr_memory_available();
    bool is_there = wanted <= there;

    /* looked at first: Linux promises more than it has, and kills who believes it */
    for (uint32_t i = 1; is_there && i < runtime->n_phases; i++) {
        const struct mr_phase *phase = &runtime->phases[i];
        for (uint32_t l = 0; is_there && has_many(runtime, phase) && l < phase->n_lanes; l++)
            is_there = mr_contexts_preallocate(&phase->lanes[l].contexts);
    }
    if (is_there)
        return MR_OK;
    return mr_fail(error, MR_ERR_MEMORY,
                   "--preallocate: %llu flows want %llu MiB, and %llu are available: lower "
                   "--max-flows",
                   (unsigned long long)runtime->config.max_contexts,
                   (unsigned long long)(wanted >> 20), (unsigned long long)(there >> 20));
}
