/* Contexts: what a lane remembers of each key, with deadlines in packet time.
 *
 * One table belongs to one lane, so one worker at a time. A context is a header, the flow it stands
 * for (when the key is one) and the slots of the functions of its group. All memory that a table
 * can ever take is one range of addresses, taken with the first context and filled as contexts are
 * made; mr_contexts_bytes() says how much. The number of contexts is capped, and who needs one when
 * the cap is reached evicts one that was not used of late (a clock: contexts in a ring, each with a
 * mark that use sets and the passing hand takes away).
 *
 * No call takes longer than a fraction of a millisecond however many contexts there are: what has
 * to look at many of them is done in slices.
 */
#ifndef MR_RUNTIME_CONTEXT_H
#define MR_RUNTIME_CONTEXT_H

#include "analog/plan.h"
#include "base/hash.h"

#define MR_CONTEXT_KEY_BYTES 48   /* longer keys stand in as 32 bytes and a 128-bit hash */
#define MR_WHEEL_SLOTS       1024 /* seconds */
#define MR_CONTEXT_SLICE     256  /* contexts that are handed out at a time */
#define MR_NO_CONTEXT        UINT32_MAX

struct mr_context {
    /* one cache line: all that finding it reads; in the next one what most packets change */
    _Alignas(64) struct mr_flow_key key; /* of another type: its bytes in a and b, and its hash */
    uint32_t batch;                      /* the task that used it last: mr_context_table.batch */
    uint8_t key_len;                     /* of another type */
    bool is_flow : 1, in_table : 1, ended : 1;
    bool used : 1;      /* since the hand passed it */
    bool left : 1;      /* a tuple of it has left the lane: what becomes of it is not known here */
    bool owns_flow : 1; /* is where the flow is assembled: tells its end, not only keeps state */
    uint16_t told;      /* bytes of the flow in steps of MR_TOP_STEP_BYTES, as last told */
    struct mr_flow flow;
    _Alignas(64) uint64_t deadline_ns;   /* 0: none */
    uint64_t armed_second;               /* on the wheel until then; 0: no timer */
    uint32_t timer_next, timer_previous; /* in its slot of the wheel */
    uint32_t index;                      /* in the table */
    uint32_t end_ordinal;                /* with end_origin */
    struct mr_context *next_ended;       /* of the task under way */
    struct mr_packet *end_origin;        /* of that task: what ended it */
    struct mr_context *successor;        /* of one that ended: who stands under its key now */
    struct mr_saved_row *row;            /* of the first tuple: stands for the context when a timer
                                            rings. NULL: nobody asks for it */
    _Alignas(64) uint8_t slots[];
};

/* What is kept of a tuple, in as few bytes as it takes: saved_row.c. */
struct mr_saved_row {
    uint32_t predicate;
    uint64_t own_flow; /* attributes that are the flow of the context: 1 << their number */
    uint8_t cells[];
};

struct mr_context_table {
    uint64_t *entries; /* [mask + 1]: upper half of the hash, and 1 + index; 0: free */
    uint8_t *contexts; /* [capacity] */
    uint8_t *memory;   /* of both */
    uint64_t mask, most, mapped_bytes; /* most: what mask grows to */
    uint32_t context_bytes, row_bytes; /* of slots; for the row that stands for a context */
    uint32_t stride, row_offset;
    uint32_t max_contexts, n_contexts;
    uint32_t capacity; /* a few more than the cap: for those that ended and are not closed yet */
    uint32_t n_made, free, hand;
    uint32_t batch; /* counts tasks */

    uint64_t now_second;
    uint64_t next_deadline_ns; /* a lower bound; UINT64_MAX: none. Not while a sweep is under way */
    uint32_t n_timers;
    bool sweeping;
    uint64_t sweep_second; /* the slot under way, and what comes next in it */
    uint32_t sweep_next;
    uint32_t all_next;                      /* of mr_contexts_all() */
    uint64_t occupied[MR_WHEEL_SLOTS / 64]; /* slots that may hold timers */
    uint32_t wheel[MR_WHEEL_SLOTS];
};

static inline struct mr_context *mr_context_of_slots(uint8_t *slots)
{
    return (struct mr_context *)(void *)(slots - offsetof(struct mr_context, slots));
}

/* The most memory that a table takes. */
uint64_t mr_contexts_bytes(uint64_t max_contexts, uint32_t context_bytes, uint32_t row_bytes);

/* MR_ERR_LIMIT: more contexts than can be counted (2^30). */
enum mr_status mr_contexts_init(struct mr_context_table *table, uint64_t max_contexts,
                                uint32_t context_bytes, uint32_t row_bytes);
void mr_contexts_free(struct mr_context_table *table);

/* The context of a flow or of key bytes; NULL when there is none. */
struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key);
struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len);

/* Asks the memory for what rows behind `row` will need, whose keys are flows (keys[row].b.ptr):
 * first their places in the table, then the contexts. To be called for every MR_LOOK_STEPth row in
 * turn, from 0 - MR_LOOK_AHEAD on. */
#define MR_LOOK_AHEAD 16u
#define MR_LOOK_STEP  4u
void mr_contexts_look_ahead(const struct mr_context_table *table, const union mr_value *keys,
                            uint32_t n, uint32_t row);

/* The same for the rest of a context that was not used of late. */
void mr_contexts_prefetch_rest(const struct mr_context_table *table, const struct mr_context *c);

/* A new context under a key that has none in the table. NULL when the table is full (evict one
 * first) or memory is out. */
struct mr_context *mr_contexts_add_flow(struct mr_context_table *table,
                                        const struct mr_flow_key *key);
struct mr_context *mr_contexts_add(struct mr_context_table *table, uint64_t hash, const void *key,
                                   uint32_t len);

/* More than an hour ahead of packet time, which was set back: it must be told. */
static inline bool mr_contexts_ahead(const struct mr_context_table *table, uint64_t now_ns)
{
    return table->now_second > now_ns / 1000000000u + 3600;
}

static inline bool mr_contexts_full(const struct mr_context_table *table)
{
    return table->n_contexts >= table->max_contexts;
}

/* Memory for the row that stands for a context: row_bytes. */
static inline uint8_t *mr_context_row_memory(const struct mr_context_table *table,
                                             struct mr_context *context)
{
    return (uint8_t *)context + table->row_offset;
}

/* It is in use by the task under way. */
static inline void mr_contexts_touch(const struct mr_context_table *table,
                                     struct mr_context *context)
{
    context->batch = table->batch;
    context->used = true;
}

/* Who is to go when the table is full: none that the task under way uses. NULL: none found. */
struct mr_context *mr_contexts_victim(struct mr_context_table *table);

/* Takes it out of the table and off the wheel: it can no longer be found. */
void mr_contexts_unlink(struct mr_context_table *table, struct mr_context *context);

/* Gives an unlinked context back. */
void mr_contexts_release(struct mr_context_table *table, struct mr_context *context);

/* Sets or moves its deadline; 0 takes it away. */
void mr_contexts_deadline(struct mr_context_table *table, struct mr_context *context,
                          uint64_t deadline_ns);

/* Packet time is now now_ns: takes contexts whose deadline has passed off the wheel, a slice of
 * them, in no certain order; returns their number. They stay in the table. *more: call again with
 * the same time before the table is used for anything but closing these. */
uint32_t mr_contexts_expire(struct mr_context_table *table, uint64_t now_ns,
                            struct mr_context *expired[MR_CONTEXT_SLICE], bool *more);

/* All contexts in slices, in the same way: until *more is false. */
uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context *all[MR_CONTEXT_SLICE],
                         bool *more);

#endif
