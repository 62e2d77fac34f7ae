/* The runtime as its user sees it: made from a plan, run, stopped, read. */
#include "runtime/internal.h"
#include "runtime/table_set.h"

#include <stdlib.h>
#include <string.h>

#define HOME_ROWS   8    /* what handing a lane over costs is less than fetching their lines */
#define DEAR_CYCLES 6000 /* a lane that goes over takes some thousand cycles along */
#define DEAR_NS     2000

/* One that this worker had before; else a new one; else whoever's. Under the lock. */
static struct mr_token *free_token(struct mr_runtime *runtime, uint32_t home, uint32_t limit)
{
    struct mr_token **from = &runtime->free_tokens[home], *token = NULL;

    uint32_t made = atomic_load_explicit(&runtime->tokens_made, memory_order_relaxed);

    if (!*from && made < limit && (token = aligned_alloc(64, (sizeof *token + 63) / 64 * 64))) {
        memset(token, 0, offsetof(struct mr_token, ticks)); /* the rest is written before read */
        token->burst.n = token->burst.n_mbufs = 0;
        atomic_store_explicit(&runtime->tokens_made, made + 1, memory_order_relaxed);
        return token;
    }
    for (uint32_t i = 0; !*from && i < runtime->config.workers; i++)
        from = &runtime->free_tokens[i];
    token = *from;
    if (token)
        *from = token->next_free;
    return token;
}

struct mr_token *mr_runtime_token_get(struct mr_runtime *runtime, uint32_t home, uint32_t limit,
                                      bool alone)
{
    struct mr_token *token = NULL;

    if (!alone)
        pthread_mutex_lock(&runtime->tokens_lock);
    uint32_t n = atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed);
    if (n < limit)
        token = free_token(runtime, home, limit);
    if (token) {
        token->home = home;
        n++;
        if (n > atomic_load_explicit(&runtime->max_in_flight, memory_order_relaxed))
            atomic_store_explicit(&runtime->max_in_flight, n, memory_order_relaxed);
        atomic_store_explicit(&runtime->in_flight_now, n, memory_order_relaxed);
    }
    if (!alone)
        pthread_mutex_unlock(&runtime->tokens_lock);
    return token;
}

void mr_runtime_token_put(struct mr_runtime *runtime, struct mr_token *token, bool alone)
{
    if (!alone)
        pthread_mutex_lock(&runtime->tokens_lock);
    token->next_free = runtime->free_tokens[token->home];
    runtime->free_tokens[token->home] = token;
    uint32_t n = atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed);
    /* released: who drains the workers sees all that the token did */
    atomic_store_explicit(&runtime->in_flight_now, n - 1, memory_order_release);
    if (!alone)
        pthread_mutex_unlock(&runtime->tokens_lock);
}

/* Which segments of the plan have to do with which phase. */
static enum mr_status find_segments(struct mr_runtime *runtime)
{
    const struct mr_plan *plan = runtime->config.plan;

    runtime->last_phases = calloc(plan->n_segments, sizeof *runtime->last_phases);
    if (!runtime->last_phases)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0; i < runtime->n_phases; i++) {
        struct mr_phase *phase = &runtime->phases[i];
        phase->segments = calloc(plan->n_segments, sizeof *phase->segments);
        if (!phase->segments)
            return MR_ERR_MEMORY;
        for (uint32_t g = mr_phase_first(phase); g < phase->end_parallel; g++)
            for (uint32_t s = 0; s < plan->groups[g].n_stages; s++) {
                uint32_t segment = plan->stages[plan->groups[g].first_stage + s].segment;
                phase->segments[segment] = true;
                runtime->last_phases[segment] = i;
            }
    }
    return MR_OK;
}

/* Cuts the plan into phases. */
static enum mr_status make_phases(struct mr_runtime *runtime)
{
    const struct mr_plan *plan = runtime->config.plan;
    uint32_t g = 0, n = 1;

    for (uint32_t i = 0; i < plan->n_groups; i++)
        n += plan->groups[i].kind != MR_STAGE_PARALLEL;
    runtime->n_phases = n;
    runtime->phases = calloc(n, sizeof *runtime->phases);
    runtime->gates = aligned_alloc(64, n * sizeof *runtime->gates);
    if (!runtime->phases || !runtime->gates)
        return MR_ERR_MEMORY;
    memset(runtime->gates, 0, n * sizeof *runtime->gates);
    for (uint32_t i = 0; i < n; i++) {
        struct mr_phase *phase = &runtime->phases[i];
        phase->lane_group = i ? g++ : MR_NO_GROUP;
        phase->first_parallel = g;
        while (g < plan->n_groups && plan->groups[g].kind == MR_STAGE_PARALLEL)
            g++;
        phase->end_parallel = g;
        enum mr_status status = mr_gate_init(&runtime->gates[i], runtime->config.tokens);
        if (status)
            return status;
    }
    return find_segments(runtime);
}

