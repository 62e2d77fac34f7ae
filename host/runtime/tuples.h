/* Tuples in columns: a batch of one predicate, all of one token. Lives in the token's memory. */
#ifndef MR_RUNTIME_TUPLES_H
#define MR_RUNTIME_TUPLES_H

#include "analog/plan.h"

struct mr_exec;

/* Beside its attributes every row has: the packet (or tick) it came from; the slots of its context
 * (inside a context-ordered group only); the flow it belongs to, if any. Inside the group that
 * keeps the flow that is the living one, behind it a copy. */
struct mr_tuples {
    struct mr_tuples *next; /* next batch of a list */
    uint32_t predicate;
    uint32_t n;
    bool synthetic; /* stands for a context at a timer; no function has yielded anything yet */
    bool gone;      /* rows that left a table */
    union mr_value **columns; /* [arity]; NULL where the attribute is dead */
    /* Columns that nobody has read yet stay where they were when the rows moved: where bit c of
     * `late` is set, the value of a row is columns[c][at[row]]. Only on the way through the stages
     * of a lane; what they put out has none. */
    uint64_t late;
    const uint32_t *at;
    struct mr_packet **origins;
    uint8_t **contexts; /* NULL outside context-ordered groups */
    struct mr_flow **flows;
    uint32_t *ordinals; /* which of the tuples with its origin at the last gate; NULL: all 0 */
    const struct mr_transaction **transactions; /* that it comes from; NULL: none has one */
};

enum { MR_WITH_CONTEXTS = 1, MR_WITH_ORDINALS = 2, MR_WITH_TRANSACTIONS = 4 };

/* The hidden columns that a batch has. */
static inline unsigned mr_tuples_with(const struct mr_tuples *tuples)
{
    return (tuples->contexts ? MR_WITH_CONTEXTS : 0u) | (tuples->ordinals ? MR_WITH_ORDINALS : 0u) |
           (tuples->transactions ? MR_WITH_TRANSACTIONS : 0u);
}

static inline union mr_value mr_tuples_value(const struct mr_tuples *tuples, uint32_t column,
                                             uint32_t row)
{
    return tuples->columns[column][tuples->late >> column & 1 ? tuples->at[row] : row];
}

/* An empty batch with room for `n` rows in all live columns; NULL when memory is out. */
struct mr_tuples *mr_tuples_new(struct mr_exec *exec, uint32_t predicate, uint32_t n,
                                unsigned with);

/* The same without the columns of the bits in `late`, which are left to the caller. */
struct mr_tuples *mr_tuples_new_late(struct mr_exec *exec, uint32_t predicate, uint32_t n,
                                     unsigned with, uint64_t late);

/* The values of a column at some places of it, as a column; NULL when memory is out. */
union mr_value *mr_tuples_fetch(struct mr_exec *exec, const union mr_value *column,
                                const uint32_t *at, uint32_t n);

/* Fetches all late columns of a list. Where there is no memory a batch loses its rows, counted. */
void mr_tuples_fetch_all(struct mr_exec *exec, struct mr_tuples *list);

/* Copies row `from_row` of `from` to the end of `to` (same predicate, room enough). */
void mr_tuples_append(const struct mr_plan *plan, struct mr_tuples *to,
                      const struct mr_tuples *from, uint32_t from_row);

/* Drops the first n rows (by moving on; the memory stays). */
void mr_tuples_drop(const struct mr_plan *plan, struct mr_tuples *tuples, uint32_t n);

/* The first n rows of a batch as one of their own, which go from it. NULL: no memory, counted. */
struct mr_tuples *mr_tuples_cut_off(struct mr_exec *exec, struct mr_tuples *tuples, uint32_t n);

/* Where a row stands in the order of the whole run: by packet, what a tick brought forth before
 * the packet whose time rang it, ticks by the age of their context. */
struct mr_order_key {
    uint64_t number; /* 2 * packet number, + 1 for packets */
    uint64_t sub, tie;
};

/* Behind everything. */
#define MR_ORDER_END ((struct mr_order_key){UINT64_MAX, UINT64_MAX, UINT64_MAX})

/* Where something stands among what a tick brings forth. */
struct mr_tick_place {
    uint64_t sub; /* the context: group, packet that opened it, key */
    uint64_t tie; /* all of the key's hash: contexts, and rows of a table, of several lanes may
                   * share the rest */
};

/* The origin of rows that a timer or the shutdown brings forth; packet.flags has TICK. */
struct mr_tick_origin {
    struct mr_packet packet;
    struct mr_tick_place place;
};

struct mr_order_key mr_order_of(const struct mr_packet *origin);

static inline int mr_order_compare(struct mr_order_key x, struct mr_order_key y)
{
    if (x.number != y.number)
        return x.number < y.number ? -1 : 1;
    if (x.sub != y.sub)
        return x.sub < y.sub ? -1 : 1;
    return x.tie < y.tie ? -1 : x.tie > y.tie;
}

/* From one tuple of an origin to the next: what follows from one may be told apart in between. */
#define MR_ORDINAL_STEP 128u

/* A list of batches merged into one batch per predicate, rows by origin and ordinal (stable).
 * Batches of different predicates keep the order of their first appearance. */
struct mr_tuples *mr_tuples_merge(struct mr_exec *exec, struct mr_tuples *list);

/* The batches of a list in the order of their predicates. */
struct mr_tuples *mr_tuples_by_predicate(struct mr_tuples *list);

/* Merges, puts the batches in the order of their predicates, and numbers the tuples of each origin
 * anew. After this the order of rows no longer depends on who derived them when. */
struct mr_tuples *mr_tuples_settle(struct mr_exec *exec, struct mr_tuples *list);

/* A list that is put together at its end. */
struct mr_tuples_list {
    struct mr_tuples *first, *last;
    uint64_t rows;
    uint32_t batches;
};

static inline void mr_tuples_list_add(struct mr_tuples_list *list, struct mr_tuples *batch)
{
    batch->next = NULL;
    if (list->last)
        list->last->next = batch;
    else
        list->first = batch;
    list->last = batch;
    list->rows += batch->n;
    list->batches++;
}

/* The batch itself where its rows stand by origin and ordinal, else another one in which they do;
 * NULL (counted): there is no memory. */
struct mr_tuples *mr_tuples_in_order(struct mr_exec *exec, struct mr_tuples *tuples);

/* Rows of all batches of a list. */
static inline uint64_t mr_tuples_rows(const struct mr_tuples *list)
{
    uint64_t n = 0;
    for (; list; list = list->next)
        n += list->n;
    return n;
}

#endif
