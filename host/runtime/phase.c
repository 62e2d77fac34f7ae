/* Phases: tasks of a token between two gates. */
#include "runtime/internal.h"
#include "runtime/table_set.h"

#include <string.h>

#define LANE_TURN      16   /* works of a lane in a row, where others wait in the same deque */
#define TUPLES_AT_ONCE 1024 /* of a lane, before its worker looks for other work in any case */
#define HOT_SHARE      8    /* a lane with so many times its share of all packets is hot, or half */
#define HOT_TUPLES     4096 /* ... when that is more than chance */
#define MOST_KEPT_OFF  65535 /* tokens, from the straight way, after one that took long */

/* A batch begins: reads the clock, unless that was done when the one before it ended. */
static void start_clock(struct mr_worker *worker)
{
    if (!worker->now)
        worker->now = mr_ticks_now(&worker->runtime->ticks);
}

/* It has ended. `ready`: since when it waited. */
static void stop_clock(struct mr_worker *worker, uint32_t group, enum mr_lane_class class,
                       uint64_t tuples, uint64_t ready)
{
    struct mr_unmeasured *other = &worker->unmeasured[group];

    mr_stage_count(&worker->stages[group], worker->way, tuples);
    if (!worker->measured) {
        other->batches++;
        other->tuples += tuples;
        return;
    }
    uint64_t started = worker->now, now = mr_ticks_now(&worker->runtime->ticks);
    uint64_t took = now > started ? now - started : 0;
    atomic_store_explicit(&worker->busy_ticks,
                          atomic_load_explicit(&worker->busy_ticks, memory_order_relaxed) + took,
                          memory_order_relaxed);
    if (took > 4 * worker->runtime->dear_ticks && mr_runtime_cheap(worker->runtime))
        atomic_store_explicit(&worker->runtime->cheap, 0, memory_order_relaxed);
    other->last = (struct mr_stage_times){
        .class = class,
        .queued = started > ready ? started - ready : 0, /* another core's clock may be ahead */
        .tuple = tuples > 1 ? took / tuples : took,
        .batch = took};
    mr_stage_time(&worker->stages[group], &other->last, other->batches + 1, other->tuples + tuples);
    other->batches = other->tuples = 0;
    worker->now = now;
}

void mr_phase_settle_measures(struct mr_worker *worker)
{
    for (uint32_t g = 0; g < worker->runtime->config.plan->n_groups; g++) {
        struct mr_unmeasured *other = &worker->unmeasured[g];
        if (other->batches)
            mr_stage_time(&worker->stages[g], &other->last, other->batches, other->tuples);
        other->batches = other->tuples = 0;
    }
}

static void begin_task(struct mr_exec *exec)
{
    exec->outputs = exec->last_output = NULL;
    exec->first_record = exec->last_record = NULL;
    exec->n_records = 0;
    exec->answers = NULL;
    exec->cause = MR_CAUSE_DATA;
    exec->now_ns = 0;
    exec->left = INT64_MAX;
}

void mr_phase_begin_task(struct mr_worker *worker, struct mr_token *token)
{
    mr_exec_enter(&worker->exec, token);
    begin_task(&worker->exec);
}

/* Hands tuples to whoever is idle; false: nobody is, or there is no room. */
static bool hand_over(struct mr_worker *worker, struct mr_token *token, uint32_t group,
                      struct mr_tuples *tuples)
{
    struct mr_runtime *runtime = worker->runtime;
    int64_t queued;

    if (!atomic_load_explicit(&runtime->sleepers, memory_order_relaxed) ||
        mr_runtime_cheap(runtime) ||
        (queued = mr_deque_size_any(&worker->deque)) >= MR_QUEUED_BATCHES ||
        (!queued && mr_runtime_quiet(runtime)))
        return false;
    struct mr_batch *batch = mr_exec_alloc(&worker->exec, sizeof *batch);
    if (!batch)
        return false;
    *batch = (struct mr_batch){{.kind = MR_TASK_BATCH}, token, tuples, worker->now, group, NULL};
    atomic_fetch_add_explicit(&token->pending, 1, memory_order_relaxed);
    mr_worker_push(worker, &batch->task);
    return true;
}

