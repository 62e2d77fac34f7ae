/* A token: one burst on its way through a pipeline, numbered in order of arrival, and the memory
 * of everything derived from it.
 *
 * A token passes the gates of the pipeline in turn; between two gates any number of workers work
 * for it at the same time. Its memory (chunks, kept buffers, packets) is given back when the last
 * gate lets it out, so whatever is derived from a burst may point into it.
 */
#ifndef MR_RUNTIME_TOKEN_H
#define MR_RUNTIME_TOKEN_H

#include "base/list_sort.h"
#include "millrace/component.h"
#include "packet/burst.h"
#include "runtime/tuples.h"

#include <stdatomic.h>

/* Before packet `position` of the burst packet time passes a second, or an epoch ends (context.h),
 * or both. */
struct mr_tick {
    uint32_t position;
    bool second, epoch;
    uint64_t time_ns;
    uint64_t number; /* of that packet */
};

/* Its place: before all that it rings. */
static inline struct mr_order_key mr_tick_order(const struct mr_tick *tick)
{
    return (struct mr_order_key){2 * tick->number, 0, 0};
}

struct mr_actuation;
struct mr_shipment;
struct mr_extraction;
struct mr_shared;

#define MR_SHARED_BUCKETS 512u /* a power of two; a burst may hold 40,000 mails of a few bytes */

/* An output record (one event) waiting for its turn. */
struct mr_record {
    struct mr_record *next;
    struct mr_order_key order;
    uint32_t ordinal;  /* which of the tuples of its origin */
    uint32_t sequence; /* among records of one task */
    uint32_t len;
    uint32_t alarm;   /* 1 + index of the plan's alarm that it raises; 0: none */
    uint64_t time_ns; /* of its origin */
    const struct mr_actuation *actuation;   /* NULL: none; the token's memory */
    struct mr_shipment *shipment;           /* the same; what is shipped stands in bytes */
    const struct mr_extraction *extraction; /* NULL: none; the token's memory */
    const uint8_t *cap; /* what names flow and function of an anomaly; NULL: none; the same */
    char bytes[];
};

struct mr_work;
struct mr_closing;
struct mr_arriving;

/* Records on their way into their order. */
struct mr_sorting {
    struct mr_list_sort sort;
    struct mr_record *list; /* those that no run has yet */
    uint32_t n;
};

struct mr_token {
    uint64_t number;
    struct mr_token *next_free;
    uint32_t home; /* the worker that took it in */
    bool last;     /* the input is over, and contexts are shut down: nothing follows */
    bool closes;   /* it brings no packets, and closes contexts: closing.c */
    const struct mr_closing *closing; /* NULL: at the end; else what the plan is about to lose */
    uint32_t close_phase;             /* of this phase; 0: of all */
    uint32_t close_share; /* contexts of a lane that the next one may close, in this order: */
    uint64_t close_end;   /* those whose places come before this one; UINT64_MAX: all */
    uint32_t n_ticks;
    uint64_t end_ns;                   /* packet time at the end of the burst */
    uint64_t end_number;               /* number of the last packet read so far */
    uint64_t arrived_ticks;            /* machine clock: when the burst was read */
    uint64_t clock_ns;                 /* packet time has come so far without a packet; or 0 */
    uint64_t admitted_ticks;           /* when it passed its last gate */
    uint64_t bytes;                    /* wire bytes of the packets */
    uint32_t gate;                     /* the next one to pass */
    struct mr_tuples *arrived;         /* what enters the next gate, merged */
    struct mr_work *works, *last_work; /* the same split by lane */
    struct mr_arriving *arriving;      /* so much enters it that it does so in slices; else NULL */
    bool entering;                     /* the first slice has */

    /* what every task of the token changes, one line of the cache */
    _Alignas(64) _Atomic uint32_t pending; /* tasks under way before that gate */
    _Atomic uint32_t any_shared;
    _Atomic(struct mr_tuples *) outputs; /* what tasks left for the next gate ... */
    _Atomic uint64_t left_rows;          /* ... and how many rows these are, and batches */
    _Atomic uint32_t left_batches;
    _Atomic(struct mr_record *) records;
    _Atomic(struct mr_buffer *) kept;
    _Atomic(struct mr_buffer *)
        open_chunk;            /* kept as well: room for more, nobody's at the moment */
    struct mr_sorting sorting; /* in the turn of the last gate; and so is this: */
    bool retired;              /* its records have been told */
    _Alignas(64) _Atomic(struct mr_shared *) shared[MR_SHARED_BUCKETS]; /* by where the bytes lie:
                                                                            share.c */
    struct mr_tick ticks[MR_BURST_MAX + 1];
    struct mr_burst burst;
};

/* Puts a list (first..last, or one with something in it) in front of what other workers put there.
 */
void mr_token_push_records(struct mr_token *token, struct mr_record *first, struct mr_record *last);
void mr_token_push_outputs(struct mr_token *token, const struct mr_tuples_list *list);
/* All of them, and their counts are 0 again. Nobody works for the token. */
struct mr_tuples *mr_token_take_outputs(struct mr_token *token);
void mr_token_keep(struct mr_token *token, struct mr_buffer *buffer);
/* What is shared (component.h) in one token is found in another one as well, which leaves before it
 * and looks for other values than it does from now on. Nobody works for either. */
void mr_token_share_with(struct mr_token *to, const struct mr_token *from);
/* It closes: what is shared goes with its memory. */
void mr_token_forget_shared(struct mr_token *token);

/* Brings the records of a token in order, when nobody works for it any more. Takes a step off *left
 * for each record that is looked at; false: there were too few, call it again. True:
 * token->sorting.sort.whole has all of token->sorting.n, until the caller takes them. */
bool mr_token_sort(struct mr_token *token, uint32_t *left);
/* They have all been told. */
void mr_token_forget_records(struct mr_token *token);
/* Sorts in one go: the caller has them then. */
struct mr_record *mr_token_sorted_records(struct mr_token *token);

#endif
