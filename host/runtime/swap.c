/* Changing the plan while the runtime runs. A second runtime is made of the new plan beside the one
 * that runs; then workers stop taking tokens in, finish those in flight and gather here; what is
 * the plan's changes places between the two, contexts are carried over, and the workers go on.
 */
#include "runtime/internal.h"
#include "runtime/table_set.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AGAIN_NS 5000000 /* while waiting for what nobody signals */

/* ---- workers ---- */

void mr_swap_enter(struct mr_runtime *runtime)
{
    pthread_mutex_lock(&runtime->swap_lock);
    runtime->running++;
    pthread_mutex_unlock(&runtime->swap_lock);
}

void mr_swap_leave(struct mr_runtime *runtime)
{
    pthread_mutex_lock(&runtime->swap_lock);
    runtime->running--;
    pthread_cond_broadcast(&runtime->swap_change);
    pthread_mutex_unlock(&runtime->swap_lock);
}

void mr_swap_park(struct mr_runtime *runtime)
{
    pthread_mutex_lock(&runtime->swap_lock);
    runtime->parked++;
    pthread_cond_broadcast(&runtime->swap_change);
    while (atomic_load_explicit(&runtime->hold, memory_order_acquire) == MR_HOLD_DRAIN)
        pthread_cond_wait(&runtime->swap_change, &runtime->swap_lock);
    runtime->parked--;
    pthread_mutex_unlock(&runtime->swap_lock);
}

/* ---- what is lost ---- */

struct mr_swap {
    struct mr_closing closing;
    bool closes; /* anything at all */
    struct mr_runtime *fresh;
    struct mr_carry *carry;
};

/* Which phases lose all contexts, and which some stages. */
static enum mr_status find_closing(struct mr_swap *swap, const struct mr_runtime *runtime,
                                   const struct mr_plan *plan)
{
    const struct mr_plan *old = runtime->config.plan;

    swap->closing.phases = calloc(runtime->n_phases, sizeof *swap->closing.phases);
    swap->closing.stages = calloc(old->n_stages, sizeof *swap->closing.stages);
    if (!swap->closing.phases || !swap->closing.stages)
        return MR_ERR_MEMORY;
    for (uint32_t s = 0; s < old->n_stages; s++)
        swap->closing.stages[s] = !old->stages[s].fork && !mr_stage_in(plan, &old->stages[s]);
    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        const struct mr_plan_group *g = &old->groups[runtime->phases[i].lane_group];
        bool some = false;
        for (uint32_t s = 0; s < g->n_stages; s++)
            some = some || swap->closing.stages[g->first_stage + s];
        if (!some)
            continue;
        swap->closing.phases[i] =
            swap->closing.stages[g->first_stage] ? MR_CLOSES_CONTEXTS : MR_CLOSES_STAGES;
        swap->closes = true;
    }
    return MR_OK;
}

/* ---- what is kept of the functions ---- */

/* The operation of the old plan whose state the binding of the new one goes on with. */
static const struct mr_op *kept_op(const struct mr_plan *old, const struct mr_plan_stage *stage,
                                   uint32_t rule, const struct mr_op *op)
{
    const struct mr_plan_stage *same = mr_stage_in(old, stage);
    const struct mr_op *kept = same ? mr_op_in(&same->rules[rule], op) : NULL;
    return kept && kept->config == op->config ? kept : NULL;
}

typedef void (*visitor)(struct mr_worker *old, struct mr_worker *fresh, const struct mr_op *from,
                        const struct mr_op *to);

/* Visits the pairs of operations that are the same in both plans. */
static void for_kept(struct mr_runtime *old, struct mr_runtime *fresh, visitor visit)
{
    const struct mr_plan *plan = fresh->config.plan;

    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++)
            for (uint32_t i = 0; i < plan->stages[s].rules[r].n_ops; i++) {
                const struct mr_op *op = &plan->stages[s].rules[r].ops[i];
                const struct mr_op *kept = op->kind == MR_OP_CALL
                                               ? kept_op(old->config.plan, &plan->stages[s], r, op)
                                               : NULL;
                for (uint32_t w = 0; kept && w < old->config.workers; w++)
                    visit(&old->workers[w], &fresh->workers[w], kept, op);
            }
}

