/* Executing rules: one worker, one token, one batch. What a struct mr_call calls `runtime`.
 *
 * A worker has one struct mr_exec and sets it up for each task: token, group, lane. Memory for
 * results comes in chunks that stay with the token.
 */
#ifndef MR_RUNTIME_EXEC_H
#define MR_RUNTIME_EXEC_H

#include "base/buffers.h"
#include "runtime/context.h"
#include "runtime/runtime.h"

/* Tuples of some predicate stand under several keys at the same time. */
static inline bool mr_group_has_several_keys(const struct mr_plan_group *group)
{
    for (uint32_t i = 0; i < group->n_keys; i++)
        for (uint32_t j = 0; j < i; j++)
            if (group->keys[i].predicate == group->keys[j].predicate)
                return true;
    return false;
}

#define MR_CHUNK_BYTES     (128u * 1024)
#define MR_MAX_COUNTERS    32    /* of one function */
#define MR_MAX_DERIVATIONS 1500u /* from one tuple, in a recursive component */

/* A function that wants to hear of the end of its contexts, and where its slot is. */
struct mr_closer {
    void (*close)(void *slot, void *runtime);
    uint32_t offset;
};

/* What a function yielded, in order; or, when `each` is set, that one value for every row. */
struct mr_yields {
    union mr_value *values;
    uint32_t *rows;
    uint8_t **contexts;
    uint32_t n, capacity;
    const union mr_value *each;
    struct mr_yield_of *of; /* those that are of a transaction */
    uint32_t n_of, capacity_of;
};

struct mr_yield_of {
    uint32_t at;
    const struct mr_transaction *transaction;
};

/* Per binding and worker. */
struct mr_binding_state {
    void *thread;
    _Atomic uint64_t counters[MR_MAX_COUNTERS];
};

struct mr_table_set;
struct mr_asked_batch;

#define MR_COLD_CONTEXTS 32

/* A call as far as it is the same for every batch; one at a time is under way. */
struct mr_exec_call {
    struct mr_call call;
    const union mr_value *columns[8];
    enum mr_type types[8];
    bool bound[8]; /* constants that bind() has seen: without a column */
};

struct mr_exec {
    const struct mr_plan *plan;
    struct mr_runtime *runtime;
    const struct mr_runtime_hooks *hooks;
    struct mr_buffers *buffers;
    const struct mr_secret *secret;
    struct mr_metrics *metrics;
    void *worker_state;
    struct mr_binding_state *bindings;

    /* the task under way */
    struct mr_token *token;
    uint32_t group, stage;
    struct mr_context_table *contexts;    /* of the lane; NULL in parallel groups */
    struct mr_table_set *tables;          /* of the lane, or the constant ones; NULL: none */
    const struct mr_asked_batch *answers; /* of a device about the batch; NULL: none */
    const struct mr_table_set *constants;
    enum mr_cause cause;
    uint64_t now_ns;
    struct mr_context *ended, *last_ended; /* to be closed when the batch is through */
    struct mr_protocol_change *changes;    /* of flows, not settled yet: protocol.c */
    struct mr_record *first_record, *last_record;
    uint32_t n_records;
    int64_t left;     /* rows that the slice may still look at: following.c */
    uint32_t sharers; /* mr_plan_sharers() */
    uint32_t shared;  /* how often share.c has put memory of this worker into the token's lists */
    struct mr_tuples *outputs, *last_output;

    /* memory of the token */
    struct mr_buffer *chunk;
    struct mr_buffer *spare; /* one that a token has given back: the next one's; or NULL */

    /* scratch, reused */
    struct mr_yields yields;
    struct mr_flow **call_flows; /* flows of the rows of the call under way */
    uint32_t *call_ordinals;
    const struct mr_transaction **call_transactions; /* NULL: none, or its arguments are of none */
    const struct mr_op *call_op;
    bool call_asks; /* the row is a question that a function without order has nothing to do with */
    const union mr_value *call_first; /* its first argument */
    struct mr_tuples **stage_lists;   /* [n_predicates] */
    struct mr_dedup *dedup;           /* NULL unless a stage is recursive */
    struct mr_exec_call *calls;       /* [bindings of the plan] */
    uint32_t *every; /* [MR_EVERY] 0, 1, 2, ...: `at` of a batch whose rows have not moved */
    struct mr_closer **closers; /* [groups]: what the end of a context calls, then one without */
    uint32_t n_cold;            /* contexts of the batch that were not used of late; not all */
    struct mr_context *cold[MR_COLD_CONTEXTS];
};

#define MR_EVERY MR_BURST_MAX

enum mr_status mr_exec_open(struct mr_exec *exec);
void mr_exec_close(struct mr_exec *exec);

/* From enter to leave the worker works for this token: it takes the chunk that has room left and
 * puts it back, so that a token holds about as many chunks as workers were at it at once. */
void mr_exec_enter(struct mr_exec *exec, struct mr_token *token);
void mr_exec_leave(struct mr_exec *exec);

