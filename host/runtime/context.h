/* Contexts: what a lane remembers of each key, with deadlines in packet time.
 *
 * One table belongs to one lane, so one worker at a time. A context is a header, the flow it stands
 * for (when the key is one) and the slots of the functions of its group. All memory that a table
 * can ever take is one range of addresses, taken with the first context and filled as contexts are
 * made; mr_contexts_bytes() says how much.
 *
 * The number of contexts is capped. Keys fall into partitions by their hash, whose number follows
 * from the cap alone; a lane is a whole number of partitions. Each has its share of the cap, and
 * may exceed it for an epoch: so many packets, by their numbers. Between two epochs every lane
 * evicts what its partitions have too many, those not used for longest first (to the epoch, then by
 * hash). Who is evicted and when is therefore a matter of the packets and of the hash alone: lanes,
 * workers and bursts have no part in it.
 *
 * No call takes longer than a fraction of a millisecond however many contexts there are: what has
 * to look at many of them is done in slices.
 */
#ifndef MR_RUNTIME_CONTEXT_H
#define MR_RUNTIME_CONTEXT_H

#include "analog/plan.h"
#include "base/hash.h"
#include "base/list_sort.h"
#include "base/pages.h"
#include "runtime/tuples.h"

#include <string.h>

#define MR_CONTEXT_KEY_BYTES 48   /* of so many or more: their first 24 and two hashes (attach.c) */
#define MR_WHEEL_SLOTS       1024 /* seconds */
#define MR_CONTEXT_SLICE     256  /* contexts that are handed out at a time; of large ones fewer */
#define MR_NO_CONTEXT        UINT32_MAX
#define MR_COLD              2u /* tuples: what a context costs more that was not used of late */

struct mr_context {
    /* one cache line: all that finding it reads; in the next one what most packets change */
    _Alignas(64) struct mr_flow_key key; /* of another type: its bytes in a and b, and its hash */
    uint32_t epoch;                      /* that used it last */
    uint8_t key_len;                     /* of another type */
    bool is_flow : 1, in_table : 1, ended : 1;
    bool left : 1;      /* a tuple of it has left the lane: what becomes of it is not known here */
    bool owns_flow : 1; /* is where the flow is assembled: tells its end, not only keeps state */
    uint16_t told;      /* bytes of the flow in steps of MR_TOP_STEP_BYTES, as last told */
    struct mr_flow flow;
    struct mr_protocol_change *changes;  /* of the task under way: protocol.c */
    uint32_t timer_next, timer_previous; /* in its slot of the wheel */
    uint32_t index;                      /* in the table */
    uint32_t end_ordinal;                /* with end_origin */
    struct mr_context *next_ended;       /* of the task under way; before that of `closing` */
    struct mr_context *successor;        /* of one that ended: who stands under its key now */
    struct mr_saved_row *row;            /* of the first tuple: stands for the context when a timer
                                            rings; then of the first of each other predicate that
                                            has the key. NULL: nobody asks for them */
    /* in the line of the first slots: functions that move deadlines have some */
    _Alignas(64) uint64_t deadline_ns; /* 0: none */
    uint64_t armed_second;             /* on the wheel until then; 0: no timer */
    union {
        uint64_t deadline_packet;     /* while it lives: the number of that which set deadline_ns */
        struct mr_packet *end_origin; /* of one that ended, in that task: what ended it */
    };
    _Alignas(16) uint8_t slots[]; /* the structure's size says more than where they begin */
};

/* What is kept of a tuple, in as few bytes as it takes: saved_row.c. */
struct mr_saved_row {
    uint32_t predicate;
    uint32_t next;     /* that of another predicate: so many bytes behind this one; 0: none */
    uint64_t own_flow; /* attributes that are the flow of the context: 1 << their number */
    uint8_t cells[];
};

/* How a cap is shared out. */
struct mr_context_caps {
    uint32_t partitions;  /* a power of two: no group has more lanes */
    uint32_t share;       /* contexts that a partition may have between two epochs */
    uint32_t surge;       /* ... and how many more within one */
    uint32_t epoch_shift; /* an epoch is 1 << epoch_shift packets */
};