/* Runs a parallel group over a batch that is ready since `ready`. */
static void run_parallel(struct mr_worker *worker, uint32_t group, struct mr_tuples *in,
                         const struct mr_asked_batch *answers, uint64_t ready)
{
    bool by_itself = !answers && mr_answers_possible(worker->runtime, group);
    uint64_t tuples = mr_tuples_rows(in), begun = worker->now;
    uint64_t bytes = by_itself ? mr_answers_search(worker, group, in) : 0;

    worker->exec.group = group;
    worker->exec.answers = answers;
    mr_exec_group(&worker->exec, group, in);
    worker->exec.answers = NULL;
    stop_clock(worker, group, MR_LANE_USUAL, tuples, ready);
    if (by_itself)
        mr_answers_searched(worker, group, bytes, worker->now - begun);
}

/* Sends the task's outputs to the gate of the phase where they go on, or out of their program. */
static void deliver_outputs(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    struct mr_exec *exec = &worker->exec;
    struct mr_runtime *runtime = worker->runtime;
    struct mr_tuples_list list = {0};

    for (struct mr_tuples *t = exec->outputs, *next; t; t = next) {
        next = t->next;
        if (runtime->last_phases[exec->plan->predicates[t->predicate].segment] <= phase) {
            if (t->n && exec->plan->predicates[t->predicate].leaves)
                runtime->config.hooks.leave(runtime->config.hooks.user, exec, t);
            continue;
        }
        mr_tuples_list_add(&list, t);
    }
    if (list.first)
        mr_token_push_outputs(token, &list);
}

void mr_phase_end_task(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                       uint32_t group)
{
    struct mr_exec *exec = &worker->exec;
    const struct mr_phase *p = &worker->runtime->phases[phase];

    for (; exec->outputs && group < p->end_parallel; group++) {
        struct mr_tuples *in = exec->outputs;
        struct mr_asked_batch *answers = NULL;
        exec->outputs = exec->last_output = NULL;
        if (mr_answers_possible(worker->runtime, group) &&
            mr_answers_ask(worker, token, group, in, &answers))
            break;
        if (!answers && hand_over(worker, token, group, in))
            break;
        run_parallel(worker, group, in, answers, worker->now);
    }
    deliver_outputs(worker, token, phase);
    if (exec->first_record)
        mr_token_push_records(token, exec->first_record, exec->last_record);
    exec->first_record = exec->last_record = NULL;
    exec->outputs = exec->last_output = NULL;
    mr_exec_leave(exec);
    if (atomic_fetch_sub_explicit(&token->pending, 1, memory_order_acq_rel) == 1) {
        mr_gate_arrive(worker, token);
        worker->now = 0; /* the gate took its time */
    }
}

/* What `input` says of a packet in attribute `c`. */
static union mr_value input_value(struct mr_packet *packet, uint32_t c)
{
    switch (c) {
    case 1:
        return mr_value_bytes(packet, sizeof *packet);
    case 2:
        return mr_value_bytes(&packet->src, sizeof packet->src);
    case 3:
        return mr_value_bytes(&packet->dst, sizeof packet->dst);
    default:
        return mr_value_int(0);
    }
}

/* The `input` tuples of bursts that follow each other, `rows` in all, are the task's outputs. */
static void put_input(struct mr_exec *exec, struct mr_token *const *tokens, uint32_t n,
                      uint32_t rows)
{
    uint32_t arity = exec->plan->predicates[exec->plan->input].arity;
    struct mr_tuples *t = rows ? mr_tuples_new(exec, exec->plan->input, rows, 0) : NULL;

    exec->outputs = exec->last_output = t;
    if (!t) {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t p = 0; p < tokens[i]->burst.n; p++)
            t->origins[t->n++] = &tokens[i]->burst.packets[p];
    for (uint32_t c = 0; c < arity; c++)
        for (uint32_t row = 0; t->columns[c] && row < rows; row++)
            t->columns[c][row] = input_value(t->origins[row], c);
    memset(t->flows, 0, rows * sizeof *t->flows);
}

