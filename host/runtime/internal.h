/* What the parts of the runtime (runtime.c, phase.c, gate.c, worker.c) share.
 *
 * A plan is cut into phases. Phase 0 is what runs on a burst before the first context: its leading
 * parallel groups. Every later phase starts with a context-ordered or serial group, entered through
 * a gate, and goes on through the parallel groups behind it. One more gate is the output.
 * A token passes all gates; tuples pass by those of phases in which their program has no part.
 */
#ifndef MR_RUNTIME_INTERNAL_H
#define MR_RUNTIME_INTERNAL_H

#include "base/deque.h"
#include "base/ticks.h"
#include "metrics/stage.h"
#include "runtime/exec.h"

#include <pthread.h>

#define MR_NO_GROUP       UINT32_MAX
#define MR_QUEUED_BATCHES 1024 /* parallel batches in one deque at most; more run at once */
#define MR_LEAVING_STEPS  1024 /* of putting records in order, before a worker does other things */

#ifndef ARRIVING_ROWS
#define ARRIVING_ROWS MR_BURST_MAX /* that enter a phase at once: arriving.c */
#endif
#define MR_WHOLE_ROWS (2 * ARRIVING_ROWS) /* up to so many do so as a whole */

enum mr_task_kind { MR_TASK_LANE, MR_TASK_BATCH, MR_TASK_GATE };

/* What stands in a deque, or in a worker's mail. */
struct mr_task {
    enum mr_task_kind kind;
    struct mr_task *next_mail;
};

enum mr_work_kind {
    MR_WORK_TUPLES,
    MR_WORK_TICK,
    MR_WORK_EVICT,    /* an epoch is over: contexts that are too many go */
    MR_WORK_SHUTDOWN, /* all contexts are closed */
    MR_WORK_CLOSE     /* what some stages know of their contexts is closed */
};

/* What a plan loses at a swap. Its token brings it to the lanes concerned. */
enum mr_closes { MR_CLOSES_NOTHING, MR_CLOSES_CONTEXTS, MR_CLOSES_STAGES };

struct mr_closing {
    uint8_t *phases; /* [n_phases] enum mr_closes */
    bool *stages;    /* [stages of the plan] those that go */
};

/* Of the input, in the intake turn. */
enum mr_input {
    MR_INPUT_OPEN,
    MR_INPUT_OVER,  /* nothing comes any more; contexts are being closed */
    MR_INPUT_CLOSED /* the last token was taken */
};

/* Where a worker stands when the plan is to change: see swap.c. */
enum mr_hold { MR_HOLD_NONE, MR_HOLD_CLOSE, MR_HOLD_DRAIN };

/* A work's place in the queue of one lane. */
struct mr_ticket {
    struct mr_ticket *next; /* in the lane */
    struct mr_work *work;
    uint32_t lane;
};

/* What a token brings to a lane. A tuple that stands under several keys is a work of its own with a
 * ticket in the lane of each, and runs when it heads all of them; the lanes that came to it first
 * wait for it. In the token's memory. */
struct mr_work {
    struct mr_work *next; /* of the token */
    struct mr_token *token;
    struct mr_tuples *tuples;
    uint64_t time_ns, packet; /* of marks: packet time, number of the packet that rang */
    enum mr_work_kind kind;
    uint32_t n_tickets;
    uint32_t home, rows;         /* who has the packets in its cache; how many */
    _Atomic uint32_t not_headed; /* lanes that it does not head yet */
    struct mr_ticket *tickets;   /* [n_tickets] */
    struct mr_ticket ticket;     /* the only one, mostly */
};

/* The unit of order and of stealing. */
struct mr_lane {
    _Alignas(64) struct mr_task task;
    uint32_t phase;
    _Atomic(struct mr_ticket *) inbox; /* newest first; filled in the gate's turn */
    struct mr_ticket *todo;            /* oldest first; whoever runs the lane */
    _Atomic uint32_t scheduled;        /* in a deque, being run, or waiting for a work */
    _Atomic uint32_t outstanding;      /* works not finished: 0 makes next_deadline_ns readable */
    struct mr_context_table contexts;  /* whoever runs the lane, as the next */
    struct mr_table_set *tables;       /* the same; NULL: its group has none */
    uint64_t tuples;                   /* run so far */
    struct mr_work shutdown;           /* or what a swap closes; there is but one at a time */
};