/* Stands for a state that will come: nothing is opened in its place. */
static const char promised;

static void promise(struct mr_worker *old, struct mr_worker *fresh, const struct mr_op *from,
                    const struct mr_op *to)
{
    (void)old;
    (void)from;
    fresh->exec.bindings[to->binding].thread = (void *)(uintptr_t)&promised;
}

static void withdraw(struct mr_worker *old, struct mr_worker *fresh, const struct mr_op *from,
                     const struct mr_op *to)
{
    (void)old;
    (void)from;
    fresh->exec.bindings[to->binding].thread = NULL;
}

static void move_state(struct mr_worker *old, struct mr_worker *fresh, const struct mr_op *from,
                       const struct mr_op *to)
{
    struct mr_binding_state *a = &old->exec.bindings[from->binding];
    struct mr_binding_state *b = &fresh->exec.bindings[to->binding];

    b->thread = a->thread;
    a->thread = NULL;
    for (uint32_t i = 0; i < MR_MAX_COUNTERS; i++) {
        uint64_t n = atomic_load_explicit(&a->counters[i], memory_order_relaxed);
        atomic_fetch_add_explicit(&b->counters[i], n, memory_order_relaxed);
        atomic_store_explicit(&a->counters[i], 0, memory_order_relaxed);
    }
}

/* ---- beside the run ---- */

static void discard(struct mr_swap *swap)
{
    mr_carry_free(swap->carry);
    for (uint32_t w = 0; swap->fresh && w < swap->fresh->config.workers; w++)
        mr_worker_close_bindings(&swap->fresh->workers[w]);
    mr_runtime_free(swap->fresh);
    free(swap->closing.phases);
    free(swap->closing.stages);
}

/* What goes over as it is has its memory already. */
static enum mr_status preallocate(struct mr_swap *swap, struct mr_error *error)
{
    bool *kept = calloc(swap->fresh->n_phases, sizeof *kept);

    if (!kept)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for the new plan");
    mr_carry_kept(swap->carry, kept);
    enum mr_status status = mr_runtime_preallocate(swap->fresh, kept, error);
    free(kept);
    return status;
}

static enum mr_status prepare(struct mr_swap *swap, struct mr_runtime *runtime,
                              const struct mr_plan *plan, struct mr_error *error)
{
    struct mr_runtime_config config = runtime->config;
    enum mr_status status = find_closing(swap, runtime, plan);

    if (status)
        return mr_fail(error, status, "out of memory for the new plan");
    config.plan = plan;
    config.preallocate = false; /* not before it is known which memory goes over */
    status = mr_runtime_new(&swap->fresh, &config, error);
    if (status)
        return status;
    status = mr_carry_new(&swap->carry, runtime, swap->fresh);
    if (status)
        return mr_fail(error, status, "out of memory for the new plan");
    if (runtime->config.preallocate && (status = preallocate(swap, error)))
        return status;
    for_kept(runtime, swap->fresh, promise);
    for (uint32_t w = 0; !status && w < config.workers; w++)
        status = mr_worker_open_bindings(&swap->fresh->workers[w]);
    for_kept(runtime, swap->fresh, withdraw);
    return status ? mr_fail(error, status,
                            "what the functions of the new programs need for each worker cannot be "
                            "had (%s): nothing was changed",
                            mr_status_text(status))
                  : MR_OK;
}

/* ---- while nobody works ---- */

#define CHANGE_PLACES(type, a, b)                                                                  \
    do {                                                                                           \
        type kept = (a);                                                                           \
        (a) = (b);                                                                                 \
        (b) = kept;                                                                                \
    } while (0)

