/* Tuples in columns: making, copying, merging batches. */
#include "runtime/tuples.h"

#include "runtime/exec.h"

#include <stdlib.h>
#include <string.h>

struct mr_tuples *mr_tuples_new(struct mr_exec *exec, uint32_t predicate, uint32_t n, unsigned with)
{
    return mr_tuples_new_late(exec, predicate, n, with, 0);
}

struct mr_tuples *mr_tuples_new_late(struct mr_exec *exec, uint32_t predicate, uint32_t n,
                                     unsigned with, uint64_t late)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[predicate];
    uint32_t live = 0;

    for (uint32_t c = 0; c < p->arity; c++)
        live += p->attributes[c].live && !(late >> c & 1);
    size_t head = (sizeof(struct mr_tuples) + 15) / 16 * 16;
    size_t pointers = (p->arity * sizeof(union mr_value *) + 15) / 16 * 16;
    size_t rows = ((size_t)n * 8 + 15) / 16 * 16;
    uint32_t hidden = 3;

    hidden += with & MR_WITH_CONTEXTS ? 1 : 0;
    hidden += with & MR_WITH_TRANSACTIONS ? 1 : 0;
    uint8_t *memory = mr_exec_alloc(exec, head + pointers + live * (size_t)n * 16 + hidden * rows);
    if (!memory)
        return NULL;
    struct mr_tuples *t = (struct mr_tuples *)(void *)memory;
    *t = (struct mr_tuples){.predicate = predicate};
    memory += head;
    t->columns = (union mr_value **)(void *)memory;
    memory += pointers;
    for (uint32_t c = 0; c < p->arity; c++) {
        t->columns[c] = NULL;
        if (!p->attributes[c].live || late >> c & 1)
            continue;
        t->columns[c] = (union mr_value *)(void *)memory;
        memory += (size_t)n * 16;
    }
    t->origins = (struct mr_packet **)(void *)memory;
    memory += rows;
    t->flows = (struct mr_flow **)(void *)memory;
    memory += rows;
    if (with & MR_WITH_CONTEXTS) {
        t->contexts = (uint8_t **)(void *)memory;
        memory += rows;
    }
    if (with & MR_WITH_TRANSACTIONS) {
        t->transactions = (const struct mr_transaction **)(void *)memory;
        memory += rows;
    }
    if (with & MR_WITH_ORDINALS)
        t->ordinals = (uint32_t *)(void *)memory;
    return t;
}

union mr_value *mr_tuples_fetch(struct mr_exec *exec, const union mr_value *column,
                                const uint32_t *at, uint32_t n)
{
    union mr_value *restrict values = mr_exec_alloc(exec, (size_t)n * sizeof *values);

    for (uint32_t row = 0; values && row < n; row++)
        values[row] = column[at[row]];
    return values;
}

/* The pointers to columns may be shared with batches that had the same ones: the batch gets its
 * own. */
static bool fetch_late(struct mr_exec *exec, struct mr_tuples *t)
{
    uint32_t arity = exec->plan->predicates[t->predicate].arity;
    union mr_value **columns = mr_exec_alloc(exec, arity * sizeof *columns);

    if (!columns)
        return false;
    for (uint32_t c = 0; c < arity; c++) {
        columns[c] = t->columns[c];
        if (!(t->late >> c & 1))
            continue;
        columns[c] = mr_tuples_fetch(exec, t->columns[c], t->at, t->n);
        if (!columns[c])
            return false;
    }
    t->columns = columns;
    return true;
}

void mr_tuples_fetch_all(struct mr_exec *exec, struct mr_tuples *list)
{
    for (struct mr_tuples *t = list; t; t = t->next) {
        if (!t->late)
            continue;
        if (t->n && t->at != exec->every && !fetch_late(exec, t)) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, t->n);
            t->n = 0;
        }
        t->late = 0;
        t->at = NULL;
    }
}

void mr_tuples_append(const struct mr_plan *plan, struct mr_tuples *to,
                      const struct mr_tuples *from, uint32_t from_row)
{
    uint32_t row = to->n++;
    uint32_t arity = plan->predicates[to->predicate].arity;

    for (uint32_t c = 0; c < arity; c++)
        if (to->columns[c])
            to->columns[c][row] = mr_tuples_value(from, c, from_row);
    to->origins[row] = from->origins[from_row];
    to->flows[row] = from->flows[from_row];
    if (to->contexts)
        to->contexts[row] = from->contexts ? from->contexts[from_row] : NULL;
    if (to->ordinals)
        to->ordinals[row] = from->ordinals ? from->ordinals[from_row] : 0;
    if (to->transactions)
        to->transactions[row] = from->transactions ? from->transactions[from_row] : NULL;
}

