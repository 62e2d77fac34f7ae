/* Contexts: what a lane remembers of each key, with deadlines in packet time.
 *
 * One table belongs to one lane, so one worker at a time. A context is a header, the flow it stands
 * for (when the key is one) and the slots of the functions of its group. Memory comes in blocks and
 * is reused; the number of contexts is capped, and who needs one when the cap is reached evicts the
 * least recently used.
 */
#ifndef MR_RUNTIME_CONTEXT_H
#define MR_RUNTIME_CONTEXT_H

#include "analog/plan.h"
#include "base/arena.h"
#include "base/hash.h"

#define MR_CONTEXT_KEY_BYTES 48   /* longer keys stand in as 32 bytes and a 128-bit hash */
#define MR_WHEEL_SLOTS       1024 /* seconds */

struct mr_context {
    struct mr_context *next_in_bucket;
    struct mr_context *timer_next, **timer_link;  /* link NULL: no timer */
    struct mr_context *used_next, *used_previous; /* by last use */
    struct mr_context *next_ended;
    uint64_t hash;
    uint64_t deadline_ns;  /* 0: none */
    uint64_t armed_second; /* slot that holds its timer */
    uint64_t first_packet;
    uint64_t sub;           /* its place among contexts that a tick calls: see exec_lane.c */
    struct mr_flow_key key; /* key type flow */
    struct mr_flow flow;
    uint8_t key_bytes[MR_CONTEXT_KEY_BYTES]; /* key of another type */
    uint32_t key_len;
    uint64_t batch;               /* the task that used it last */
    struct mr_packet *end_origin; /* of that task: what ended it */
    uint32_t end_ordinal;
    struct mr_context *successor; /* of one that ended: who stands under its key now */
    bool is_flow, in_table, ended;
    bool left;      /* a tuple of it has left the lane: what becomes of it is not known here */
    bool owns_flow; /* is where the flow is assembled: tells its end, not only keeps state by it */
    uint8_t anomalies[8];  /* written so far, by call site */
    struct mr_tuples *row; /* the first tuple, with fixed-size attributes only: stands for the
                              context when a timer rings */
    uint8_t *row_memory;
    _Alignas(16) uint8_t slots[];
};

struct mr_context_table {
    struct mr_context **buckets;
    uint64_t n_buckets; /* power of two */
    uint64_t n_contexts, max_contexts;
    uint32_t context_bytes; /* of slots */
    uint32_t row_bytes;     /* memory for the row that stands for a context */
    struct mr_context *free;
    struct mr_arena memory;
    struct mr_context *oldest, *newest;
    struct mr_context *wheel[MR_WHEEL_SLOTS];
    uint64_t now_second;
    uint64_t next_deadline_ns; /* a lower bound; UINT64_MAX: none */
    uint64_t n_timers;
};

static inline struct mr_context *mr_context_of_slots(uint8_t *slots)
{
    return (struct mr_context *)(void *)(slots - offsetof(struct mr_context, slots));
}

enum mr_status mr_contexts_init(struct mr_context_table *table, uint64_t max_contexts,
                                uint32_t context_bytes, uint32_t row_bytes);
void mr_contexts_free(struct mr_context_table *table);

/* The context of a flow or of key bytes; NULL when there is none. */
struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key);
struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len);

/* A new context under a key that has none in the table. NULL when the table is full (evict one
 * first) or memory is out. */
struct mr_context *mr_contexts_add_flow(struct mr_context_table *table,
                                        const struct mr_flow_key *key);
struct mr_context *mr_contexts_add(struct mr_context_table *table, uint64_t hash, const void *key,
                                   uint32_t len);

static inline bool mr_contexts_full(const struct mr_context_table *table)
{
    return table->n_contexts >= table->max_contexts;
}

/* Moves it to the newest end. */
void mr_contexts_touch(struct mr_context_table *table, struct mr_context *context);

/* Takes it out of the table and off the wheel: it can no longer be found. */
void mr_contexts_unlink(struct mr_context_table *table, struct mr_context *context);

/* Gives an unlinked context back. */
void mr_contexts_release(struct mr_context_table *table, struct mr_context *context);

/* Sets or moves its deadline; 0 takes it away. */
void mr_contexts_deadline(struct mr_context_table *table, struct mr_context *context,
                          uint64_t deadline_ns);

/* Packet time is now now_ns: takes the contexts whose deadline has passed off the wheel and gives
 * them back as an array in *expired (grown as needed by `grow`), oldest first; returns their
 * number. They stay in the table. */
uint32_t mr_contexts_expire(struct mr_context_table *table, uint64_t now_ns,
                            struct mr_context ***expired, uint32_t *capacity);

/* All contexts, oldest (by first packet) first, in the same kind of array. */
uint32_t mr_contexts_all(struct mr_context_table *table, struct mr_context ***all,
                         uint32_t *capacity);

#endif
