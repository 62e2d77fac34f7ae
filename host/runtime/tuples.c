/* Tuples in columns: making, copying, merging batches. */
#include "runtime/tuples.h"

#include "runtime/exec.h"

#include <string.h>

struct mr_tuples *mr_tuples_new(struct mr_exec *exec, uint32_t predicate, uint32_t n, unsigned with)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[predicate];
    uint32_t live = 0;

    for (uint32_t c = 0; c < p->arity; c++)
        live += p->attributes[c].live;
    size_t head = (sizeof(struct mr_tuples) + 15) / 16 * 16;
    size_t pointers = (p->arity * sizeof(union mr_value *) + 15) / 16 * 16;
    size_t rows = ((size_t)n * 8 + 15) / 16 * 16;
    uint8_t *memory = mr_exec_alloc(exec, head + pointers + live * (size_t)n * 16 +
                                              ((with & MR_WITH_CONTEXTS) ? 3 : 2) * rows + rows);
    if (!memory)
        return NULL;
    struct mr_tuples *t = (struct mr_tuples *)(void *)memory;
    *t = (struct mr_tuples){.predicate = predicate};
    memory += head;
    t->columns = (union mr_value **)(void *)memory;
    memory += pointers;
    for (uint32_t c = 0; c < p->arity; c++) {
        t->columns[c] = NULL;
        if (!p->attributes[c].live)
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
    if (with & MR_WITH_ORDINALS)
        t->ordinals = (uint32_t *)(void *)memory;
    return t;
}

void mr_tuples_append(const struct mr_plan *plan, struct mr_tuples *to,
                      const struct mr_tuples *from, uint32_t from_row)
{
    uint32_t row = to->n++;
    uint32_t arity = plan->predicates[to->predicate].arity;

    for (uint32_t c = 0; c < arity; c++)
        if (to->columns[c])
            to->columns[c][row] = from->columns[c][from_row];
    to->origins[row] = from->origins[from_row];
    to->flows[row] = from->flows[from_row];
    if (to->contexts)
        to->contexts[row] = from->contexts ? from->contexts[from_row] : NULL;
    if (to->ordinals)
        to->ordinals[row] = from->ordinals ? from->ordinals[from_row] : 0;
}

struct mr_order_key mr_order_of(const struct mr_packet *origin)
{
    if (origin->flags & MR_PACKET_TICK)
        return (struct mr_order_key){2 * origin->number,
                                     ((const struct mr_tick_origin *)(const void *)origin)->sub};
    return (struct mr_order_key){2 * origin->number + 1, 0};
}

/* The batch of a predicate whose first row is the earliest; ties go to the batch that stands
 * first. */
static struct mr_tuples *earliest(struct mr_tuples *list, uint32_t predicate)
{
    struct mr_tuples *best = NULL;
    struct mr_order_key best_key = {0, 0};
    uint32_t best_ordinal = 0;

    for (struct mr_tuples *t = list; t; t = t->next) {
        if (t->predicate != predicate || !t->n)
            continue;
        struct mr_order_key key = mr_order_of(t->origins[0]);
        uint32_t ordinal = t->ordinals ? t->ordinals[0] : 0;
        int order = best ? mr_order_compare(key, best_key) : -1;
        if (order < 0 || (!order && ordinal < best_ordinal)) {
            best = t;
            best_key = key;
            best_ordinal = ordinal;
        }
    }
    return best;
}

void mr_tuples_drop(const struct mr_plan *plan, struct mr_tuples *tuples, uint32_t n)
{
    uint32_t arity = plan->predicates[tuples->predicate].arity;
    for (uint32_t c = 0; c < arity; c++)
        if (tuples->columns[c])
            tuples->columns[c] += n;
    tuples->origins += n;
    tuples->flows += n;
    if (tuples->contexts)
        tuples->contexts += n;
    if (tuples->ordinals)
        tuples->ordinals += n;
    tuples->n -= n;
}

static bool lonely(const struct mr_tuples *list)
{
    return !list || !list->next;
}

struct mr_tuples *mr_tuples_merge(struct mr_exec *exec, struct mr_tuples *list)
{
    if (lonely(list))
        return list;
    struct mr_tuples *result = NULL, **tail = &result;
    for (struct mr_tuples *first = list; first; first = first->next) {
        uint32_t predicate = first->predicate, rows = 0;
        unsigned with = 0;
        for (struct mr_tuples *t = result; t; t = t->next)
            if (t->predicate == predicate)
                rows = UINT32_MAX; /* done before */
        if (rows || !first->n)
            continue;
        for (struct mr_tuples *t = first; t; t = t->next)
            if (t->predicate == predicate) {
                rows += t->n;
                with |= mr_tuples_with(t);
            }
        struct mr_tuples *merged = mr_tuples_new(exec, predicate, rows, with);
        if (!merged) {
            mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, rows);
            continue;
        }
        for (struct mr_tuples *t; (t = earliest(first, predicate));) {
            mr_tuples_append(exec->plan, merged, t, 0);
            mr_tuples_drop(exec->plan, t, 1);
        }
        *tail = merged;
        tail = &merged->next;
    }
    return result;
}

static struct mr_tuples *by_predicate(struct mr_tuples *list)
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

/* One tuple for each origin: nothing to number. */
static bool origins_differ(const struct mr_tuples *t)
{
    if (t->next)
        return false;
    for (uint32_t row = 1; row < t->n; row++)
        if (t->origins[row] == t->origins[row - 1])
            return false;
    return true;
}

/* Numbers the rows of the origin that comes first among what is left (from at[] on); false when
 * nothing is left. */
static bool number_next(struct mr_tuples *list, uint32_t *at)
{
    struct mr_order_key best = {UINT64_MAX, UINT64_MAX};
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
        while (at[i] < t->n && !mr_order_compare(mr_order_of(t->origins[at[i]]), best))
            t->ordinals[at[i]++] = ordinal++;
    return any;
}

struct mr_tuples *mr_tuples_settle(struct mr_exec *exec, struct mr_tuples *list)
{
    uint32_t n = 0;

    list = by_predicate(mr_tuples_merge(exec, list));
    if (!list)
        return NULL;
    if (origins_differ(list)) {
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