static enum mr_status make_lanes(struct mr_runtime *runtime, uint32_t index)
{
    struct mr_phase *phase = &runtime->phases[index];
    const struct mr_plan_group *g = &runtime->config.plan->groups[phase->lane_group];
    bool one = g->kind == MR_STAGE_SERIAL || g->one_at_a_time || !g->n_keys;

    phase->n_lanes = one ? 1 : runtime->config.lanes;
    phase->lanes = aligned_alloc(64, phase->n_lanes * sizeof *phase->lanes);
    if (!phase->lanes)
        return MR_ERR_MEMORY;
    memset(phase->lanes, 0, phase->n_lanes * sizeof *phase->lanes);
    phase->lane_bits = 31 - (uint32_t)__builtin_clz(phase->n_lanes);
    uint32_t row_bytes = mr_saved_row_bytes(runtime->config.plan, phase->lane_group);
    for (uint32_t i = 0; i < phase->n_lanes; i++) {
        phase->lanes[i].task.kind = MR_TASK_LANE;
        phase->lanes[i].phase = index;
        mr_contexts_init(&phase->lanes[i].contexts, &runtime->caps, phase->n_lanes,
                         g->context_bytes, row_bytes);
        phase->lanes[i].contexts.pages = runtime->config.pages;
        enum mr_status status =
            mr_table_set_new(&phase->lanes[i].tables, runtime->config.plan, phase->lane_group,
                             runtime->constants, runtime->config.buffers, &runtime->config.secret);
        if (status)
            return status;
    }
    if (phase->n_lanes > runtime->most_lanes)
        runtime->most_lanes = phase->n_lanes;
    return MR_OK;
}

static enum mr_status make_worker(struct mr_runtime *runtime, uint32_t index, uint32_t all_lanes)
{
    struct mr_worker *worker = &runtime->workers[index];
    const struct mr_runtime_config *config = &runtime->config;

    worker->runtime = runtime;
    worker->index = index;
    worker->random = (config->yield_seed ? config->yield_seed : 1) * 0x9e3779b97f4a7c15u + index;
    if (!worker->random)
        worker->random = 1;
    worker->exec.plan = config->plan;
    worker->exec.runtime = runtime;
    worker->exec.hooks = &runtime->config.hooks;
    worker->exec.buffers = config->buffers;
    worker->exec.secret = &runtime->config.secret;
    worker->exec.metrics = &worker->metrics;
    worker->exec.constants = worker->exec.tables = runtime->constants;
    worker->exec.bindings = calloc(config->plan->n_bindings + 1, sizeof *worker->exec.bindings);
    worker->lane_slots = calloc(runtime->most_lanes + 1, sizeof *worker->lane_slots);
    size_t stages = (config->plan->n_groups + 1) * sizeof *worker->stages;
    worker->stages = aligned_alloc(64, stages);
    worker->unmeasured = calloc(config->plan->n_groups + 1, sizeof *worker->unmeasured);
    worker->measured = true;
    if (!worker->exec.bindings || !worker->lane_slots || !worker->stages || !worker->unmeasured)
        return MR_ERR_MEMORY;
    memset(worker->stages, 0, stages);
    enum mr_status status = mr_exec_open(&worker->exec);
    if (status)
        return status;
    return mr_deque_init(&worker->deque, all_lanes + runtime->n_phases + 2 * MR_QUEUED_BATCHES);
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n && p < 1u << 20)
        p *= 2;
    return p;
}

static enum mr_status settle(struct mr_runtime *runtime)
{
    struct mr_runtime_config *config = &runtime->config;

    if (!config->workers)
        config->workers = 1;
    if (!config->tokens)
        config->tokens = 1000;
    if (!config->burst || config->burst > MR_BURST_MAX)
        config->burst = MR_BURST_USUAL;
    if (!config->window)
        config->window = mr_runtime_window(config->workers, config->tokens);
    if (config->window > config->tokens)
        config->window = config->tokens;
    if (!config->few)
        config->few = mr_runtime_few(config->workers);
    if (config->few > config->window)
        config->few = config->window;
    if (!config->lanes)
        config->lanes = mr_runtime_lanes(config->workers);
    config->lanes = power_of_two(config->lanes);
    if (!config->home_rows)
        config->home_rows = HOME_ROWS;
    if (!config->max_contexts)
        config->max_contexts = 1u << 20;
    enum mr_status status = mr_context_caps(&runtime->caps, config->max_contexts);
    if (!status && config->lanes > runtime->caps.partitions)
        config->lanes = runtime->caps.partitions;
    return status;
}