/* A batch of tuples for parallel groups: any worker, any order. In the token's memory. */
struct mr_batch {
    struct mr_task task;
    struct mr_token *token;
    struct mr_tuples *tuples;
    uint64_t ready; /* ticks: since when it waits */
    uint32_t group;
    struct mr_asked_batch *asked; /* what a device says about it; NULL: it was not asked */
};

struct mr_phase {
    uint32_t lane_group; /* MR_NO_GROUP: phase 0 */
    uint32_t first_parallel, end_parallel;
    struct mr_lane *lanes;
    uint32_t n_lanes, lane_bits; /* 1 << lane_bits */
    bool *segments; /* [of the plan] those with a stage here: their tuples stop at its gate */
    struct mr_work shutdown; /* the mark of a token that closes */
    bool closes;             /* its contexts were brought in the order in which they are closed */
};

/* Lets tokens pass in order: a worker that brings the next one takes the turn and lets all pass
 * that are there. */
struct mr_gate {
    _Alignas(64) struct mr_task task; /* let those pass that wait; in one deque at most */
    _Atomic uint32_t scheduled;
    _Atomic uint32_t turn;
    _Atomic uint64_t next;               /* number of the token that passes next */
    _Atomic(struct mr_token *) *waiting; /* [number & mask] */
    uint64_t mask;
};

/* Batches of a stage whose time was not taken: they count as what is measured next. */
struct mr_unmeasured {
    struct mr_stage_times last; /* measured before them */
    uint64_t batches, tuples;
};

struct mr_worker {
    _Alignas(64) struct mr_deque deque;            /* a line with `mail`: what thieves look at */
    _Atomic(struct mr_task *) mail;                /* lanes that others hand over, newest first */
    _Alignas(64) _Atomic(struct mr_token *) spent; /* of this worker, left; newest first */
    _Alignas(64) _Atomic uint32_t asleep;          /* seldom changed, often looked at */
    _Alignas(64) struct mr_exec exec;
    struct mr_metrics metrics;
    struct mr_runtime *runtime;
    uint32_t index;
    uint64_t random;
    enum mr_batch_way way;       /* how what is under way came here */
    bool oldest_first;           /* the task pushed last has had its turn: what waits goes first */
    uint32_t leaving;            /* of MR_LEAVING_STEPS: those left for tokens that leave */
    _Atomic uint64_t busy_ticks; /* in stages, ever; written by this worker */
    uint64_t now; /* ticks: when the last task ended, if the next one begins at once; else 0 */
    struct mr_stage_metrics *stages;  /* [groups of the plan] */
    struct mr_unmeasured *unmeasured; /* [the same] */
    bool measured;                    /* what is under way; always, but on the straight way */
    uint32_t unmeasured_left;         /* trains before the next one that is */
    uint64_t unmeasured_packets;      /* that have left meanwhile */
    struct mr_histogram latency;      /* ticks: of packets, from intake until they leave */
    uint32_t *lane_slots;             /* scratch of mr_phase_split: [most lanes of a phase] */
    struct mr_asked_batch *answered;  /* batches whose last answer this worker has just taken */
    pthread_t thread;
    enum mr_status status;
};

struct mr_runtime {
    struct mr_runtime_config config;
    struct mr_ticks ticks;
    struct mr_worker *workers;
    struct mr_context_caps caps; /* of contexts of a group */
    struct mr_phase *phases;
    uint32_t n_phases;
    uint32_t *last_phases; /* [segments of the plan] behind it a tuple leaves its program */
    struct mr_gate *gates; /* [n_phases]: gates[p] leads into phase p + 1, the last one out */
    uint32_t most_lanes;
    bool straight;                  /* mr_phase_straight() may be possible */
    struct mr_table_set *constants; /* tables that nobody changes; NULL: none */

    _Alignas(64) _Atomic uint32_t input_over; /* enum mr_input; read all the time, as these */
    _Atomic uint32_t finished, stop;

    /* Tokens cost less than sharing them does: one at a time is under way, mostly with one worker;
     * the others are not woken for it. */
    _Alignas(64) _Atomic uint32_t cheap;
    uint64_t dear_ticks; /* who takes so long is worth another worker's company */