static void change_worker(struct mr_worker *a, struct mr_worker *b)
{
    struct mr_deque deque;

    /* lanes and gates with nothing to do may stand there (who delivers schedules a lane after its
     * ticket is in): they go with their plan */
    atomic_store_explicit(&a->mail, NULL, memory_order_relaxed);
    memcpy(&deque, &a->deque, sizeof deque);
    memcpy(&a->deque, &b->deque, sizeof deque);
    memcpy(&b->deque, &deque, sizeof deque);
    CHANGE_PLACES(const struct mr_plan *, a->exec.plan, b->exec.plan);
    CHANGE_PLACES(struct mr_binding_state *, a->exec.bindings, b->exec.bindings);
    CHANGE_PLACES(struct mr_tuples **, a->exec.stage_lists, b->exec.stage_lists);
    CHANGE_PLACES(struct mr_dedup *, a->exec.dedup, b->exec.dedup);
    CHANGE_PLACES(struct mr_closer **, a->exec.closers, b->exec.closers);
    CHANGE_PLACES(struct mr_exec_call *, a->exec.calls, b->exec.calls);
    CHANGE_PLACES(uint32_t, a->exec.sharers, b->exec.sharers);
    CHANGE_PLACES(struct mr_stage_metrics *, a->stages, b->stages);
    CHANGE_PLACES(struct mr_unmeasured *, a->unmeasured, b->unmeasured);
    CHANGE_PLACES(uint32_t *, a->lane_slots, b->lane_slots);
    CHANGE_PLACES(const struct mr_table_set *, a->exec.constants, b->exec.constants);
    CHANGE_PLACES(struct mr_table_set *, a->exec.tables, b->exec.tables);
}

/* What was measured of groups that go on, which may be several that become one; of the others their
 * part of the sums. */
static void keep_measurements(struct mr_runtime *old, struct mr_runtime *fresh)
{
    for (uint32_t g = 0; g < old->config.plan->n_groups; g++) {
        uint32_t to = mr_measured_in(fresh->config.plan, old->config.plan, g);
        for (uint32_t w = 0; w < old->config.workers; w++) {
            const struct mr_stage_metrics *m = &old->workers[w].stages[g];
            if (to != MR_NO_GROUP) {
                mr_stage_sum(&fresh->workers[w].stages[to], m);
                continue;
            }
            mr_metrics_add(&old->workers[w].metrics, MR_COUNT_BATCHES, mr_stage_batches(m));
            mr_metrics_add(&old->workers[w].metrics, MR_COUNT_TUPLES,
                           atomic_load_explicit(&m->tuples, memory_order_relaxed));
        }
    }
}

/* Contexts that were closed on the way counted with the new workers, which do not stay. */
static void keep_counts(struct mr_runtime *old, const struct mr_runtime *fresh)
{
    for (uint32_t w = 0; w < old->config.workers; w++)
        mr_metrics_sum(&old->workers[w].metrics, &fresh->workers[w].metrics);
}

/* Tables hash by the secret of the runtime that they end up in. */
static void give_secret(struct mr_runtime *fresh, const struct mr_secret *secret)
{
    mr_table_set_secret(fresh->constants, fresh->config.plan, secret);
    for (uint32_t i = 1; i < fresh->n_phases; i++)
        for (uint32_t l = 0; l < fresh->phases[i].n_lanes; l++)
            mr_table_set_secret(fresh->phases[i].lanes[l].tables, fresh->config.plan, secret);
}

static void install(struct mr_swap *swap, struct mr_runtime *runtime)
{
    struct mr_runtime *fresh = swap->fresh;

    for_kept(runtime, fresh, move_state);
    keep_measurements(runtime, fresh);
    mr_carry_run(swap->carry);
    keep_counts(runtime, fresh);
    give_secret(fresh, &runtime->config.secret);
    for (uint32_t i = 0; i < fresh->n_phases; i++)
        atomic_store_explicit(&fresh->gates[i].next, runtime->next_number, memory_order_relaxed);
    for (uint32_t w = 0; w < runtime->config.workers; w++)
        change_worker(&runtime->workers[w], &fresh->workers[w]);
    CHANGE_PLACES(const struct mr_plan *, runtime->config.plan, fresh->config.plan);
    CHANGE_PLACES(struct mr_phase *, runtime->phases, fresh->phases);
    CHANGE_PLACES(uint32_t, runtime->n_phases, fresh->n_phases);
    CHANGE_PLACES(uint32_t *, runtime->last_phases, fresh->last_phases);
    CHANGE_PLACES(struct mr_gate *, runtime->gates, fresh->gates);
    CHANGE_PLACES(uint32_t, runtime->most_lanes, fresh->most_lanes);
    CHANGE_PLACES(bool, runtime->straight, fresh->straight);
    CHANGE_PLACES(struct mr_table_set *, runtime->constants, fresh->constants);
}

