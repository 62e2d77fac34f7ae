/* Phases: tasks of a token between two gates, and how tuples are split onto lanes. */
#include "runtime/internal.h"

#include <string.h>

void mr_phase_begin_task(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_exec *exec = &worker->exec;

    mr_exec_enter(exec, token);
    exec->outputs = exec->last_output = NULL;
    exec->first_record = exec->last_record = NULL;
    exec->n_records = 0;
    exec->cause = MR_CAUSE_DATA;
    exec->now_ns = 0;
}

static uint64_t count_rows(const struct mr_tuples *list)
{
    uint64_t n = 0;
    for (; list; list = list->next)
        n += list->n;
    return n;
}

/* Hands tuples to whoever is idle; false: nobody is, or there is no room. */
static bool hand_over(struct mr_worker *worker, struct mr_token *token, uint32_t group,
                      struct mr_tuples *tuples)
{
    if (!atomic_load_explicit(&worker->runtime->sleepers, memory_order_relaxed) ||
        mr_deque_size_any(&worker->deque) >= MR_QUEUED_BATCHES)
        return false;
    struct mr_batch *batch = mr_exec_alloc(&worker->exec, sizeof *batch);
    if (!batch)
        return false;
    *batch = (struct mr_batch){{MR_TASK_BATCH}, token, tuples, group};
    atomic_fetch_add_explicit(&token->pending, 1, memory_order_relaxed);
    mr_worker_push(worker, &batch->task);
    return true;
}

/* Sends the task's outputs to the next gate, or out of the program. */
static void deliver_outputs(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    struct mr_exec *exec = &worker->exec;
    struct mr_runtime *runtime = worker->runtime;

    if (!exec->outputs)
        return;
    if (phase + 1 < runtime->n_phases) {
        mr_token_push_outputs(token, exec->outputs, exec->last_output);
        return;
    }
    for (struct mr_tuples *t = exec->outputs; t; t = t->next)
        if (t->n)
            runtime->config.hooks.leave(runtime->config.hooks.user, exec, t);
}

void mr_phase_end_task(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                       uint32_t group)
{
    struct mr_exec *exec = &worker->exec;
    const struct mr_phase *p = &worker->runtime->phases[phase];

    for (; exec->outputs && group < p->end_parallel; group++) {
        struct mr_tuples *in = exec->outputs;
        exec->outputs = exec->last_output = NULL;
        if (hand_over(worker, token, group, in))
            break;
        exec->group = group;
        mr_metrics_add(exec->metrics, MR_COUNT_BATCHES, 1);
        mr_metrics_add(exec->metrics, MR_COUNT_TUPLES, count_rows(in));
        mr_exec_group(exec, group, in);
    }
    deliver_outputs(worker, token, phase);
    if (exec->first_record)
        mr_token_push_records(token, exec->first_record, exec->last_record);
    exec->first_record = exec->last_record = NULL;
    exec->outputs = exec->last_output = NULL;
    mr_exec_leave(exec);
    if (atomic_fetch_sub_explicit(&token->pending, 1, memory_order_acq_rel) == 1)
        mr_gate_arrive(worker, token);
}

/* The `input` tuples of a burst. */
static struct mr_tuples *input_tuples(struct mr_exec *exec, struct mr_token *token)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[exec->plan->input];
    uint32_t n = token->burst.n;
    struct mr_tuples *t = mr_tuples_new(exec, exec->plan->input, n, false);

    if (!t)
        return NULL;
    t->n = n;
    for (uint32_t c = 0; c < p->arity; c++) {
        union mr_value *column = t->columns[c];
        if (!column)
            continue;
        for (uint32_t row = 0; row < n; row++) {
            struct mr_packet *packet = &token->burst.packets[row];
            switch (c) {
            case 1:
                column[row] = mr_value_bytes(packet, sizeof *packet);
                break;
            case 2:
                column[row] = mr_value_bytes(&packet->src, sizeof packet->src);
                break;
            case 3:
                column[row] = mr_value_bytes(&packet->dst, sizeof packet->dst);
                break;
            default:
                column[row] = mr_value_int(0);
            }
        }
    }
    for (uint32_t row = 0; row < n; row++) {
        t->origins[row] = &token->burst.packets[row];
        t->flows[row] = NULL;
    }
    return t;
}

