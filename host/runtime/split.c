/* Splitting: what arrives at a gate is sorted by context key onto the lanes of the phase. */
#include "runtime/internal.h"

#include <string.h>

static uint64_t flow_hash(union mr_value key)
{
    return ((const struct mr_flow_key *)key.b.ptr)->hash;
}

uint64_t mr_exec_key_hash(const struct mr_exec *exec, enum mr_type type, union mr_value key)
{
    switch (type) {
    case MR_TYPE_FLOW:
        return flow_hash(key);
    case MR_TYPE_STRING:
        return mr_hash_bytes(exec->secret, key.b.len ? key.b.ptr : "", key.b.len);
    case MR_TYPE_ADDRESS:
        return mr_hash_bytes(exec->secret, key.b.ptr, sizeof(struct mr_endpoint));
    default:
        return mr_hash_number(exec->secret, (uint64_t)key.i);
    }
}

static uint32_t lane_of(struct mr_exec *exec, const struct mr_phase *phase, enum mr_type type,
                        union mr_value key)
{
    return mr_context_lane(mr_exec_key_hash(exec, type, key), phase->lane_bits);
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
    if (keys && g->key_type == MR_TYPE_FLOW) { /* nearly always: by itself, since it is each row */
        for (uint32_t row = 0; row < t->n; row++)
            lanes[row] = mr_context_lane(flow_hash(keys[row]), phase->lane_bits);
        return;
    }
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

/* Makes the work of the segment for a lane that has none yet. Gives 1 + its index in `open`, which
 * is the lane's slot; 0: no memory. */
static uint32_t open_work(struct mr_worker *worker, struct mr_token *token, uint32_t lane,
                          struct mr_work **open, uint32_t *n_open)
{
    struct mr_work *work = mr_exec_alloc(&worker->exec, sizeof *work);
    if (!work)
        return 0;
    mr_work_init(work, token, MR_WORK_TUPLES, lane);
    add_work(token, work);
    open[(*n_open)++] = work;
    return worker->lane_slots[lane] = *n_open;
}

/* Rows [first, first + n) of a batch as a batch of their own, columns shared, in memory that is
 * given. Returns where the memory goes on. */
static uint8_t *view(const struct mr_plan *plan, const struct mr_tuples *t, uint32_t first,
                     uint32_t n, uint8_t *memory)
{
    struct mr_tuples *part = (struct mr_tuples *)(void *)memory;

    *part = *t;
    part->next = NULL;
    part->columns = (union mr_value **)(void *)(memory + sizeof *part);
    memcpy(part->columns, t->columns,
           plan->predicates[t->predicate].arity * sizeof(union mr_value *));
    mr_tuples_drop(plan, part, first);
    part->n = n;
    return memory + sizeof *part + plan->predicates[t->predicate].arity * sizeof(union mr_value *);
}

static size_t view_bytes(const struct mr_plan *plan, const struct mr_tuples *t)
{
    return sizeof(struct mr_tuples) +
           plan->predicates[t->predicate].arity * sizeof(union mr_value *);
}

/* Where there is but one lane the columns stay where they are. What the lane writes to is its own:
 * contexts, and flows where it keeps them. */
static bool whole(struct mr_exec *exec, const struct mr_phase *phase, struct mr_work *work,
                  struct mr_tuples *t, uint32_t n)
{
    bool keeps_flows = exec->plan->groups[phase->lane_group].key_type == MR_TYPE_FLOW;
    uint8_t **contexts = mr_exec_alloc(exec, n * sizeof *contexts);
    struct mr_flow **flows = keeps_flows ? mr_exec_alloc(exec, n * sizeof *flows) : t->flows;
    struct mr_tuples *part = t;