/* MR_ERR_LIMIT: more contexts than can be counted (2^30). */
enum mr_status mr_context_caps(struct mr_context_caps *caps, uint64_t max_contexts);

/* The epoch of a packet. It wraps around. */
static inline uint32_t mr_context_epoch(uint32_t epoch_shift, uint64_t number)
{
    return (uint32_t)((number ? number - 1 : 0) >> epoch_shift);
}

struct mr_context_partition {
    uint32_t n;                     /* contexts in it */
    uint32_t epoch;                 /* in which `n` changed last, and in that epoch: */
    uint32_t admitted;              /* at its begin, and those that came since */
    uint32_t next_oldest, n_oldest; /* in its part of `oldest` */
};

/* One of those that were longest unused when a partition was looked through. */
struct mr_context_old {
    uint32_t index, epoch;
    uint64_t hash;
};

/* Where contexts are found: upper half of the hash, and 1 + index; 0: free. */
struct mr_context_tags {
    uint64_t *entries; /* [mask + 1] */
    uint64_t mask;
    uint32_t shift; /* from a hash to its place */
};

/* Contexts on their way into the order in which they are closed. */
struct mr_context_sorting {
    struct mr_list_sort sort;
    uint32_t next;                 /* the first that no run has yet */
    struct mr_context *run, *last; /* a run that is being found, and its last one */
};

struct mr_context_table {
    struct mr_context_tags tags;
    struct mr_context_tags old; /* while the table grows: those not moved yet; else no entries */
    uint64_t old_begin, moved;  /* places of `old` from the first on that hold nothing any more */
    uint64_t old_released;      /* its entries given back to the system */
    uint64_t touched;           /* bytes of `tags` from where the first go that are there */
    uint32_t lane_bits;         /* of a hash: the same in all keys of the table */
    uint32_t partition_bits;    /* those that follow them */
    uint8_t *contexts;          /* [capacity] */
    uint32_t stride, row_offset;
    uint32_t context_bytes, row_bytes; /* of slots; for the row that stands for a context */
    uint32_t slice;                    /* contexts that are handed out at a time */
    uint32_t epoch;                    /* of the task under way */
    uint32_t epoch_shift;
    struct mr_context_partition *partitions; /* [1 << partition_bits] */
    uint32_t share, surge;                   /* of a partition */
    uint32_t n_contexts, n_over; /* n_over: partitions that have more than their share */
    uint32_t n_made, free;
    uint32_t
        capacity; /* a few more than all may have: for those that ended and are not closed yet */
    uint32_t most_oldest;          /* of a partition */
    uint32_t evicting;             /* the next partition to be looked at */
    struct mr_context_old *oldest; /* [partitions][most_oldest] */
    uint8_t *memory;               /* of all of it */
    uint64_t most, mapped_bytes;   /* most: what the mask of tags grows to */
    uint64_t tags_offset;          /* in the memory: where the first of them stand */
    struct mr_pages *pages; /* whoever has made the table sets it; NULL: small pages everywhere */
    uint32_t expected, expected_for_tags, taken; /* of these: by this table */
    uint32_t look_at, look_at_tags; /* n_made, n_contexts at which memory is looked after */
    uint32_t tags_steps;            /* of getting the next table of tags ready */
    uint64_t backed_bytes;          /* of contexts: behind it no page has been touched */
    bool preallocated;              /* mr_contexts_preallocate() */
    uint64_t strain; /* what making and ending contexts has cost so far, as so many tuples */
    uint32_t fresh;  /* what the next one made in new memory costs of it */

