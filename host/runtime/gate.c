/* Gates: where tokens pass in order, and what happens to one that passes. */
#include "runtime/internal.h"
#include "runtime/table_set.h"

#include <assert.h>
#include <stdlib.h>

#define MOST_AT_ONCE 64 /* tokens that pass before the worker looks for other work */
#define TOLD         4  /* steps: what a record costs that is told, or a buffer that goes back */
#define FEW_BUFFERS  64 /* they go back with their token */

enum mr_status mr_gate_init(struct mr_gate *gate, uint32_t tokens)
{
    uint64_t size = 2;
    while (size < tokens)
        size *= 2;
    gate->task.kind = MR_TASK_GATE;
    gate->mask = size - 1;
    gate->waiting = calloc(size, sizeof *gate->waiting);
    atomic_init(&gate->turn, 0);
    atomic_init(&gate->next, 1);
    return gate->waiting ? MR_OK : MR_ERR_MEMORY;
}

void mr_gate_free(struct mr_gate *gate)
{
    free((void *)gate->waiting);
    gate->waiting = NULL;
}

/* Lanes that a token sends home, newest first: one hand-over for all. */
struct parcel {
    struct mr_task *first, *last;
};

/* The token waits for the work already. */
static void deliver(struct mr_worker *worker, struct mr_phase *phase, struct mr_work *work,
                    struct parcel *parcel)
{
    /* read before the last ticket is out: from then on the work may be done and gone */
    uint32_t n = work->n_tickets;
    bool away = mr_worker_is_elsewhere(worker, work);
    struct mr_ticket *tickets = work->tickets;

    for (uint32_t i = 0; i < n; i++) {
        struct mr_ticket *ticket = &tickets[i];
        struct mr_lane *lane = &phase->lanes[ticket->lane];
        atomic_fetch_add_explicit(&lane->outstanding, 1, memory_order_relaxed);
        struct mr_ticket *head = atomic_load_explicit(&lane->inbox, memory_order_relaxed);
        do {
            ticket->next = head;
        } while (!atomic_compare_exchange_weak_explicit(
            &lane->inbox, &head, ticket, memory_order_seq_cst, memory_order_relaxed));
        if (atomic_exchange_explicit(&lane->scheduled, 1, memory_order_seq_cst))
            continue;
        if (!away) {
            mr_worker_push(worker, &lane->task);
            continue;
        }
        lane->task.next_mail = parcel->first;
        parcel->first = &lane->task;
        if (!parcel->last)
            parcel->last = &lane->task;
    }
}

/* Has nothing to do with the mark, now that no work is under way in it. */
static bool is_untouched(const struct mr_lane *lane, const struct mr_work *work)
{
    uint64_t tables_ns = lane->tables ? lane->tables->next_ns : UINT64_MAX;

    switch (work->kind) {
    case MR_WORK_TICK:
        return lane->contexts.next_deadline_ns > work->time_ns && tables_ns > work->time_ns &&
               !mr_contexts_ahead(&lane->contexts, work->time_ns) &&
               !(lane->tables && mr_table_set_ahead(lane->tables, work->time_ns));
    case MR_WORK_EVICT:
        return !lane->contexts.n_over;
    default:
        return !lane->contexts.n_contexts && tables_ns;
    }
}

/* Tells a mark (all but tuples) to the lanes that may have to do with it. Lanes without work under
 * way and without a deadline by then are left alone: for them nothing happens. */
static void broadcast(struct mr_worker *worker, struct mr_phase *phase, const struct mr_work *work,
                      struct parcel *parcel)
{
    struct mr_lane *lanes = phase->lanes;

    assert(lanes); /* every phase behind a gate has them */
    for (uint32_t i = 0; i < phase->n_lanes; i++) {
        struct mr_lane *lane = &lanes[i];
        if (!atomic_load_explicit(&lane->outstanding, memory_order_acquire) &&
            is_untouched(lane, work))
            continue;
        bool at_end = work->kind == MR_WORK_SHUTDOWN || work->kind == MR_WORK_CLOSE;
        struct mr_work *copy =
            at_end ? &lane->shutdown : mr_exec_alloc(&worker->exec, sizeof *copy);
        if (!copy)
            continue; /* counted there; the next one makes good for it */
        mr_work_init(copy, work->token, work->kind, i);
        copy->time_ns = work->time_ns;
        copy->packet = work->packet;
        atomic_fetch_add_explicit(&work->token->pending, 1, memory_order_relaxed);
        deliver(worker, phase, copy, parcel);
    }
}

