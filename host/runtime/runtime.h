/* The runtime: runs a plan over bursts with any number of workers.
 *
 * A burst gets a token and passes the pipeline's phases. A phase starts at a gate, where tokens
 * pass strictly in order and tuples are split by context key onto lanes, and goes on through the
 * parallel groups behind it. A lane is the unit of order and of stealing: it stands in one
 * worker's deque at a time, so its contexts need no locks. The last gate is the output: records are
 * handed over in token order, whatever ran when.
 *
 * The runtime knows neither capture nor output: the engine hands it hooks.
 */
#ifndef MR_RUNTIME_RUNTIME_H
#define MR_RUNTIME_RUNTIME_H

#include "analog/plan.h"
#include "base/buffers.h"
#include "base/hash.h"
#include "base/pages.h"
#include "metrics/metrics.h"
#include "metrics/stage.h"
#include "runtime/token.h"

struct mr_runtime;
struct mr_worker;
struct mr_exec;

#define MR_DEVICE_ROWS 32u

struct mr_device_row {
    const void *bytes;
    uint32_t len;
    uint64_t tag;
};

/* Who takes messages to devices and brings answers back (answers.h). Any worker. */
struct mr_device_hooks {
    /* So many bytes of the site are to be searched, in a token whose packets came so long ago:
     * true: they are to go to the device. */
    bool (*wanted)(void *user, uint32_t site, uint64_t bytes, uint64_t waited_ns);
    /* Copies messages, at most MR_DEVICE_ROWS, or texts made of them by the worker: bits of those
     * that were taken. Never waits. */
    uint32_t (*add)(void *user, struct mr_worker *worker, uint32_t site,
                    const struct mr_device_row *rows, uint32_t n);
    /* What is searched on the CPU: it begins (ns is 0), and it has taken so long. */
    void (*searched)(void *user, uint32_t site, uint64_t bytes, uint64_t ns);
    /* There is something for take(). Who sees to it calls mr_runtime_notify() when that becomes so.
     */
    bool (*ready)(void *user);
    /* Messages that are back: mr_answers_give() for each, mr_answers_back() behind that. False:
     * there were none. */
    bool (*take)(void *user, struct mr_worker *worker);
    /* A row was checked: what the device said of the call and what is right differ in these
     * indices. */
    void (*checked)(void *user, uint32_t site, uint32_t call, const uint32_t *indices, uint32_t n);
};

struct mr_runtime_hooks {
    void *user;

    /* (optional) all of them or none */
    struct mr_device_hooks device;

    /* Fills token->burst with decoded packets, and bytes. One worker at a time. MR_OK: n may be 0
     * (all packets of a read were dropped). MR_AGAIN: nothing at the moment. MR_EOF: nothing will
     * come any more. Packet time follows packets without MR_PACKET_STRAY_TIME (packet/clock.h).
     * Ticks, times and numbers are the runtime's business, but that a source that goes by the clock
     * may set token->clock_ns (packet time has come so far, packets or none) and
     * token->arrived_ticks. */
    enum mr_status (*intake)(void *user, struct mr_metrics *metrics, struct mr_token *token);

    /* (optional) Prepares input for the worker, who is about to try for the intake turn. False: it
     * need not try, what comes next is another worker's (who is not done with it, unless the worker
     * would `help`). Any worker. */
    bool (*ahead)(void *user, uint32_t worker, bool help);

    /* (optional) Would intake have packets now? Who sets it calls mr_runtime_notify() whenever that
     * becomes so; workers sleep longer then. Any worker. */
    bool (*ready)(void *user);

    /* Start and end of a worker thread (in it). *state is handed to the hooks below. */
    enum mr_status (*worker_open)(void *user, uint32_t worker, void **state);
    void (*worker_close)(void *user, void *state);

    /* Tuples left the last stage. Any worker. Records by mr_exec_record(). */
    void (*leave)(void *user, struct mr_exec *exec, const struct mr_tuples *tuples);

    /* Tuples of a predicate that the program watches: "event", or what happened to a row of a
     * table: "insert", "update", "delete", "expire", "evict". Any worker, in the lane's order. */
    void (*watch)(void *user, struct mr_exec *exec, const struct mr_tuples *tuples,
                  const char *change);

    /* A flow's context is closed. Any worker, in the flow's order. `left`: tuples of it went on to
     * other groups, or out. */
    void (*flow_closed)(void *user, struct mr_exec *exec, const struct mr_packet *origin,
                        uint32_t ordinal, const struct mr_flow *flow, bool left);