    uint64_t now_second;
    uint64_t next_deadline_ns; /* a lower bound; UINT64_MAX: none. Not while a sweep is under way */
    uint32_t n_timers;
    bool sweeping, turning;
    uint32_t turn_next;    /* of the timers that are set anew */
    uint64_t sweep_second; /* the slot under way, and what comes next in it */
    uint32_t sweep_next;
    uint32_t all_next;          /* of mr_contexts_all() */
    bool closes;                /* mr_contexts_close() has begun: */
    uint32_t n_closing;         /* those that are left */
    struct mr_context *closing; /* the same, by their places */
    uint64_t closing_end;       /* a place with a share of them before it: closing.c */
    struct mr_context *behind;  /* on the way there, and how far */
    uint32_t n_behind;
    struct mr_context_sorting sorting;
    uint64_t occupied[MR_WHEEL_SLOTS / 64]; /* slots that may hold timers */
    uint32_t wheel[MR_WHEEL_SLOTS];
};

static inline struct mr_context *mr_context_of_slots(uint8_t *slots)
{
    return (struct mr_context *)(void *)(slots - offsetof(struct mr_context, slots));
}

/* The flow of a row: inside the group that keeps it that of the row's context, also where that was
 * renewed since the rows were given theirs. */
static inline const struct mr_flow *mr_tuples_flow(const struct mr_tuples *tuples, uint32_t row)
{
    uint8_t *slots = tuples->contexts ? tuples->contexts[row] : NULL;
    const struct mr_context *c = slots ? mr_context_of_slots(slots) : NULL;

    return c && c->owns_flow ? &c->flow : tuples->flows[row];
}

static inline struct mr_saved_row *mr_saved_row_next(struct mr_saved_row *row)
{
    return row->next ? (struct mr_saved_row *)(void *)((uint8_t *)row + row->next) : NULL;
}

static inline struct mr_context *mr_context_at(const struct mr_context_table *table, uint32_t index)
{
    return (struct mr_context *)(void *)(table->contexts + (uint64_t)index * table->stride);
}

/* The most memory that the table of one of `lanes` (a power of two, at most the partitions) takes.
 */
uint64_t mr_contexts_bytes(const struct mr_context_caps *caps, uint32_t lanes,
                           uint32_t context_bytes, uint32_t row_bytes);

/* The lane of a key is in the uppermost bits of its hash: mr_context_lane(). */
void mr_contexts_init(struct mr_context_table *table, const struct mr_context_caps *caps,
                      uint32_t lanes, uint32_t context_bytes, uint32_t row_bytes);

/* Which of 1 << lane_bits lanes a hash belongs to. */
static inline uint32_t mr_context_lane(uint64_t hash, uint32_t lane_bits)
{
    return (uint32_t)(hash >> 1 >> (63 - lane_bits));
}

/* Before the first context: has all memory of the table there, by large pages where the system
 * gives them, so that none is waited for later. False: there is
 * not so much; the table is to be freed. */
bool mr_contexts_preallocate(struct mr_context_table *table);
void mr_contexts_free(struct mr_context_table *table);

/* The context of a flow or of key bytes; NULL when there is none. */
struct mr_context *mr_contexts_find_flow(struct mr_context_table *table,
                                         const struct mr_flow_key *key);
struct mr_context *mr_contexts_find(struct mr_context_table *table, uint64_t hash, const void *key,
                                    uint32_t len);

/* The same where the key is a number, 8 bytes, and all keys of the table are. */
struct mr_context *mr_contexts_find_number(struct mr_context_table *table, uint64_t hash,
                                           uint64_t number);

/* Asks the memory for what rows behind `row` will need, whose keys are flows (keys[row].b.ptr):
 * first their places in the table, then the contexts. To be called for every MR_LOOK_STEPth row in
 * turn, from 0 - MR_LOOK_AHEAD on. `asked`: by what was asked for in this batch, zeros at first:
 * rows of a flow are seldom one behind another, but most have been preceded by some of it.
 * found[row]: the slots of a context that may be the row's, or NULL: mr_contexts_is_flow(). */