/* Where the chunk at hand has no room. */
void *mr_exec_alloc_chunk(struct mr_exec *exec, size_t bytes);

/* 16-byte aligned memory of the token under way; NULL (counted) when the pool is exhausted. */
static inline void *mr_exec_alloc(struct mr_exec *exec, size_t bytes)
{
    struct mr_buffer *chunk = exec->chunk;
    size_t rounded = (bytes + 15) & ~(size_t)15;

    if (!chunk || bytes > MR_CHUNK_BYTES || chunk->capacity - chunk->len < rounded)
        return mr_exec_alloc_chunk(exec, bytes);
    void *memory = chunk->data + chunk->len;
    chunk->len += (uint32_t)rounded;
    return memory;
}

/* What was taken of the token's memory since the mark is given back when nothing came of it, and
 * nothing in it is shared: ten million contexts or rows may expire in one token. */
struct mr_exec_mark {
    struct mr_buffer *chunk;
    uint32_t len, shared;
    struct mr_tuples *last_output;
    struct mr_record *last_record;
};

struct mr_exec_mark mr_exec_mark(const struct mr_exec *exec);
void mr_exec_rewind(struct mr_exec *exec, const struct mr_exec_mark *mark);

/* How often memory was refused to tasks of this worker. */
static inline uint64_t mr_exec_refused(const struct mr_exec *exec)
{
    return atomic_load_explicit(&exec->metrics->counters[MR_COUNT_TOKEN_MEMORY_REFUSED],
                                memory_order_relaxed);
}

/* Runs all stages of `group` over a list of batches, and appends what leaves it to
 * exec->outputs. In context-ordered groups the batches carry contexts. */
void mr_exec_group(struct mr_exec *exec, uint32_t group, struct mr_tuples *in);

/* Where a key belongs: lane, partition and place in them (context.h). */
uint64_t mr_exec_key_hash(const struct mr_exec *exec, enum mr_type type, union mr_value key);

/* Gives every row of a list of batches its context. Rows of a predicate without key pass through:
 * attach.c. */
void mr_exec_attach(struct mr_exec *exec, struct mr_tuples *list);

#define MR_FOLLOWED 1024 /* rows that are looked at in a slice of what follows from few */

/* A task for a lane: gives every row its context (making them), runs the group, closes the contexts
 * that ended. All rows are of one epoch (context.h). False: it was only a slice of exec->left, and
 * mr_exec_lane_go_on() is to be called until it says true, before anything else is done to the
 * lane. */
bool mr_exec_lane(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                  struct mr_tuples *in);

bool mr_exec_lane_go_on(struct mr_exec *exec, uint32_t group);

/* Packet time passed for the lane: contexts whose deadline is over are handed to their functions, a
 * slice of them. `number` is the packet that rang. True: there are more; call again with the same
 * time before anything else is done to the lane. */
bool mr_exec_lane_tick(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                       uint64_t now_ns, uint64_t number);

/* An epoch is over: contexts that are too many are handed to their functions and closed, in slices
 * as above. `number` is the first packet of the next one. */
bool mr_exec_lane_evict(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                        uint64_t now_ns, uint64_t number);

/* The input is over: contexts are handed to their functions and closed, those that the token under
 * way is to close (closing.c), in slices as above. */
bool mr_exec_lane_shutdown(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                           uint64_t now_ns, uint64_t number);

/* ---- saved_row.c: the rows that stand for a context ---- */

/* The calls of a group; start with zero. */
struct mr_group_calls {
    uint32_t stage, rule, op;
};

const struct mr_op *mr_group_next_call(const struct mr_plan *plan, uint32_t group,
                                       struct mr_group_calls *at);

/* ---- share.c ---- */
/* Calls of functions with `shares`. */
uint32_t mr_plan_sharers(const struct mr_plan *plan);

/* Some function of the group wants to be called when a context goes. */
bool mr_group_asks_at_end(const struct mr_plan *plan, uint32_t group);

/* Tuples of the predicate trigger rules of the group, or (serial) may: their rows stand for
 * contexts.
 */
bool mr_group_waits(const struct mr_plan *plan, uint32_t group, uint32_t predicate);

/* The most that such rows take in the group; 0: nobody asks for them. */
uint32_t mr_saved_row_bytes(const struct mr_plan *plan, uint32_t group);

/* Copies a row into the context, unless it has one of the predicate. */
void mr_saved_row_make(struct mr_exec *exec, struct mr_context *context,
                       const struct mr_tuples *from, uint32_t row);

/* The rows of `from` once more, for the context that follows it under its key. */
void mr_saved_row_copy(const struct mr_exec *exec, struct mr_context *context,
                       const struct mr_context *from);

/* values[0..arity) of the row, whose predicate is given: they point into the context. Nothing
 * (NULL) stands for a packet, a stream and an attribute that was not kept. */
void mr_saved_row_read(const struct mr_plan_predicate *predicate, const struct mr_context *context,
                       const struct mr_saved_row *row, union mr_value *values);

/* Appends it to a batch of its predicate, as a row of `origin` with the token's memory. False: no
 * memory. */