    if (!contexts || !flows)
        return false;
    if (n < t->n) { /* the rest comes behind a tick */
        part = mr_exec_alloc(exec, view_bytes(exec->plan, t));
        if (!part)
            return false;
        view(exec->plan, t, 0, n, (uint8_t *)part);
    }
    if (keeps_flows)
        memcpy(flows, t->flows, n * sizeof *flows);
    part->contexts = contexts;
    part->flows = flows;
    part->next = work->tuples;
    work->tuples = part;
    work->rows += n;
    return true;
}

/* Row `row` of the first n goes to places[row]; of columns that are late only its number. */
static void scatter(const struct mr_plan *plan, const struct mr_tuples *t, uint32_t n,
                    const uint32_t *restrict places, const struct mr_tuples *to,
                    uint32_t *restrict at)
{
    struct mr_packet **restrict origins = to->origins;
    struct mr_flow **restrict flows = to->flows;
    uint32_t *restrict ordinals = to->ordinals;
    const struct mr_transaction **restrict transactions = to->transactions;

    for (uint32_t c = 0; c < plan->predicates[t->predicate].arity; c++) {
        const union mr_value *restrict from = t->columns[c];
        union mr_value *restrict values = to->late >> c & 1 ? NULL : to->columns[c];
        for (uint32_t row = 0; values && row < n; row++)
            values[places[row]] = from[row];
    }
    for (uint32_t row = 0; row < n; row++) {
        origins[places[row]] = t->origins[row];
        flows[places[row]] = t->flows[row];
        at[places[row]] = row;
    }
    for (uint32_t row = 0; ordinals && row < n; row++)
        ordinals[places[row]] = t->ordinals[row];
    for (uint32_t row = 0; transactions && row < n; row++)
        transactions[places[row]] = t->transactions[row];
}

/* Splits the first n rows of a batch onto the works of the segment: they are sorted by work, and
 * each work has its stretch of them. */
static bool split_rows(struct mr_worker *worker, struct mr_token *token,
                       const struct mr_phase *phase, struct mr_tuples *t, uint32_t n,
                       struct mr_work **open, uint32_t *n_open)
{
    struct mr_exec *exec = &worker->exec;
    uint32_t most = n + *n_open + 1, all = t->n, first = 0;
    uint32_t *places = mr_exec_alloc(exec, n * sizeof *places);
    uint32_t *starts = mr_exec_alloc(exec, most * sizeof *starts);
    uint64_t late = mr_exec_late_columns(exec, phase->lane_group, t->predicate);
    uint32_t *at = mr_exec_alloc(exec, n * sizeof *at);
    struct mr_tuples *sorted =
        mr_tuples_new_late(exec, t->predicate, n, MR_WITH_CONTEXTS | mr_tuples_with(t), late);

    if (!places || !starts || !at || !sorted)
        return false;
    sorted->late = late;
    sorted->at = at;
    for (uint32_t c = 0; c < exec->plan->predicates[t->predicate].arity; c++)
        if (late >> c & 1)
            sorted->columns[c] = t->columns[c];
    memset(starts, 0, most * sizeof *starts);
    t->n = n;
    lanes_of(exec, phase, t, places);
    t->n = all;
    const uint32_t *slots = worker->lane_slots;
    for (uint32_t row = 0; row < n; row++) { /* from lanes to slots; 0: no memory for the work */
        uint32_t slot = slots[places[row]];
        if (!slot)
            slot = open_work(worker, token, places[row], open, n_open);
        places[row] = slot;
        starts[slot]++;
    }
    uint8_t *memory = mr_exec_alloc(exec, (*n_open + 1) * view_bytes(exec->plan, t));
    if (!memory)
        return false;
    sorted->n = n;
    sorted->synthetic = t->synthetic;
    for (uint32_t slot = 0; slot <= *n_open; slot++) {
        uint32_t rows = starts[slot];
        starts[slot] = first;
        if (slot && rows) {
            struct mr_tuples *part = (struct mr_tuples *)(void *)memory;
            memory = view(exec->plan, sorted, first, rows, memory);
            part->next = open[slot - 1]->tuples;
            open[slot - 1]->tuples = part;
            open[slot - 1]->rows += rows;
        } else if (rows) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
        }
        first += rows;
    }
    for (uint32_t row = 0; row < n; row++)
        places[row] = starts[places[row]]++;
    scatter(exec->plan, t, n, places, sorted, at);
    return true;
}

/* The first n rows of a batch. */
static void split_batch(struct mr_worker *worker, struct mr_token *token,
                        const struct mr_phase *phase, struct mr_tuples *t, uint32_t n,
                        struct mr_work **open, uint32_t *n_open)
{
    struct mr_exec *exec = &worker->exec;
    bool done;

    if (phase->n_lanes == 1) {
        done = (*n_open || open_work(worker, token, 0, open, n_open)) &&
               whole(exec, phase, open[0], t, n);
    } else {
        done = split_rows(worker, token, phase, t, n, open, n_open);
    }
    if (!done)
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, n);
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
    work->rows = 1;
    if (n > 1) {
        work->tickets = tickets;
        work->n_tickets = n;
        atomic_store_explicit(&work->not_headed, n, memory_order_relaxed);
    }
    add_work(token, work);
}