void mr_phase_start(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_exec *exec = &worker->exec;

    token->gate = 0;
    mr_phase_count_in_flight(worker, 0, token->number);
    atomic_store_explicit(&token->pending, 1, memory_order_relaxed);
    mr_phase_begin_task(worker, token);
    start_clock(worker);
    put_input(exec, &token, 1, token->burst.n);
    mr_phase_end_task(worker, token, 0, worker->runtime->phases[0].first_parallel);
}

void mr_phase_run_batch(struct mr_worker *worker, struct mr_batch *batch)
{
    struct mr_token *token = batch->token;
    uint32_t group = batch->group;

    mr_phase_begin_task(worker, token);
    start_clock(worker);
    run_parallel(worker, group, batch->tuples, batch->asked, batch->ready);
    mr_phase_end_task(worker, token, token->gate, group + 1);
}

static bool run_tuples(struct mr_worker *worker, struct mr_lane *lane, struct mr_work *work)
{
    const struct mr_phase *p = &worker->runtime->phases[lane->phase];
    uint64_t tuples = mr_tuples_rows(work->tuples);
    uint64_t all = work->token->end_number;
    bool hot = lane->tuples > HOT_TUPLES && (lane->tuples * p->n_lanes > HOT_SHARE * all ||
                                             (p->n_lanes >= 4 && lane->tuples * 2 > all));

    lane->tuples += tuples;
    bool done = mr_exec_lane(&worker->exec, p->lane_group, &lane->contexts, work->tuples);
    stop_clock(worker, p->lane_group, hot ? MR_LANE_HOT : MR_LANE_USUAL, tuples,
               work->token->admitted_ticks);
    return done;
}

/* False: it was only a slice, and there is more to do before anything else in this lane. */
static bool run_in_lane(struct mr_worker *worker, struct mr_lane *lane, struct mr_work *work)
{
    struct mr_exec *exec = &worker->exec;
    uint32_t group = worker->runtime->phases[lane->phase].lane_group;

    switch (work->kind) {
    case MR_WORK_TUPLES:
        /* else there was no memory for them; counted */
        return !work->tuples || run_tuples(worker, lane, work);
    case MR_WORK_TICK:
        if (lane->tables && mr_exec_tables_tick(exec, group, work->time_ns, work->packet))
            return false;
        return !mr_exec_lane_tick(exec, group, &lane->contexts, work->time_ns, work->packet);
    case MR_WORK_EVICT:
        if (lane->tables)
            mr_exec_tables_start(exec, group, work->time_ns, work->packet);
        return !mr_exec_lane_evict(exec, group, &lane->contexts, work->time_ns, work->packet);
    case MR_WORK_SHUTDOWN:
        if (lane->tables) {
            mr_exec_tables_start(exec, group, work->time_ns, work->packet);
            if (mr_exec_tables_clean(exec))
                return false;
        }
        return !mr_exec_lane_shutdown(exec, group, &lane->contexts, work->time_ns, work->packet);
    case MR_WORK_CLOSE:
        return !mr_exec_lane_close(exec, group, &lane->contexts, work->token->closing->stages,
                                   work->time_ns, work->packet);
    }
    return true;
}

