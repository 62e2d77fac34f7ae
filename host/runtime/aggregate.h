/* Aggregates in the heads of rules. */
#ifndef MR_RUNTIME_AGGREGATE_H
#define MR_RUNTIME_AGGREGATE_H

#include "runtime/exec.h"
#include "runtime/sums.h"

/* One row for each group of the batch (rows that agree in all columns but the aggregates), in the
 * order of their first rows. The columns of aggregates hold what is aggregated. All rows come from
 * one tuple. NULL: no memory (counted). */
struct mr_tuples *mr_aggregate(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               struct mr_tuples *batch);

/* What a sum or an average is, of one of the two sums (by the aggregate's type) over n values. */
union mr_value mr_sum_value(const struct mr_plan_aggregate *aggregate,
                            const struct mr_int_sum *ints, const struct mr_real_sum *reals,
                            uint64_t n);

/* The same over all rows of a list of batches, which has some. */
struct mr_tuples *mr_aggregate_all(struct mr_exec *exec, const struct mr_plan_rule *rule,
                                   const struct mr_tuples_list *batches);

#endif