    /* (optional) A flow under way has grown by about MR_TOP_STEP_BYTES since it was last told. Any
     * worker, in the flow's order. */
    void (*flow_grown)(void *user, struct mr_exec *exec, const struct mr_flow *flow);

    /* (optional) A worker is between two tasks: what measures how long it is held by one. */
    void (*pulse)(void *user, uint32_t worker);

    /* The token passes the last gate: records in order. One worker at a time, tokens in order. One
     * that has far more records than packets (a tick ended millions of flows) comes several times,
     * with some of them each. */
    void (*retire)(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records);

    /* (optional) Behind that: its packets are to be freed. Any worker. */
    void (*release)(void *user, struct mr_token *token);
};

struct mr_runtime_config {
    const struct mr_plan *plan;
    struct mr_runtime_hooks hooks;
    struct mr_buffers *buffers;
    struct mr_pages *pages; /* large ones for many contexts; NULL: small ones */
    struct mr_secret secret;
    uint32_t workers;      /* at least 1 */
    uint32_t tokens;       /* in flight at most */
    uint32_t window;       /* of these, how many a source that can wait may fill; 0: chosen */
    uint32_t few;          /* of these, how many stay in the caches: a worker takes more in only
                              after a while without work, of files only when it has slept
                              meanwhile; 0: mr_runtime_few() */
    uint32_t lanes;        /* of a context-ordered group; 0: see mr_runtime_lanes(). Rounded up to a
                              power of two, at most mr_context_caps.partitions */
    uint32_t burst;        /* packets a token at most */
    uint32_t home_rows;    /* for so many rows a lane goes to who took their burst in; 0: 8 */
    uint64_t max_contexts; /* of a group; see context.h for how they are shared out */
    bool preallocate;      /* their memory is taken at once, not as they come */
    uint64_t depth;        /* bytes inspected of each direction of a stream; 0: all */
    bool bypass_encrypted; /* flows that are encrypted from some point on pass uninspected then */
    uint32_t spins;        /* pauses without work before a worker sleeps; 0: the usual number */
    uint64_t yield_seed;   /* tests: workers give way at random points; 0: never */
};

/* How many tokens a source that can wait may fill when the configuration leaves that open: enough
 * to keep every worker busy, few enough to stay in the caches. */
static inline uint32_t mr_runtime_window(uint32_t workers, uint32_t tokens)
{
    return tokens < 8 * workers ? tokens : 8 * workers;
}

/* What is derived from a burst is derived from packets in the second-level cache: of few bursts.
 * But the more workers there are, the more bursts of others a burst waits for on each of its lanes,
 * and who finds none to take in steals lanes whose packets lie elsewhere: 0.85 of the speed with 2
 * n + 1 where 16 workers have 0.91 with n^2 + 1 (bench/simulate.c, mails of 100 to 200 KB). */
static inline uint32_t mr_runtime_few(uint32_t workers)
{
    return workers * workers + 1;
}

/* Lanes of a group when the configuration leaves that open: one for a worker who has nobody to
 * share them with, else few. A burst makes a batch for each lane, and what a batch
 * costs is shared by its rows; still there is something to steal while a lane is being run. With
 * many workers a lane waits longest where flows stand in it that came in at different workers. */
static inline uint32_t mr_runtime_lanes(uint32_t workers)
{
    return (workers < 2 ? 1 : workers < 4 ? 2 : 8) * workers;
}

enum mr_status mr_runtime_new(struct mr_runtime **out, const struct mr_runtime_config *config,
                              struct mr_error *error);
void mr_runtime_free(struct mr_runtime *runtime);

/* Runs until the input ends: the calling thread is one of the workers. */
enum mr_status mr_runtime_run(struct mr_runtime *runtime, struct mr_error *error);

/* The source has something: a sleeping worker wakes. Any thread. */
void mr_runtime_notify(struct mr_runtime *runtime);

/* No further intake; what is in flight is finished, contexts are shut down. Async-signal-safe. */
void mr_runtime_stop(struct mr_runtime *runtime);

/* Goes on with another plan, from one token to the next: intake waits, what is in flight is
 * finished, contexts and counters of stages that are the same in both plans go over
 * (mr_stage_in()), what other stages kept is closed as at the end of the input, and intake goes on.
 * Any thread but a worker, one at a time; may be called while the runtime runs, before, or after.
 * `installed` is called when the new plan is in place and nobody works yet;
 * mr_runtime_function_counter() of `gone` gives what calls of the old plan counted that did not go
 * over. Then the old plan is the caller's again. What was counted otherwise stays in
 * mr_runtime_metrics(). On failure (no memory; MR_EOF: the run is over) nothing has changed. */
