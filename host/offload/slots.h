/* What offload.c (callers) and submit.c (its thread) share. */
#ifndef MR_OFFLOAD_SLOTS_H
#define MR_OFFLOAD_SLOTS_H

#include "offload/offload.h"

#include <pthread.h>
#include <stdatomic.h>

#define MR_MATCHES_EACH 32u /* room in a batch: so many for each message */

/* Who may touch a slot's batch: */
enum mr_slot_state {
    MR_SLOT_FREE,
    MR_SLOT_FILLING,   /* add(), under the lock but for the copying of bytes */
    MR_SLOT_CLOSED,    /* the thread, once nobody copies into it */
    MR_SLOT_RUNNING,   /* the thread */
    MR_SLOT_DONE,      /* nobody */
    MR_SLOT_TAKEN,     /* who took it */
    MR_SLOT_ABANDONED, /* the thread: the device may still be at it */
};

#define MR_SLOT_SEALED 0x80000000u

struct mr_slot {
    enum mr_slot_state state;
    struct mr_offload_batch *batch;
    uint64_t *tags;
    /* Messages that are being copied into it, | MR_SLOT_SEALED once it is closed. Added to under
     * the lock, taken from without. */
    _Atomic uint32_t writers;
    bool running;       /* submitted and not known to have ended */
    uint64_t number;    /* of the batch, for the order */
    uint64_t first;     /* of its messages, counted from the beginning */
    uint64_t opened_ns; /* when its first message came */
    uint64_t closed_ns, late_until_ns;
};

struct mr_offload {
    struct mr_offload_config config;
    struct mr_slot *slots;
    struct mr_slot *filling; /* NULL: none */
    void *state;             /* the back end's; NULL: not open */
    pthread_mutex_t lock;
    pthread_cond_t work, done, closes;
    pthread_t thread, guard;
    bool has_lock, has_thread, has_guard, stop, ended; /* ended: the thread */
    bool closing;                                      /* the guard is to end */
    bool hangs;                                        /* the thread has been left in a call */
    struct mr_call_watch calls;                        /* its */
    bool lent;           /* the thread is at what the configuration has lent */
    uint64_t lent_ns;    /* since then */
    uint64_t stop_by_ns; /* with stop: no longer is the device waited for */

    bool down;
    uint64_t retry_at_ns, retry_ns, turn_ns; /* turn: how long a batch takes, on average */
    uint64_t n_closed, n_messages;
    uint64_t n_opens, n_submits, n_polls; /* for faults */
    bool lost;                            /* a fault: nothing works until it is opened anew */
    bool said_open;                       /* that it could not be opened again */
    uint64_t said_late_ns;                /* when it was said that a batch was late */
    struct mr_offload *left;              /* the next one of those that were left to their device */
    struct mr_offload_counters counters;
    _Atomic uint32_t *demoted; /* bits */
    _Atomic uint32_t n_done;   /* slots to be taken */
};

/* Opens the back end and gives every slot a batch. */
enum mr_status mr_slots_open(struct mr_offload *offload, struct mr_error *error);
void mr_slots_close(struct mr_offload *offload);
/* That has failed, and is tried again later; nobody else works yet. */
void mr_slots_fail(struct mr_offload *offload, const struct mr_error *error);

/* Under the lock: the batch being filled is complete. */
void mr_slot_close(struct mr_offload *offload, enum mr_close why, uint64_t now_ns);

void *mr_submit_thread(void *offload);
/* Looks after that thread, which may be left in a call of the device that does not come back: what
 * is under way comes back to the callers without it. */
void *mr_guard_thread(void *offload);
/* How long a single call may take. */
uint64_t mr_offload_call_ns(const struct mr_offload *offload);

#endif