    _Alignas(64) _Atomic uint32_t intake_turn;
    uint64_t judged_tokens,
        judged_ticks;         /* done when `cheap` was judged last; in the intake turn */
    uint64_t try_at, try_gap; /* tokens: from when on to try whether they are cheap; the same */
    uint64_t next_number;     /* the same, as the two below */
    uint64_t second;          /* of packet time */
    uint32_t context_epoch;   /* of the last packet: mr_context_epoch() */
    uint64_t last_packet, last_time_ns;
    uint32_t keeps_off; /* so many tokens did not take the straight way, after one that took long */
    uint64_t straight_from; /* the first that may again */

    _Alignas(64) pthread_mutex_t tokens_lock;
    struct mr_token **free_tokens; /* [workers]: a token goes back to who took it in */
    _Atomic uint32_t tokens_made, in_flight_now, max_in_flight; /* written under the lock */

    _Alignas(64) _Atomic uint32_t sleepers;
    _Atomic uint32_t epoch; /* futex */

    /* swap.c */
    _Alignas(64) _Atomic uint32_t hold; /* enum mr_hold */
    pthread_mutex_t swap_lock;
    pthread_cond_t swap_change;
    uint32_t running, parked;         /* workers; under the lock */
    const struct mr_closing *closing; /* set before `hold` */
    _Atomic uint64_t swaps, last_pause_ns, max_pause_ns;
    _Atomic uint64_t held_ns, released_ns; /* when `hold` was last set, and taken back */
};

/* A live source has nothing at the moment: who is awake is sooner done alone than with somebody
 * who must be woken first. */
static inline bool mr_runtime_quiet(const struct mr_runtime *runtime)
{
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    return hooks->ready && !hooks->ready(hooks->user);
}

/* The first group of a phase; phase 0 may have none: then it is that of the next one, or n_groups.
 */
static inline uint32_t mr_phase_first(const struct mr_phase *phase)
{
    return phase->lane_group == MR_NO_GROUP ? phase->first_parallel : phase->lane_group;
}

/* The token with this number is in the phase now, which those before the gate's next have left. */
static inline void mr_phase_count_in_flight(const struct mr_worker *worker, uint32_t phase,
                                            uint64_t number)
{
    const struct mr_phase *p = &worker->runtime->phases[phase];
    uint64_t next = atomic_load_explicit(&worker->runtime->gates[phase].next, memory_order_relaxed);

    if (mr_phase_first(p) < p->end_parallel && number >= next)
        mr_stage_in_flight(&worker->stages[mr_phase_first(p)], number + 1 - next);
}

/* Tests that want workers to meet, and devices, whose answers tokens wait for, have many tokens
 * under way in any case. */
static inline bool mr_runtime_may_be_cheap(const struct mr_runtime *runtime)
{
    return runtime->config.workers > 1 && !runtime->config.yield_seed &&
           !runtime->config.hooks.device.wanted;
}

static inline bool mr_runtime_cheap(const struct mr_runtime *runtime)
{
    return atomic_load_explicit(&runtime->cheap, memory_order_relaxed);
}

static inline void mr_work_init(struct mr_work *work, struct mr_token *token,
                                enum mr_work_kind kind, uint32_t lane)
{
    *work = (struct mr_work){.token = token, .kind = kind, .n_tickets = 1, .home = token->home};
    work->ticket = (struct mr_ticket){.work = work, .lane = lane};
    work->tickets = &work->ticket;
}

/* ---- worker.c ---- */
void mr_worker_run(struct mr_worker *worker);
void mr_runtime_wake(struct mr_runtime *runtime, bool all);
/* Puts a task on the worker's own deque, and wakes somebody; unless the source is quiet and
 * nothing stands there beside that task, which the worker does itself then. */
void mr_worker_push(struct mr_worker *worker, struct mr_task *task);
/* Tests only (config.yield_seed): gives way now and then. */
void mr_worker_maybe_yield(struct mr_worker *worker);

/* ---- home.c ---- */
/* Who has the packets of the work in its cache is another worker, and it is awake: better it. */
bool mr_worker_is_elsewhere(const struct mr_worker *worker, const struct mr_work *work);
/* Hands lanes to another worker: a list (first..last), newest first. */
void mr_worker_send(struct mr_worker *worker, struct mr_task *first, struct mr_task *last,
                    uint32_t home);
/* Gives back what a token held, at its home if that is awake. */
void mr_worker_give_back(struct mr_worker *worker, struct mr_token *token);
/* Puts what is in the mail of `of` on the worker's own deque, so that it takes the oldest first. */
void mr_worker_open_mail(struct mr_worker *worker, struct mr_worker *of);
/* Gives back what tokens held that are at home at `of`. False: there was nothing. */
bool mr_worker_take_back(struct mr_worker *worker, struct mr_worker *of);

