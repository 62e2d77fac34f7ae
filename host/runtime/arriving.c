/* Much that arrives at a gate at once: a second in which millions of flows end may bring forth as
 * many tuples, and a burst of packets that are seconds apart ticks as often. They enter the phase
 * in slices, in their order, as if they came of several bursts.
 *
 * Every batch that tasks left for the gate stands in its order. A heap has the first row of each
 * that is not taken yet; rows are taken off it, as many as a burst has at most and the rest of the
 * last one's origin, and split onto the lanes. Also where one origin has more than are split as a
 * whole it is cut each time it has had so many: a matter of the origin alone, so that it shows
 * nowhere. */
#include "runtime/internal.h"

#include <string.h>

#define WHOLE_BATCHES ARRIVING_ROWS       /* so many batches of them are split as a whole ... */
#define WHOLE_MARKS   (4 * ARRIVING_ROWS) /* ... that have ticks between them, for so many lanes */
#define LOOKED_AT     (4 * ARRIVING_ROWS) /* rows and batches in a slice, before any row is taken */

/* What is left of a batch, by its first row. */
struct head {
    struct mr_order_key key;
    uint32_t ordinal;
    uint32_t position; /* of the batch in the list: equal rows keep their order */
    uint32_t row;
    const struct mr_tuples *tuples;
};

struct taken {
    const struct mr_tuples *tuples;
    uint32_t row, ordinal;
};

struct mr_arriving {
    struct mr_tuples *list; /* not looked at yet */
    uint32_t looked_at;
    struct mr_tuples_list waiting; /* for a later gate */
    struct head *heads;            /* [n_heads] a heap, the earliest first */
    uint32_t n_heads;
    uint32_t tick;            /* of the token: the next one */
    struct mr_order_key last; /* the origin of the row that was taken last ... */
    uint32_t of_last;         /* ... and how many rows of it were; 0: none was taken yet */
    struct taken *taken;      /* of the slice under way */
    uint32_t capacity;
    struct mr_tuples **batches; /* [n_predicates] the same */
    uint32_t *rows;             /* [n_predicates] zeros between two slices */
};

static bool before(const struct head *x, const struct head *y)
{
    int order = mr_order_compare(x->key, y->key);

    if (order)
        return order < 0;
    if (x->tuples->predicate != y->tuples->predicate)
        return x->tuples->predicate < y->tuples->predicate;
    return x->ordinal != y->ordinal ? x->ordinal < y->ordinal : x->position < y->position;
}

static void rise(struct head *heap, uint32_t i, struct head moving)
{
    for (uint32_t parent; i && before(&moving, &heap[parent = (i - 1) / 2]); i = parent)
        heap[i] = heap[parent];
    heap[i] = moving;
}

static void sink(struct head *heap, uint32_t n, struct head moving)
{
    uint32_t i = 0;

    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moving))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

static struct head head_of(const struct mr_tuples *t, uint32_t row, uint32_t position)
{
    return (struct head){.key = mr_order_of(t->origins[row]),
                         .ordinal = t->ordinals ? t->ordinals[row] : 0,
                         .position = position,
                         .row = row,
                         .tuples = t};
}

bool mr_arriving_begin(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    struct mr_exec *exec = &worker->exec;
    uint32_t batches = atomic_load_explicit(&token->left_batches, memory_order_relaxed);
    uint64_t rows = atomic_load_explicit(&token->left_rows, memory_order_relaxed);
    uint64_t marks = (uint64_t)token->n_ticks * worker->runtime->phases[phase].n_lanes;
    uint32_t predicates = exec->plan->n_predicates;

    if (rows <= MR_WHOLE_ROWS && batches <= WHOLE_BATCHES && marks <= WHOLE_MARKS)
        return false;
    struct mr_arriving *a = mr_exec_alloc(exec, sizeof *a);
    if (!a)
        return false;
    *a = (struct mr_arriving){
        .heads = mr_exec_alloc(exec, (size_t)batches * sizeof *a->heads),
        .taken = mr_exec_alloc(exec, 2 * ARRIVING_ROWS * sizeof *a->taken),
        .capacity = 2 * ARRIVING_ROWS,
        .batches = mr_exec_alloc(exec, predicates * sizeof(struct mr_tuples *)),
        .rows = mr_exec_alloc(exec, predicates * sizeof *a->rows),
    };
    if (!a->heads || !a->taken || !a->batches || !a->rows)
        return false;
    memset(a->rows, 0, predicates * sizeof *a->rows);
    a->list = mr_token_take_outputs(token);
    token->arriving = a;
    token->entering = false;
    return true;
}