enum mr_status mr_runtime_new(struct mr_runtime **out, const struct mr_runtime_config *config,
                              struct mr_error *error)
{
    struct mr_runtime *runtime = aligned_alloc(64, (sizeof *runtime + 63) / 64 * 64);
    enum mr_status status = MR_OK;
    uint32_t all_lanes = 0;

    if (!runtime)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for the runtime");
    memset(runtime, 0, sizeof *runtime);
    runtime->config = *config;
    if (settle(runtime)) {
        free(runtime);
        return mr_fail(error, MR_ERR_LIMIT, "%llu flows cannot be remembered: lower --max-flows",
                       (unsigned long long)config->max_contexts);
    }
    pthread_mutex_init(&runtime->tokens_lock, NULL);
    pthread_mutex_init(&runtime->swap_lock, NULL);
    pthread_cond_init(&runtime->swap_change, NULL);
    runtime->next_number = 1;
    mr_ticks_start(&runtime->ticks);
    runtime->dear_ticks = runtime->ticks.counter ? DEAR_CYCLES : DEAR_NS;
    atomic_init(&runtime->cheap, mr_runtime_may_be_cheap(runtime)); /* the first token will tell */
    status = mr_table_set_constants(&runtime->constants, config->plan, config->buffers,
                                    &runtime->config.secret);
    if (!status)
        status = make_phases(runtime);
    for (uint32_t i = 1; !status && i < runtime->n_phases; i++) {
        status = make_lanes(runtime, i);
        all_lanes += runtime->phases[i].n_lanes;
    }
    runtime->straight = !status && mr_phase_can_be_straight(runtime);
    if (!status) {
        size_t bytes = runtime->config.workers * sizeof *runtime->workers;
        runtime->workers = aligned_alloc(64, bytes);
        runtime->free_tokens = calloc(runtime->config.workers, sizeof(struct mr_token *));
        if (runtime->workers)
            memset(runtime->workers, 0, bytes);
        if (!runtime->workers || !runtime->free_tokens)
            status = MR_ERR_MEMORY;
    }
    for (uint32_t i = 0; !status && i < runtime->config.workers; i++)
        status = make_worker(runtime, i, all_lanes);
    if (status)
        mr_fail(error, status, "out of memory for %u workers and %u lanes: lower --workers",
                config->workers, config->lanes);
    else if (config->preallocate)
        status = mr_runtime_preallocate(runtime, NULL, error);
    if (status) {
        mr_runtime_free(runtime);
        return status;
    }
    *out = runtime;
    return MR_OK;
}

static void free_phases(struct mr_runtime *runtime)
{
    for (uint32_t i = 0; runtime->phases && i < runtime->n_phases; i++) {
        struct mr_phase *phase = &runtime->phases[i];
        for (uint32_t l = 0; phase->lanes && l < phase->n_lanes; l++) {
            mr_contexts_free(&phase->lanes[l].contexts);
            mr_table_set_free(phase->lanes[l].tables, runtime->config.plan);
        }
        free(phase->lanes);
        free(phase->segments);
        if (runtime->gates)
            mr_gate_free(&runtime->gates[i]);
    }
    free(runtime->phases);
    free(runtime->last_phases);
    free(runtime->gates);
}

void mr_runtime_free(struct mr_runtime *runtime)
{
    if (!runtime)
        return;
    for (uint32_t i = 0; runtime->workers && i < runtime->config.workers; i++) {
        struct mr_worker *worker = &runtime->workers[i];
        mr_exec_close(&worker->exec);
        free(worker->exec.bindings);
        free(worker->lane_slots);
        free(worker->stages);
        free(worker->unmeasured);
        mr_deque_free(&worker->deque);
    }
    free(runtime->workers);
    free_phases(runtime);
    mr_table_set_free(runtime->constants, runtime->config.plan);
    for (uint32_t i = 0; runtime->free_tokens && i < runtime->config.workers; i++)
        for (struct mr_token *token = runtime->free_tokens[i], *next; token; token = next) {
            next = token->next_free;
            free(token);
        }
    free(runtime->free_tokens);
    pthread_mutex_destroy(&runtime->tokens_lock);
    pthread_mutex_destroy(&runtime->swap_lock);
    pthread_cond_destroy(&runtime->swap_change);
    free(runtime);
}

/* ---- threads ---- */