/* With the lane's tables in reach. */
static bool run_with_tables(struct mr_worker *worker, struct mr_lane *lane, struct mr_work *work)
{
    struct mr_exec *exec = &worker->exec;
    uint32_t group = worker->runtime->phases[lane->phase].lane_group;

    struct mr_table_set *set = lane->tables;
    uint64_t rows = work->kind == MR_WORK_TUPLES ? work->rows : 0;
    bool done = true;

    pthread_mutex_lock(&set->lock);
    bool goes_on = set->following;
    exec->tables = set;
    exec->left = MR_FOLLOWED;
    if (goes_on) {
        exec->n_records = set->records;
        done = mr_exec_lane_go_on(exec, group);
    }
    if (!goes_on && work->kind == MR_WORK_TUPLES && work->tuples && work->tuples->n) {
        const struct mr_packet *first = work->tuples->origins[0]; /* no tick came before it */
        mr_exec_tables_start(exec, group, first->time_ns, first->number);
    }
    if (done && (!goes_on || work->kind != MR_WORK_TUPLES))
        done = run_in_lane(worker, lane, work);
    set->records = exec->n_records;
    if (MR_FOLLOWED - exec->left > 4 * (int64_t)rows)
        set->strain += (uint64_t)(MR_FOLLOWED - exec->left) - 4 * rows;
    if (!set->following)
        mr_exec_tables_clean(exec);
    set->next_ns = mr_table_set_next(set, exec->plan);
    exec->tables = (struct mr_table_set *)(uintptr_t)exec->constants;
    exec->left = INT64_MAX;
    pthread_mutex_unlock(&set->lock);
    return done;
}

/* False: as above. */
static bool run_work(struct mr_worker *worker, struct mr_lane *lane, struct mr_work *work)
{
    struct mr_token *token = work->token;
    const struct mr_phase *p = &worker->runtime->phases[lane->phase];

    mr_phase_begin_task(worker, token);
    start_clock(worker);
    if (!(lane->tables ? run_with_tables : run_in_lane)(worker, lane, work)) {
        /* the token stays in this phase */
        atomic_fetch_add_explicit(&token->pending, 1, memory_order_relaxed);
        mr_phase_end_task(worker, token, lane->phase, p->first_parallel);
        return false;
    }
    /* before the task ends: from then on the token, and `work` with it, may be gone */
    uint32_t n = 0;
    struct mr_lane *waiting[MR_MAX_KEYS];
    for (uint32_t i = 0; i < work->n_tickets; i++) {
        struct mr_lane *other = &worker->runtime->phases[lane->phase].lanes[work->tickets[i].lane];
        atomic_fetch_sub_explicit(&other->outstanding, 1, memory_order_release);
        if (other != lane)
            waiting[n++] = other;
    }
    mr_phase_end_task(worker, token, lane->phase, p->first_parallel);
    for (uint32_t i = 0; i < n; i++)
        mr_worker_push(worker, &waiting[i]->task);
    return true;
}

/* Moves what came in meanwhile to the end of the queue (which is empty). */
static void empty_inbox(struct mr_lane *lane)
{
    struct mr_ticket *list = atomic_exchange_explicit(&lane->inbox, NULL, memory_order_seq_cst);
    while (list) {
        struct mr_ticket *next = list->next;
        list->next = lane->todo;
        lane->todo = list;
        list = next;
    }
}

/* Others have their turn before the lane goes on with `ticket` (NULL: with what waits in it). */
static void go_on_later(struct mr_worker *worker, struct mr_lane *lane, struct mr_ticket *ticket)
{
    if (ticket)
        lane->todo = ticket;
    worker->oldest_first = true;
    mr_worker_push(worker, &lane->task);
}

/* What has been done in a lane, in tuples. */
static uint64_t done_in(const struct mr_lane *lane)
{
    return lane->tuples + lane->contexts.strain + (lane->tables ? lane->tables->strain : 0);
}