/* ---- cheap.c ---- */
/* Does a token cost less, in all stages and on all workers, than other workers' help would? In the
 * intake turn, over the tokens that were done since it was judged last: those under way may have
 * cost nothing yet. Sets runtime->cheap. */
void mr_runtime_judge(struct mr_runtime *runtime);

/* ---- closing.c ---- */
/* Contexts are to be closed, at the end of the input or for a swap (token->closing): says which of
 * them by this token. True: all that are left; false: there will be more tokens. In the intake
 * turn, with no other token under way. */
bool mr_closing_next(struct mr_runtime *runtime, struct mr_token *token);

/* ---- phase.c ---- */
/* The worker works for `token` from now on; its last task must have been ended. */
void mr_phase_begin_task(struct mr_worker *worker, struct mr_token *token);
/* Hands records and outputs of the task to the token, or runs the parallel groups from `group` on
 * (those of the phase), and leaves the task; completes the phase when it was the last. */
void mr_phase_end_task(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                       uint32_t group);
/* A token fresh from intake runs through phase 0. */
void mr_phase_start(struct mr_worker *worker, struct mr_token *token);
/* A worker has all n tokens that are under way, the last of which is `token`, and nobody else is to
 * help: it takes them through all phases in one go, as if they were one burst. Nothing passes
 * inboxes and deques, since nobody waits there; what the stages see, and so what comes out, is the
 * same. To be called in the intake turn and with all gates' turns, of which it gives the latter
 * back. `rows` packets, at most MR_BURST_MAX. */
bool mr_phase_is_straight(const struct mr_runtime *runtime, const struct mr_token *token,
                          uint32_t n);
void mr_phase_straight(struct mr_worker *worker, struct mr_token **tokens, uint32_t n,
                       uint32_t rows);
/* A plan for which that can be so. */
bool mr_phase_can_be_straight(const struct mr_runtime *runtime);
/* Nothing is unmeasured any more. */
void mr_phase_settle_measures(struct mr_worker *worker);
void mr_phase_run_lane(struct mr_worker *worker, struct mr_lane *lane);
void mr_phase_run_batch(struct mr_worker *worker, struct mr_batch *batch);

/* ---- answers.c ---- */
/* Asks a device about a batch that enters a parallel group. True: it waits for the answers, and the
 * token for it; false: it is to be run now, with *answers where they are all there already. */
bool mr_answers_ask(struct mr_worker *worker, struct mr_token *token, uint32_t group,
                    struct mr_tuples *tuples, struct mr_asked_batch **answers);
/* Takes answers that are there: false: there are none. Between two tasks. */
bool mr_answers_take(struct mr_worker *worker);
/* A batch is run that no device was asked about: gives its bytes, of all sites in the group. */
uint64_t mr_answers_search(struct mr_worker *worker, uint32_t group,
                           const struct mr_tuples *tuples);
/* ... and it has taken so long. */
void mr_answers_searched(struct mr_worker *worker, uint32_t group, uint64_t bytes, uint64_t ticks);
/* Does the plan have anything for a device in the group? */
static inline bool mr_answers_possible(const struct mr_runtime *runtime, uint32_t group)
{
    const struct mr_plan *plan = runtime->config.plan;

    if (!runtime->config.hooks.device.wanted)
        return false;
    for (uint32_t i = 0; i < plan->n_sites; i++)
        if (plan->sites[i].group == group)
            return true;
    return false;
}

/* ---- split.c ---- */
/* Splits what arrived at the gate of `phase` onto its lanes: token->works. */
void mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase);
/* The same of a token without ticks and marks that has brought `list`. */
void mr_phase_split_all(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                        struct mr_tuples *list);
/* A part of all that: what comes next of what arrived, in its order (as settled), which stands
 * before what comes later; the marks of a tick; those at the token's end. Behind token->works. */
void mr_phase_split_some(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                         struct mr_tuples *list);
void mr_phase_mark_tick(struct mr_worker *worker, struct mr_token *token,
                        const struct mr_tick *tick);