static const struct mr_op *binding_op(const struct mr_plan *plan, uint32_t binding)
{
    for (uint32_t s = 0; s < plan->n_stages; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            for (uint32_t o = 0; o < rule->n_ops; o++)
                if (rule->ops[o].kind == MR_OP_CALL && rule->ops[o].binding == binding)
                    return &rule->ops[o];
        }
    return NULL;
}

void mr_worker_close_bindings(struct mr_worker *worker)
{
    const struct mr_plan *plan = worker->runtime->config.plan;
    for (uint32_t b = 0; b < plan->n_bindings; b++) {
        const struct mr_op *op = binding_op(plan, b);
        struct mr_binding_state *state = &worker->exec.bindings[b];
        if (op && op->function->thread_close && state->thread)
            op->function->thread_close(state->thread);
        state->thread = NULL;
    }
}

enum mr_status mr_worker_open_bindings(struct mr_worker *worker)
{
    const struct mr_plan *plan = worker->runtime->config.plan;
    for (uint32_t b = 0; b < plan->n_bindings; b++) {
        const struct mr_op *op = binding_op(plan, b);
        if (!op || !op->function->thread_open || worker->exec.bindings[b].thread)
            continue;
        enum mr_status status =
            op->function->thread_open(op->config, &worker->exec.bindings[b].thread);
        if (status)
            return status;
    }
    return MR_OK;
}

static void *worker_main(void *argument)
{
    struct mr_worker *worker = argument;
    struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;

    mr_swap_enter(runtime);
    worker->status = MR_OK;
    if (hooks->worker_open)
        worker->status = hooks->worker_open(hooks->user, worker->index, &worker->exec.worker_state);
    if (!worker->status)
        worker->status = mr_worker_open_bindings(worker);
    if (!worker->status) {
        mr_worker_run(worker);
    } else { /* the run fails: the others do not go on until an input ends that may have no end */
        mr_runtime_stop(runtime);
        mr_runtime_notify(runtime);
    }
    mr_worker_close_bindings(worker);
    if (hooks->worker_close)
        hooks->worker_close(hooks->user, worker->exec.worker_state);
    mr_swap_leave(runtime);
    return NULL;
}

enum mr_status mr_runtime_run(struct mr_runtime *runtime, struct mr_error *error)
{
    uint32_t started = 1;
    enum mr_status status = MR_OK;

    for (; started < runtime->config.workers; started++) {
        struct mr_worker *worker = &runtime->workers[started];
        if (pthread_create(&worker->thread, NULL, worker_main, worker)) {
            status = mr_fail(error, MR_ERR_START, "cannot start worker %u of %u: lower --workers",
                             started + 1, runtime->config.workers);
            mr_runtime_stop(runtime);
            break;
        }
    }
    worker_main(&runtime->workers[0]);
    for (uint32_t i = 0; i < started; i++) {
        if (i)
            pthread_join(runtime->workers[i].thread, NULL);
        if (!status && runtime->workers[i].status)
            status = mr_fail(error, runtime->workers[i].status, "worker %u could not start: %s",
                             i + 1, mr_status_text(runtime->workers[i].status));
    }
    return status;
}

void mr_runtime_stop(struct mr_runtime *runtime)
{
    atomic_store_explicit(&runtime->stop, 1, memory_order_relaxed);
}

/* ---- reading ---- */

void mr_runtime_worker(const struct mr_runtime *runtime, uint32_t worker, struct mr_metrics *sum)
{
    const struct mr_worker *w = &runtime->workers[worker];

    mr_metrics_sum(sum, &w->metrics);
    for (uint32_t g = 0; g < runtime->config.plan->n_groups; g++) {
        mr_metrics_add(sum, MR_COUNT_BATCHES, mr_stage_batches(&w->stages[g]));
        mr_metrics_add(sum, MR_COUNT_TUPLES,
                       atomic_load_explicit(&w->stages[g].tuples, memory_order_relaxed));
    }
}

void mr_runtime_metrics(const struct mr_runtime *runtime, struct mr_metrics *sum)
{
    for (uint32_t i = 0; i < runtime->config.workers; i++)
        mr_runtime_worker(runtime, i, sum);
}

void mr_runtime_stage(const struct mr_runtime *runtime, uint32_t group,
                      struct mr_stage_metrics *sum)
{
    uint32_t phase = 0;

    while (group >= runtime->phases[phase].end_parallel)
        phase++;
    for (uint32_t i = 0; i < runtime->config.workers; i++) {
        const struct mr_stage_metrics *stages = runtime->workers[i].stages;
        const struct mr_stage_metrics *first = &stages[mr_phase_first(&runtime->phases[phase])];
        mr_stage_sum(sum, &stages[group]);
        mr_stage_in_flight(sum, atomic_load_explicit(&first->most_in_flight, memory_order_relaxed));
    }
}