static void admit(struct mr_worker *worker, struct mr_phase *phase, struct mr_token *token)
{
    bool ticks = token->n_ticks; /* they alone take memory here */
    struct parcel parcel = {NULL, NULL};
    uint32_t n = 0, home = token->home;

    /* one count for all, since those that are done already count down meanwhile; and the lanes'
     * lines come while the first ones are delivered: all tokens wait for who is in this turn */
    for (const struct mr_work *work = token->works; work; work = work->next) {
        if (work->kind != MR_WORK_TUPLES)
            continue;
        n++;
        for (uint32_t i = 0; i < work->n_tickets; i++)
            __builtin_prefetch(&phase->lanes[work->tickets[i].lane], 1);
    }
    atomic_fetch_add_explicit(&token->pending, n, memory_order_relaxed);
    if (ticks)
        mr_exec_enter(&worker->exec, token);
    for (struct mr_work *work = token->works; work;) {
        struct mr_work *next = work->next;
        if (work->kind == MR_WORK_TUPLES)
            deliver(worker, phase, work, &parcel);
        else
            broadcast(worker, phase, work, &parcel);
        work = next;
    }
    if (parcel.first)
        mr_worker_send(worker, parcel.first, parcel.last, home);
    token->works = token->last_work = NULL;
    if (ticks)
        mr_exec_leave(&worker->exec);
}

void mr_gate_release(struct mr_worker *worker, struct mr_token *token, bool alone)
{
    struct mr_runtime *runtime = worker->runtime;

    if (runtime->config.hooks.release)
        runtime->config.hooks.release(runtime->config.hooks.user, token);
    struct mr_buffer *buffer = atomic_load_explicit(&token->kept, memory_order_acquire);
    atomic_store_explicit(&token->kept, NULL, memory_order_relaxed); /* nobody works for it */
    while (buffer) {
        struct mr_buffer *next = buffer->next;
        if (!worker->exec.spare && buffer->capacity == MR_CHUNK_BYTES)
            worker->exec.spare = buffer;
        else
            mr_buffers_put(runtime->config.buffers, buffer);
        buffer = next;
    }
    atomic_store_explicit(&token->open_chunk, NULL, memory_order_relaxed);
    mr_token_forget_shared(token);
    mr_runtime_token_put(runtime, token, alone);
}

static void count_latency(struct mr_worker *worker, const struct mr_token *token, bool measured)
{
    uint64_t packets = token->burst.n + worker->unmeasured_packets;

    worker->unmeasured_packets = measured ? 0 : packets;
    if (packets && measured)
        mr_histogram_add(&worker->latency,
                         mr_ticks_now(&worker->runtime->ticks) - token->arrived_ticks, packets);
}

static void retire(struct mr_worker *worker, struct mr_token *token,
                   const struct mr_record *records)
{
    const struct mr_runtime_hooks *hooks = &worker->runtime->config.hooks;
    hooks->retire(hooks->user, &worker->metrics, token, records);
}

/* Cuts what is about packets up to `number` off the front of a sorted list. */
static struct mr_record *records_up_to(struct mr_record **list, uint64_t number)
{
    struct mr_record *first = *list, **end = list;

    while (*end && (*end)->order.number <= 2 * number + 1)
        end = &(*end)->next;
    if (end == list)
        return NULL;
    *list = *end;
    *end = NULL;
    return first;
}

void mr_gate_retire_train(struct mr_worker *worker, struct mr_token **tokens, uint32_t n)
{
    struct mr_record *records = mr_token_sorted_records(tokens[n - 1]);

    for (uint32_t i = 0; i + 1 < n; i++) {
        retire(worker, tokens[i], records_up_to(&records, tokens[i]->end_number));
        /* of those that came at the same time the last one is measured for all */
        count_latency(worker, tokens[i],
                      worker->measured && tokens[i + 1]->arrived_ticks != tokens[i]->arrived_ticks);
    }
    retire(worker, tokens[n - 1], records);
    count_latency(worker, tokens[n - 1], worker->measured);
    for (uint32_t i = 0; i < n; i++)
        mr_gate_release(worker, tokens[i], true);
}