/* All rows that come before `end` in the order of the run, as one segment. Batches of which nothing
 * is left behind it are taken off the list: the lane may have them. */
static void split_segment(struct mr_worker *worker, struct mr_token *token,
                          const struct mr_phase *phase, struct mr_order_key end)
{
    struct mr_exec *exec = &worker->exec;
    uint64_t rows = mr_tuples_rows(token->arrived);
    uint64_t most = rows < phase->n_lanes ? rows : phase->n_lanes;
    uint32_t n_open = 0;

    if (!rows)
        return;
    struct mr_work **open = mr_exec_alloc(exec, (most + 1) * sizeof(struct mr_work *));
    if (!open)
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
    for (struct mr_tuples **link = &token->arrived, *t; (t = *link);) {
        uint32_t n = 0;
        if (end.number == UINT64_MAX)
            n = t->n;
        while (n < t->n && mr_order_compare(mr_order_of(t->origins[n]), end) < 0)
            n++;
        bool all = n == t->n;
        if (all)
            *link = t->next;
        else
            link = &t->next;
        if (!n)
            continue;
        if (!open)
            ; /* they are lost */
        else if (phase->n_lanes > 1 &&
                 mr_group_has_several_keys(&exec->plan->groups[phase->lane_group]))
            for (uint32_t row = 0; row < n; row++)
                split_row(worker, token, phase, t, row);
        else
            split_batch(worker, token, phase, t, n, open, &n_open);
        if (!all)
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

/* Takes what the phase is concerned with out of the token's outputs; the others wait there for a
 * later gate. */
static struct mr_tuples *take_arrived(struct mr_worker *worker, struct mr_token *token,
                                      const struct mr_phase *phase)
{
    struct mr_tuples_list arrived = {0}, waiting = {0};

    for (struct mr_tuples *t = mr_token_take_outputs(token), *next; t; t = next) {
        next = t->next;
        mr_tuples_list_add(mr_phase_waits_for(worker, phase, t) ? &arrived : &waiting, t);
    }
    if (waiting.first)
        mr_token_push_outputs(token, &waiting);
    return arrived.first;
}

void mr_phase_split_all(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                        struct mr_tuples *list)
{
    token->works = token->last_work = NULL;
    mr_phase_split_some(worker, token, phase, mr_tuples_settle(&worker->exec, list));
}

void mr_phase_split_some(struct mr_worker *worker, struct mr_token *token, uint32_t phase,
                         struct mr_tuples *list)
{
    token->arrived = list;
    split_segment(worker, token, &worker->runtime->phases[phase], MR_ORDER_END);
}

void mr_phase_mark_tick(struct mr_worker *worker, struct mr_token *token,
                        const struct mr_tick *tick)
{
    if (tick->second)
        add_mark(worker, token, MR_WORK_TICK, tick->time_ns, tick->number);
    if (tick->epoch)
        add_mark(worker, token, MR_WORK_EVICT, tick->time_ns, tick->number);
}

void mr_phase_mark_end(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    enum mr_closes closes = MR_CLOSES_NOTHING;

    if (token->closes && (!token->close_phase || token->close_phase == phase))
        closes =
            token->closing ? (enum mr_closes)token->closing->phases[phase] : MR_CLOSES_CONTEXTS;
    if (closes == MR_CLOSES_NOTHING)
        return;
    /* not from the token's memory: this must not fail */
    struct mr_work *mark = &worker->runtime->phases[phase].shutdown;
    mr_work_init(mark, token, closes == MR_CLOSES_CONTEXTS ? MR_WORK_SHUTDOWN : MR_WORK_CLOSE, 0);
    mark->time_ns = token->end_ns;
    mark->packet = token->end_number + 1;
    add_work(token, mark);
}

void mr_phase_split(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    const struct mr_phase *p = &worker->runtime->phases[phase];
    struct mr_tuples *list = take_arrived(worker, token, p);

    token->works = token->last_work = NULL;
    token->arrived = mr_tuples_settle(&worker->exec, list);
    for (uint32_t i = 0; i < token->n_ticks; i++) {
        split_segment(worker, token, p, mr_tick_order(&token->ticks[i]));
        mr_phase_mark_tick(worker, token, &token->ticks[i]);
    }
    split_segment(worker, token, p, MR_ORDER_END);
    mr_phase_mark_end(worker, token, phase);
    token->arrived = NULL;
}