void mr_runtime_latency(const struct mr_runtime *runtime, struct mr_histogram *sum)
{
    for (uint32_t i = 0; i < runtime->config.workers; i++)
        mr_histogram_sum(sum, &runtime->workers[i].latency);
}

double mr_runtime_tick_ns(const struct mr_runtime *runtime)
{
    return mr_ticks_length_ns(&runtime->ticks);
}

void mr_runtime_usage(const struct mr_runtime *runtime, struct mr_runtime_usage *usage)
{
    *usage = (struct mr_runtime_usage){
        .workers = runtime->config.workers,
        .lanes = runtime->most_lanes,
        .tokens_in_flight = atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed),
        .max_in_flight = atomic_load_explicit(&runtime->max_in_flight, memory_order_relaxed),
        .tokens_made = atomic_load_explicit(&runtime->tokens_made, memory_order_relaxed),
        .token_bytes = sizeof(struct mr_token),
        .swaps = atomic_load_explicit(&runtime->swaps, memory_order_relaxed),
        .last_pause_ns = atomic_load_explicit(&runtime->last_pause_ns, memory_order_relaxed),
        .max_pause_ns = atomic_load_explicit(&runtime->max_pause_ns, memory_order_relaxed),
    };
    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        const struct mr_phase *phase = &runtime->phases[i];
        const struct mr_context_table *table = &phase->lanes[0].contexts;
        usage->context_bytes += table->stride;
        usage->contexts_bytes += phase->n_lanes * table->mapped_bytes;
    }
    usage->preallocated_bytes = mr_runtime_preallocated(runtime);
}

uint64_t mr_runtime_function_counter(const struct mr_runtime *runtime, uint32_t binding,
                                     uint32_t index)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; index < MR_MAX_COUNTERS && i < runtime->config.workers; i++)
        sum += atomic_load_explicit(&runtime->workers[i].exec.bindings[binding].counters[index],
                                    memory_order_relaxed);
    return sum;
}

uint32_t mr_exec_call_ordinal(const struct mr_exec *exec, uint32_t row)
{
    return exec->call_ordinals ? exec->call_ordinals[row] : 0;
}

bool mr_exec_call_asks(const struct mr_exec *exec)
{
    return exec->call_asks;
}

const struct mr_transaction *mr_exec_call_transaction(const struct mr_exec *exec, uint32_t row)
{
    return exec->call_transactions ? exec->call_transactions[row] : NULL;
}

void *mr_exec_function_state(const struct mr_exec *exec, const struct mr_function *function)
{
    for (uint32_t g = 0; g < exec->plan->n_groups; g++) {
        struct mr_group_calls at = {0};
        const struct mr_op *op;
        while ((op = mr_group_next_call(exec->plan, g, &at)))
            if (op->function == function)
                return exec->bindings[op->binding].thread;
    }
    return NULL;
}

bool mr_exec_record(struct mr_exec *exec, const struct mr_packet *origin, uint32_t ordinal,
                    const char *bytes, size_t len)
{
    struct mr_record *record = mr_exec_alloc(exec, sizeof *record + len);
    if (!record)
        return false;
    record->next = NULL;
    record->order = mr_order_of(origin);
    record->ordinal = ordinal;
    /* groups have their own range, so that who ran what when does not show */
    record->sequence = exec->group << 24 | (exec->n_records++ & 0xffffff);
    record->len = (uint32_t)len;
    record->alarm = 0;
    record->actuation = NULL;
    record->shipment = NULL;
    record->extraction = NULL;
    record->cap = NULL;
    record->time_ns = origin->time_ns;
    memcpy(record->bytes, bytes, len);
    if (exec->last_record)
        exec->last_record->next = record;
    else
        exec->first_record = record;
    exec->last_record = record;
    return true;
}

void mr_exec_record_alarm(struct mr_exec *exec, uint32_t alarm)
{
    exec->last_record->alarm = alarm;
}

void mr_exec_record_cap(struct mr_exec *exec, const uint8_t *cap)
{
    exec->last_record->cap = cap;
}

const struct mr_runtime_config *mr_exec_config(const struct mr_exec *exec)
{
    return &exec->runtime->config;
}

void *mr_exec_worker_state(const struct mr_exec *exec)
{
    return exec->worker_state;
}

struct mr_metrics *mr_exec_metrics(struct mr_exec *exec)
{
    return exec->metrics;
}