/* ---- the swap ---- */

static void wait_a_little(struct mr_runtime *runtime)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_AGAIN_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&runtime->swap_change, &runtime->swap_lock, &until);
}

static bool over(const struct mr_runtime *runtime)
{
    return atomic_load_explicit(&runtime->finished, memory_order_acquire) ||
           atomic_load_explicit(&runtime->input_over, memory_order_acquire);
}

/* Under the lock: until all workers stand still. False: the run came to its end first, or all
 * workers left because there was not what they need. */
static bool gather(struct mr_runtime *runtime, bool closes)
{
    bool begun = runtime->running;

    if (!begun)
        closes = false; /* nobody has begun: there is nothing */
    atomic_store_explicit(&runtime->hold, closes ? MR_HOLD_CLOSE : MR_HOLD_DRAIN,
                          memory_order_release);
    mr_runtime_wake(runtime, true);
    while (!over(runtime) && (!begun || runtime->running) &&
           (atomic_load_explicit(&runtime->hold, memory_order_acquire) != MR_HOLD_DRAIN ||
            runtime->parked < runtime->running))
        wait_a_little(runtime);
    return !over(runtime) && (!begun || runtime->running);
}

static void note_pause(struct mr_runtime *runtime, uint64_t ns)
{
    atomic_fetch_add_explicit(&runtime->swaps, 1, memory_order_relaxed);
    atomic_store_explicit(&runtime->last_pause_ns, ns, memory_order_relaxed);
    if (ns > atomic_load_explicit(&runtime->max_pause_ns, memory_order_relaxed))
        atomic_store_explicit(&runtime->max_pause_ns, ns, memory_order_relaxed);
}

void mr_runtime_hold(const struct mr_runtime *runtime, uint64_t *begun_ns, uint64_t *ended_ns)
{
    /* in this order: the end of one and the begin of the next say that it stands still */
    *ended_ns = atomic_load_explicit(&runtime->released_ns, memory_order_acquire);
    *begun_ns = atomic_load_explicit(&runtime->held_ns, memory_order_acquire);
}

enum mr_status mr_runtime_swap(struct mr_runtime *runtime, const struct mr_plan *plan,
                               void (*installed)(void *user, const struct mr_runtime *gone),
                               void *user, struct mr_error *error)
{
    struct mr_swap swap = {0};
    enum mr_status status = prepare(&swap, runtime, plan, error);

    if (status) {
        discard(&swap);
        return status;
    }
    runtime->closing = &swap.closing;
    pthread_mutex_lock(&runtime->swap_lock);
    uint64_t begun_ns = mr_clock_ns();
    atomic_store_explicit(&runtime->held_ns, begun_ns, memory_order_release);
    bool good = gather(runtime, swap.closes);
    if (good) {
        install(&swap, runtime);
        installed(user, swap.fresh);
        note_pause(runtime, mr_clock_ns() - begun_ns);
    }
    atomic_store_explicit(&runtime->hold, MR_HOLD_NONE, memory_order_release);
    atomic_store_explicit(&runtime->released_ns, mr_clock_ns(), memory_order_release);
    pthread_cond_broadcast(&runtime->swap_change);
    pthread_mutex_unlock(&runtime->swap_lock);
    if (!good)
        status = mr_fail(error, MR_EOF, "the run is at its end: nothing was changed");
    discard(&swap);
    return status;
}