void mr_phase_run_lane(struct mr_worker *worker, struct mr_lane *lane)
{
    uint64_t start = 0;

    for (uint32_t works = 0;;) {
        if (!lane->todo)
            empty_inbox(lane);
        struct mr_ticket *ticket = lane->todo;
        if (!ticket) {
            atomic_store_explicit(&lane->scheduled, 0, memory_order_seq_cst);
            if (!atomic_load_explicit(&lane->inbox, memory_order_seq_cst) ||
                atomic_exchange_explicit(&lane->scheduled, 1, memory_order_seq_cst))
                return;
            continue;
        }
        /* its token is under way: none goes straight, and what the lane counts is this worker's */
        if (!works)
            start = done_in(lane);
        else if (done_in(lane) - start >= TUPLES_AT_ONCE ||
                 (works % LANE_TURN == 0 && mr_deque_size_any(&worker->deque))) {
            go_on_later(worker, lane, NULL);
            return;
        }
        struct mr_work *work = ticket->work;
        if (works && mr_worker_is_elsewhere(worker, work)) {
            mr_worker_send(worker, &lane->task, &lane->task, work->home);
            return;
        }
        lane->todo = ticket->next;
        mr_worker_maybe_yield(worker);
        /* not first in its other lanes yet: this lane waits, and who runs the work goes on with
         * it. From here on that may happen at any moment. */
        if (work->n_tickets > 1 &&
            atomic_fetch_sub_explicit(&work->not_headed, 1, memory_order_acq_rel) != 1)
            return;
        if (!run_work(worker, lane, work)) { /* a tick may ring for millions */
            go_on_later(worker, lane, ticket);
            return;
        }
        works++;
    }
}

/* ---- the straight way ---- */

bool mr_phase_can_be_straight(const struct mr_runtime *runtime)
{
    return !runtime->config.hooks.device.wanted && runtime->config.plan->n_segments == 1;
}

/* What follows from a tuple may be much, of which the straight way knows no slices. A group whose
 * tables are met as a whole has one lane. */
static bool meets_many(const struct mr_runtime *runtime)
{
    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        const struct mr_table_set *set = runtime->phases[i].lanes[0].tables;
        if (set && mr_table_set_meets_many(set, runtime->config.plan))
            return true;
    }
    return false;
}

bool mr_phase_is_straight(const struct mr_runtime *runtime, const struct mr_token *token,
                          uint32_t n)
{
    /* acquired: what was done for tokens that have left is to be seen */
    return runtime->straight && token->number >= runtime->straight_from && !token->n_ticks &&
           !token->closes && (runtime->config.workers == 1 || mr_runtime_cheap(runtime)) &&
           atomic_load_explicit(&runtime->in_flight_now, memory_order_acquire) == n &&
           !meets_many(runtime);
}

/* The parallel groups of a phase over what the task has put out. */
static void straight_parallel(struct mr_worker *worker, const struct mr_phase *phase)
{
    struct mr_exec *exec = &worker->exec;

    for (uint32_t g = phase->first_parallel; exec->outputs && g < phase->end_parallel; g++) {
        struct mr_tuples *in = exec->outputs;
        exec->outputs = exec->last_output = NULL;
        run_parallel(worker, g, in, NULL, worker->now);
    }
}

/* Something took long: what comes next goes from gate to gate, the longer the oftener that was. */
static void keep_off(struct mr_runtime *runtime, const struct mr_token *token)
{
    if (runtime->straight_from > token->number)
        return; /* that was said already, of the same train */
    if (runtime->keeps_off < MOST_KEPT_OFF)
        runtime->keeps_off = 2 * runtime->keeps_off + 1;
    runtime->straight_from = runtime->next_number + runtime->keeps_off;
}

/* What the phase before this one has put out enters its lanes, one after the other. */
static void straight_lanes(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    struct mr_exec *exec = &worker->exec;
    const struct mr_phase *p = &worker->runtime->phases[phase];
    struct mr_tuples *first = NULL, *last = NULL;

    mr_phase_split_all(worker, token, phase, exec->outputs);
    token->admitted_ticks = worker->now;
    for (struct mr_work *work = token->works; work; work = work->next) {
        struct mr_lane *lane = &p->lanes[work->tickets[0].lane];
        exec->outputs = exec->last_output = NULL;
        while (!(lane->tables ? run_with_tables : run_in_lane)(worker, lane, work))
            keep_off(worker->runtime, token);
        straight_parallel(worker, p);
        if (!exec->outputs)
            continue;
        if (last)
            last->next = exec->outputs;
        else
            first = exec->outputs;
        last = exec->last_output;
    }
    token->works = token->last_work = NULL;
    exec->outputs = first;
    exec->last_output = last;
}

