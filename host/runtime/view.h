/* Running views: aggregates over tables whose values are kept up to date. A row that comes or goes
 * is told at once, when it is in the table or out of it; what that costs does not depend on how
 * many rows there are (but for the logarithm of a group's where there is a minimum or maximum).
 *
 * A view belongs to the set of tables of one lane, and to whoever runs the lane. Its memory is of
 * the buffer pool. Where there is none it is `off` from then on: its groups are computed anew from
 * their rows, by the operations of its rule.
 */
#ifndef MR_RUNTIME_VIEW_H
#define MR_RUNTIME_VIEW_H

#include "runtime/buckets.h"
#include "runtime/exec.h"
#include "runtime/slab.h"

struct mr_view_group;

struct mr_view {
    const struct mr_plan_rule *rule; /* `running`: what triggers it names a group */
    uint32_t stage;
    uint32_t n_keys; /* leading attributes of that: the group */
    bool off;
    struct mr_slab slab;
    struct mr_buckets groups;
    uint64_t changes, random;
};

void mr_view_init(struct mr_view *view, const struct mr_plan *plan, uint32_t stage,
                  const struct mr_plan_rule *rule, struct mr_buffers *pool);
void mr_view_free(struct mr_view *view);

/* Some running view of the stage is fed by the table whose rows are of this predicate. */
bool mr_views_want(const struct mr_plan_stage *stage, uint32_t predicate);

/* A row (a batch of one; `gone` where it left) to all views of the stage that it feeds: gives
 * batches that name the groups concerned, each once, for the views' rules. */
struct mr_tuples *mr_views_feed(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                const struct mr_tuples *row);

/* There was no memory for such a row. */
void mr_views_lost(struct mr_exec *exec, const struct mr_plan_stage *stage, uint32_t predicate);

/* The head of a running view's rule for a group (a batch of one). NULL: there is no such group any
 * more, or no memory (counted). *off: the view is, and the rule's operations tell. */
struct mr_tuples *mr_view_tell(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               const struct mr_tuples *group, bool *off);

#endif