/* Some batches more go to the heap. False: there are others. */
static bool look_at_some(struct mr_worker *worker, struct mr_token *token,
                         const struct mr_phase *phase)
{
    struct mr_arriving *a = token->arriving;

    for (uint64_t steps = 0; a->list && steps < LOOKED_AT;) {
        struct mr_tuples *t = a->list;
        a->list = t->next;
        steps += 1 + t->n;
        uint32_t position = a->looked_at++;
        if (!mr_phase_waits_for(worker, phase, t)) {
            mr_tuples_list_add(&a->waiting, t);
            continue;
        }
        t = t->n ? mr_tuples_in_order(&worker->exec, t) : NULL;
        if (t)
            rise(a->heads, a->n_heads++, head_of(t, 0, position));
    }
    if (a->list)
        return false;
    if (a->waiting.first)
        mr_token_push_outputs(token, &a->waiting);
    a->waiting = (struct mr_tuples_list){0};
    return true;
}

/* Room for one more row in the slice. */
static bool has_room(struct mr_exec *exec, struct mr_arriving *a, uint32_t n)
{
    if (n < a->capacity)
        return true;
    struct taken *larger = mr_exec_alloc(exec, 2 * (size_t)a->capacity * sizeof *larger);
    if (!larger)
        return false;
    memcpy(larger, a->taken, n * sizeof *larger);
    a->taken = larger;
    a->capacity *= 2;
    return true;
}

/* Takes rows that come before `end`: `most`, and the rest of the last one's origin, or what that
 * has until it is cut. Gives how many. They have their numbers among those of their origin, as
 * mr_tuples_settle() gives them. */
static uint32_t take(struct mr_exec *exec, struct mr_arriving *a, struct mr_order_key end,
                     uint32_t most)
{
    uint32_t n = 0;

    while (a->n_heads && mr_order_compare(a->heads[0].key, end) < 0) {
        struct head first = a->heads[0];
        bool same = a->of_last && !mr_order_compare(first.key, a->last);
        if (n && (same ? a->of_last % MR_WHOLE_ROWS == 0 : n >= most))
            break;
        if (!same)
            a->of_last = 0;
        a->last = first.key;
        if (has_room(exec, a, n))
            a->taken[n++] = (struct taken){first.tuples, first.row, a->of_last++};
        else
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
        if (first.row + 1 < first.tuples->n)
            first = head_of(first.tuples, first.row + 1, first.position);
        else
            first = a->heads[--a->n_heads];
        if (a->n_heads)
            sink(a->heads, a->n_heads, first);
    }
    return n;
}

/* The n rows that were taken, a batch for each predicate. */
static struct mr_tuples *batches_of(struct mr_exec *exec, struct mr_arriving *a, uint32_t n)
{
    struct mr_tuples_list list = {0};
    unsigned with = MR_WITH_ORDINALS;

    for (uint32_t i = 0; i < n; i++) {
        a->rows[a->taken[i].tuples->predicate]++;
        with |= mr_tuples_with(a->taken[i].tuples) & MR_WITH_TRANSACTIONS;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct mr_tuples *from = a->taken[i].tuples;
        uint32_t p = from->predicate;
        if (a->rows[p]) { /* the first of them */
            struct mr_tuples *t = mr_tuples_new(exec, p, a->rows[p], with);
            if (!t)
                mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, a->rows[p]);
            a->rows[p] = 0;
            a->batches[p] = t;
            if (t) {
                mr_tuples_list_add(&list, t);
                t->synthetic = t->gone = true;
            }
        }
        struct mr_tuples *to = a->batches[p];
        if (!to)
            continue;
        to->synthetic = to->synthetic && from->synthetic;
        to->gone = to->gone && from->gone;
        mr_tuples_append(exec->plan, to, from, a->taken[i].row);
        to->ordinals[to->n - 1] = a->taken[i].ordinal * MR_ORDINAL_STEP;
    }
    return mr_tuples_by_predicate(list.first);
}

bool mr_arriving_next(struct mr_worker *worker, struct mr_token *token, uint32_t phase)
{
    const struct mr_phase *p = &worker->runtime->phases[phase];
    struct mr_arriving *a = token->arriving;

    token->works = token->last_work = NULL;
    if (a->list && !look_at_some(worker, token, p))
        return false;
    for (uint32_t steps = 0; steps < ARRIVING_ROWS;) {
        const struct mr_tick *tick = a->tick < token->n_ticks ? &token->ticks[a->tick] : NULL;
        uint32_t n = take(&worker->exec, a, tick ? mr_tick_order(tick) : MR_ORDER_END,
                          ARRIVING_ROWS - steps);
        if (n) {
            struct mr_tuples *list = batches_of(&worker->exec, a, n);
            mr_phase_split_some(worker, token, phase, list);
            steps += n;
        } else if (tick) {
            mr_phase_mark_tick(worker, token, tick);
            a->tick++;
            steps += p->n_lanes;
        } else {
            mr_phase_mark_end(worker, token, phase);
            return true;
        }
    }
    return false;
}
