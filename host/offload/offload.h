/* Messages on their way to a device and back: they are gathered into batches, a thread of its own
 * gives these to a back end, and whoever asks takes finished ones. Nothing is lost and nothing
 * comes twice: every message that was taken in comes back exactly once, with its matches or with
 * the word that it is to be searched anew by the caller, on the CPU.
 *
 * add(), take(), release() and the rest may be called by any thread; none of them waits for the
 * device. Memory is all taken by open(); the number of slots bounds what is under way.
 */
#ifndef MR_OFFLOAD_OFFLOAD_H
#define MR_OFFLOAD_OFFLOAD_H

#include "offload/backend.h"

/* Why a batch was closed. */
enum mr_close { MR_CLOSE_BYTES, MR_CLOSE_MESSAGES, MR_CLOSE_AGE, MR_CLOSE_FLUSH, MR_CLOSES };

/* Why messages are searched on the CPU after all, or from the start. */
enum mr_fall {
    MR_FALL_NO_SLOT,  /* add(): all slots are in use */
    MR_FALL_TOO_LONG, /* add(): longer than a batch */
    MR_FALL_DOWN,     /* the device has failed and is tried again later */
    MR_FALL_FAILED,   /* it failed with this batch */
    MR_FALL_LATE,     /* it did not answer in time */
    MR_FALL_OVERFLOW, /* more was found in the message than there was room for */
    MR_FALLS
};

/* How a device fails. */
enum mr_trouble {
    MR_TROUBLE_OPEN,   /* it cannot be opened, or has no memory */
    MR_TROUBLE_LAUNCH, /* a batch cannot be started */
    MR_TROUBLE_LOST,   /* a batch failed on it */
    MR_TROUBLE_LATE,   /* a batch was given up: it goes on */
    MR_TROUBLES
};

const char *mr_close_name(enum mr_close why);
const char *mr_fall_name(enum mr_fall why);
const char *mr_trouble_name(enum mr_trouble what);

struct mr_offload_counters {
    uint64_t batches, messages, bytes; /* given to the device */
    uint64_t fill_bytes;               /* room there was in those batches */
    uint64_t closes[MR_CLOSES];
    uint64_t falls[MR_FALLS];    /* messages */
    uint64_t age_ns, age_max_ns; /* of the oldest message of a batch when it was closed */
    uint64_t turn_ns;            /* from closing to being done */
    uint64_t device_ns, kernels_ns;
    uint64_t troubles[MR_TROUBLES];
    uint64_t reopened, checked, different, demoted;
};

/* Faults to be made on purpose, for tests: every n-th time, 0: never. */
struct mr_offload_faults {
    uint32_t open;   /* memory for tables or batches is refused */
    uint32_t launch; /* a batch cannot be started */
    uint32_t late;   /* a batch takes until far behind its time */
    uint32_t lost;   /* the device is gone in the middle of a batch */
    uint32_t stuck;  /* a batch never ends */
    uint32_t hang;   /* opening never ends */
    uint32_t block;  /* nor does a call that gives a batch to the device */
    uint32_t load;   /* the first so many checks at load fail: the caller's */
    uint32_t wrong;  /* a match is left out, a sum is another */
};

struct mr_offload_config {
    struct mr_offload_work work;      /* what it points to is borrowed until close() */
    const struct mr_backend *backend; /* on which open() has succeeded once, or will */
    uint32_t n_slots;                 /* 0: 6 */
    uint32_t bytes_max;               /* 0: 2 MiB */
    uint32_t messages_max;            /* 0: 8192 */
    uint64_t deadline_ns;             /* a batch is closed when its oldest message is so old */
    uint64_t late_ns;                 /* and given up so long after closing; 0: 250 ms */
    uint64_t retry_ns;                /* a failed device is tried again; 0: 1 s */
    uint32_t check_every;             /* one message in so many is checked; 0: 4096 */
    bool insist; /* open() succeeds also when the device fails; it is tried again later */
    struct mr_offload_faults faults;
    /* One line about the device, for a log; any thread. NULL: nobody wants it. */
    void (*log)(void *context, const char *line);
    /* A batch is done: there is something to take; the offload's thread, not to wait. NULL: nobody
     * waits for it. */
    void (*done)(void *context);
    void *context; /* of both */
};

struct mr_offload;

/* The device's first open() happens here: MR_ERR_START says why there is none, and the caller goes
 * on without. */
enum mr_status mr_offload_open(const struct mr_offload_config *config, struct mr_offload **offload,
                               struct mr_error *error);
/* Waits for what is under way on the device; what nobody has taken is lost with it. A device that
 * does not answer any more is given up after some seconds, with a line, and its memory is left.
 * False: even the thread is stuck in it: what the configuration has lent is to be left, too. */
bool mr_offload_close(struct mr_offload *offload);

/* Before close(), for who does not want to wait: from its return on nothing that the configuration
 * has lent is looked at, but for `log` and `done`. True: the device is at nothing, close() takes no
 * time. */
bool mr_offload_stop(struct mr_offload *offload);

/* Copies n messages, at most MR_OFFLOAD_MANY, into the batch that is being filled, and those that
 * come after it: the views of the first, then those of the next; a message's tag comes back with
 * it. Returns bits of those that were taken; the caller does the others itself (counted, by
 * reason). Callers are in each other's way once for each call, so many messages are better. */
#define MR_OFFLOAD_MANY 32u
uint32_t mr_offload_add_many(struct mr_offload *offload, const struct mr_view *views,
                             const uint64_t *tags, uint32_t n);
/* One message of one view. MR_AGAIN: not now. */
enum mr_status mr_offload_add(struct mr_offload *offload, const void *bytes, uint32_t len,
                              uint64_t tag);
/* Closes the batch that is being filled, whatever its age. */
void mr_offload_flush(struct mr_offload *offload);

/* A batch that is done. */
struct mr_offload_done {
    const struct mr_offload_batch
        *batch;           /* redo[] holds for all: of a batch that fell back nothing else */
    const uint64_t *tags; /* of each message */
    uint64_t check_first; /* messages from this one on, in steps of check_every, */
    uint32_t check_every; /* are to be searched on the CPU as well, and compared */
    uint32_t slot;
};

/* The next batch that is done; false: none is. It is the caller's until release(). Matches whose
 * pattern was demoted are still in it: mr_offload_demoted() tells. */
bool mr_offload_take(struct mr_offload *offload, struct mr_offload_done *done);
void mr_offload_release(struct mr_offload *offload, const struct mr_offload_done *done);
/* take() may find something: fast. */
bool mr_offload_ready(const struct mr_offload *offload);
/* take() would find something, or waits until then or until so much time has passed. */
bool mr_offload_wait(struct mr_offload *offload, uint64_t timeout_ns);

/* A check has found that the device and the CPU differ about a pattern, or (patterns + i) about
 * model i: from now on the CPU decides it. False: that was known. */
bool mr_offload_demote(struct mr_offload *offload, uint32_t pattern);
bool mr_offload_demoted(const struct mr_offload *offload, uint32_t pattern);
/* After a check; so many patterns and models were different. */
void mr_offload_checked(struct mr_offload *offload, uint32_t different);

void mr_offload_count(struct mr_offload *offload, struct mr_offload_counters *counters);
/* Bytes of the host's memory that its batches take, about; a device has as much again. */
uint64_t mr_offload_memory(const struct mr_offload *offload);
/* *sum += *counters */
void mr_offload_sum(struct mr_offload_counters *sum, const struct mr_offload_counters *counters);

#endif