void mr_phase_start(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_exec *exec = &worker->exec;

    token->gate = 0;
    atomic_store_explicit(&token->pending, 1, memory_order_relaxed);
    mr_phase_begin_task(worker, token);
    if (token->burst.n) {
        exec->outputs = exec->last_output = input_tuples(exec, token);
        if (!exec->outputs)
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, token->burst.n);
    }
    mr_phase_end_task(worker, token, 0, worker->runtime->phases[0].first_parallel);
}

void mr_phase_run_batch(struct mr_worker *worker, struct mr_batch *batch)
{
    struct mr_token *token = batch->token;
    uint32_t group = batch->group;

    mr_phase_begin_task(worker, token);
    worker->exec.group = group;
    mr_metrics_add(&worker->metrics, MR_COUNT_BATCHES, 1);
    mr_metrics_add(&worker->metrics, MR_COUNT_TUPLES, count_rows(batch->tuples));
    mr_exec_group(&worker->exec, group, batch->tuples);
    mr_phase_end_task(worker, token, token->gate, group + 1);
}

static void run_work(struct mr_worker *worker, struct mr_lane *lane, struct mr_work *work)
{
    struct mr_exec *exec = &worker->exec;
    struct mr_token *token = work->token;
    const struct mr_phase *p = &worker->runtime->phases[lane->phase];

    mr_phase_begin_task(worker, token);
    switch (work->kind) {
    case MR_WORK_TUPLES:
        if (!work->tuples)
            break; /* there was no memory for them; counted */
        mr_metrics_add(exec->metrics, MR_COUNT_BATCHES, 1);
        mr_metrics_add(exec->metrics, MR_COUNT_TUPLES, count_rows(work->tuples));
        mr_exec_lane(exec, p->lane_group, &lane->contexts, work->tuples);
        break;
    case MR_WORK_TICK:
        mr_exec_lane_tick(exec, p->lane_group, &lane->contexts, work->time_ns, work->packet);
        break;
    case MR_WORK_SHUTDOWN:
        mr_exec_lane_shutdown(exec, p->lane_group, &lane->contexts, work->time_ns, work->packet);
        break;
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

void mr_phase_run_lane(struct mr_worker *worker, struct mr_lane *lane)
{
    for (;;) {
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
        struct mr_work *work = ticket->work;
        lane->todo = ticket->next;
        mr_worker_maybe_yield(worker);
        /* not first in its other lanes yet: this lane waits, and who runs the work goes on with
         * it. From here on that may happen at any moment. */
        if (work->n_tickets > 1 &&
            atomic_fetch_sub_explicit(&work->not_headed, 1, memory_order_acq_rel) != 1)
            return;
        run_work(worker, lane, work);
    }
}

/* ---- splitting ---- */

static uint64_t key_hash(struct mr_exec *exec, enum mr_type type, union mr_value key)
{
    switch (type) {
    case MR_TYPE_FLOW:
        return ((const struct mr_flow_key *)key.b.ptr)->hash;
    case MR_TYPE_STRING:
        return mr_hash_bytes(exec->secret, key.b.len ? key.b.ptr : "", key.b.len);
    case MR_TYPE_ADDRESS:
        return mr_hash_bytes(exec->secret, key.b.ptr, sizeof(struct mr_endpoint));
    default:
        return mr_hash_bytes(exec->secret, &key.i, sizeof key.i);
    }
}

static uint32_t lane_of(struct mr_exec *exec, const struct mr_phase *phase, enum mr_type type,
                        union mr_value key)
{
    return (uint32_t)key_hash(exec, type, key) & (phase->n_lanes - 1);
}

/* Which lane each row belongs to. */
static void lanes_of(struct mr_exec *exec, const struct mr_phase *phase, const struct mr_tuples *t,
                     uint32_t *lanes)
{
    const struct mr_plan_group *g = &exec->plan->groups[phase->lane_group];
    const union mr_value *keys = NULL;

    if (phase->n_lanes > 1)
        for (uint32_t k = 0; k < g->n_keys; k++)
            if (g->keys[k].predicate == t->predicate)
                keys = t->columns[g->keys[k].column];
    if (keys) {
        for (uint32_t row = 0; row < t->n; row++)
            lanes[row] = lane_of(exec, phase, g->key_type, keys[row]);
        return;
    }
    for (uint32_t row = 0; row < t->n; row++) {
        /* without a key no order is asked for: spread by origin */
        uint64_t hash = t->origins[row]->number * 0x9e3779b97f4a7c15u >> 20;
        lanes[row] = (uint32_t)hash & (phase->n_lanes - 1);
    }
}

static void add_work(struct mr_token *token, struct mr_work *work)
{
    work->next = NULL;
    if (token->last_work)
        token->last_work->next = work;
    else
        token->works = work;
    token->last_work = work;
}

/* The work of the segment for a lane, made when there is none yet. `slots` holds 1 + the index in
 * `open` of the lane's work. */
static struct mr_work *work_for(struct mr_worker *worker, struct mr_token *token, uint32_t lane,
                                struct mr_work **open, uint32_t *n_open)
{
    uint32_t slot = worker->lane_slots[lane];
    if (slot)
        return open[slot - 1];
    struct mr_work *work = mr_exec_alloc(&worker->exec, sizeof *work);
    if (!work)
        return NULL;
    mr_work_init(work, token, MR_WORK_TUPLES, lane);
    add_work(token, work);
    open[(*n_open)++] = work;
    worker->lane_slots[lane] = *n_open;
    return work;
}

#define NO_LANE UINT32_MAX /* there was no memory for its work */

/* Where a row goes: which batch, which place in it. */
struct place {
    struct mr_tuples *part;
    uint32_t row;
};

/* Copies rows [0, n) to their places, column by column. */
static void scatter(const struct mr_plan *plan, const struct mr_tuples *t, uint32_t n,
                    const struct place *places)
{
    uint32_t arity = plan->predicates[t->predicate].arity;

    for (uint32_t c = 0; c < arity; c++)
        for (uint32_t row = 0; t->columns[c] && row < n; row++)
            if (places[row].part)
                places[row].part->columns[c][places[row].row] = t->columns[c][row];
    for (uint32_t row = 0; row < n; row++) {
        struct mr_tuples *part = places[row].part;
        if (!part)
            continue;
        part->origins[places[row].row] = t->origins[row];
        part->flows[places[row].row] = t->flows[row];
        if (part->ordinals)
            part->ordinals[places[row].row] = t->ordinals[row];
    }
}

/* Splits the first n rows of a batch onto the works of the segment. */
static void split_rows(struct mr_worker *worker, struct mr_token *token,
                       const struct mr_phase *phase, struct mr_tuples *t, uint32_t n,
                       struct mr_work **open, uint32_t *n_open)
{
    struct mr_exec *exec = &worker->exec;
    uint32_t most = n + *n_open + 1, all = t->n;
    uint32_t *lanes = mr_exec_alloc(exec, n * sizeof *lanes);
    struct place *places = mr_exec_alloc(exec, n * sizeof *places);
    uint32_t *counts = mr_exec_alloc(exec, most * sizeof *counts);
    struct mr_tuples **parts = mr_exec_alloc(exec, most * sizeof(struct mr_tuples *));

    if (!lanes || !places || !counts || !parts) {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, n);
        return;
    }
    memset(counts, 0, most * sizeof *counts);
    memset(parts, 0, most * sizeof(struct mr_tuples *));
    t->n = n;
    lanes_of(exec, phase, t, lanes);
    t->n = all;
    for (uint32_t row = 0; row < n; row++)
        if (work_for(worker, token, lanes[row], open, n_open))
            counts[worker->lane_slots[lanes[row]]]++;
        else
            lanes[row] = NO_LANE;
    for (uint32_t row = 0; row < n; row++) {
        uint32_t slot = lanes[row] == NO_LANE ? 0 : worker->lane_slots[lanes[row]];
        struct mr_tuples *part = parts[slot];
        if (slot && !part) {
            part = mr_tuples_new(exec, t->predicate, counts[slot],
                                 MR_WITH_CONTEXTS | mr_tuples_with(t));
            if (part) {
                part->next = open[slot - 1]->tuples;
                open[slot - 1]->tuples = part;
                parts[slot] = part;
            }
        }
        places[row] = (struct place){part, part ? part->n++ : 0};
        if (!part)
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
    }
    scatter(exec->plan, t, n, places);
}

/* A row that stands under several keys: a work of its own, with a ticket for each lane. */
static void split_row(struct mr_worker *worker, struct mr_token *token,
                      const struct mr_phase *phase, const struct mr_tuples *t, uint32_t row)
{
    struct mr_exec *exec = &worker->exec;
    const struct mr_plan_group *g = &exec->plan->groups[phase->lane_group];
    struct mr_work *work = mr_exec_alloc(exec, sizeof *work);
    struct mr_ticket *tickets = mr_exec_alloc(exec, MR_MAX_KEYS * sizeof *tickets);
    struct mr_tuples *part =
        mr_tuples_new(exec, t->predicate, 1, MR_WITH_CONTEXTS | mr_tuples_with(t));
    uint32_t n = 0;

    if (!work || !tickets || !part) {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
        return;
    }
    for (uint32_t k = 0; k < g->n_keys && n < MR_MAX_KEYS; k++) {
        if (g->keys[k].predicate != t->predicate)
            continue;
        uint32_t column = g->keys[k].column, other = 0;
        enum mr_type type = exec->plan->predicates[t->predicate].attributes[column].type;
        uint32_t lane = lane_of(exec, phase, type, t->columns[column][row]);
        while (other < n && tickets[other].lane != lane)
            other++;
        if (other == n)
            tickets[n++] = (struct mr_ticket){.work = work, .lane = lane};
    }
    mr_work_init(work, token, MR_WORK_TUPLES, n ? tickets[0].lane : 0);
    mr_tuples_append(exec->plan, part, t, row);
    work->tuples = part;
    if (n > 1) {
        work->tickets = tickets;
        work->n_tickets = n;
        atomic_store_explicit(&work->not_headed, n, memory_order_relaxed);
    }
    add_work(token, work);
}

/* All rows that come before `end` in the order of the run, as one segment. */
static void split_segment(struct mr_worker *worker, struct mr_token *token,
                          const struct mr_phase *phase, struct mr_order_key end)
{
    struct mr_exec *exec = &worker->exec;
    uint64_t rows = count_rows(token->arrived);
    uint64_t most = rows < phase->n_lanes ? rows : phase->n_lanes;
    uint32_t n_open = 0;

    if (!rows)
        return;
    struct mr_work **open = mr_exec_alloc(exec, (most + 1) * sizeof(struct mr_work *));
    if (!open)
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
    for (struct mr_tuples *t = token->arrived; t; t = t->next) {
        uint32_t n = 0;
        while (n < t->n && mr_order_compare(mr_order_of(t->origins[n]), end) < 0)
            n++;
        if (!n)
            continue;
        if (!open)
            ; /* they are lost */
        else if (mr_group_has_several_keys(&exec->plan->groups[phase->lane_group]))
            for (uint32_t row = 0; row < n; row++)
                split_row(worker, token, phase, t, row);
        else
            split_rows(worker, token, phase, t, n, open, &n_open);
        mr_tuples_drop(exec->plan, t, n);
    }
    for (uint32_t i = 0; i < n_open; i++)
        worker->lane_slots[open[i]->ticket.lane] = 0;
}

static void add_mark(struct mr_worker *worker, struct mr_token *token, enum mr_work_kind kind,
                     uint64_t time_ns, uint64_t packet)
{
    struct mr_work *work = mr_exec_alloc(&worker->exec, sizeof *work);
    if (!work)
        return;
    mr_work_init(work, token, kind, 0);
    work->time_ns = time_ns;
    work->packet = packet;
    add_work(token, work);
}

void mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    const struct mr_phase *p = &worker->runtime->phases[phase];
    struct mr_tuples *list = atomic_exchange_explicit(&token->outputs, NULL, memory_order_acquire);

    token->works = token->last_work = NULL;
    token->arrived = mr_tuples_settle(&worker->exec, list);
    for (uint32_t i = 0; i < token->n_ticks; i++) {
        const struct mr_tick *tick = &token->ticks[i];
        split_segment(worker, token, p, (struct mr_order_key){2 * tick->number, 0});
        add_mark(worker, token, MR_WORK_TICK, tick->time_ns, tick->number);
    }
    split_segment(worker, token, p, (struct mr_order_key){UINT64_MAX, UINT64_MAX});
    if (token->last) { /* not from the token's memory: this must not fail */
        struct mr_work *mark = &worker->runtime->phases[phase].shutdown;
        mr_work_init(mark, token, MR_WORK_SHUTDOWN, 0);
        mark->time_ns = token->end_ns;
        mark->packet = token->end_number + 1;
        add_work(token, mark);
    }
    token->arrived = NULL;
}
