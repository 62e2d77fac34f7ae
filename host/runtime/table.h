/* Rows of one table in one lane (or of a constant table): found by the columns of its indexes, kept
 * in the order in which they were put in, with deadlines in packet time. Whoever runs the lane owns
 * it; constant tables are only read.
 *
 * A row holds copies of all bytes that its values point to. Memory is of the buffer pool.
 */
#ifndef MR_RUNTIME_TABLE_H
#define MR_RUNTIME_TABLE_H

#include "analog/plan.h"
#include "base/hash.h"
#include "runtime/buckets.h"
#include "runtime/slab.h"
#include "runtime/tuples.h"

#define MR_HEAP_FIRST 64u /* rows in the first part of a table's deadlines */
#define MR_HEAP_PARTS 18u /* the last one is as large as a buffer may be */

/* Rows with equal values in the columns of an index. */
struct mr_row_group {
    struct mr_hung hung;
    struct mr_row *first, *last;
    uint64_t n;
};

struct mr_row_link {
    struct mr_row *next, *previous; /* in the group, by insertion */
    struct mr_row_group *group;
};

struct mr_row {
    struct mr_row *next, *previous; /* of all, by insertion */
    struct mr_order_key order;      /* of what put it in */
    uint64_t time_ns;               /* the same */
    uint64_t sequence;              /* among the rows of the table */
    uint64_t deadline_ns;           /* MR_FOREVER: none */
    uint32_t heap_at;               /* 1 + its place among the deadlines; 0: none */
    uint32_t bytes;
    struct mr_buffer *large;
    struct mr_row_link *links; /* [n_indexes] */
    union mr_value values[];   /* [arity] */
};

struct mr_table {
    const struct mr_plan *plan;
    const struct mr_plan_table *table;
    const struct mr_plan_predicate *predicate;
    const struct mr_secret *secret;
    struct mr_slab slab;
    struct mr_buckets indexes[MR_MAX_INDEXES]; /* groups */
    struct mr_row *first, *last;
    uint64_t n, put;                       /* rows now; ever */
    struct mr_buffer *heap[MR_HEAP_PARTS]; /* rows by deadline, soonest first: each part is twice as
                                              long as the one before */
    uint32_t n_heap;
    /* Rows with deadlines up to here are out of sight: nobody finds them, and whoever comes across
     * one releases it. */
    uint64_t hidden_ns;
    uint64_t n_cleaned; /* how many were, for whoever counts them */
};

enum mr_put {
    MR_PUT_SAME, /* it was there: its lifetime begins anew */
    MR_PUT_ADDED,
    MR_PUT_REPLACED,
    MR_PUT_REFUSED /* no memory */
};

/* What putting a row in did. Rows in `old` and `evicted` are out of the table, and the caller's
 * to give to mr_table_release(). */
struct mr_change {
    enum mr_put what;
    struct mr_row *row, *old, *evicted;
};

void mr_table_init(struct mr_table *t, const struct mr_plan *plan, uint32_t index,
                   struct mr_buffers *pool, const struct mr_secret *secret);
void mr_table_free(struct mr_table *t);

/* Puts values[arity] in, in place of the row with the same primary key. */
void mr_table_put(struct mr_table *t, const union mr_value *values, uint64_t now_ns,
                  struct mr_order_key order, struct mr_change *change);

/* The first row with these values in the columns of an index (MR_NO_INDEX: of all), and the next.
 * NULL: there is none. */
struct mr_row *mr_table_find(struct mr_table *t, uint32_t index, const union mr_value *key);
struct mr_row *mr_table_next(struct mr_table *t, const struct mr_row *row, uint32_t index);

/* The row with the primary key of values[arity]. */
struct mr_row *mr_table_with_key(struct mr_table *t, const union mr_value *values);

/* The first row in sight, and the next, for who may not change the table. */
const struct mr_row *mr_table_first_seen(const struct mr_table *t);
const struct mr_row *mr_table_next_seen(const struct mr_table *t, const struct mr_row *row);

/* The row whose deadline came first, if it is not behind now_ns; NULL: none. */
struct mr_row *mr_table_expired(struct mr_table *t, uint64_t now_ns);
/* Rows whose deadline is not behind now_ns are out of sight. */
void mr_table_hide(struct mr_table *t, uint64_t now_ns);
/* Releases such rows, at most so many. True: there are more. */
bool mr_table_clean(struct mr_table *t, uint32_t most);
uint64_t mr_table_next_deadline(const struct mr_table *t); /* UINT64_MAX: none */

void mr_table_unlink(struct mr_table *t, struct mr_row *row);
void mr_table_release(struct mr_table *t, struct mr_row *row); /* NULL is allowed */

/* How many bytes a value points to. */
uint32_t mr_value_bytes_of(enum mr_type type, union mr_value value);

#endif