bool mr_gates_take(struct mr_runtime *runtime)
{
    for (uint32_t i = 0; runtime->config.workers > 1 && i < runtime->n_phases; i++)
        if (atomic_exchange_explicit(&runtime->gates[i].turn, 1, memory_order_seq_cst)) {
            while (i--)
                atomic_store_explicit(&runtime->gates[i].turn, 0, memory_order_seq_cst);
            return false;
        }
    return true;
}

/* All tokens before number `next` have passed, the last n of them only the gates before `from`. */
static void pass_gates(struct mr_runtime *runtime, uint64_t next, uint32_t n, uint32_t from)
{
    for (uint32_t i = 0; i < runtime->n_phases; i++) {
        atomic_store_explicit(&runtime->gates[i].next, next - (i >= from ? n : 0),
                              memory_order_relaxed);
        if (runtime->config.workers > 1)
            atomic_store_explicit(&runtime->gates[i].turn, 0, memory_order_seq_cst);
    }
}

void mr_gates_pass(struct mr_runtime *runtime, uint64_t next)
{
    pass_gates(runtime, next, 0, runtime->n_phases);
}

void mr_gate_leave_straight(struct mr_worker *worker, struct mr_token **tokens, uint32_t n,
                            uint32_t gate)
{
    pass_gates(worker->runtime, tokens[n - 1]->number + 1, n, gate);
    for (uint32_t i = 0; i < n; i++) {
        tokens[i]->gate = gate;
        mr_gate_arrive(worker, tokens[i]);
    }
}

static void take_off(uint32_t *left, uint64_t steps)
{
    *left -= steps < *left ? (uint32_t)steps : *left;
}

/* Retires as many of its records as there are steps left for. */
static void retire_some(struct mr_worker *worker, struct mr_token *token, uint32_t *left)
{
    struct mr_list_sort *sorted = &token->sorting.sort;
    struct mr_record *first = sorted->whole, *last = first;
    uint32_t n = 1;

    for (; last && last->next && (n + 1) * TOLD <= *left; n++)
        last = last->next;
    sorted->whole = last ? last->next : NULL;
    if (last)
        last->next = NULL;
    retire(worker, token, first);
    take_off(left, n * TOLD);
}

/* Gives back buffers of a token whose records have all been told; false: it has many more. */
static bool give_back_some(struct mr_worker *worker, struct mr_token *token, uint32_t *left)
{
    struct mr_buffer *first = atomic_load_explicit(&token->kept, memory_order_relaxed), *next;
    const struct mr_buffer *few = first;

    for (uint32_t i = 0; i < FEW_BUFFERS && few; i++)
        few = few->next;
    if (!few)
        return true;
    atomic_store_explicit(&token->open_chunk, NULL, memory_order_relaxed);
    for (; first && *left; first = next, take_off(left, TOLD)) {
        next = first->next;
        mr_buffers_put(worker->runtime->config.buffers, first);
    }
    atomic_store_explicit(&token->kept, first, memory_order_relaxed);
    return !first;
}

/* In the turn of the last gate. What leaves with a token may be millions of records; false: only
 * some of it was done, and the token stays. */
static bool may_leave(struct mr_worker *worker, struct mr_token *token, uint32_t *left)
{
    if (!token->retired) {
        if (!mr_token_sort(token, left))
            return false;
        uint64_t steps = (uint64_t)token->sorting.n * TOLD;
        if (steps <= *left || token->sorting.n <= token->burst.n) { /* most tokens */
            take_off(left, steps);
            return true;
        }
        retire_some(worker, token, left);
        token->retired = !token->sorting.sort.whole;
    }
    while (token->retired && *left)
        if (give_back_some(worker, token, left))
            return true;
    return false;
}

/* It leaves, in the turn of the last gate. */
static void leave(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_runtime *runtime = worker->runtime;
    bool last = token->last;

    if (!token->retired)
        retire(worker, token, token->sorting.sort.whole);
    mr_token_forget_records(token);
    count_latency(worker, token, true);
    mr_worker_give_back(worker, token);
    if (last) /* who falls asleep looks at it once more: any_work() */
        atomic_store_explicit(&runtime->finished, 1, memory_order_seq_cst);
    if (last || !mr_runtime_cheap(runtime))
        mr_runtime_wake(runtime, last);
}