void mr_phase_mark_end(struct mr_worker *worker, struct mr_token *token, uint32_t phase);
/* Do tuples stop at the gate of the phase? Else they wait for a later one. */
static inline bool mr_phase_waits_for(const struct mr_worker *worker, const struct mr_phase *phase,
                                      const struct mr_tuples *tuples)
{
    const struct mr_plan *plan = worker->exec.plan;
    return plan->n_segments == 1 || phase->segments[plan->predicates[tuples->predicate].segment];
}

/* ---- arriving.c ---- */
/* So much arrives at the gate of a phase that it is to enter in slices: takes it (token->arriving).
 * False: it is to be split as a whole; or there is no memory for the other. */
bool mr_arriving_begin(struct mr_worker *worker, struct mr_token *token, uint32_t phase);
/* Splits a slice: token->works. True: it was the last one. In the gate's turn. */
bool mr_arriving_next(struct mr_worker *worker, struct mr_token *token, uint32_t phase);

/* ---- gate.c ---- */
enum mr_status mr_gate_init(struct mr_gate *gate, uint32_t tokens);
void mr_gate_free(struct mr_gate *gate);
/* All tasks of the token's phase are done: it goes to its next gate. */
void mr_gate_arrive(struct mr_worker *worker, struct mr_token *token);
/* Tokens that took the straight way leave; the last one has the records of all. */
void mr_gate_retire_train(struct mr_worker *worker, struct mr_token **tokens, uint32_t n);
/* Tokens that stand before gate `gate` leave the straight way, and go on there like any others. The
 * turns of all gates are given back. */
void mr_gate_leave_straight(struct mr_worker *worker, struct mr_token **tokens, uint32_t n,
                            uint32_t gate);
/* Takes the turns of all gates; false: somebody has one. */
bool mr_gates_take(struct mr_runtime *runtime);
/* Gives them back: all tokens before number `next` have passed. */
void mr_gates_pass(struct mr_runtime *runtime, uint64_t next);
/* The token has left: gives back what it held, and then itself; see mr_runtime_token_put(). */
void mr_gate_release(struct mr_worker *worker, struct mr_token *token, bool alone);
/* The gate's task. */
void mr_gate_run(struct mr_worker *worker, struct mr_gate *gate);

/* ---- runtime.c ---- */
/* Gets in the intake turn. `alone`: all tokens under way are the caller's and it has that turn, or
 * there is no other worker: no lock is needed. */
struct mr_token *mr_runtime_token_get(struct mr_runtime *runtime, uint32_t home, uint32_t limit,
                                      bool alone);
void mr_runtime_token_put(struct mr_runtime *runtime, struct mr_token *token, bool alone);

/* The state of one worker for each function that has none yet. */
enum mr_status mr_worker_open_bindings(struct mr_worker *worker);
void mr_worker_close_bindings(struct mr_worker *worker);

/* ---- swap.c ---- */
/* A worker begins and ends. */
void mr_swap_enter(struct mr_runtime *runtime);
void mr_swap_leave(struct mr_runtime *runtime);
/* Waits here, at a point where the worker has nothing in its hands, while the plan changes. */
void mr_swap_park(struct mr_runtime *runtime);

/* ---- preallocate.c ---- */
/* Before the runtime runs (config.preallocate). `kept`: beside one that runs, which hands over the
 * memory of these [n_phases]; NULL: there is none. MR_ERR_MEMORY: there is not so much. */
enum mr_status mr_runtime_preallocate(struct mr_runtime *runtime, const bool *kept,
                                      struct mr_error *error);
uint64_t mr_runtime_preallocated(const struct mr_runtime *runtime);

/* ---- carry.c ---- */
/* How contexts of `old` go to the groups of `fresh` that begin with the same stage. MR_ERR_MEMORY.
 */
struct mr_carry;
enum mr_status mr_carry_new(struct mr_carry **out, struct mr_runtime *old,
                            struct mr_runtime *fresh);
void mr_carry_free(struct mr_carry *carry); /* NULL is allowed */
/* Nobody works: takes them over, and closes what stages that are gone kept in them. */
void mr_carry_run(struct mr_carry *carry);
/* Phases of `fresh` that get the tables of `old` as they are: kept[n_phases] is set. */
void mr_carry_kept(const struct mr_carry *carry, bool *kept);
/* The group of `plan` that begins with the same stage; MR_NO_GROUP: there is none. */
uint32_t mr_group_in(const struct mr_plan *plan, const struct mr_plan *from, uint32_t group);

#endif
