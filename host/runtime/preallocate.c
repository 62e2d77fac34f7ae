/* Memory of all flows that may be remembered, at the start: who would rather wait then than let a
 * packet wait for a page (config.preallocate). */
#include "base/memory.h"
#include "runtime/internal.h"

#define SPARE_BYTES (16u << 20)

/* Keys make contexts; without them there is one. */
static bool has_many(const struct mr_runtime *runtime, const struct mr_phase *phase)
{
    return runtime->config.plan->groups[phase->lane_group].n_keys;
}

/* `kept` [n_phases], NULL: none: they get their memory from the runtime before. */
static uint64_t wanted_bytes(const struct mr_runtime *runtime, const bool *kept)
{
    uint64_t sum = 0;

    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        const struct mr_phase *phase = &runtime->phases[i];
        if (has_many(runtime, phase) && !(kept && kept[i]))
            sum += phase->n_lanes * phase->lanes[0].contexts.mapped_bytes;
    }
    return sum;
}

uint64_t mr_runtime_preallocated(const struct mr_runtime *runtime)
{
    return runtime->config.preallocate ? wanted_bytes(runtime, NULL) : 0;
}

/* With page tables, and what the process goes on with once it has them: who takes the last page of
 * a control group is killed at the next one. */
static uint64_t with_room(uint64_t bytes)
{
    return bytes ? bytes + bytes / 256 + SPARE_BYTES : 0;
}

enum mr_status mr_runtime_preallocate(struct mr_runtime *runtime, const bool *kept,
                                      struct mr_error *error)
{
    uint64_t wanted = with_room(wanted_bytes(runtime, kept)), there = mr_memory_available();
    bool is_there = wanted <= there;

    /* looked at first: Linux promises more than it has, and kills who believes it */
    for (uint32_t i = 1; is_there && i < runtime->n_phases; i++) {
        const struct mr_phase *phase = &runtime->phases[i];
        if (!has_many(runtime, phase) || (kept && kept[i]))
            continue;
        for (uint32_t l = 0; is_there && l < phase->n_lanes; l++)
            is_there = mr_contexts_preallocate(&phase->lanes[l].contexts);
    }
    if (is_there)
        return MR_OK;
    if (kept)
        return mr_fail(error, MR_ERR_MEMORY,
                       "--preallocate: %llu flows of the new programs want %llu MiB beside those "
                       "of the old ones, and %llu are available: nothing was changed; give more "
                       "memory, or start anew with them, with a lower --max-flows or without "
                       "--preallocate",
                       (unsigned long long)runtime->config.max_contexts,
                       (unsigned long long)(wanted >> 20), (unsigned long long)(there >> 20));
    return mr_fail(error, MR_ERR_MEMORY,
                   "--preallocate: %llu flows want %llu MiB, and %llu are available: lower "
                   "--max-flows",
                   (unsigned long long)runtime->config.max_contexts,
                   (unsigned long long)(wanted >> 20), (unsigned long long)(there >> 20));
}