#define MR_LOOK_AHEAD 64u
#define MR_LOOK_STEP  16u
#define MR_LOOK_BACK  64u /* flows, by the last bits of their hash */
struct mr_contexts_asked {
    uint32_t tags[MR_LOOK_BACK];  /* upper halves of hashes */
    uint32_t rows[MR_LOOK_AHEAD]; /* whose places were asked for and whose contexts were not: */
    uint32_t begin, end;          /* from here to there, modulo their number */
};
void mr_contexts_look_ahead(const struct mr_context_table *table, struct mr_contexts_asked *asked,
                            const union mr_value *keys, uint32_t n, uint32_t row, uint8_t **found);

/* It is the context of this flow, whatever has become of it since somebody saw it. */
static inline bool mr_contexts_is_flow(const struct mr_context *c, const struct mr_flow_key *key)
{
    return c->in_table && c->key.hash == key->hash &&
           !memcmp(&c->key, key, offsetof(struct mr_flow_key, hash));
}

/* The same for the rest of a context that was not used of late. False: it has so little state that
 * functions look at little else. */
bool mr_contexts_prefetch_rest(const struct mr_context_table *table, const struct mr_context *c);

/* The same for those beside it on the wheel, which taking it off the wheel changes. Reads what the
 * former asked for: some time later. */
void mr_contexts_prefetch_timers(const struct mr_context_table *table, const struct mr_context *c);

/* A new context under a key that has none in the table. NULL when its partition has admitted as
 * many as it may before the next epoch, or memory is out. */
struct mr_context *mr_contexts_add_flow(struct mr_context_table *table,
                                        const struct mr_flow_key *key);
struct mr_context *mr_contexts_add(struct mr_context_table *table, uint64_t hash, const void *key,
                                   uint32_t len);

/* Not behind packet time, which was set back: the table must be told. However far it is: its second
 * is that of the last tick it had to do with, which differs with lanes and bursts. */
static inline bool mr_contexts_ahead(const struct mr_context_table *table, uint64_t now_ns)
{
    return table->now_second >= now_ns / 1000000000u;
}

/* A task begins whose tuples come of packet `number`, or of later ones of the same epoch. */
static inline void mr_contexts_begin(struct mr_context_table *table, uint64_t number)
{
    table->epoch = mr_context_epoch(table->epoch_shift, number);
}

/* Memory for the row that stands for a context: row_bytes. */
static inline uint8_t *mr_context_row_memory(const struct mr_context_table *table,
                                             struct mr_context *context)
{
    return (uint8_t *)context + table->row_offset;
}

/* It is in use by the task under way. One that was not used of late lies in memory only: it costs
 * as much as some that were. */
static inline void mr_contexts_touch(struct mr_context_table *table, struct mr_context *context)
{
    if (context->epoch == table->epoch)
        return;
    table->strain += MR_COLD;
    context->epoch = table->epoch;
}

/* An epoch is over: some of those that are too many, longest unused first. They stay in the table;
 * the caller unlinks all of them, and calls again while *more. */
uint32_t mr_contexts_evict(struct mr_context_table *table,
                           struct mr_context *evicted[MR_CONTEXT_SLICE], bool *more);

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

/* ---- context_closing.c ---- */

/* Its place among contexts of its group that end or ring at one packet: by age, and those of one
 * age by key. The same in every run; `sub`, in which many keys of one age may agree, is less than
 * 1 << 55. */
struct mr_tick_place mr_context_place(const struct mr_context *context);

/* Those that are closed next: in the order of their places (sub), up to `end` (which is not;
 * UINT64_MAX: all, and as they lie, if that is the first call), a slice of them; the caller unlinks
 * them or not. *more: call again with the same end; those with another end than UINT64_MAX begin
 * with calls that hand out none, and put them in order. From the first call on no context is made,
 * ended or used but those handed out. */
uint32_t mr_contexts_close(struct mr_context_table *table, uint64_t end,
                           struct mr_context *closed[MR_CONTEXT_SLICE], bool *more);

/* Finds the place that n of those that are left have before them: closing_end; UINT64_MAX: there
 * are no more. False: call it again. */
bool mr_contexts_look_behind(struct mr_context_table *table, uint32_t n);

#endif