bool mr_saved_row_append(struct mr_exec *exec, struct mr_context *context,
                         const struct mr_saved_row *row, struct mr_packet *origin,
                         struct mr_tuples *to);

/* Stages go at a swap, the group stays: what they know of each context is handed to them for the
 * last time, as at the end of the input. The slots are closed later (carry.c). Of the same
 * contexts, in slices as above. */
bool mr_exec_lane_close(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                        const bool *stages, uint64_t now_ns, uint64_t number);

/* The context ends with the task under way; `origin` is what ended it. */
void mr_exec_end_context(struct mr_exec *exec, struct mr_context *context, struct mr_packet *origin,
                         uint32_t ordinal);

/* Ends a flow's context and puts a new one under its key, which is returned; the old one when there
 * is no memory for another. */
struct mr_context *mr_exec_renew_context(struct mr_exec *exec, struct mr_context *old,
                                         struct mr_packet *origin, uint32_t ordinal);

/* Adds to exec->yields what a rule fires for: EXPAND functions and joins. */
void mr_exec_yield(struct mr_exec *exec, uint32_t row, union mr_value value, uint8_t *context);

/* A tick or the like as the origin of rows: time, the packet that rang, its place among what that
 * packet rang. NULL: no memory. */
struct mr_packet *mr_exec_tick_origin(struct mr_exec *exec, uint64_t time_ns, uint64_t number,
                                      struct mr_tick_place place);

/* The transactions of the rows that were yielded for rows that had `old`, which may be NULL. False:
 * no memory. */
bool mr_exec_yield_transactions(struct mr_exec *exec, const struct mr_transaction **old,
                                const struct mr_transaction ***fresh);

/* Which columns of what arrives at a context-ordered group can stay where they are until a rule
 * reads them: all but the keys, unless rows are taken one by one. */
uint64_t mr_exec_late_columns(const struct mr_exec *exec, uint32_t group, uint32_t predicate);

/* One rule over one batch: the batch of its head, or NULL when no row is left. `last`: nobody looks
 * at the batch any more. */
struct mr_tuples *mr_exec_rule(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               const struct mr_tuples *in, bool last);

#define MR_JOINED_AT_ONCE 1024u /* rows of a table */

/* The same for one row that may meet many in tables: some of them at a time, whatever else is to be
 * done. Begins with rule and `in` and zeros. */
struct mr_rule_level;
struct mr_rule_run {
    const struct mr_plan_rule *rule;
    const struct mr_tuples *in;
    struct mr_rule_level *top;    /* joins that have more, the innermost first */
    struct mr_tuples_list pieces; /* of the head, but for aggregates, so far */
    bool joined, failed;
};

/* Goes on for as many as are joined at once. True: that was all. */
bool mr_exec_rule_slice(struct mr_exec *exec, struct mr_rule_run *run);
/* After that: the head, as one batch or several, or NULL. */
struct mr_tuples *mr_exec_rule_result(struct mr_exec *exec, struct mr_rule_run *run);

/* Equality of two values as tests see it. */
uint64_t mr_value_hash(const struct mr_secret *secret, enum mr_type type, union mr_value value);
bool mr_value_equal(enum mr_type type, union mr_value x, union mr_value y);
int mr_value_compare(enum mr_type type, union mr_value x, union mr_value y);
/* The same, as an order of all values: reals that are no number come behind all others. */
int mr_value_order(enum mr_type type, union mr_value x, union mr_value y);

/* ---- by_packet.c ---- */
/* Takes the earliest rows out of a list of merged batches: as many as there are before a context
 * has rows of a second packet. NULL: nothing is left, or there is no memory. */
struct mr_tuples *mr_exec_cut(struct mr_exec *exec, struct mr_tuples *list);

/* ---- protocol.c: what flows speak ---- */

/* What the flow of a context speaks at a packet, by its number; NULL: nobody has said. */
const char *mr_exec_protocol_at(const struct mr_context *context, uint64_t number);
/* The same where the flow may come from further up, and carries what was said of it there. */
const char *mr_exec_protocol_of(const struct mr_context *context, const struct mr_flow *flow,
                                uint64_t number);
/* What was said in the task under way is so from here on. */
void mr_exec_settle_protocols(struct mr_exec *exec);

/* ---- last_row.c: the row that tells a stage which goes that a context is over for it ---- */

/* A stage of those that go which has state of its own per context, and none before it that would
 * tell it. */
bool mr_last_row_possible(const struct mr_plan *plan, uint32_t group, uint32_t stage,
                          const bool *stages);
/* What triggers its function with state. */
uint32_t mr_last_row_predicate(const struct mr_plan *plan, uint32_t stage);
/* Appends the row, if the stage has ever seen the context: a stream ends, for a flow that is shut
 * down; addresses are client and server; other attributes are empty. */
void mr_last_row_append(struct mr_exec *exec, uint32_t stage, struct mr_context *context,
                        struct mr_packet *origin, struct mr_tuples *to);
/* The flow itself goes on. */
void mr_last_row_done(struct mr_context *context);

#endif