enum mr_status mr_runtime_swap(struct mr_runtime *runtime, const struct mr_plan *plan,
                               void (*installed)(void *user, const struct mr_runtime *gone),
                               void *user, struct mr_error *error);

/* When intake last stood still for mr_runtime_swap(), of the monotonic clock: since *begun_ns (0:
 * never), and until *ended_ns, or still, where that is before it. Any thread. */
void mr_runtime_hold(const struct mr_runtime *runtime, uint64_t *begun_ns, uint64_t *ended_ns);

/* Adds what one of the workers counted to *sum; sums over all. Any thread, any time. */
void mr_runtime_worker(const struct mr_runtime *runtime, uint32_t worker, struct mr_metrics *sum);
void mr_runtime_metrics(const struct mr_runtime *runtime, struct mr_metrics *sum);

struct mr_runtime_usage {
    uint32_t workers, lanes, tokens_in_flight, max_in_flight, tokens_made;
    uint64_t token_bytes;        /* memory of one token before any result */
    uint64_t context_bytes;      /* memory of one context, over all groups */
    uint64_t contexts_bytes;     /* memory of all contexts and their tables, at the most */
    uint64_t preallocated_bytes; /* of these */
    /* of plans, and how long intake waited for them */
    uint64_t swaps, last_pause_ns, max_pause_ns;
};

/* Any thread, any time. */
void mr_runtime_usage(const struct mr_runtime *runtime, struct mr_runtime_usage *usage);

/* What all workers did at a group of the plan, and how long packets took from intake until their
 * token left: added to *sum, in ticks of mr_runtime_tick_ns() nanoseconds. Any thread, any time. */
void mr_runtime_stage(const struct mr_runtime *runtime, uint32_t group,
                      struct mr_stage_metrics *sum);
/* The group of `plan` that goes on with what was measured of a group of `from`, when the one plan
 * follows the other: it begins with the same stage, or else has another one of its stages.
 * MR_NO_INDEX: there is none. */
uint32_t mr_measured_in(const struct mr_plan *plan, const struct mr_plan *from, uint32_t group);
void mr_runtime_latency(const struct mr_runtime *runtime, struct mr_histogram *sum);
double mr_runtime_tick_ns(const struct mr_runtime *runtime);

/* Calls `row` for every row of a table: values[arity of its predicate], borrowed for the call, and
 * what put it in. Any thread, but not beside mr_runtime_swap(): a lane waits while its rows are
 * read. Rows come in no particular order. */
void mr_runtime_table_rows(struct mr_runtime *runtime, uint32_t table,
                           void (*row)(void *user, const union mr_value *values, uint64_t time_ns,
                                       struct mr_order_key order),
                           void *user);

/* Counter `index` of the function behind a binding, over all workers. */
uint64_t mr_runtime_function_counter(const struct mr_runtime *runtime, uint32_t binding,
                                     uint32_t index);

/* ---- for hooks ---- */

/* Adds a record about `origin` (and which of its tuples) to the token under way; false when memory
 * is out (counted). */
bool mr_exec_record(struct mr_exec *exec, const struct mr_packet *origin, uint32_t ordinal,
                    const char *bytes, size_t len);
/* The ordinal of a row of the call under way. */
uint32_t mr_exec_call_ordinal(const struct mr_exec *exec, uint32_t row);
/* The row of the call under way only asks what a context has to say at a timer or at its end, and
 * no function has said anything yet: what it leads a function without order to has not happened. */
bool mr_exec_call_asks(const struct mr_exec *exec);
/* The transaction that the arguments of a row of the call under way were made of; NULL: none. */
const struct mr_transaction *mr_exec_call_transaction(const struct mr_exec *exec, uint32_t row);
/* The state that a call of the function has on this thread; NULL: no program calls it any more. */
void *mr_exec_function_state(const struct mr_exec *exec, const struct mr_function *function);
/* The record added last raises an alarm: 1 + its index. */
void mr_exec_record_alarm(struct mr_exec *exec, uint32_t alarm);
/* The record added last is one of those that are counted under this name (see struct mr_record). */
void mr_exec_record_cap(struct mr_exec *exec, const uint8_t *cap);
const struct mr_runtime_config *mr_exec_config(const struct mr_exec *exec);
void *mr_exec_worker_state(const struct mr_exec *exec);
struct mr_metrics *mr_exec_metrics(struct mr_exec *exec);

#endif