struct mr_order_key mr_order_of(const struct mr_packet *origin)
{
    if (!(origin->flags & MR_PACKET_TICK))
        return (struct mr_order_key){2 * origin->number + 1, 0, 0};
    const struct mr_tick_origin *tick = (const void *)origin;
    return (struct mr_order_key){2 * origin->number, tick->place.sub, tick->place.tie};
}

void mr_tuples_drop(const struct mr_plan *plan, struct mr_tuples *tuples, uint32_t n)
{
    uint32_t arity = plan->predicates[tuples->predicate].arity;
    for (uint32_t c = 0; c < arity; c++)
        if (tuples->columns[c] && !(tuples->late >> c & 1))
            tuples->columns[c] += n;
    if (tuples->at)
        tuples->at += n;
    tuples->origins += n;
    tuples->flows += n;
    if (tuples->contexts)
        tuples->contexts += n;
    if (tuples->ordinals)
        tuples->ordinals += n;
    if (tuples->transactions)
        tuples->transactions += n;
    tuples->n -= n;
}

struct mr_tuples *mr_tuples_cut_off(struct mr_exec *exec, struct mr_tuples *t, uint32_t n)
{
    size_t columns = exec->plan->predicates[t->predicate].arity * sizeof *t->columns;
    struct mr_tuples *part = mr_exec_alloc(exec, sizeof *part + columns);

    if (part) {
        *part = *t;
        part->n = n;
        part->next = NULL;
        part->columns = (union mr_value **)(void *)(part + 1);
        memcpy(part->columns, t->columns, columns);
    } else {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, n);
    }
    mr_tuples_drop(exec->plan, t, n);
    return part;
}

/* A row to be merged. */
struct merge_row {
    struct mr_order_key key;
    uint32_t ordinal;
    uint32_t position; /* among all: rows that are equal otherwise keep their order */
    uint32_t row;      /* of `from` */
    const struct mr_tuples *from;
};

static int compare_rows(const void *x, const void *y)
{
    const struct merge_row *a = x, *b = y;
    int order = mr_order_compare(a->key, b->key);
    if (order)
        return order;
    if (a->ordinal != b->ordinal)
        return a->ordinal < b->ordinal ? -1 : 1;
    return a->position < b->position ? -1 : a->position > b->position;
}

/* One batch of all rows of a predicate in the list. */
static struct mr_tuples *merge_predicate(struct mr_exec *exec, const struct mr_tuples *first,
                                         uint64_t n, unsigned with, bool synthetic)
{
    struct merge_row *rows = n < UINT32_MAX ? mr_exec_alloc(exec, n * sizeof *rows) : NULL;
    struct mr_tuples *merged =
        rows ? mr_tuples_new(exec, first->predicate, (uint32_t)n, with) : NULL;
    uint32_t at = 0;
    bool sorted = true;

    if (!merged) {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, n);
        return NULL;
    }
    merged->synthetic = synthetic;
    for (const struct mr_tuples *t = first; t; t = t->next)
        for (uint32_t row = 0; t->predicate == first->predicate && row < t->n; row++, at++) {
            rows[at] = (struct merge_row){mr_order_of(t->origins[row]),
                                          t->ordinals ? t->ordinals[row] : 0, at, row, t};
            sorted = sorted && (!at || compare_rows(&rows[at - 1], &rows[at]) < 0);
        }
    if (!sorted)
        qsort(rows, at, sizeof *rows, compare_rows);
    for (uint32_t i = 0; i < at; i++)
        mr_tuples_append(exec->plan, merged, rows[i].from, rows[i].row);
    return merged;
}

struct mr_tuples *mr_tuples_in_order(struct mr_exec *exec, struct mr_tuples *t)
{
    for (uint32_t row = 1; row < t->n; row++) {
        int order =
            mr_order_compare(mr_order_of(t->origins[row - 1]), mr_order_of(t->origins[row]));
        if (order < 0 || (!order && (!t->ordinals || t->ordinals[row - 1] <= t->ordinals[row])))
            continue;
        t->next = NULL;
        return merge_predicate(exec, t, t->n, mr_tuples_with(t), t->synthetic);
    }
    return t;
}

