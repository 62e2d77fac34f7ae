/* Stages with tables or aggregates: one tuple after the other, each to its fixpoint. */
#ifndef MR_RUNTIME_BY_ROW_H
#define MR_RUNTIME_BY_ROW_H

#include "runtime/exec.h"
#include "runtime/table.h"

/* One tuple's way to the fixpoint. */
struct mr_row_run {
    struct mr_exec *exec; /* of whoever goes on */
    const struct mr_plan_stage *stage;
    struct mr_tuples *todo, **end; /* batches to be looked at */
    struct mr_tuples *result, **result_end;
    uint32_t derivations;
    struct mr_tuples *batch; /* the one under way, and its next row */
    uint32_t next_row;
    struct mr_tuples *row; /* the one under way, and the next rule that may wait for it */
    uint32_t next_rule;
    struct mr_rule_run rule;   /* the one under way: */
    bool computes, lost;       /* it has rows to meet; there was no memory for something */
    struct mr_tuples *derived; /* of it, to be applied, and the next row of the first batch */
    uint32_t derived_row;
};

/* Everything that follows from one row (a batch of one) in a stage. What a rule puts into a table
 * is there for the next rule, its rules in the order of the text; then follow the rules that what
 * it derived triggers, and those that the changes of tables trigger, first come, first served. An
 * event that is derived twice happens twice, since tables may have changed in between. Gives what
 * leaves the stage. */
struct mr_tuples *mr_exec_by_row(struct mr_exec *exec, const struct mr_plan_stage *stage,
                                 struct mr_tuples *row);

/* The same in slices of exec->left. True: that was all: run->result leaves the stage. Nothing else
 * is done to the tables before. */
void mr_exec_by_row_begin(struct mr_row_run *run, const struct mr_plan_stage *stage,
                          struct mr_tuples *row);
bool mr_exec_by_row_go_on(struct mr_exec *exec, struct mr_row_run *run);

/* Some rule of the stage waits for such tuples (`gone`: rows that left a table). */
bool mr_stage_follows(const struct mr_plan_stage *stage, uint32_t predicate, bool gone);

/* The earliest row of a list of merged batches, by origin, ordinal, predicate, as a batch of its
 * own. NULL: there is none. */
struct mr_tuples *mr_exec_take_row(struct mr_exec *exec, struct mr_tuples *list);

/* One stage over a list: what leaves it. */
struct mr_tuples *mr_exec_stage(struct mr_exec *exec, uint32_t stage, struct mr_tuples *in);
/* Some tuple triggers a rule of the stage. */
bool mr_exec_stage_waits(const struct mr_plan_stage *stage, const struct mr_tuples *in);

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