/* The first thing done for a token in a phase. */
static void begin_phase(struct mr_worker *worker, struct mr_token *token, uint32_t into)
{
    token->gate = into;
    token->admitted_ticks = mr_ticks_now(&worker->runtime->ticks);
    atomic_store_explicit(&token->pending, 1, memory_order_relaxed);
}

/* A slice of what arrives enters the phase, before the token has passed; true: that was the last.
 */
static bool enter_some(struct mr_worker *worker, struct mr_token *token, uint32_t into)
{
    if (!token->entering)
        begin_phase(worker, token, into);
    token->entering = true;
    mr_exec_enter(&worker->exec, token);
    bool last = mr_arriving_next(worker, token, into);
    mr_exec_leave(&worker->exec);
    admit(worker, &worker->runtime->phases[into], token);
    worker->now = 0; /* that took its time */
    return last;
}

/* Lets a token pass into phase `into`, or out. */
static void pass(struct mr_worker *worker, struct mr_token *token, uint32_t into)
{
    struct mr_runtime *runtime = worker->runtime;

    if (into == runtime->n_phases) {
        leave(worker, token);
        return;
    }
    if (!token->arriving) { /* else all of it has entered */
        begin_phase(worker, token, into);
        admit(worker, &runtime->phases[into], token);
    }
    mr_phase_count_in_flight(worker, into, token->number);
    token->arriving = NULL;
    if (atomic_fetch_sub_explicit(&token->pending, 1, memory_order_acq_rel) == 1)
        mr_gate_arrive(worker, token);
}

/* May the token pass now? The worker has the gate's turn, and `left` for what it does in it. */
static bool may_pass(struct mr_worker *worker, struct mr_token *token, uint32_t into,
                     uint32_t *left)
{
    bool last = into == worker->runtime->n_phases;

    if (last && may_leave(worker, token, left))
        return true;
    if (!last && !token->arriving)
        return true;
    bool passes = !last && enter_some(worker, token, into);
    *left = 0; /* too little is left */
    return passes;
}

/* Lets tokens pass that have arrived; not all at once when they are many, or when much leaves with
 * them: for this worker there may be other things to do, and another one may go on. */
static void let_pass(struct mr_worker *worker, struct mr_gate *gate)
{
    uint32_t into = (uint32_t)(gate - worker->runtime->gates) + 1, passed = 0, unlimited = 1;
    uint32_t *left = into == worker->runtime->n_phases ? &worker->leaving : &unlimited;

    while (passed < MOST_AT_ONCE && *left) {
        if (atomic_exchange_explicit(&gate->turn, 1, memory_order_seq_cst))
            return; /* who has the turn looks again after giving it back */
        uint64_t next = atomic_load_explicit(&gate->next, memory_order_relaxed);
        struct mr_token *first;
        while (passed < MOST_AT_ONCE && *left &&
               (first = atomic_load_explicit(&gate->waiting[next & gate->mask],
                                             memory_order_seq_cst)) &&
               may_pass(worker, first, into, left)) {
            atomic_store_explicit(&gate->waiting[next & gate->mask], NULL, memory_order_relaxed);
            atomic_store_explicit(&gate->next, ++next, memory_order_relaxed);
            passed++;
            mr_worker_maybe_yield(worker);
            pass(worker, first, into);
        }
        atomic_store_explicit(&gate->turn, 0, memory_order_seq_cst);
        if (!atomic_load_explicit(&gate->waiting[next & gate->mask], memory_order_seq_cst))
            return;
    }
    if (!atomic_exchange_explicit(&gate->scheduled, 1, memory_order_seq_cst)) {
        worker->oldest_first = true;
        mr_worker_push(worker, &gate->task);
    }
}

void mr_gate_run(struct mr_worker *worker, struct mr_gate *gate)
{
    atomic_store_explicit(&gate->scheduled, 0, memory_order_seq_cst);
    let_pass(worker, gate);
}

void mr_gate_arrive(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_runtime *runtime = worker->runtime;
    struct mr_gate *gate = &runtime->gates[token->gate];
    uint32_t into = token->gate + 1;

    if (into < runtime->n_phases) {
        mr_exec_enter(&worker->exec, token);
        if (!mr_arriving_begin(worker, token, into))
            mr_phase_split(worker, token, into);
        mr_exec_leave(&worker->exec);
    }
    uint64_t number = token->number;
    atomic_store_explicit(&gate->waiting[number & gate->mask], token, memory_order_seq_cst);
    let_pass(worker, gate);
}