/* The rows of a batch, in their order, that come of packets up to `end`, at its front. */
static uint32_t rows_up_to(const struct mr_tuples *t, uint64_t end)
{
    uint32_t n = 0;
    while (n < t->n && t->origins[n]->number <= end)
        n++;
    return n;
}

/* Gives each token of a train what is derived from its packets, which go when it leaves; all memory
 * is the last one's, and what is shared in it is of all. */
static void give_outputs(struct mr_exec *exec, struct mr_token *const *tokens, uint32_t n)
{
    struct mr_tuples *left = NULL, **end = &left;

    for (struct mr_tuples *t = exec->outputs, *next; t; t = next) {
        next = t->next;
        *end = mr_tuples_in_order(exec, t);
        if (*end)
            end = &(*end)->next;
    }
    *end = NULL;
    for (uint32_t i = 0; i < n; i++) {
        struct mr_tuples_list list = {0};
        for (struct mr_tuples *t = left; t; t = t->next) {
            uint32_t rows = i + 1 < n ? rows_up_to(t, tokens[i]->end_number) : t->n;
            struct mr_tuples *part = rows ? mr_tuples_cut_off(exec, t, rows) : NULL;
            if (part)
                mr_tuples_list_add(&list, part);
        }
        if (list.first)
            mr_token_push_outputs(tokens[i], &list);
        if (i + 1 < n)
            mr_token_share_with(tokens[i], tokens[n - 1]);
    }
    for (struct mr_record *r = exec->first_record, *next; r; r = next) {
        uint32_t i = 0;
        next = r->next;
        while (i + 1 < n && r->order.number > 2 * tokens[i]->end_number + 1)
            i++;
        mr_token_push_records(tokens[i], r, r);
    }
}

/* What the task has put out is too much for the straight way, and enters the phase in slices. */
static void leave_straight(struct mr_worker *worker, struct mr_token **tokens, uint32_t n,
                           uint32_t phase)
{
    struct mr_exec *exec = &worker->exec;

    give_outputs(exec, tokens, n);
    exec->first_record = exec->last_record = NULL;
    exec->outputs = exec->last_output = NULL;
    mr_exec_leave(exec);
    mr_gate_leave_straight(worker, tokens, n, phase - 1);
    worker->measured = true;
    worker->now = 0;
}

/* n tokens are in the phase, and none else. */
static void count_train(struct mr_worker *worker, uint32_t phase, uint32_t n)
{
    const struct mr_phase *p = &worker->runtime->phases[phase];

    if (mr_phase_first(p) < p->end_parallel)
        mr_stage_in_flight(&worker->stages[mr_phase_first(p)], n);
}

void mr_phase_straight(struct mr_worker *worker, struct mr_token **tokens, uint32_t n,
                       uint32_t rows)
{
    struct mr_runtime *runtime = worker->runtime;
    struct mr_exec *exec = &worker->exec;
    struct mr_token *token = tokens[n - 1]; /* stands for all: what they need it holds */
    uint64_t next = token->number + 1;

    exec->token = token; /* it has no chunk yet */
    begin_task(exec);
    put_input(exec, tokens, n, rows);
    count_train(worker, 0, n);
    straight_parallel(worker, &runtime->phases[0]);
    for (uint32_t p = 1; p < runtime->n_phases && exec->outputs; p++) {
        count_train(worker, p, n);
        if (mr_tuples_rows(exec->outputs) > MR_WHOLE_ROWS) {
            leave_straight(worker, tokens, n, p);
            return;
        }
        straight_lanes(worker, token, p);
    }
    exec->group = exec->plan->n_groups - 1; /* which they leave: the lane run last may not have */
    deliver_outputs(worker, token, runtime->n_phases - 1);
    atomic_store_explicit(&token->records, exec->first_record, memory_order_relaxed);
    exec->first_record = exec->last_record = NULL;
    exec->outputs = exec->last_output = NULL;
    exec->chunk = NULL;
    exec->token = NULL;
    mr_gate_retire_train(worker, tokens, n);
    mr_gates_pass(runtime, next);
    worker->measured = true;
    worker->now = 0;
}
