/* What functions and stages counted that run no more: nothing that was counted is forgotten when
 * its program is unloaded or replaced. */
#ifndef MR_ENGINE_UNLOADED_H
#define MR_ENGINE_UNLOADED_H

#include "engine/report.h"

#define MR_UNLOADED_MOST   4096 /* calls; what is unloaded then counts as ... */
#define MR_UNLOADED_OTHER  "other components"
#define MR_UNLOADED_STAGES 64 /* the same of stages, which take 30 KB each */

/* All calls of a function in components of one name. Nodes stay as long as the engine. */
struct mr_unloaded {
    struct mr_unloaded *next;
    const struct mr_function *function;
    char *component;
    uint64_t counters[]; /* as function->counters; change while no worker works */
};

/* All that was measured at stages of one name. As above. */
struct mr_unloaded_stage {
    struct mr_stage_metrics metrics;
    struct mr_unloaded_stage *next;
    char name[MR_STAGE_NAME_BYTES];
};

/* Any thread, any time; NULL: none. */
const struct mr_unloaded *mr_unloaded_first(const struct mr_engine *engine);
const struct mr_unloaded_stage *mr_unloaded_stages(const struct mr_engine *engine);

/* Nothing was counted; such need not be told. */
bool mr_unloaded_is_zero(const struct mr_unloaded *u);

/* Under change_lock: makes room for all that the plan's functions count, and its stages that are
 * not in the next one. MR_ERR_MEMORY. */
enum mr_status mr_unloaded_reserve(struct mr_engine *engine, const struct mr_plan *plan,
                                   const struct mr_plan *next);

/* While no worker works, after mr_unloaded_reserve(): adds what a runtime that goes, of this plan,
 * has in its counters. */
void mr_unloaded_add(struct mr_engine *engine, const struct mr_plan *plan,
                     const struct mr_plan *next, const struct mr_runtime *gone);

void mr_unloaded_free(struct mr_engine *engine);

#endif
