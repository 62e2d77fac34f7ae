/* The tables and timers of one lane, and what happens to them as packet time passes. */
#ifndef MR_RUNTIME_TABLE_SET_H
#define MR_RUNTIME_TABLE_SET_H

#include "runtime/exec.h"
#include "runtime/table.h"
#include "runtime/view.h"

#include <pthread.h>

struct mr_timer {
    uint32_t stage;
    const struct mr_plan_timer *plan;
    uint64_t next_ns, fired;
    bool carried; /* goes on where it was in an earlier plan */
};

/* `lock` is held while the lane runs, so that others may read the rows in between. */
struct mr_table_set {
    struct mr_table **tables; /* [n_tables of the plan]; NULL: elsewhere */
    struct mr_timer *timers;
    struct mr_view *views; /* running ones of the group */
    uint32_t group, n_timers, n_views;
    bool *owns;            /* [n_tables] tables[i] is of this lane, not a constant one */
    bool *met;             /* [n_tables] a tuple may meet all its rows */
    bool *carried;         /* [n_tables] its rows are those of an earlier plan, facts included */
    bool started;          /* facts are in, timers are set */
    uint64_t next_ns;      /* nothing happens before; 0: to be started */
    uint64_t told_ns;      /* of the time, last; timers are set from there on */
    uint64_t rung, things; /* the packet that rang last; what has happened since: see place() ... */
    uint32_t ended;        /* ... and how many rows have ended */
    struct mr_following *following; /* what the slice under way has left: following.c ... */
    uint32_t records;               /* ... and how many records its task has made; of the token */
    uint64_t strain; /* what rows that ended, and timers, have cost so far, as so many tuples */
    pthread_mutex_t lock;
};

/* The tables and timers of a group for one lane, with the constant tables beside them. NULL with
 * MR_OK: the group has none of its own. */
enum mr_status mr_table_set_new(struct mr_table_set **out, const struct mr_plan *plan,
                                uint32_t group, const struct mr_table_set *constants,
                                struct mr_buffers *pool, const struct mr_secret *secret);

/* All constant tables, with their facts. NULL with MR_OK when there are none. */
enum mr_status mr_table_set_constants(struct mr_table_set **out, const struct mr_plan *plan,
                                      struct mr_buffers *pool, const struct mr_secret *secret);
void mr_table_set_free(struct mr_table_set *set, const struct mr_plan *plan); /* NULL is allowed */

/* What follows from one tuple may be much: more than the straight way takes. */
bool mr_table_set_meets_many(const struct mr_table_set *set, const struct mr_plan *plan);

/* Packet time was set back, and timers with it: the set must be told. */
static inline bool mr_table_set_ahead(const struct mr_table_set *set, uint64_t now_ns)
{
    return set->n_timers && set->told_ns > now_ns;
}

/* Packet time is now_ns, the packet `number` rang: facts, timers, expiry; a slice of it. Rows that
 * nobody hears of are out of sight at once. In the lane. True: there is more; call again with the
 * same time before anything else is done to the lane. */
bool mr_exec_tables_tick(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number);

/* ---- following.c ---- */
/* What follows, in stages [stage, end), from a tuple, or (`changed`) from a change of a table that
 * no tuple made: is to be done behind what is to be done already. */
void mr_exec_follow(struct mr_exec *exec, uint32_t stage, uint32_t end, struct mr_tuples *in,
                    bool changed);
/* Does that, as much as a slice of exec->left may: appended to exec->outputs. True: that was all.
 */
bool mr_exec_follow_up(struct mr_exec *exec);

/* ---- table_time.c ---- */
/* Facts, and timers that fire at the start, if they have not yet: at the first tick, or before
 * whatever comes before it. */
void mr_exec_tables_start(struct mr_exec *exec, uint32_t group, uint64_t now_ns, uint64_t number);

/* Releases rows that are out of sight, a slice of them. True: there are more. */
bool mr_exec_tables_clean(struct mr_exec *exec);

/* When something happens by itself again. */
uint64_t mr_table_set_next(const struct mr_table_set *set, const struct mr_plan *plan);

/* ---- carry_tables.c ---- */

/* For each table of a new plan the one of the old plan whose rows it goes on with, or MR_NO_TABLE:
 * one that only stages touch which stay, and with it all tables that these touch. To be given to
 * free(); NULL: no memory. */
uint32_t *mr_carried_tables(const struct mr_plan *old, const struct mr_plan *fresh);

/* Nobody works, another plan takes over: rows of such tables, views of them, and timers of stages
 * that stay go from a lane's set (NULL: it has none) to that of the same lane in the new plan. */
void mr_carry_tables(struct mr_table_set *from, const struct mr_plan *old, struct mr_table_set *to,
                     const struct mr_plan *fresh, const uint32_t *tables);

/* The secret by which a set's tables hash. */
void mr_table_set_secret(struct mr_table_set *set, const struct mr_plan *plan,
                         const struct mr_secret *secret); /* NULL is allowed */

#endif