struct mr_tuples *mr_tuples_merge(struct mr_exec *exec, struct mr_tuples *list)
{
    struct mr_tuples *result = NULL, **tail = &result;

    if (!list || !list->next)
        return list;
    for (struct mr_tuples *first = list; first; first = first->next) {
        uint64_t rows = 0;
        unsigned with = 0;
        bool synthetic = true, done = false;
        for (struct mr_tuples *t = result; t; t = t->next)
            done = done || t->predicate == first->predicate;
        if (done || !first->n)
            continue;
        for (struct mr_tuples *t = first; t; t = t->next) {
            if (t->predicate != first->predicate || !t->n)
                continue;
            rows += t->n;
            with |= mr_tuples_with(t);
            synthetic = synthetic && t->synthetic;
        }
        struct mr_tuples *merged;
        if (rows != first->n) {
            merged = merge_predicate(exec, first, rows, with, synthetic);
            if (!merged)
                return result;
            *tail = merged;
            tail = &merged->next;
            continue;
        }
        /* alone of its predicate: goes over as it is, but for its link */
        merged = mr_exec_alloc(exec, sizeof *merged);
        if (!merged) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
            return result;
        }
        *merged = *first;
        merged->next = NULL;
        *tail = merged;
        tail = &merged->next;
    }
    return result;
}

struct mr_tuples *mr_tuples_by_predicate(struct mr_tuples *list)
{
    struct mr_tuples *sorted = NULL;
    while (list) {
        struct mr_tuples *one = list, **link = &sorted;
        list = list->next;
        while (*link && (*link)->predicate < one->predicate)
            link = &(*link)->next;
        one->next = *link;
        *link = one;
    }
    return sorted;
}

/* Rows of a table that end have an origin each, and may yet share a place. */
static bool same_place(const struct mr_packet *x, const struct mr_packet *y)
{
    return x->flags & y->flags & MR_PACKET_TICK &&
           !mr_order_compare(mr_order_of(x), mr_order_of(y));
}

/* One tuple for each origin: nothing to number. Packets are not looked at, which may lie in another
 * core's cache. */
static bool origins_differ(const struct mr_exec *exec, const struct mr_tuples *t)
{
    bool ticks = exec->token->n_ticks || exec->token->closes;

    if (t->next)
        return false;
    for (uint32_t row = 1; row < t->n; row++)
        if (t->origins[row] == t->origins[row - 1] ||
            (ticks && same_place(t->origins[row], t->origins[row - 1])))
            return false;
    return true;
}

/* Numbers the rows of the origin that comes first among what is left (from at[] on); false when
 * nothing is left. */
static bool number_next(struct mr_tuples *list, uint32_t *at)
{
    struct mr_order_key best = MR_ORDER_END;
    uint32_t i = 0, ordinal = 0;
    bool any = false;

    for (struct mr_tuples *t = list; t; t = t->next, i++) {
        if (at[i] == t->n)
            continue;
        struct mr_order_key key = mr_order_of(t->origins[at[i]]);
        if (!any || mr_order_compare(key, best) < 0)
            best = key;
        any = true;
    }
    i = 0;
    for (struct mr_tuples *t = list; t; t = t->next, i++)
        while (at[i] < t->n && !mr_order_compare(mr_order_of(t->origins[at[i]]), best)) {
            t->ordinals[at[i]++] = ordinal;
            ordinal += MR_ORDINAL_STEP;
        }
    return any;
}

struct mr_tuples *mr_tuples_settle(struct mr_exec *exec, struct mr_tuples *list)
{
    uint32_t n = 0;

    list = mr_tuples_by_predicate(mr_tuples_merge(exec, list));
    if (!list)
        return NULL;
    if (origins_differ(exec, list)) {
        list->ordinals = NULL;
        return list;
    }
    for (struct mr_tuples *t = list; t; t = t->next, n++) {
        t->ordinals = mr_exec_alloc(exec, (t->n + 1) * sizeof *t->ordinals);
        if (!t->ordinals) /* counted there; rows of one origin may now change places */
            return list;
    }
    uint32_t *at = mr_exec_alloc(exec, n * sizeof *at);
    if (!at)
        return list;
    memset(at, 0, n * sizeof *at);
    while (number_next(list, at))
        ;
    return list;
}
