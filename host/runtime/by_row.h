/* Stages with tables or aggregates: one tuple after the other, each to its fixpoint. */
#ifndef MR_RUNTIME_BY_ROW_H
#define MR_RUNTIME_BY_ROW_H

#include "runtime/exec.h"
#include "runtime/table.h"

/* Everything that follows from one row (a batch of one) in a stage. What a rule puts into a table
 * is there for the next rule, its rules in the order of the text; then follow the rules that what
 * it derived triggers, and those that the changes of tables trigger, first come, first served. An
 * event that is derived twice happens twice, since tables may have changed in between. Gives what
 * leaves the stage. */
struct mr_tuples *mr_exec_by_row(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                 struct mr_tuples *row);

/* Some rule of the stage waits for such tuples (`gone`: rows that left a table). */
bool mr_stage_follows(const struct mr_plan_stage *stage, uint32_t predicate, bool gone);

/* What follows, in stages [first, end), from a change that is not a tuple's: appended to
 * exec->outputs. */
void mr_exec_stages(struct mr_exec *exec, uint32_t first, uint32_t end, struct mr_tuples *in);

/* A batch of one row with the origin given and the values of a table's row, copied. `gone`: it
 * left the table. NULL: no memory. */
struct mr_tuples *mr_row_tuple(struct mr_exec *exec, const struct mr_table *table,
                               const union mr_value *values, struct mr_packet *origin, bool gone);

/* Tells about rows of a batch, where the program watches their predicate. */
void mr_exec_watch(struct mr_exec *exec, const struct mr_tuples *tuples, enum mr_watch what,
                   const char *change);

#endif
